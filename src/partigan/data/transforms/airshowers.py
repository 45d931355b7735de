"""Normalisation of maps of air showers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError

ROUNDING = 1e-5  # of lg signal, by which a station at the threshold may come out below it
CLOSE = 1e-4  # how far below the smallest signal the threshold is, relative to it
MICROSECOND = 1000.0  # ns
DECADE = log(10)


class LogSignal(Transform):
    """lg(1 + signal), and arrival times in standard deviations; a silent station is 0 in both.

    There are no signals between 0 and the trigger threshold: the inverse makes stations silent whose signal is below
    the smallest one of the training sample, and cuts signals at the largest one. Times have no offset, so that they
    stay relative to the core.

    Example:
        >>> maps = Batch(torch.tensor([[[[0.0, 999.0]], [[0.0, -600.0]]], [[[120.0, 0.0]], [[300.0, 0.0]]]]))
        >>> transform = LogSignal()
        >>> transform.fit(maps)
        >>> transform.forward(maps).x[0, 0].tolist()
        [[0.0, 3.0]]
        >>> torch.allclose(transform.inverse(transform.forward(maps)).x, maps.x, rtol=1e-4)
        True

    References:
        lg(1 + signal): the tutorials of J. Glombitza, deep-learning-physics.org, exercise 18.2.
    """

    constants: ClassVar[tuple[str, ...]] = ("lowest", "highest", "unit")

    def __init__(self) -> None:
        super().__init__()
        self.lowest, self.highest, self.unit = 0.0, 1.0, 1.0

    def fit(self, sample: Batch) -> None:
        """Take the smallest and the largest signal, and the root mean square of the times.

        Raises:
            PartiganError: maps of another number of channels, signals below 0, or no signal at all.
        """
        values = _signals_of(sample).log1p() / DECADE
        self.lowest, self.highest = values.min().item(), values.max().item()
        times = sample.x[:, 1:].double()[(sample.x[:, :1] > 0).expand_as(sample.x[:, 1:])]
        self.unit = (times.square().mean().sqrt().item() if len(times) else 1.0) or 1.0

    def forward(self, sample: Batch) -> Batch:
        """Normalised maps."""
        signal, time = sample.x[:, :1], sample.x[:, 1:]
        return replace(sample, x=torch.cat(((1 + signal.clamp_min(0)).log10(), time / self.unit * (signal > 0)), 1))

    def inverse(self, sample: Batch) -> Batch:
        """Signals in VEM, or whatever the training sample has, and times in ns."""
        logarithm, time = sample.x[:, :1], sample.x[:, 1:]
        hit = logarithm >= self.lowest - ROUNDING
        signal: Tensor = 10 ** logarithm.clamp(0, self.highest) - 1
        return replace(sample, x=torch.cat((signal, time * self.unit), 1) * hit)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        for name in ("lowest", "unit"):
            if values[name] <= 0:
                yield name, "is not above 0"
        if values["highest"] < values["lowest"]:
            yield "highest", "is below 'lowest'"


class AboveTrigger(Transform):
    """Signals above the trigger, lg(1 + (signal - threshold) / scale), and times in us; a silent station is 0 in both.

    The threshold is just below the smallest signal of training, and a quarter of the signals are within ``scale`` of
    it. So features begin at 0 where silent stations are: a generator makes a station silent by what is below, and the
    inverse, a gate at 0, is exact. It cuts signals at the largest one.

    Example:
        >>> maps = Batch(torch.tensor([[[[0.0, 999.0]], [[0.0, -600.0]]], [[[120.0, 0.0]], [[300.0, 0.0]]]]))
        >>> transform = AboveTrigger()
        >>> transform.fit(maps)
        >>> torch.allclose(transform.inverse(transform.forward(maps)).x, maps.x, rtol=1e-4)
        True

    References:
        Ours. A signal that is cut at a threshold: J. Tobin, Econometrica 26 (1958) 24.
    """

    constants: ClassVar[tuple[str, ...]] = ("lowest", "highest", "scale")

    def __init__(self) -> None:
        super().__init__()
        self.lowest, self.highest, self.scale = 0.0, 1.0, 1.0

    def fit(self, sample: Batch) -> None:
        """Take threshold, scale and largest signal.

        Raises:
            PartiganError: maps of another number of channels, signals below 0, or all alike, or no signal at all.
        """
        values = _signals_of(sample).numpy()
        self.lowest, self.highest = (1 - CLOSE) * float(values.min()), float(values.max())
        self.scale = float(np.quantile(values, 0.25)) - self.lowest
        if self.highest == float(values.min()):
            raise PartiganError("the signals of the training sample are all alike; they cannot be normalised")

    def forward(self, sample: Batch) -> Batch:
        """Normalised maps."""
        signal, time = sample.x[:, :1], sample.x[:, 1:]
        least = CLOSE * self.lowest / self.scale
        above = ((signal - self.lowest) / self.scale).clamp_min(least).log1p() / DECADE
        return replace(sample, x=torch.cat((above, time / MICROSECOND), 1) * (signal > 0))

    def inverse(self, sample: Batch) -> Batch:
        """Signals in VEM, or whatever the training sample has, and times in ns."""
        above, time = sample.x[:, :1], sample.x[:, 1:]
        signal = self.lowest + self.scale * (DECADE * above.clamp(0, 9)).expm1()
        return replace(sample, x=torch.cat((signal.clamp_max(self.highest), time * MICROSECOND), 1) * (above > 0))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        for name in ("lowest", "scale"):
            if values[name] <= 0:
                yield name, "is not above 0"
        if values["highest"] < values["lowest"]:
            yield "highest", "is below 'lowest'"


def _signals_of(sample: Batch) -> Tensor:
    """All signals of a training sample."""
    if sample.x.dim() != 4 or sample.x.shape[1] not in (1, 2):
        raise PartiganError(
            f"maps of air showers have the channels signal and, optionally, time; these are {list(sample.x.shape)}"
        )
    signal = sample.x[:, 0].double()
    if (least := signal.min().item()) < 0:
        raise PartiganError(f"the training sample has signals down to {least:.4g}; they are not below 0")
    if not (hit := signal > 0).any():
        raise PartiganError("no station of the training sample has a signal; it cannot be normalised")
    return signal[hit]
