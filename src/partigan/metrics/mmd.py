"""Kernel physics distance (KPD).

References:
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023) 076017,
    arXiv:2211.10295.
    A. Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.metrics.measurement import (
    Floats,
    Measurement,
    comparable,
    draws,
    fluctuations,
    largest,
    table,
)

_LANDMARKS = 300  # rows whose kernels span the space in which the error is reckoned
_ROWS = 10_000  # of each sample, for the error
_REPLICAS = 400  # simulated for the error
_STEP = 0.1  # for the derivative with respect to the scale of the features
_CHUNK = 128  # rows of a kernel matrix at a time, which then stays in the cache


def _lift(rows: Floats) -> Floats:
    """u(x) with the kernel k(x, y) = (x.y / d + 1)^4 = (u(x).u(y))^4."""
    return np.concatenate([rows / np.sqrt(rows.shape[1]), np.ones((len(rows), 1))], 1)


def _kernel(u: Floats, v: Floats) -> Floats:
    return np.square(np.square(u @ v.T))


def _kernel_sum(u: Floats, v: Floats) -> float:
    total = 0.0
    for first in range(0, len(u), _CHUNK):
        square = np.square(u[first : first + _CHUNK] @ v.T)
        total += float(np.vdot(square, square))
    return total


def _diagonal(u: Floats) -> Floats:
    """k(x, x) of each row."""
    return np.asarray(np.square(u).sum(1) ** 4)


def _mmd2(u: Floats, v: Floats) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy (Gretton et al., eq. 3)."""
    n = len(u)
    within = sum(_kernel_sum(w, w) - _diagonal(w).sum() for w in (u, v)) / (n * (n - 1))
    return float(within - 2 * _kernel_sum(u, v) / n**2)


def kpd(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    batches: int = 10,
    batch_size: int = 5000,
) -> Measurement:
    """Kernel physics distance: MMD^2 with a polynomial kernel, median over batches (arXiv:2211.10295, section III).

    The features are divided by their greatest absolute value in the real sample; k(x, y) = (x.y / d + 1)^4 with
    d features; MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) is estimated without bias, so for samples of one
    distribution it scatters about 0 and may be negative. Batches are drawn without repetition as long as there are
    rows.

    The error is that of the median and holds the fluctuations of both samples and of the greatest values. In the
    space spanned by the kernels of some rows (Nyström) MMD^2 is the squared length of a difference of means;
    normally distributed means with the covariances found there, with those of batches that share rows, are put
    through the same procedure.

    Args:
        real: ``(rows, features)``; for jets, the 36 EFPs of ``partigan.observables.jets.FPD_GRAPHS``.
        fake: ``(rows, features)``.
        rng: chooses the batches.
        batches: number of batches.
        batch_size: rows of each sample in a batch.

    Returns:
        The distance, dimensionless, and its error.

    Raises:
        PartiganError: for values that are not finite, differing features and samples smaller than a batch.
    """
    samples = table(real, "real"), table(fake, "fake")
    comparable(*samples, rows=max(batch_size, 20))
    scale, deviations = largest(samples[0], rng)
    parts = [draws(len(sample), batch_size, batches, rng) for sample in samples]
    u, v = (_lift(sample / scale) for sample in samples)
    value = float(np.median([_mmd2(u[i], v[j]) for i, j in zip(*parts, strict=True)]))

    some = [sample[rng.permutation(len(sample))[:_ROWS]] for sample in samples]
    landmarks = np.concatenate([rows[: _LANDMARKS // 2] for rows in some])

    def embed(scale: Floats) -> list[Floats]:
        """Both samples in coordinates in which the kernel is the scalar product."""
        base = _lift(landmarks / scale)
        values, vectors = np.linalg.eigh(_kernel(base, base))
        kept = values > 1e-10 * values[-1]
        axes = vectors[:, kept] / np.sqrt(values[kept])
        return [_kernel(_lift(rows / scale), base) @ axes for rows in some]

    def squared(embedded: list[Floats]) -> float:
        x, y = embedded
        return float(np.square(x.mean(0) - y.mean(0)).sum() - sum(w.var(0, ddof=1).sum() / len(w) for w in (x, y)))

    embedded = embed(scale)
    covariances = [np.cov(w.T) for w in embedded]
    difference = embedded[0].mean(0) - embedded[1].mean(0)
    difference *= np.sqrt(max(squared(embedded), 0) / max(np.square(difference).sum(), 1e-300))
    x, y = (fluctuations(part, cov, _REPLICAS, rng) for part, cov in zip(parts, covariances, strict=True))
    bias = sum(np.trace(cov) for cov in covariances) / batch_size
    medians = np.median(np.square(difference + x - y).sum(-1) - bias, axis=-1)
    rescaled = np.array([squared(embed(scale * (1 + _STEP * deviation))) for deviation in deviations]) / _STEP
    return Measurement(value, float(np.sqrt(medians.var() + rescaled.var(ddof=1))))
