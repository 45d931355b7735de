"""Normalisation of time traces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError


class LogTrace(Transform):
    """log(1 + signal) of every bin, with mean 0 and standard deviation 1 over all bins of all traces.

    The inverse keeps signals between 0 and the largest of the training sample, on which it is exact.

    Example:
        >>> import torch
        >>> traces = Batch(torch.tensor([[[0.0, 3.0, 200.0]], [[1.0, 50.0, 2.0]]]))
        >>> transform = LogTrace()
        >>> transform.fit(traces)
        >>> torch.allclose(transform.inverse(transform.forward(traces)).x, traces.x, atol=1e-4)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("mean", "std", "highest")

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.std, self.highest = 0.0, 1.0, 0.0

    def fit(self, sample: Batch) -> None:
        """Take mean, standard deviation and the largest signal.

        Raises:
            PartiganError: signals below 0, or all the same.
        """
        if (lowest := sample.x.min().item()) < 0:
            raise PartiganError(f"the training sample has signals down to {lowest:.4g}; traces are not below 0")
        x = sample.x.double().log1p()
        self.mean, self.std, self.highest = x.mean().item(), x.std().item(), sample.x.max().item()
        if self.std == 0:
            raise PartiganError("the training sample does not vary; it cannot be normalised")

    def forward(self, sample: Batch) -> Batch:
        """Normalised traces."""
        return replace(sample, x=(sample.x.clamp_min(0).log1p() - self.mean) / self.std)

    def inverse(self, sample: Batch) -> Batch:
        """Signals from 0 to the largest."""
        x: Tensor = sample.x * self.std + self.mean
        return replace(sample, x=x.clamp(max=20.0).expm1().clamp(0.0, self.highest))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        for name in ("std", "highest"):
            if values[name] <= 0:
                yield name, "is not above 0"
