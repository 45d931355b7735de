"""What the metrics of tables share: checked samples, distances between rows, errors of quadratic estimates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Rows, table
from partigan.metrics.weighted import Sample, Weighted

_ENTRIES = 4_000_000  # of a matrix of distances at a time: 32 MB


def tables(rows: int, **samples: ArrayLike) -> tuple[Floats, ...]:
    """Check samples and make them float64 arrays ``(rows, features)`` with the same features.

    Args:
        rows: the least number of rows.
        **samples: arrays or tensors ``(rows, features)`` or ``(rows,)``, by their names in messages.

    Returns:
        The samples in their order.

    Raises:
        PartiganError: values are not finite, rows are too few, or features are missing or differ.
    """
    names = [name.replace("_", "-") for name in samples]
    found = tuple(table(sample, name) for sample, name in zip(samples.values(), names, strict=True))
    for name, sample in zip(names, found, strict=True):
        if sample.shape[1] != found[0].shape[1] or sample.shape[1] == 0:
            raise PartiganError(
                f"the {names[0]} sample has {found[0].shape[1]} features and the {name} sample {sample.shape[1]}; "
                "they must have the same, at least one"
            )
        if len(sample) < rows:
            raise PartiganError(f"the {name} sample has {len(sample)} rows; at least {rows} are needed")
    return found


def weighted_tables(rows: int, **samples: ArrayLike | Weighted) -> tuple[Sample, ...]:
    """Check samples as `tables` does, with their event weights.

    Args:
        rows: the least effective size.
        **samples: arrays, tensors or `Weighted` ones, by their names in messages.

    Returns:
        The samples in their order.

    Raises:
        PartiganError: what `tables` raises, weights that no sample can have, or an effective size that is too small.
    """
    given = {name: Weighted.of(sample) for name, sample in samples.items()}
    arrays = tables(rows, **{name: sample.x for name, sample in given.items()})
    found = []
    for x, (key, sample) in zip(arrays, given.items(), strict=True):
        name = key.replace("_", "-")
        found.append(Sample(x, sample.checked(len(x), name)))
        if found[-1].size < rows:
            raise PartiganError(
                f"the {name} sample has weights worth {found[-1].size:.0f} rows; at least {rows} are needed"
            )
    return tuple(found)


def some(sample: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Draw at most ``size`` rows of a sample, in random order.

    Args:
        sample: ``(rows, features)``.
        size: the greatest number of rows.
        rng: chooses them.

    Returns:
        ``(min(rows, size), features)``.
    """
    return np.asarray(sample[rng.permutation(len(sample))[:size]])


def standardised(reference: Floats, *samples: Floats) -> tuple[Floats, ...]:
    """Subtract the mean of a reference and divide by its standard deviation; constant features are not scaled.

    Args:
        reference: ``(rows, features)``.
        *samples: ``(rows, features)`` each.

    Returns:
        The samples in their order.
    """
    return tuple(sample.x for sample in standardised_samples(Sample(reference), *map(Sample, samples)))


def standardised_samples(reference: Sample, *samples: Sample) -> tuple[Sample, ...]:
    """The same with event weights."""
    mean, deviation = reference.mean(), reference.std()
    scale = np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
    return tuple(sample.change((sample.x - mean) / scale) for sample in samples)


def quantile_cells(feature: Floats, bins: int, mass: Floats | None = None) -> Rows:
    """Bin of each row, counted from 0; bins hold equal parts of the rows, or of their mass.

    There are fewer bins if rows share values; none is empty.

    Args:
        feature: ``(rows,)``.
        bins: the greatest number of bins.
        mass: of the rows, ``(rows,)``, not below 0; None = all the same.

    Returns:
        ``(rows,)``.
    """
    edges = np.unique(np.quantile(feature, np.arange(1, bins) / bins, method="inverted_cdf", weights=mass))
    return np.asarray(np.unique(np.searchsorted(edges, feature, side="right"), return_inverse=True)[1])


def squared_distances(x: Floats, y: Floats) -> Floats:
    """Squared Euclidean distances between all rows, ``(rows of x, rows of y)``."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)
    squares -= 2 * x @ y.T
    return np.asarray(squares.clip(0, out=squares))


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Consecutive parts of the rows of a matrix ``(rows, columns)`` that is too large to be held at once."""
    step = max(1, _ENTRIES // max(columns, 1))
    return (slice(first, first + step) for first in range(0, rows, step))


def combined_error(first: float, second: float) -> float:
    """Standard deviation of an estimate that depends quadratically on fluctuations near its minimum.

    The linear term, of variance V1, dominates far from the minimum, the quadratic term, of variance V2, near it.
    Measured at a point that itself fluctuates, the variance of the linear term comes out as V1 + 2 V2.

    Args:
        first: V1 + 2 V2, the variance of the linear term as measured.
        second: V2, the variance of the quadratic term.

    Returns:
        The square root of V1 + V2, at least that of V2 / 4. At the minimum it is right on average for many
        quadratic terms, and 1.2 times too large for a single one, whose linear term fluctuates most.
    """
    return float(np.sqrt(max(first - second, second / 4, 0.0)))


def seed(rng: np.random.Generator) -> int:
    """A seed for libraries that take integers only."""
    return int(rng.integers(2**31))
