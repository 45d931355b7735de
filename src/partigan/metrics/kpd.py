"""Kernel physics distance (KPD).

References:
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023) 076017,
    arXiv:2211.10295.
    A. Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import (
    Floats,
    Measurement,
    comparable,
    draws,
    fluctuations,
    largest,
    table,
)

_CHUNK = 128  # rows of a kernel matrix at a time, which then stays in the cache
_ROWS = 10_000  # of each sample, for the error
_LANDMARKS = 150  # rows of each sample whose kernels span the space in which the error is reckoned
_REPLICAS = 400  # simulated for the error
_STEP = 0.1  # for the derivative with respect to the scale of the features


def _lift(rows: Floats) -> Floats:
    """u(x) with k(x, y) = (x.y / d + 1)^4 = (u(x).u(y))^4."""
    return np.concatenate([rows / np.sqrt(rows.shape[1]), np.ones((len(rows), 1))], 1)


def _kernel(u: Floats, v: Floats) -> Floats:
    return np.square(np.square(u @ v.T))


def _kernel_sum(u: Floats, v: Floats) -> float:
    total = 0.0
    for first in range(0, len(u), _CHUNK):
        square = np.square(u[first : first + _CHUNK] @ v.T)
        total += float(np.vdot(square, square))
    return total


def _mmd2(u: Floats, v: Floats) -> float:
    """Unbiased estimate of MMD^2 between samples of the same size (Gretton et al., eq. 3)."""
    n = len(u)
    within = sum(_kernel_sum(w, w) - (np.square(w).sum(1) ** 4).sum() for w in (u, v)) / (n * (n - 1))
    return float(within - 2 * _kernel_sum(u, v) / n**2)


def _squared_difference(x: Floats, y: Floats) -> float:
    """Unbiased estimate of the squared difference of the means of two samples."""
    noise = sum(w.var(0, ddof=1).sum() / len(w) for w in (x, y))
    return float(np.square(x.mean(0) - y.mean(0)).sum() - noise)


def kpd(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    batches: int = 10,
    batch_size: int = 5000,
) -> Measurement:
    """Kernel physics distance: MMD^2 of a polynomial kernel, median over batches.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), with k(x, y) = (x.y / d + 1)^4 for d features divided by
    their greatest absolute value in the real sample (arXiv:2211.10295, section III). It is estimated
    without bias, so for samples of one distribution it scatters about 0 and may be negative. No batch
    holds a row twice, and batches are disjoint as long as there are rows.

    The error is that of the median and holds the fluctuations of both samples and of the greatest values.
    MMD^2 is a squared difference of means in the space of the kernel, here in that part of it which the
    kernels of some rows span; normally distributed means about the difference found there (less what noise
    explains), with the covariance of the rows, are put through the same procedure. Where the features have
    long tails it takes some thousands of rows to be right.

    Args:
        real: ``(rows, features)``; for jets, the 36 EFPs of ``partigan.observables.jets.FPD_GRAPHS``.
        fake: ``(rows, features)``.
        rng: chooses the batches.
        batches: number of batches.
        batch_size: rows of each sample in a batch.

    Returns:
        The distance, dimensionless, and its error.

    Raises:
        PartiganError: for values that are not finite, differing features, samples smaller than a batch, and
            batches of less than 20 rows.
    """
    if batches < 1 or batch_size < 20:
        raise PartiganError(f"KPD needs batches of 20 rows or more, not {batches} of {batch_size}")
    samples = table(real, "real"), table(fake, "fake")
    comparable(*samples, rows=batch_size)
    scale, deviations = largest(samples[0], rng)
    parts = [draws(len(sample), batch_size, batches, rng) for sample in samples]
    u, v = (_lift(sample / scale) for sample in samples)
    value = float(np.median([_mmd2(u[i], v[j]) for i, j in zip(*parts, strict=True)]))

    some = [sample[rng.permutation(len(sample))[:_ROWS]] for sample in samples]
    landmarks = np.concatenate([rows[:_LANDMARKS] for rows in some])

    def embed(scale: Floats) -> list[Floats]:
        """Coordinates of both samples whose scalar product is the kernel (Nyström)."""
        base = _lift(landmarks / scale)
        values, vectors = np.linalg.eigh(_kernel(base, base))
        kept = values > 1e-10 * values[-1]
        axes = vectors[:, kept] / np.sqrt(values[kept])
        return [_kernel(_lift(rows / scale), base) @ axes for rows in some]

    x, y = embed(scale)
    difference = x.mean(0) - y.mean(0)
    length = max(np.linalg.norm(difference), np.finfo(float).tiny)
    difference *= np.sqrt(max(_squared_difference(x, y), 0)) / length
    covariances = [np.atleast_2d(np.cov(w.T)) for w in (x, y)]
    deviation_x, deviation_y = (
        fluctuations(part, covariance, _REPLICAS, rng) for part, covariance in zip(parts, covariances, strict=True)
    )
    bias = sum(np.trace(covariance) for covariance in covariances) / batch_size
    replicas = np.median(np.square(difference + deviation_x - deviation_y).sum(-1) - bias, axis=-1)
    rescaled = np.array([_squared_difference(*embed(scale * (1 + _STEP * d))) for d in deviations])
    return Measurement(value, float(np.sqrt(replicas.var() + rescaled.var(ddof=1) / _STEP**2)))
