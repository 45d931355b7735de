"""Normalisation with an exact inverse, saved as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError


class Transform(ABC):
    """From physical units to the space in which networks work, and back.

    A transform is fitted once, on the training split; its state is plain JSON.
    """

    @abstractmethod
    def fit(self, sample: Batch) -> None:
        """Take the constants of the normalisation from a sample in physical units."""

    @abstractmethod
    def forward(self, sample: Batch) -> Batch:
        """Physical units to normalised space."""

    @abstractmethod
    def inverse(self, sample: Batch) -> Batch:
        """Normalised space to physical units."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The fitted constants, as JSON values."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take constants that `state` gave."""


class LogStandardise(Transform):
    """Clouds with one positive feature: its logarithm, then mean 0 and standard deviation 1 of every feature.

    The inverse keeps particles inside the range of the training particles, so that a wild sample at the start of a
    training cannot overflow; on the training sample it is exact.

    Args:
        positive: index of the feature whose logarithm is taken (pt_rel of jets).
    """

    def __init__(self, positive: int = 2) -> None:
        self.positive = positive
        self.mean = self.std = self.lowest = self.highest = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Constants over all real particles.

        Raises:
            PartiganError: a feature does not vary.
        """
        x = self._log(sample.x)
        rows = (x.flatten(0, 1) if sample.mask is None else x[sample.mask]).double()
        if not (rows.std(0) > 0).all():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        self.mean, self.std = rows.mean(0).float(), rows.std(0).float()
        rows = (rows.float() - self.mean) / self.std
        self.lowest, self.highest = rows.amin(0), rows.amax(0)

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return self._masked(sample, (self._log(sample.x) - self.mean) / self.std)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        constants = (self.lowest, self.highest, self.std, self.mean)
        lowest, highest, std, mean = (constant.to(sample.x.device) for constant in constants)
        x = torch.clamp(sample.x, lowest, highest) * std + mean
        x[..., self.positive] = x[..., self.positive].exp()
        return self._masked(sample, x)

    def _log(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[..., self.positive] = x[..., self.positive].clamp_min(torch.finfo(x.dtype).tiny).log()
        return x

    @staticmethod
    def _masked(sample: Batch, x: Tensor) -> Batch:
        return replace(sample, x=x if sample.mask is None else x * sample.mask[..., None])

    def state(self) -> dict[str, Any]:
        """Mean, standard deviation and range of each feature; the latter in the normalised space."""
        return {name: getattr(self, name).tolist() for name in ("mean", "std", "lowest", "highest")}

    def load_state(self, state: dict[str, Any]) -> None:
        """The constants of `state`."""
        for name, values in state.items():
            setattr(self, name, torch.tensor(values))
