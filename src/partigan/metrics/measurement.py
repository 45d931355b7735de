"""What every metric answers, what it asks of its samples, and how they fluctuate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


class Measurement(NamedTuple):
    """A number and its statistical uncertainty.

    Attributes:
        value: the value of the metric.
        error: one standard deviation of the value, were both samples drawn anew.
    """

    value: float
    error: float


def table(sample: ArrayLike, name: str) -> Floats:
    """A sample as a float64 array ``(rows, features)`` of finite numbers.

    Args:
        sample: numpy array or torch tensor; ``(rows,)`` counts as one feature.
        name: what messages call it.

    Returns:
        The sample, ``(rows, features)``.

    Raises:
        PartiganError: for other dimensions and for values that are not finite.
    """
    array = np.asarray(sample, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise PartiganError(f"the {name} sample must have the shape (rows, features), not {array.shape}")
    refuse_infinite(np.asarray(np.isfinite(array).all(1)), name)
    return array


def refuse_infinite(finite: NDArray[np.bool_], name: str) -> None:
    """Raise an error unless all rows are finite.

    Args:
        finite: ``(rows,)``, True for the rows that are.
        name: what messages call the sample.

    Raises:
        PartiganError: with the number of rows that are not, and the first.
    """
    if not finite.all():
        raise PartiganError(
            f"the {name} sample has NaN or infinite values in {np.sum(~finite)} of {len(finite)} rows, "
            f"the first of them row {np.argmin(finite)}"
        )


def comparable(real: NDArray[np.floating], fake: NDArray[np.floating], rows: int) -> None:
    """Raise an error unless two samples have the same features, in their last axis, and enough rows.

    Args:
        real: ``(rows, ..., features)``.
        fake: ``(rows, ..., features)``.
        rows: the least number of rows.

    Raises:
        PartiganError: if not.
    """
    if real.shape[-1] != fake.shape[-1]:
        raise PartiganError(
            f"the real sample has {real.shape[-1]} features and the fake sample {fake.shape[-1]}; "
            "they must have the same"
        )
    for name, sample in (("real", real), ("fake", fake)):
        if len(sample) < rows:
            raise PartiganError(f"the {name} sample has {len(sample)} rows; at least {rows} are needed")


def draws(rows: int, size: int, batches: int, rng: np.random.Generator) -> list[Rows]:
    """Rows of batches: consecutive parts of a random order; of another one once no whole part is left.

    So no batch holds a row twice, and batches are disjoint as long as there are rows.

    Args:
        rows: number of rows of the sample.
        size: number of rows of a batch, not more than there are.
        batches: number of batches.
        rng: makes the order.

    Returns:
        The rows of each batch, ``(size,)``.
    """
    parts: list[Rows] = []
    while len(parts) < batches:
        order = rng.permutation(rows)
        parts += [order[first : first + size] for first in range(0, rows - size + 1, size)]
    return parts[:batches]


def fluctuations(batches: list[Rows], covariance: Floats, replicas: int, rng: np.random.Generator) -> Floats:
    """Normal deviations of the means over batches of rows from their expectation.

    Batches that share rows fluctuate together: Cov(mean_k, mean_l) = covariance * shared / (size_k * size_l).

    Args:
        batches: the rows of each batch.
        covariance: of a single row, ``(quantities, quantities)``.
        replicas: number of deviations to draw.
        rng: draws them.

    Returns:
        ``(replicas, batches, quantities)``.
    """
    inside = np.zeros((len(batches), 1 + max(int(rows.max()) for rows in batches)))
    for batch, rows in zip(inside, batches, strict=True):
        batch[rows] = 1 / len(rows)
    noise = rng.standard_normal((replicas, len(batches), len(covariance)))
    return np.asarray(_root(inside @ inside.T) @ noise @ _root(covariance))


def _root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def largest(sample: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Greatest absolute value of each feature, and how it fluctuates from sample to sample.

    The greatest values of the tenths of a sample fluctuate like that of the whole where the tail of the distribution
    is exponential; for normal tails 10 % more, for log-normal ones 10 to 20 % less.

    Args:
        sample: ``(rows, features)``.
        rng: makes the tenths.

    Returns:
        The greatest values ``(features,)``, 1 in place of 0, and relative deviations that they might have,
        ``(10, features)``.
    """
    size = np.abs(sample)
    greatest = np.where(size.any(0), size.max(0), 1)
    tenths = np.stack([size[rows].max(0) for rows in np.array_split(rng.permutation(len(size)), 10)])
    return greatest, (tenths - tenths.mean(0)) / greatest
