"""Every column to a standard normal by its quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform, wrong_shapes
from partigan.errors import PartiganError

MOST = 100_000  # quantiles, of which a run keeps about ten bytes each for every column
WIDEST = 0.1  # share of the ranks that an atom takes at most
_PLAIN = 2  # conditions of so many different values stay as they are: flags, and what does not vary
_BELL = 8.0  # widths of an atom's place in standard deviations of the noise in it


class Quantiles(Transform):
    """Features and real-valued conditions of tables to standard normals, each by its own quantiles.

    Between the quantiles lie straight lines, so that the inverse is exact, and differentiable. What occurs many times,
    such as numbers of tracks, is one point in the middle of its ranks. Values beyond those of the training sample
    become its smallest or largest. Conditions with at most two different values stay as they are. Event weights do not
    count, as in the reference.

    An *atom* is a value that a share of the rows has, such as 0 below a threshold. A generator, which is continuous,
    cannot make one. With ``atoms`` above 0, atoms of features take an interval of the normal, all of which is the atom
    on the way back, and training sees noise in its middle. The interval holds the atom's ranks, but at most a tenth of
    all: a wider one would be a gap that no other value may fill.

    Args:
        quantiles: of every column, at most.
        atoms: share of the rows that makes a value of a feature an atom; 0 = there are none.

    Raises:
        PartiganError: a number of quantiles or a share that cannot be.

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

    constants: ClassVar[tuple[str, ...]] = ("values", "steps", "condition_values", "condition_steps")
    values: Tensor
    steps: Tensor
    normals: Tensor
    condition_values: Tensor
    condition_steps: Tensor
    condition_normals: Tensor

    def __init__(self, quantiles: int = 10_000, atoms: float = 0.0) -> None:
        super().__init__()
        if not 2 <= quantiles <= MOST:
            raise PartiganError(f"quantiles = {quantiles}; give 2 to {MOST:,}")
        if not 0 <= atoms < 1:
            raise PartiganError(f"atoms = {atoms}; it is a share of the rows, at least 0 and below 1")
        self.quantiles, self.atoms = quantiles, atoms
        for name in ("values", "condition_values", "normals", "condition_normals"):
            self.register_buffer(name, torch.zeros(0, 0))
        for name in ("steps", "condition_steps"):
            self.register_buffer(name, torch.zeros(0, 0, dtype=torch.float64))

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of all columns.

        Raises:
            PartiganError: clouds or images, or a feature that does not vary.
        """
        if sample.x.dim() != 2:
            raise PartiganError(f"quantiles are taken of tables, not of samples of shape {list(sample.x.shape[1:])}")
        if sample.condition is not None and sample.condition.is_floating_point():
            self.condition_values, self.condition_steps = self._knots(sample.condition, _PLAIN, 0.0)
        self._set_normals()
        self.learn(sample.x, seen := self._seen(sample.condition))
        x = self.enter(sample.x, seen)
        if (free := self.free(seen)) is not None:
            x = torch.where(free, x, torch.nan)
        self.values, self.steps = self._knots(x, 1, self.atoms)
        if (self.values[:, 0] == self.values[:, -1]).any():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        self._set_normals()

    def _knots(self, x: Tensor, plain: int, atoms: float) -> tuple[Tensor, Tensor]:
        """Knots of each column; the last value repeats where a column has fewer.

        Returns:
            Different values in their order, ``(columns, knots)``, and the steps between their ranks, in halves, from
            the lowest rank to the highest, ``(columns, knots + 1)``; all 0 for a column that stays as it is.
        """
        found = [self._column(column, plain, atoms) for column in x.float().T.contiguous()]
        width = max(len(values) for values, _ in found)
        values = [torch.cat((part, part[-1].expand(width - len(part)))) for part, _ in found]
        steps = [torch.cat((part[:-1], part.new_zeros(width + 1 - len(part)), part[-1:])) for _, part in found]
        return torch.stack(values), torch.stack(steps).double()

    def _column(self, column: Tensor, plain: int, atoms: float) -> tuple[Tensor, Tensor]:
        column = column[~column.isnan()]
        values, count = column.unique(return_counts=True)
        if len(values) <= plain:
            return values, count.new_zeros(len(values) + 1)
        atom = count >= atoms * len(column) if atoms else torch.zeros_like(count, dtype=torch.bool)
        count = torch.where(atom, count.clamp_max(max(int(WIDEST * len(column)), 1)), count)
        rank = 2 * count.cumsum(0) - count  # the middle of the ranks, in halves
        total = 2 * int(count.sum())
        if len(values) > self.quantiles:
            chosen = torch.linspace(0, total, self.quantiles, dtype=torch.float64)
            rows = torch.searchsorted(rank.double(), chosen).clamp_max(len(values) - 1)
            rows = torch.cat((rows, atom.nonzero()[:, 0])).unique()
            values, count, rank, atom = values[rows], count[rows], rank[rows], atom[rows]
        every = torch.stack((atom, torch.ones_like(atom), atom), 1)  # an atom has knots at both ends of its ranks
        ranks = torch.stack((rank - count, rank, rank + count), 1)[every].clamp(1, total - 1)
        ends = torch.tensor([0]), torch.tensor([total])
        return values[:, None].expand(-1, 3)[every], torch.cat((ends[0], ranks, ends[1])).diff()

    def _set_normals(self) -> None:
        """Normals of all knots, from their steps."""
        for name in ("", "condition_"):
            values, steps = getattr(self, f"{name}values"), getattr(self, f"{name}steps")
            if not values.numel():
                continue
            total = steps.sum(-1, keepdim=True)
            normals = torch.special.ndtri(steps.cumsum(-1)[:, :-1] / total).to(values.dtype)
            setattr(self, f"{name}normals", torch.where(total > 0, normals, values))

    def forward(self, sample: Batch) -> Batch:
        """Normal features and conditions; atoms become the middle of their interval."""
        seen = self._seen(sample.condition)
        x = self.enter(sample.x, seen)
        found = between(x, self.values, self.normals)
        if self.atoms:
            left, right = (
                torch.searchsorted(self.values.to(x.dtype), x.T.contiguous(), right=r) for r in (False, True)
            )
            middle = self.normals.to(x.dtype).gather(1, (left + 1).clamp_max(self.values.shape[1] - 1))
            found = torch.where(right - left > 2, middle, found.T).T
        free = self.free(seen)
        return replace(sample, x=found if free is None else torch.where(free, found, 0.0), condition=seen)

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """The same rows, with noise for features that are not free, and in the middle of the intervals of atoms."""
        if not self.atoms:
            return held
        z = held.x.T.contiguous()
        noise = torch.randn(z.shape, generator=rng)
        right = torch.searchsorted(self.normals, z, right=True).clamp(2, self.normals.shape[1] - 1)
        low, high = right - 2, right  # around the knot that z is
        ends = [torch.special.ndtr(self.normals.gather(1, knot)) for knot in (low, high)]
        atom = (self.values.gather(1, low) == self.values.gather(1, high)) & (ends[0] < ends[1])
        share = (0.5 + noise / _BELL).clamp(0, 1)
        seen = torch.where(atom, torch.special.ndtri(torch.lerp(ends[0], ends[1], share)), z).T
        free = self.free(held.condition)
        return replace(held, x=seen if free is None else torch.where(free, seen, noise.T))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features and conditions."""
        condition = sample.condition
        x = self.leave(between(sample.x, self.normals, self.values), condition)
        if condition is not None and condition.is_floating_point():
            condition = between(condition, self.condition_normals, self.condition_values)
        return replace(sample, x=x, condition=condition)

    def learn(self, x: Tensor, condition: Tensor | None) -> None:
        """Set what `enter` needs from the training sample, given as to it."""

    def enter(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """A change of features before their quantiles are taken; none here.

        Args:
            x: physical features, ``(rows, features)``.
            condition: labels, or normal conditions.
        """
        return x

    def leave(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """The inverse of `enter`."""
        return x

    def free(self, condition: Tensor | None) -> Tensor | None:
        """Features that a network makes, ``(rows, features)`` bool, where `leave` sets others by the condition alone.

        Those become standard normal noise in training. None = all are free.

        Args:
            condition: labels, or normal conditions.
        """
        return None

    def condition(self, condition: Tensor) -> Tensor:
        """Normal conditions; labels stay as they are."""
        if not condition.is_floating_point():
            return condition
        return between(condition, self.condition_values, self.condition_normals)

    def _seen(self, condition: Tensor | None) -> Tensor | None:
        return None if condition is None else self.condition(condition)

    def state(self) -> dict[str, Any]:
        """The constants, floating-point numbers with as few digits as single precision needs."""
        return {name: _short(getattr(self, name)) for name in self.constants}

    def load_state(self, state: dict[str, Any]) -> None:
        """Set the constants and what follows from them."""
        super().load_state(state)
        self._set_normals()

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        for one, two in (("values", "steps"), ("condition_values", "condition_steps")):
            shape = tuple(values[one].shape)
            empty = one.startswith("condition") and 0 in shape
            if len(shape) != 2 and not empty:
                yield one, "is not a list of columns"
            elif not empty:
                yield from wrong_shapes(values, (two, (shape[0], shape[1] + 1)))
            if (values[one].diff(dim=-1) < 0).any():
                yield one, "is not in order"
            if (values[two] < 0).any():
                yield two, "has numbers below 0"


def _short(values: Tensor) -> list[Any]:
    """A tensor as lists: single precision in its own digits, not in those of double precision, and whole numbers."""
    if values.dim() > 1:
        return [_short(part) for part in values]
    return values.long().tolist() if values.dtype == torch.float64 else [float(str(v)) for v in values.numpy()]


def between(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Straight lines between knots, ``(columns, knots)``, for ``(rows, columns)``; constant beyond the ends."""
    knots, values = knots.to(x.dtype).contiguous(), values.to(x.dtype)
    ends = torch.searchsorted(knots, knots[:, -1:].contiguous()).clamp_min(1)  # the last knot that is another
    inside = torch.clamp(x.T, knots[:, :1], knots[:, -1:]).contiguous()
    right = torch.searchsorted(knots, inside, right=True).clamp_min(1).minimum(ends).clamp_max(knots.shape[1] - 1)
    left = (right - 1).clamp_min(0)
    (a, b), (u, v) = ((part.gather(1, left), part.gather(1, right)) for part in (knots, values))
    width = b - a
    share = torch.where(width > 0, (inside - a) / torch.where(width > 0, width, 1), 0.0)
    return torch.lerp(u, v, share).T
