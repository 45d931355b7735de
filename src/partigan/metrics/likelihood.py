"""Likelihood of held-out samples under a kernel density estimate of the generated sample.

References:
    D. W. Scott, Multivariate density estimation, Wiley 1992, section 6.2 (bandwidth by cross-validation).
    I. Goodfellow et al., Generative adversarial networks, arXiv:1406.2661, section 5 (the use for GANs).
    L. Theis et al., A note on the evaluation of generative models, arXiv:1511.01844 (its limits).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.samples import chunks, some, squared_distances, standardised, tables

_LEFT_OUT = 1000  # rows, for the bandwidth
_FACTORS = np.geomspace(0.2, 2, 13)  # of Scott's bandwidth


class Likelihood(NamedTuple):
    """How well a generated sample predicts held-out events.

    Attributes:
        log_likelihood: mean logarithm of the density at held-out rows, in nats; densities in units of the features.
        per_row: logarithm of the density at each held-out row that was used, ``(rows,)``.
        bandwidth: of the kernel, in standard deviations of the generated sample.
    """

    log_likelihood: Measurement
    per_row: Floats
    bandwidth: float


def _log_means(x: Floats, centres: Floats, bandwidth: float) -> tuple[Floats, Floats]:
    """Logarithm of the mean kernel at each row of x, and mean part of each centre in the density at these rows."""
    logarithms, parts = np.empty(len(x)), np.zeros(len(centres))
    for rows in chunks(len(x), len(centres)):
        exponent = squared_distances(x[rows], centres) / (-2 * bandwidth**2)
        largest = exponent.max(1)
        kernel = np.exp(exponent - largest[:, None])
        total = kernel.sum(1)
        logarithms[rows] = largest + np.log(total / len(centres))
        parts += (1 / total) @ kernel
    return logarithms, parts / len(x)


def _bandwidth(sample: Floats) -> float:
    """Bandwidth with the largest leave-one-out likelihood."""
    number, features = sample.shape
    scott = number ** (-1 / (features + 4))
    rows = min(_LEFT_OUT, number)
    squares = squared_distances(sample[:rows], sample)
    squares[np.arange(rows), np.arange(rows)] = np.inf
    nearest = squares.min(1)
    scores = []
    for h in _FACTORS * scott:
        sums = np.exp((nearest[:, None] - squares) / (2 * h**2)).sum(1)
        scores.append((np.log(sums) - nearest / (2 * h**2)).mean() - features * np.log(h))
    return float(_FACTORS[int(np.argmax(scores))] * scott)


def kernel_density_likelihood(
    held_out: ArrayLike, fake: ArrayLike, *, rng: np.random.Generator, max_samples: int = 10_000
) -> Likelihood:
    """Mean log-likelihood of held-out events under a Gaussian kernel density estimate of the generated sample.

    The bandwidth maximises the leave-one-out likelihood on the generated sample. Use a few observables: with many
    features the estimate says more about the kernel than about the sample (arXiv:1511.01844). Compare with the
    likelihood of a real sample of equal size. The error includes the spread over held-out rows and over the influence
    of generated rows, for a fixed bandwidth.

    Args:
        held_out: real events, ``(rows,)`` or ``(rows, features)``.
        fake: generated events, with the same features.
        rng: chooses the rows.
        max_samples: most rows of each sample to use.

    Returns:
        The likelihood and the bandwidth.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 40 rows.
    """
    pair = tables(40, held_out=held_out, fake=fake)
    x, centres = (some(sample, max_samples, rng) for sample in standardised(pair[1], *pair))
    h = _bandwidth(centres)
    logarithms, parts = _log_means(x, centres, h)
    deviation = pair[1].std(0)
    volume = x.shape[1] * np.log(h * np.sqrt(2 * np.pi)) + np.log(deviation[deviation > 0]).sum()

    per_row = logarithms - volume
    error = np.sqrt(per_row.var(ddof=1) / len(x) + len(centres) * parts.var(ddof=1))
    return Likelihood(Measurement(float(per_row.mean()), float(error)), per_row, h)
