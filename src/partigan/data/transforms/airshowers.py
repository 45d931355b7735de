"""Normalisation of maps of air showers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError

ROUNDING = 1e-5  # of lg signal, by which a station at the threshold may come out below it


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
        if sample.x.dim() != 4 or sample.x.shape[1] not in (1, 2):
            raise PartiganError(
                f"maps of air showers have the channels signal and, optionally, time; these are {list(sample.x.shape)}"
            )
        signal = sample.x[:, 0].double()
        if (least := signal.min().item()) < 0:
            raise PartiganError(f"the training sample has signals down to {least:.4g}; they are not below 0")
        if not (hit := signal > 0).any():
            raise PartiganError("no station of the training sample has a signal; it cannot be normalised")
        values = signal[hit].log1p() / torch.log(torch.tensor(10.0, dtype=torch.float64))
        self.lowest, self.highest = values.min().item(), values.max().item()
        times = sample.x[:, 1:].double()[hit[:, None].expand_as(sample.x[:, 1:])]
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
