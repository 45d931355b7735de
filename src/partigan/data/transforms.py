"""Normalisation with an exact inverse, saved as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError


class Transform(ABC):
    """From physical units to the space in which networks work, and back.

    A transform is fitted once, on the training split; its state is plain JSON.

    Attributes:
        masked: clouds keep their mask in the normalised space; otherwise networks see and make padding like particles.
    """

    masked: bool = True

    @abstractmethod
    def fit(self, sample: Batch) -> None:
        """Take the constants of the normalisation from a sample in physical units."""

    @abstractmethod
    def forward(self, sample: Batch) -> Batch:
        """Physical units to normalised space."""

    @abstractmethod
    def inverse(self, sample: Batch) -> Batch:
        """Normalised space to physical units."""

    def held(self, sample: Batch) -> Batch:
        """What a training keeps in memory of its sample: it is normalised, once."""
        return self.forward(sample)

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """The normalised batch that is made of what is `held`, anew in every epoch where there is noise in it."""
        return held

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The fitted constants, as JSON values."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Take constants that `state` gave."""


class Features(Transform):
    """What transforms share that have constants for each feature of rows or particles.

    Attributes:
        constants: their names.
    """

    constants: ClassVar[tuple[str, ...]]

    def state(self) -> dict[str, Any]:
        """The fitted constants of each feature."""
        return {name: getattr(self, name).tolist() for name in self.constants}

    def load_state(self, state: dict[str, Any]) -> None:
        """The constants of `state`."""
        for name in self.constants:
            setattr(self, name, torch.tensor(state[name]))

    def _beside(self, x: Tensor) -> tuple[Tensor, ...]:
        """The constants in their order, on the device of ``x``: terms of a loss use the inverse, too."""
        return tuple(getattr(self, name).to(x.device) for name in self.constants)

    @staticmethod
    def _rows(sample: Batch, x: Tensor) -> Tensor:
        """All rows, or all real particles, ``(rows, features)``; raises where a feature does not vary."""
        rows = (x.flatten(0, -2) if sample.mask is None else x[sample.mask]).double()
        if not (rows.std(0) > 0).all():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        return rows

    @staticmethod
    def _masked(sample: Batch, x: Tensor) -> Batch:
        return replace(sample, x=x if sample.mask is None else x * sample.mask[..., None])


class Standardise(Features):
    """Mean 0 and standard deviation 1 of every feature, over all rows or all real particles.

    The inverse keeps features inside the range of the training sample, so that a wild sample at the start of a
    training cannot overflow; on the training sample it is exact.
    """

    constants: ClassVar[tuple[str, ...]] = ("mean", "std", "lowest", "highest")

    def __init__(self) -> None:
        self.mean = self.std = self.lowest = self.highest = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Constants over all rows, or all real particles.

        Raises:
            PartiganError: a feature does not vary.
        """
        rows = self._rows(sample, self._enter(sample.x))
        self.mean, self.std = rows.mean(0).float(), rows.std(0).float()
        rows = (rows.float() - self.mean) / self.std
        self.lowest, self.highest = rows.amin(0), rows.amax(0)

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return self._masked(sample, (self._enter(sample.x) - self.mean) / self.std)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        mean, std, lowest, highest = self._beside(sample.x)
        x = torch.clamp(sample.x, lowest, highest) * std + mean
        return self._masked(sample, self._leave(x))

    def _enter(self, x: Tensor) -> Tensor:
        """What is done to features before they are standardised."""
        return x

    def _leave(self, x: Tensor) -> Tensor:
        """The inverse of `_enter`."""
        return x


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


class EPiCStandardise(Features):
    """Jets as EPiC-GAN sees them: centred, then mean 0 and standard deviation ``width`` of every feature.

    Centring subtracts the mean angles weighted by pt, from jets for training and again from generated ones; it cannot
    be undone, so that the inverse is exact for centred jets only. Generated particles have at least the smallest pt of
    the training particles.

    Args:
        width: standard deviation of the normalised features.

    References:
        arXiv:2301.08128, section 4; the width is that of the authors' published code.
    """

    constants: ClassVar[tuple[str, ...]] = ("mean", "std", "lowest")

    def __init__(self, width: float = 5.0) -> None:
        self.width = width
        self.mean = self.std = self.lowest = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Mean and standard deviation of each feature, and the smallest pt.

        Raises:
            PartiganError: a feature does not vary.
        """
        rows = self._rows(sample, self._centred(sample).x)
        self.mean, self.std, self.lowest = rows.mean(0).float(), rows.std(0).float(), rows[:, 2].amin().float()

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return self._masked(sample, (self._centred(sample).x - self.mean) * (self.width / self.std))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        mean, std, lowest = self._beside(sample.x)
        x = sample.x * (std / self.width) + mean
        x[..., 2] = x[..., 2].clamp_min(lowest)
        return self._centred(self._masked(sample, x))

    def _centred(self, sample: Batch) -> Batch:
        angle, pt = sample.x[..., :2], sample.x[..., 2:]
        centre = (angle * pt).sum(1, keepdim=True) / pt.sum(1, keepdim=True).clamp_min(torch.finfo(pt.dtype).tiny)
        return self._masked(sample, torch.cat((angle - centre, pt), dim=-1))


