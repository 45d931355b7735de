"""How observables depend on the conditions of samples: means in bins of each condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partigan.errors import PartiganError
from partigan.metrics.measurement import Measurement
from partigan.metrics.weighted import Floats, Sample, Weighted

BINS = 5
FEWEST = 10  # rows of a bin in either sample, below which it is left out
REPLICAS = 20

Conditioned = tuple[Weighted, NDArray[np.floating]]
"""Observables ``(rows, observables)``, perhaps with event weights, and conditions ``(rows, conditions)``."""


def dependence(real: Conditioned, fake: Conditioned, rng: np.random.Generator) -> Measurement:
    """Root mean square difference of the means of observables in bins of the conditions.

    Every condition has five bins with as many real rows each. Differences are in standard deviations of the real
    sample, and their mean is over observables, bins and conditions. It does not vanish for two samples of the same, so
    compare it with that of other real ones. The error is that of samples drawn again.

    Args:
        real: observables and conditions.
        fake: the same of generated rows, or of other real ones.
        rng: draws samples again.

    Raises:
        PartiganError: another number of observables or conditions, or too few rows.
    """
    a, b = (Sample(np.asarray(rows.x, float), _weights(rows)) for rows, _ in (real, fake))
    if a.x.shape[1:] != b.x.shape[1:] or real[1].shape[1:] != fake[1].shape[1:]:
        raise PartiganError(
            f"the samples have {a.x.shape[1]} and {b.x.shape[1]} observables, {real[1].shape[1]} and "
            f"{fake[1].shape[1]} conditions; both need the same"
        )
    places = [_places(real[1], conditions) for _, conditions in (real, fake)]
    width = a.std()
    width = np.where(width > 0, width, 1.0)

    def value(first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
        squares = []
        for column in range(real[1].shape[1]):
            for place in range(BINS):
                rows = [
                    chosen[found[chosen, column] == place]
                    for chosen, found in ((first, places[0]), (second, places[1]))
                ]
                if min(map(len, rows)) >= FEWEST:
                    squares.append(((a[rows[0]].mean() - b[rows[1]].mean()) / width) ** 2)
        if not squares:
            raise PartiganError(f"no bin of a condition has {FEWEST} rows of both samples; give more samples")
        return float(np.sqrt(np.mean(squares)))

    rows = np.arange(len(a)), np.arange(len(b))
    again = [value(*(rng.integers(0, len(part), len(part)) for part in rows)) for _ in range(REPLICAS)]
    return Measurement(value(*rows), float(np.std(again, ddof=1)))


def _weights(rows: Weighted) -> Floats | None:
    return None if rows.weight is None else np.asarray(rows.weight, float)


def _places(real: NDArray[np.floating], conditions: NDArray[np.floating]) -> NDArray[np.intp]:
    """The bin of every row for each condition, by quantiles of the real ones; -1 and ``BINS`` are outside."""
    found = np.empty(conditions.shape, np.intp)
    for column in range(conditions.shape[1]):
        edges = np.unique(np.quantile(real[:, column], np.linspace(0, 1, BINS + 1)))
        edges[-1] = np.nextafter(edges[-1], np.inf)
        found[:, column] = np.digitize(conditions[:, column], edges) - 1
    return found
