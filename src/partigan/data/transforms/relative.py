"""Quantiles of features that are equal in many rows, and whose size depends on a condition."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from partigan.data.transforms.quantiles import Quantiles, between
from partigan.data.transforms.transform import wrong_shapes
from partigan.errors import PartiganError

BINS = 64  # of the condition along which sizes change
EXCEPTIONS = 1e-3  # share of the rows that may tie against a threshold
_NEVER = -100.0  # a threshold below all normals
_FEWEST = 20  # rows of which a size is taken
_LOOKED_AT = 100_000  # rows in which ties are looked for


class RelativeQuantiles(Quantiles):
    """Quantiles of what is left of features without their ties and their sizes.

    Two features tie where they are equal in at least a share ``atoms`` of the rows, though neither has one value that
    often. Such are likelihoods of particles below their Cherenkov thresholds: all give no light. One of the two is
    replaced by its difference from the other, so that the tie is an atom at 0 (`Quantiles`), and made rows tie exactly.
    Features that tie form trees; each is relative to the one that it ties with most, and a tree's root is its smallest.

    A tie that one condition decides is not left to the network: where rows tie below a threshold of it and nowhere
    else, differences below it are 0 whatever the network makes, and training sees standard normal noise in their place.
    A row in a thousand may be an exception, for which the inverse is then not exact.

    Each is then divided by its mean size near the row's value of the same condition, such as a momentum above which all
    likelihoods become alike. Quantiles of all rows together would leave such rows on a few of the ranks.

    The inverse is exact up to the rounding of differences and quotients.

    Args:
        quantiles: of every column, at most.
        atoms: share of the rows that makes an atom or a tie.
        along: number of the condition with thresholds and along which sizes change; None = there is none.

    Raises:
        PartiganError: a number of quantiles or a share that cannot be.

    Example:
        >>> from partigan.data.batch import Batch
        >>> x = torch.randn(1000, 2)
        >>> x[:300, 1] = x[:300, 0]
        >>> transform = RelativeQuantiles(along=None)
        >>> transform.fit(Batch(x))
        >>> made = transform.inverse(Batch(0.01 * torch.randn(5, 2))).x
        >>> torch.equal(made[:, 0], made[:, 1])
        True
    """

    constants: ClassVar[tuple[str, ...]] = (*Quantiles.constants, "relative", "thresholds", "places", "sizes")
    relative: Tensor
    thresholds: Tensor
    places: Tensor
    sizes: Tensor

    def __init__(self, quantiles: int = 2000, atoms: float = 0.01, along: int | None = 0) -> None:
        super().__init__(quantiles, atoms)
        self.along, self._depth = along, 0
        self.register_buffer("relative", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("thresholds", torch.zeros(0))
        self.register_buffer("places", torch.zeros(0))
        self.register_buffer("sizes", torch.zeros(0, 0))

    def learn(self, x: Tensor, condition: Tensor | None) -> None:
        """Find ties and thresholds, and take sizes.

        Raises:
            PartiganError: there is no condition of the number ``along``.
        """
        found = _trees(_ties(x, self.atoms), [_size(column) for column in x.T])
        self.relative, self._depth = torch.tensor(found, dtype=torch.float64), _depth(found)
        self.thresholds = torch.zeros(0)
        self.places, self.sizes = torch.zeros(0), torch.zeros(0, 0)
        if self.along is None or condition is None or not condition.is_floating_point():
            return
        if not 0 <= self.along < condition.shape[1]:
            raise PartiganError(f"along = {self.along}; conditions have the numbers 0 to {condition.shape[1] - 1}")
        place = condition[:, self.along]
        thresholds = [_threshold(column == 0, place) for column in self._differences(x).T]
        if set(thresholds) != {_NEVER}:
            self.thresholds = torch.tensor(thresholds)
        parts = place.argsort(stable=True).tensor_split(max(min(BINS, len(place) // (5 * _FEWEST)), 1))
        rows = self._differences(x).abs()
        self.places = torch.stack([place[part].mean() for part in parts])
        means = torch.stack([rows[part].sum(0) / (rows[part] > 0).sum(0) for part in parts])
        means[torch.stack([(rows[part] > 0).sum(0) < _FEWEST for part in parts])] = torch.nan
        self.sizes = torch.stack([_filled(column.log(), self.places) for column in means.T])

    def _differences(self, x: Tensor) -> Tensor:
        """Features that tie as differences from those that they are relative to."""
        return torch.where(self.relative >= 0, x - self._others(x), x) if self._depth else x

    def _others(self, x: Tensor) -> Tensor:
        """What each feature is relative to."""
        return x[:, self.relative.long().clamp_min(0)]

    def _sizes(self, x: Tensor, condition: Tensor | None) -> Tensor | float:
        """Sizes of all features at the rows' conditions."""
        if condition is None or not self.sizes.numel():
            return 1.0
        along = condition[:, self.along, None].to(x.dtype).expand_as(x)
        return between(along, self.places.expand_as(self.sizes), self.sizes).exp()

    def free(self, condition: Tensor | None) -> Tensor | None:
        """All features but those below a threshold."""
        if condition is None or not condition.is_floating_point() or not self.thresholds.numel():
            return None
        return condition[:, self.along, None] > self.thresholds

    def enter(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Differences over sizes."""
        return self._differences(x) / self._sizes(x, condition)

    def leave(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Features from differences over sizes."""
        differences = x * self._sizes(x, condition)
        if (free := self.free(condition)) is not None:
            differences = torch.where(free, differences, 0.0)
        found = differences
        for _ in range(self._depth):  # from the roots of the trees to their leaves
            found = torch.where(self.relative >= 0, differences + self._others(found), differences)
        return found

    def load_state(self, state: dict[str, Any]) -> None:
        """Set the constants and what follows from them."""
        super().load_state(state)
        self._depth = _depth(self.relative.long().tolist())

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from super().faults(values)
        if values["relative"].shape != (len(values["values"]),) or _depth(values["relative"].tolist()) < 0:
            yield "relative", "does not lead from each feature to one that is relative to none"
        if values["sizes"].numel():
            yield from wrong_shapes(values, ("sizes", (len(values["values"]), len(values["places"]))))
        if values["thresholds"].shape not in ((0,), values["relative"].shape):
            yield "thresholds", "is not one number for each feature"
        if (values["places"].diff() < 0).any():
            yield "places", "is not in order"


def _ties(x: Tensor, least: float) -> list[tuple[float, float, int, int]]:
    """Pairs of features that are equal in many rows: minus their share, distance elsewhere, numbers of the features."""
    rows = x[:: max(len(x) // _LOOKED_AT, 1)]
    common = torch.stack([_common(column, least) for column in rows.T.contiguous()], 1)
    found = []
    for one, two in combinations(range(x.shape[1]), 2):
        equal = (rows[:, one] == rows[:, two]) & ~common[:, one] & ~common[:, two]
        if (share := equal.double().mean().item()) >= least:
            found.append((-share, _size((rows[:, one] - rows[:, two])[~equal]), one, two))
    return found


def _size(values: Tensor) -> float:
    """Mean logarithm of sizes, which small ones count in, too."""
    return float(values[values != 0].abs().double().log().mean())


def _common(column: Tensor, least: float) -> Tensor:
    """Rows whose value is an atom of the column itself."""
    _, place, count = column.unique(return_inverse=True, return_counts=True)
    found: Tensor = count[place] >= least * len(column)
    return found


def _trees(ties: list[tuple[float, float, int, int]], sizes: list[float]) -> list[int]:
    """Which feature each is relative to, -1 = none: trees of the strongest ties, from their smallest feature."""
    groups = [{column} for column in range(len(sizes))]
    near: list[list[int]] = [[] for _ in sizes]
    for _, _, one, two in sorted(ties):
        if groups[one] is not groups[two]:
            groups[one] |= groups[two]
            for column in groups[two]:
                groups[column] = groups[one]
            near[one].append(two)
            near[two].append(one)
    relative = [-1] * len(sizes)
    for root in {min(group, key=sizes.__getitem__) for group in groups}:
        reached = [(root, -1)]
        for column, before in reached:
            relative[column] = before
            reached += [(other, column) for other in near[column] if other != before]
    return relative


def _threshold(tied: Tensor, place: Tensor) -> float:
    """Below which place rows tie, where that decides it but for a few rows; else below all places."""
    order, number = place.argsort(), int(tied.sum())
    if not 0 < number < len(tied) or (~tied[order[:number]]).sum() > EXCEPTIONS * len(tied):
        return _NEVER
    return float(place[order[number - 1 : number + 1]].double().mean())


def _filled(values: Tensor, places: Tensor) -> Tensor:
    """Values at places, those that are missing from their neighbours; 0 where all are missing."""
    fine = values.isfinite()
    if not fine.any():
        return torch.zeros_like(values)
    return between(places[:, None], places[None, fine], values[None, fine])[:, 0]


def _depth(relative: list[Any]) -> int:
    """How many steps lead from a feature to one that is relative to none, at most; -1 where a way has no such end."""
    if not all(other in range(-1, len(relative)) for other in relative):
        return -1
    places = [*range(len(relative))]
    for steps in range(len(relative)):
        places = [place if place < 0 else int(relative[place]) for place in places]
        if max(places) < 0:
            return steps
    return -1
