"""Particle identification: areas under ROC curves in bins of momentum and pseudorapidity, efficiencies of cuts.

Weights may be negative, as sWeights are: areas and efficiencies are sums over pairs of rows and over rows, see
`partigan.metrics.weighted`. Efficiencies may then come out below 0 or above 1, within their errors.

References:
    A. Maevskiy et al., arXiv:1905.11825 (areas in bins as the test of a generator); `partigan.metrics.classifier`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partigan.metrics.classifier import roc_auc
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.weighted import Sample, Weighted, effective_size

MOMENTA = (0.0, 10.0, 20.0, 50.0, 1000.0)
"""Edges of bins of momentum, GeV."""
ETAS = (0.0, 3.0, 3.5, 10.0)
"""Edges of bins of pseudorapidity."""
LEAST = 100
"""Effective number of tracks of either particle in a bin that is looked at."""


@dataclass(frozen=True, eq=False)
class Particles:
    """Tracks of one particle.

    Attributes:
        score: by which they are identified, ``(tracks,)``.
        momentum: GeV, ``(tracks,)``.
        eta: pseudorapidity, ``(tracks,)``.
        weight: event weights, ``(tracks,)``; None = all 1.
    """

    score: Floats
    momentum: Floats
    eta: Floats
    weight: Floats | None = None

    def chosen(self, rows: NDArray[np.bool_]) -> Weighted | None:
        """Scores of some tracks; None where they are worth fewer than `LEAST`, or their weights have no sum above 0."""
        weight = None if self.weight is None else self.weight[rows]
        if rows.sum() < LEAST or (weight is not None and weight.sum() <= 0):
            return None
        return Weighted(self.score[rows], weight) if effective_size(weight, int(rows.sum())) >= LEAST else None

    def bins(self) -> list[list[NDArray[np.bool_]]]:
        """Which tracks are in each bin of momentum and pseudorapidity."""
        columns = [np.searchsorted(edges[1:-1], x) for edges, x in ((MOMENTA, self.momentum), (ETAS, self.eta))]
        return [[(columns[0] == i) & (columns[1] == j) for j in range(len(ETAS) - 1)] for i in range(len(MOMENTA) - 1)]


@dataclass(frozen=True, eq=False)
class Map:
    """Values in bins with their errors; NaN where there are too few tracks.

    Attributes:
        value: ``(bins of momentum, bins of pseudorapidity)``, or ``(bins,)``.
        error: of the same shape.
    """

    value: Floats
    error: Floats

    def minus(self, other: Map) -> Map:
        """The difference from another map."""
        return Map(self.value - other.value, np.hypot(self.error, other.error))

    def largest(self) -> Measurement | None:
        """The largest absolute value and its error; None where all bins have too few tracks."""
        if np.isnan(self.value).all():
            return None
        place = np.unravel_index(np.nanargmax(np.abs(self.value)), self.value.shape)
        return Measurement(float(np.abs(self.value[place])), float(self.error[place]))


def auc_map(first: Particles, second: Particles) -> Map:
    """Probability that a track of the first particle scores above one of the second, in each bin."""
    shape = len(MOMENTA) - 1, len(ETAS) - 1
    found = Map(np.full(shape, np.nan), np.full(shape, np.nan))
    ours, theirs = first.bins(), second.bins()
    for place in np.ndindex(shape):
        one, two = first.chosen(ours[place[0]][place[1]]), second.chosen(theirs[place[0]][place[1]])
        if one is not None and two is not None:
            found.value[place], found.error[place] = roc_auc(one, two)
    return found


def efficiency(particles: Particles, cut: float, edges: Floats) -> Map:
    """Share of the tracks with a score above a cut, in bins of momentum.

    Args:
        particles: tracks of one particle.
        cut: of the score.
        edges: of the bins, GeV, ``(bins + 1,)``.
    """
    found = Map(np.full(len(edges) - 1, np.nan), np.full(len(edges) - 1, np.nan))
    place = np.searchsorted(edges, particles.momentum, side="right") - 1
    for number in range(len(edges) - 1):
        if (inside := particles.chosen(place == number)) is None:
            continue
        sample = Sample(np.asarray(inside.x), None if inside.weight is None else np.asarray(inside.weight))
        passed = (sample.x > cut).astype(float)
        found.value[number] = sample.mean(passed)
        found.error[number] = np.sqrt(max(float(sample.spread(passed)) / len(sample), 0.25 / sample.size**2))
    return found


def momentum_bins(momentum: Floats, bins: int = 8) -> Floats:
    """Edges of bins that hold about as many tracks each.

    Args:
        momentum: GeV, ``(tracks,)``.
        bins: how many.
    """
    edges = np.quantile(momentum, np.linspace(0, 1, bins + 1))
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return np.asarray(edges)
