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


class Standardise(Transform):
    """Mean 0 and standard deviation 1 of every feature, over all rows or all real particles.

    The inverse keeps features inside the range of the training sample, so that a wild sample at the start of a
    training cannot overflow; on the training sample it is exact.
    """

    def __init__(self) -> None:
        self.mean = self.std = self.lowest = self.highest = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Constants over all rows, or all real particles.

        Raises:
            PartiganError: a feature does not vary.
        """
        x = self._enter(sample.x)
        rows = (x.flatten(0, -2) if sample.mask is None else x[sample.mask]).double()
        if not (rows.std(0) > 0).all():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        self.mean, self.std = rows.mean(0).float(), rows.std(0).float()
        rows = (rows.float() - self.mean) / self.std
        self.lowest, self.highest = rows.amin(0), rows.amax(0)

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return self._masked(sample, (self._enter(sample.x) - self.mean) / self.std)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        x = torch.clamp(sample.x, self.lowest, self.highest) * self.std + self.mean
        return self._masked(sample, self._leave(x))

    def _enter(self, x: Tensor) -> Tensor:
        """What is done to features before they are standardised."""
        return x

    def _leave(self, x: Tensor) -> Tensor:
        """The inverse of `_enter`."""
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


class LogStandardise(Standardise):
    """Clouds with one positive feature: its logarithm, then mean 0 and standard deviation 1 of every feature.

    Args:
        positive: index of the feature whose logarithm is taken (pt_rel of jets).
    """

    def __init__(self, positive: int = 2) -> None:
        super().__init__()
        self.positive = positive

    def _enter(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[..., self.positive] = x[..., self.positive].clamp_min(torch.finfo(x.dtype).tiny).log()
        return x

    def _leave(self, x: Tensor) -> Tensor:
        x[..., self.positive] = x[..., self.positive].exp()
        return x


class Rescale(Transform):
    """One range of all values, such as that of pixels, to [-1, 1]; the inverse cuts what lies outside.

    Args:
        low: physical value that becomes -1.
        high: physical value that becomes 1.

    Raises:
        PartiganError: ``high`` is not above ``low``.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        if high <= low:
            raise PartiganError(f"the range {low} to {high} of Rescale is empty")
        self.low, self.high = low, high

    def fit(self, sample: Batch) -> None:
        """Nothing is fitted.

        Raises:
            PartiganError: the sample has values outside the range.
        """
        lowest, highest = sample.x.min().item(), sample.x.max().item()
        if lowest < self.low or highest > self.high:
            raise PartiganError(
                f"the training sample has values from {lowest:.4g} to {highest:.4g}, outside {self.low} to "
                f"{self.high}; give --transform.low and --transform.high"
            )

    def forward(self, sample: Batch) -> Batch:
        """Values from -1 to 1."""
        return replace(sample, x=(sample.x - self.low) * (2 / (self.high - self.low)) - 1)

    def inverse(self, sample: Batch) -> Batch:
        """Values from ``low`` to ``high``."""
        x = (sample.x.clamp(-1, 1) + 1) * ((self.high - self.low) / 2) + self.low
        return replace(sample, x=x)

    def state(self) -> dict[str, Any]:
        """Nothing: the range is in the configuration."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to take."""
