"""Every column to a standard normal by its quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform, wrong_shapes
from partigan.errors import PartiganError

MOST = 20_000  # quantiles, of which a run keeps two numbers each for every column
_PLAIN = 2  # conditions of so many different values stay as they are: flags, and what does not vary


class Quantiles(Transform):
    """Features and real-valued conditions of tables to standard normals, each by its own quantiles.

    Between the quantiles lie straight lines, so that the inverse is exact, and differentiable. What occurs many times,
    such as numbers of tracks, is one point in the middle of its ranks. Values beyond those of the training sample
    become its smallest or largest. Conditions with at most two different values stay as they are. Event weights do not
    count, as in the reference.

    Args:
        quantiles: of every column, at most; 100,000 in the reference, which does not keep them as text.

    Raises:
        PartiganError: a number of quantiles that cannot be.

    References:
        A. Maevskiy et al., arXiv:1905.11825 (scikit-learn's QuantileTransformer to a normal, conditions too).

    Example:
        >>> sample = Batch(torch.tensor([[1.0], [2.0], [40.0]]))
        >>> transform = Quantiles()
        >>> transform.fit(sample)
        >>> [round(z, 2) for z in transform.forward(sample).x[:, 0].tolist()]
        [-0.97, 0.0, 0.97]
        >>> torch.equal(transform.inverse(transform.forward(sample)).x, sample.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("values", "normals", "condition_values", "condition_normals")
    values: Tensor
    normals: Tensor
    condition_values: Tensor
    condition_normals: Tensor

    def __init__(self, quantiles: int = 10_000) -> None:
        super().__init__()
        if not 2 <= quantiles <= MOST:
            raise PartiganError(f"quantiles = {quantiles}; give 2 to {MOST:,}")
        self.quantiles = quantiles
        for name in self.constants:
            self.register_buffer(name, torch.zeros(0, 0))

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of all columns.

        Raises:
            PartiganError: clouds or images, or a feature that does not vary.
        """
        if sample.x.dim() != 2:
            raise PartiganError(f"quantiles are taken of tables, not of samples of shape {list(sample.x.shape[1:])}")
        self.values, self.normals = self._knots(sample.x, 1)
        if (self.values[:, 0] == self.values[:, -1]).any():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        if sample.condition is not None and sample.condition.is_floating_point():
            self.condition_values, self.condition_normals = self._knots(sample.condition, _PLAIN)

    def _knots(self, x: Tensor, plain: int) -> tuple[Tensor, Tensor]:
        """Different values of each column in their order, and their normals, ``(columns, knots)``; the last repeats."""
        found = [self._column(column, plain) for column in x.float().T.contiguous()]
        width = max(len(values) for values, _ in found)
        values, normals = (
            torch.stack([torch.cat((part, part[-1].expand(width - len(part)))) for part in parts])
            for parts in zip(*found, strict=True)
        )
        return values, normals

    def _column(self, column: Tensor, plain: int) -> tuple[Tensor, Tensor]:
        values, count = column.unique(return_counts=True)
        if len(values) <= plain:
            return values, values
        middle = count.cumsum(0) - 0.5 * count  # of the ranks
        if len(values) > self.quantiles:
            chosen = torch.linspace(0, len(column), self.quantiles, dtype=torch.float64)
            rows = torch.searchsorted(middle.double(), chosen).clamp_max(len(values) - 1).unique()
            values, middle = values[rows], middle[rows]
        return values, torch.special.ndtri(middle.double() / len(column)).float()

    def forward(self, sample: Batch) -> Batch:
        """Normal features and conditions."""
        x = _between(sample.x, self.values, self.normals)
        return replace(sample, x=x, condition=None if sample.condition is None else self.condition(sample.condition))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features and conditions."""
        condition = sample.condition
        if condition is not None and condition.is_floating_point():
            condition = _between(condition, self.condition_normals, self.condition_values)
        return replace(sample, x=_between(sample.x, self.normals, self.values), condition=condition)

    def condition(self, condition: Tensor) -> Tensor:
        """Normal conditions; labels stay as they are."""
        if not condition.is_floating_point():
            return condition
        return _between(condition, self.condition_values, self.condition_normals)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        for one, two in (("values", "normals"), ("condition_values", "condition_normals")):
            shape = tuple(values[one].shape)
            if len(shape) != 2 and not (one.startswith("condition") and shape == (0,)):
                yield one, "is not a list of columns"
            yield from wrong_shapes(values, (two, shape))
            for name in (one, two):
                if (values[name].diff(dim=-1) < 0).any():
                    yield name, "is not in order"


def _between(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Straight lines between knots, ``(columns, knots)``, for ``(rows, columns)``; constant beyond the ends."""
    knots, values = knots.to(x.dtype), values.to(x.dtype)
    ends = torch.searchsorted(knots, knots[:, -1:].contiguous()).clamp_min(1)  # the last knot that is another
    inside = torch.clamp(x.T, knots[:, :1], knots[:, -1:]).contiguous()
    right = torch.searchsorted(knots, inside, right=True).clamp_min(1).minimum(ends).clamp_max(knots.shape[1] - 1)
    left = (right - 1).clamp_min(0)
    (a, b), (u, v) = ((part.gather(1, left), part.gather(1, right)) for part in (knots, values))
    width = b - a
    share = torch.where(width > 0, (inside - a) / torch.where(width > 0, width, 1), 0.0)
    return torch.lerp(u, v, share).T