class JetNetScale(Features):
    """Jets as MPGAN sees them: each feature over its greatest absolute value, then pt less 1/2.

    Args:
        padding: what becomes of padded particles in the normalised space. ``masked``: they stay masked, for networks
            that know masks; ``particles``: they are particles of no pt, and so are those that a generator gives;
            ``feature``: the same with a last feature, 1/2 for real and -1/2 for padded particles.
        cut: generated particles of a smaller pt_rel are padding (the "manual" masking of the paper); None = all that
            are not masked are real. The hardest particle of a jet is real in any case, and real particles have a
            pt_rel of at least 1e-7.

    References:
        arXiv:2106.11535, section 5 and appendix E; the constants are those of the authors' published code.
    """

    constants: ClassVar[tuple[str, ...]] = ("maxima",)

    def __init__(self, padding: Literal["masked", "particles", "feature"] = "masked", cut: float | None = None) -> None:
        self.padding, self.cut = padding, cut
        self.masked = padding == "masked"
        self.maxima = torch.zeros(0)
        self.shift = torch.tensor([0.0, 0.0, -0.5])

    def fit(self, sample: Batch) -> None:
        """Greatest absolute value of each feature.

        Raises:
            PartiganError: a feature does not vary.
        """
        self.maxima = self._rows(sample, sample.x).abs().amax(0).float()

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, with or without mask as ``padding`` says."""
        x = sample.x / self.maxima + self.shift
        if self.masked:
            return self._masked(sample, x)
        if self.padding == "feature":
            real = torch.ones_like(x[..., :1]) if sample.mask is None else sample.mask[..., None].to(x.dtype)
            x = torch.cat((x, real - 0.5), dim=-1)
        return replace(sample, x=x, mask=None)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features and the mask, real particles first, zero where padded."""
        (maxima,) = self._beside(sample.x)
        x = (sample.x[..., :3] - self.shift.to(maxima.device)) * maxima
        if self.padding == "feature":
            mask = sample.x[..., 3] > 0
        else:
            mask = torch.ones_like(x[..., 0], dtype=torch.bool) if sample.mask is None else sample.mask
        hardest = x[..., 2].masked_fill(~mask, -torch.inf).argmax(1, keepdim=True)
        if self.cut is not None:
            mask = mask & (x[..., 2] > self.cut)
        mask = mask.scatter(1, hardest, True)
        x[..., 2] = x[..., 2].clamp_min(1e-7)
        order = mask.byte().argsort(dim=1, descending=True, stable=True)
        mask = mask.gather(1, order)
        return self._masked(replace(sample, mask=mask), x.gather(1, order[..., None].expand_as(x)))


class Rescale(Transform):
    """One range of all values, such as that of pixels, to [-1, 1]; the inverse cuts what lies outside.

    Args:
        low: physical value that becomes -1; None = the lowest of the training sample.
        high: physical value that becomes 1; None = the highest.

    Raises:
        PartiganError: ``high`` is not above ``low``.
    """

    def __init__(self, low: float | None = 0.0, high: float | None = 1.0) -> None:
        if low is not None and high is not None and high <= low:
            raise PartiganError(f"the range {low} to {high} of Rescale is empty")
        self._low, self._high = low, high
        self.low, self.high = low or 0.0, high or 0.0

    def fit(self, sample: Batch) -> None:
        """The ends of the range that are not given.

        Raises:
            PartiganError: the sample has values outside the range, or all values are the same.
        """
        lowest, highest = sample.x.min().item(), sample.x.max().item()
        self.low = lowest if self._low is None else self._low
        self.high = highest if self._high is None else self._high
        if self.high <= self.low:
            raise PartiganError("the training sample does not vary; it cannot be normalised")
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
        """The ends of the range."""
        return {"low": self.low, "high": self.high}

    def load_state(self, state: dict[str, Any]) -> None:
        """The ends of `state`; those of the configuration where there are none."""
        self.low, self.high = state.get("low", self.low), state.get("high", self.high)
