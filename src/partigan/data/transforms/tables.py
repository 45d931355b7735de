"""Normalisation of tables, and of the features of clouds."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mode
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform, varying_rows, wrong_shapes, zero_padded


class Standardise(Transform):
    """Mean 0 and standard deviation 1 of every feature, over all rows or all real particles.

    The inverse keeps features inside the range of the training sample, so that a wild sample at the start of training
    cannot overflow. It is exact on the training sample.

    Example:
        >>> sample = Batch(torch.tensor([[1.0, 10.0], [2.0, 40.0], [3.0, 10.0]]))
        >>> transform = Standardise()
        >>> transform.fit(sample)
        >>> transform.forward(sample).x[:, 0].tolist()
        [-1.0, 0.0, 1.0]
        >>> torch.allclose(transform.inverse(transform.forward(sample)).x, sample.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("mean", "std", "lowest", "highest")
    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in self.constants:
            self.register_buffer(name, torch.zeros(0))

    def fit(self, sample: Batch) -> None:
        """Take mean, standard deviation and range over all rows, or all real particles.

        Raises:
            PartiganError: a feature does not vary.
        """
        rows = varying_rows(sample, self.enter(sample.x))
        self.mean, self.std = rows.mean(0).float(), rows.std(0).float()
        rows = (rows.float() - self.mean) / self.std
        self.lowest, self.highest = rows.amin(0), rows.amax(0)

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return zero_padded(sample, (self.enter(sample.x) - self.mean) / self.std)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        x = torch.clamp(sample.x, self.lowest, self.highest) * self.std + self.mean
        return zero_padded(sample, self.leave(x))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        shape = mode(tuple(value.shape) for value in values.values())
        yield from wrong_shapes(values, *((name, shape) for name in self.constants))
        if len(shape) != 1 or shape[0] < 1:
            yield "mean", "is not a list of one number for each feature"
        if not (values["std"] > 0).all():
            yield "std", "is not above 0"
        if (values["lowest"] > values["highest"]).any():
            yield "lowest", "is above 'highest'"

    def enter(self, x: Tensor) -> Tensor:
        """A change of features before they are standardised; none here."""
        return x

    def leave(self, x: Tensor) -> Tensor:
        """The inverse of `enter`."""
        return x
