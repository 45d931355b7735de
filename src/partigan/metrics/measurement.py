"""What every metric answers, and what it asks of its samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError

Floats = NDArray[np.float64]


class Measurement(NamedTuple):
    """A number and its statistical uncertainty.

    Attributes:
        value: the value of the metric.
        error: one standard deviation of the value, were both samples drawn anew.
    """

    value: float
    error: float


def features(sample: ArrayLike, name: str, ndim: int = 2) -> Floats:
    """A sample as float64 array of the dimensions asked for, without NaN and infinities.

    Args:
        sample: numpy array or torch tensor; ``(rows,)`` counts as one feature, ``(rows, 1)``, where ``ndim`` is 2.
        name: what messages call it.
        ndim: the number of dimensions.

    Returns:
        The sample, float64.

    Raises:
        PartiganError: for another number of dimensions and for values that are not finite.
    """
    array = np.asarray(sample, dtype=np.float64)
    if array.ndim == 1 and ndim == 2:
        array = array[:, None]
    if array.ndim != ndim:
        raise PartiganError(f"the {name} sample must have {ndim} dimensions, not the shape {array.shape}")
    if not np.isfinite(array).all():
        finite = np.isfinite(array).reshape(len(array), -1).all(1)
        raise PartiganError(
            f"the {name} sample has NaN or infinite values in {np.sum(~finite)} of {len(array)} rows, "
            f"the first of them row {np.argmin(finite)}"
        )
    return array


def same_features(real: Floats, fake: Floats) -> None:
    """Refuse samples that differ in the number of features, their last axis.

    Raises:
        PartiganError: if they differ.
    """
    if real.shape[-1] != fake.shape[-1]:
        raise PartiganError(
            f"the real sample has {real.shape[-1]} features and the fake sample {fake.shape[-1]}; "
            "they must have the same"
        )


def enough(sample: Floats, rows: int, name: str) -> None:
    """Refuse a sample with fewer rows than needed.

    Raises:
        PartiganError: if there are fewer.
    """
    if len(sample) < rows:
        raise PartiganError(f"{rows} rows are needed of the {name} sample; it has {len(sample)}")


def draws(rows: int, size: int, batches: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Rows of batches: consecutive parts of a random order; of another one once no whole part is left.

    So batches are disjoint as long as there are rows, and never hold a row twice.

    Args:
        rows: number of rows of the sample.
        size: number of rows of a batch, not more.
        batches: number of batches.
        rng: makes the order.

    Returns:
        The indices of each batch, ``(size,)``.
    """
    parts: list[NDArray[np.intp]] = []
    while len(parts) < batches:
        order = rng.permutation(rows)
        parts += [order[first : first + size] for first in range(0, rows - size + 1, size)]
    return parts[:batches]


def fluctuations(
    batches: list[NDArray[np.intp]], covariance: Floats, replicas: int, rng: np.random.Generator
) -> Floats:
    """Normal deviations that means over batches of rows have from their expectation.

    Batches that share rows fluctuate together: Cov(mean_k, mean_l) = covariance * shared rows / (size_k * size_l).

    Args:
        batches: the indices of the rows of each batch.
        covariance: of one row, ``(quantities, quantities)``.
        replicas: number of independent deviations to draw.
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
    """Greatest absolute value of each feature, and how much it would differ in other samples of the same size.

    The greatest values of tenths of the sample fluctuate like that of the sample itself where the tail falls
    exponentially: exact for that limit of extreme values, within 20 % for normal and log-normal tails.

    Args:
        sample: ``(rows, features)``.
        rng: makes the tenths.

    Returns:
        The greatest values ``(features,)``, 1 where all are 0, and ``(10, features)`` replicas of them.
    """
    size = np.abs(sample)
    greatest = size.max(0)
    parts = np.stack([size[rows].max(0) for rows in np.array_split(rng.permutation(len(size)), 10)])
    replicas = greatest + parts - parts.mean(0)
    return np.where(greatest > 0, greatest, 1), np.where(replicas > 0, replicas, 1)
