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
from partigan.metrics.measurement import Floats, Measurement, draws, fluctuations, largest
from partigan.metrics.samples import weighted_tables
from partigan.metrics.weighted import Sample, Weighted, rows_worth

_CHUNK = 128  # rows of a kernel matrix at a time, which then stays in the cache
_ROWS = 10_000  # of each sample, for the error
_LANDMARKS = 150  # rows of each sample; their kernels span the space in which the error is computed
_REPLICAS = 400  # simulated for the error
_STEP = 0.1  # for the derivative with respect to the scale of the features


def _lift(rows: Floats) -> Floats:
    """u(x) with k(x, y) = (x.y / d + 1)^4 = (u(x).u(y))^4."""
    return np.concatenate([rows / np.sqrt(rows.shape[1]), np.ones((len(rows), 1))], 1)


def _kernel(u: Floats, v: Floats) -> Floats:
    return np.square(np.square(u @ v.T))


def _kernel_sum(u: Sample, v: Sample) -> float:
    total = 0.0
    for first in range(0, len(u), _CHUNK):
        part = u[first : first + _CHUNK]
        square = np.square(part.x @ v.x.T)
        total += float(np.vdot(part.times(square), v.times(square.T).T))
    return total


def _pairs(u: Sample) -> tuple[float, float]:
    """Sum of the kernel over all pairs of different rows, and the sum of their weights."""
    itself = u.times(u.times(np.square(u.x).sum(1) ** 4)).sum()
    return _kernel_sum(u, u) - float(itself), float(u.weights.sum() ** 2 - np.square(u.weights).sum())


def _mmd2(u: Sample, v: Sample) -> float:
    """Unbiased estimate of MMD^2 between samples (Gretton et al., eq. 3)."""
    (of_u, pairs_u), (of_v, pairs_v) = _pairs(u), _pairs(v)
    within = (of_u + of_v * (pairs_u / pairs_v)) / pairs_u
    return within - 2 * _kernel_sum(u, v) / float(u.weights.sum() * v.weights.sum())


def _squared_difference(x: Sample, y: Sample) -> float:
    """Unbiased estimate of the squared difference of the means of two samples."""
    noise = sum(w.spread(w.x).sum() / len(w) for w in (x, y))
    return float(np.square(x.mean() - y.mean()).sum() - noise)


def kpd(
    real: ArrayLike | Weighted,
    fake: ArrayLike | Weighted,
    *,
    rng: np.random.Generator,
    batches: int = 10,
    batch_size: int = 5000,
) -> Measurement:
    """Kernel physics distance: MMD^2 of a polynomial kernel, median over batches.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), with k(x, y) = (x.y / d + 1)^4 for d features divided by their
    largest absolute value in the real sample (arXiv:2211.10295, section III). The estimate is unbiased: for samples of
    one distribution it scatters about 0 and may be negative. No batch holds a row twice, and batches are disjoint as
    long as there are rows.

    The error of the median includes the fluctuations of both samples and of the largest values. MMD^2 is a squared
    difference of means in the space of the kernel, here in the part that the kernels of some rows span. The error is
    the spread of replicas: normally distributed means about the difference found there (less what noise explains), with
    the covariance of the rows. For features with long tails it needs some thousands of rows to be right.

    Args:
        real: ``(rows, features)``; for jets, the 36 EFPs of ``partigan.observables.jets.FPD_GRAPHS``. `Weighted` for
            event weights, which may be negative.
        fake: ``(rows, features)``, the same.
        rng: chooses the batches.
        batches: number of batches.
        batch_size: rows of each sample in a batch; their effective number where there are weights.

    Returns:
        The distance, dimensionless, and its error.

    Raises:
        PartiganError: values are not finite, features differ, a sample is smaller than a batch, or a batch has fewer
            than 20 rows.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> real, fake = rng.normal(0, 1, (1000, 2)), rng.normal(1, 1, (1000, 2))
        >>> value, error = kpd(real, fake, rng=rng, batches=2, batch_size=500)
        >>> value > 3 * error
        True
    """
    if batches < 1 or batch_size < 20:
        raise PartiganError(f"KPD needs batches of 20 rows or more, not {batches} of {batch_size}")
    samples = weighted_tables(batch_size, real=real, fake=fake)
    scale, deviations = largest(samples[0].x, rng)
    parts = [draws(len(sample), rows_worth(batch_size, sample.weight, len(sample)), batches, rng) for sample in samples]
    u, v = (sample.change(_lift(sample.x / scale)) for sample in samples)
    value = float(np.median([_mmd2(u[i], v[j]) for i, j in zip(*parts, strict=True)]))

    some = [sample[rng.permutation(len(sample))[:_ROWS]] for sample in samples]
    landmarks = np.concatenate([sample.x[:_LANDMARKS] for sample in some])

    def embed(scale: Floats) -> list[Sample]:
        """Coordinates of both samples whose scalar product is the kernel (Nyström)."""
        base = _lift(landmarks / scale)
        values, vectors = np.linalg.eigh(_kernel(base, base))
        kept = values > 1e-10 * values[-1]
        axes = vectors[:, kept] / np.sqrt(values[kept])
        return [sample.change(_kernel(_lift(sample.x / scale), base) @ axes) for sample in some]

    x, y = embed(scale)
    difference = x.mean() - y.mean()
    length = max(np.linalg.norm(difference), np.finfo(float).tiny)
    difference *= np.sqrt(max(_squared_difference(x, y), 0)) / length
    covariances = [w.spreads() for w in (x, y)]
    deviation_x, deviation_y = (
        fluctuations(part, covariance, _REPLICAS, rng) for part, covariance in zip(parts, covariances, strict=True)
    )
    rows = len(parts[0][0])
    bias = sum(np.trace(c) * (rows / len(part[0])) for c, part in zip(covariances, parts, strict=True)) / rows
    replicas = np.median(np.square(difference + deviation_x - deviation_y).sum(-1) - bias, axis=-1)
    rescaled = np.array([_squared_difference(*embed(scale * (1 + _STEP * d))) for d in deviations])
    return Measurement(value, float(np.sqrt(replicas.var() + rescaled.var(ddof=1) / _STEP**2)))
