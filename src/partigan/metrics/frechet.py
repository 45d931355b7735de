"""Fréchet distance between Gaussians, the Fréchet physics distance (FPD) and the Fréchet ParticleNet distance (FPND).

References:
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535 (FPND).
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023) 076017,
    arXiv:2211.10295.
    M. J. Chong, D. Forsyth, Effectively unbiased FID and inception score, arXiv:1911.07023 (the extrapolation).
    B. Efron, C. Stein, The jackknife estimate of variance, Ann. Statist. 9 (1981) 586.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, comparable, largest, table
from partigan.metrics.samples import combined_error, weighted_tables
from partigan.metrics.weighted import Sample, Weighted

_BLOCKS = 50  # into which the rows of a sample are cut; all subsamples are made of whole blocks
_GROUPS = 25  # of blocks, for the jackknife
_SIZES = 10  # sizes of subsamples in the fit
_DRAWS = 20  # subsamples of each size
_STEP = 0.1  # for the derivative with respect to the scale of the features
_UNIONS = 16  # of blocks whose covariances are in memory at a time


def _distance(mu1: Floats, cov1: Floats, mu2: Floats, cov2: Floats) -> Floats:
    """Fréchet distances of stacks of moments, ``(..., d)`` and ``(..., d, d)``."""
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(values.clip(0))[..., None, :]) @ vectors.swapaxes(-1, -2)
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov2 @ root).clip(0)).sum(-1)
    trace = np.trace(cov1 + cov2, axis1=-2, axis2=-1)
    distance: Floats = np.square(mu1 - mu2).sum(-1) + trace - 2 * cross
    return distance


def frechet_distance(mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike) -> float:
    """Squared 2-Wasserstein distance between two Gaussians.

    |mu1 - mu2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (arXiv:2211.10295, eq. 8).

    Args:
        mu1: mean of the first, ``(d,)``.
        cov1: covariance of the first, ``(d, d)``; may be singular.
        mu2: mean of the second, ``(d,)``.
        cov2: covariance of the second, ``(d, d)``.

    Returns:
        The distance, in squared units of the features.

    Raises:
        PartiganError: shapes do not fit together, or a value is not finite.

    Example:
        >>> frechet_distance([0, 0], np.eye(2), [3, 4], np.eye(2))
        25.0
    """
    m1, m2 = table(mu1, "first mean")[:, 0], table(mu2, "second mean")[:, 0]
    c1, c2 = table(cov1, "first covariance"), table(cov2, "second covariance")
    d = len(m1)
    if m2.shape != (d,) or c1.shape != (d, d) or c2.shape != (d, d):
        raise PartiganError(
            f"means and covariances must have the shapes (d,) and (d, d), not {m1.shape}, {c1.shape}, "
            f"{m2.shape} and {c2.shape}"
        )
    return float(_distance(m1, c1, m2, c2))


class Moments(NamedTuple):
    """Mean, covariance and size of a sample.

    Attributes:
        mean: ``(features,)``.
        cov: covariance, ``(features, features)``.
        rows: size of the sample.
    """

    mean: Floats
    cov: Floats
    rows: int

    @classmethod
    def of(cls, sample: ArrayLike | Weighted) -> Moments:
        """Moments of a sample ``(rows, features)``, with or without event weights, of at least 2 rows."""
        (found,) = weighted_tables(2, reference=sample)
        return cls(found.mean(), found.covariance(), len(found))


class _Blocks:
    """Moments of the blocks of a sample, which give the moments of any union of blocks."""

    def __init__(self, sample: Sample) -> None:
        blocks = [sample[rows] for rows in np.array_split(np.arange(len(sample)), _BLOCKS)]
        self.count = np.array([block.weights.sum() for block in blocks])
        self.of_weights = np.array([np.square(block.weights).sum() for block in blocks])
        self.sum = np.stack([block.times(block.x).sum(0) for block in blocks])
        self.square = np.stack([block.times(block.x).T @ block.x for block in blocks])

    def moments(self, chosen: Floats) -> tuple[Floats, Floats]:
        """Means and covariances of unions of blocks; ``chosen`` ``(unions, blocks)`` is 1 for blocks in the union."""
        count = (chosen @ self.count)[:, None]
        lost = (chosen @ self.of_weights)[:, None] / count  # 1 without weights
        mean = chosen @ self.sum / count
        square = np.tensordot(chosen, self.square, 1)
        cov = (square - (count * mean)[..., None] * mean[:, None]) / (count - lost)[..., None]
        return mean, cov


def _jackknife(distance: Callable[[Floats], Floats]) -> float:
    """Variance of a distance that is a function of unions of blocks, ``(unions, blocks)``.

    The jackknife over groups of blocks, less the second-order term by which it overestimates (Efron & Stein 1981). The
    difference is right on average but fluctuates near the minimum of the distance; `combined_error` limits how far it
    falls. (With the second-order term itself as the limit, errors would be 1.4 times too large for samples of one
    distribution, since their square is nearly that of a single normal number.)
    """

    def without(*groups: int) -> Floats:
        return np.where(np.isin(np.arange(_BLOCKS) % _GROUPS, groups), 0.0, 1.0)

    pairs = list(itertools.combinations(range(_GROUPS), 2))
    unions = np.stack([without(), *map(without, range(_GROUPS)), *(without(*pair) for pair in pairs)])
    parts = (unions[first : first + _UNIONS] for first in range(0, len(unions), _UNIONS))
    whole, less_one, less_two = np.split(np.concatenate([distance(part) for part in parts]), [1, 1 + _GROUPS])
    first = (_GROUPS - 1) ** 2 / _GROUPS * less_one.var(ddof=1)
    mixed = whole - less_one[np.array(pairs)].sum(1) + less_two
    second = ((_GROUPS - 2) / _GROUPS) ** 2 * np.square(mixed - mixed.mean()).sum()
    return combined_error(float(first), float(second)) ** 2


def fpd(
    real: ArrayLike | Weighted,
    fake: ArrayLike | Weighted,
    *,
    rng: np.random.Generator,
    min_samples: int = 20_000,
    max_samples: int = 50_000,
    normalise: bool = True,
) -> Measurement:
    """Fréchet physics distance, extrapolated to samples of infinite size (arXiv:2211.10295, section III).

    A straight line in 1/N is fitted to the Fréchet distances of subsamples of N rows, from ``min_samples`` to
    ``max_samples``, drawn without repetition; its intercept is the value. It is unbiased up to O(1/N^2): for samples of
    one distribution it scatters about 0 and may be negative.

    At most ``max_samples`` rows of each sample are used. A smaller sample is used completely, and both ends of the
    range shrink by the same factor.

    The error is that of the jackknife over groups of rows, corrected to second order (Efron & Stein 1981).

    Args:
        real: ``(rows, features)``; for jets, the 36 EFPs of ``partigan.observables.jets.FPD_GRAPHS``. `Weighted` for
            event weights, which may be negative: parts of covariances below 0 count as 0.
        fake: ``(rows, features)``, the same.
        rng: chooses the subsamples.
        min_samples: size of the smallest subsamples.
        max_samples: size of the largest subsamples.
        normalise: divide each feature by its largest absolute value in the real sample.

    Returns:
        The distance, dimensionless where normalised, and its error.

    Raises:
        PartiganError: values are not finite, features differ, the range is wrong, or rows are too few.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> real, fake = rng.normal(0, 1, (2000, 2)), rng.normal(1, 1, (2000, 2))
        >>> value, error = fpd(real, fake, rng=rng, normalise=False)
        >>> abs(value - 2) < 4 * error
        True
    """
    samples = weighted_tables(2 * _BLOCKS, real=real, fake=fake)
    if not 0 < min_samples < max_samples:
        raise PartiganError(f"min_samples = {min_samples} must lie between 0 and max_samples = {max_samples}")
    scale, deviations = largest(samples[0].x, rng)
    if not normalise:
        scale, deviations = np.ones_like(scale), np.zeros_like(deviations)
    some = [sample[rng.permutation(len(sample))[:max_samples]] for sample in samples]
    centre = (some[0].x / scale).mean(0)  # for less rounding
    a, b = (_Blocks(sample.change(sample.x / scale - centre)) for sample in some)

    least = max(2, round(_BLOCKS * min_samples / max_samples))
    sizes = np.unique(np.round(1 / np.linspace(1 / least, 1 / _BLOCKS, _SIZES)).astype(int))
    means = []
    for size in sizes:
        chosen = np.tile(np.where(np.arange(_BLOCKS) < size, 1.0, 0.0), (_DRAWS, 1))
        union_a, union_b = rng.permuted(chosen, axis=1), rng.permuted(chosen, axis=1)
        means.append(_distance(*a.moments(union_a), *b.moments(union_b)).mean())
    value = float(np.polynomial.polynomial.polyfit(1 / sizes, means, 1)[0])

    variance = _jackknife(lambda unions: _distance(*a.moments(unions), *b.moments(unions)))
    (mu1, cov1), (mu2, cov2) = (sample.moments(np.ones((1, _BLOCKS))) for sample in (a, b))
    unit = 1 / (1 + _STEP * deviations)
    square = unit[:, :, None] * unit[:, None, :]
    of_scale = _distance(mu1 * unit, cov1 * square, mu2 * unit, cov2 * square).var(ddof=1) / _STEP**2
    return Measurement(value, float(np.sqrt(variance + of_scale)))


def fpnd(reference: Moments, activations: ArrayLike | Weighted, *, rng: np.random.Generator) -> Measurement:
    """Fréchet distance between a network's activations and those of a reference sample (arXiv:2106.11535, section 5.2).

    As published, it is not extrapolated to infinite samples: it grows as rows get fewer, so compare equal numbers of
    rows only. The error is that of the jackknife over groups of rows, corrected to second order (Efron & Stein 1981);
    the reference counts as fixed.

    Args:
        reference: moments of the activations of real samples.
        activations: of the sample to compare, ``(rows, features)``; for jets, of ``ParticleNet``. `Weighted` for event
            weights.
        rng: makes the groups.

    Returns:
        The distance, in squared units of the activations, and its error.

    Raises:
        PartiganError: values are not finite, features differ, or rows are too few.
    """
    (sample,) = weighted_tables(1, fake=activations)
    comparable(reference.mean[None].repeat(2 * _BLOCKS, 0), sample.x, rows=2 * _BLOCKS)
    mixed = sample[rng.permutation(len(sample))]
    blocks = _Blocks(mixed.change(mixed.x - reference.mean))  # for less rounding
    origin = np.zeros_like(reference.mean)

    def distance(unions: Floats) -> Floats:
        return _distance(origin, reference.cov, *blocks.moments(unions))

    return Measurement(float(distance(np.ones((1, _BLOCKS)))[0]), float(np.sqrt(_jackknife(distance))))
