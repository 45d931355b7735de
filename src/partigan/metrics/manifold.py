"""Fidelity and diversity: is what is generated realistic, and is all that is real generated?

References:
    T. Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, arXiv:1904.06991.
    M. F. Naeem et al., Reliable fidelity and diversity metrics for generative models, arXiv:2002.09797.
    M. S. M. Sajjadi et al., Assessing generative models via precision and recall, arXiv:1806.00035 (PRD).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import MiniBatchKMeans

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.samples import (
    chunks,
    seed,
    some,
    squared_distances,
    standardised,
    tables,
)

_BLOCKS = 10  # of rows, for the error
_ANGLES = 1001  # of a PRD curve
_FIT = 10_000  # rows to which k-means is fitted
_REPLICAS = 50  # of the bootstrap


class FidelityDiversity(NamedTuple):
    """Two numbers between samples.

    Attributes:
        fidelity: how much of the generated sample lies where real rows are (precision or density).
        diversity: how much of the real sample is near generated rows (recall or coverage).
    """

    fidelity: Measurement
    diversity: Measurement


def _prepared(
    real: ArrayLike, fake: ArrayLike, neighbours: int, max_samples: int, normalise: bool, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Some rows of both samples, checked and in units of the real standard deviations."""
    if neighbours < 1:
        raise PartiganError(f"neighbours = {neighbours}; at least 1 is needed")
    pair = tables(_BLOCKS * (2 * neighbours + 2), real=real, fake=fake)
    if normalise:
        pair = standardised(pair[0], *pair)
    a, b = (some(sample, max_samples, rng) for sample in pair)
    return a, b


def _measured(
    metric: Callable[[Floats, Floats], tuple[float, float]], is_share: tuple[bool, bool], a: Floats, b: Floats
) -> FidelityDiversity:
    """Values of two samples, with errors from disjoint blocks of their rows.

    The variance of a share s goes like s (1 - s) / rows, and s is another one in a block; that of a mean goes like
    1 / rows. Where all rows of all blocks are inside, or none, as happens for few rows, the error of a share is that of
    as many independent ones, and one more of each kind.
    """
    values = np.array(metric(a, b))
    blocks = np.array(
        [metric(*two) for two in zip(np.array_split(a, _BLOCKS), np.array_split(b, _BLOCKS), strict=True)]
    )
    mean = blocks.mean(0)
    of_blocks, of_all = mean * (1 - mean), values * (1 - values)
    binomial = np.divide(of_all, of_blocks, out=np.ones(2), where=of_blocks > 0)
    errors = np.sqrt(blocks.var(0, ddof=1) / _BLOCKS * np.where(is_share, binomial, 1))
    unknown = np.array(is_share) & (errors == 0)
    rows = np.array([len(b), len(a)])[unknown]
    share = (rows * values[unknown] + 1) / (rows + 2)
    errors[unknown] = np.sqrt(share * (1 - share) / rows)
    return FidelityDiversity(*(Measurement(float(v), float(e)) for v, e in zip(values, errors, strict=True)))


def _radii(sample: Floats, neighbours: int) -> Floats:
    """Squared distance of each row to its k-th neighbour, ``(rows,)``."""
    radii = np.empty(len(sample))
    for rows in chunks(len(sample), len(sample)):
        distances = squared_distances(sample[rows], sample)
        own = np.arange(*rows.indices(len(sample)))
        distances[np.arange(len(own)), own] = -1  # the row itself comes first
        radii[rows] = np.partition(distances, neighbours)[:, neighbours]
    return radii


def _share_inside(centres: Floats, others: Floats, neighbours: int) -> float:
    """Share of other rows inside any of the balls that reach to the k-th neighbour of each centre."""
    radii = _radii(centres, neighbours)
    parts = (squared_distances(others[rows], centres) <= radii for rows in chunks(len(others), len(centres)))
    return float(np.concatenate([part.any(1) for part in parts]).mean())


def precision_recall(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    neighbours: int = 3,
    max_samples: int = 10_000,
    normalise: bool = True,
) -> FidelityDiversity:
    """Improved precision and recall (arXiv:1904.06991, equations 1 to 3).

    Precision is the share of generated rows inside any ball about a real row that reaches to its k-th neighbour;
    recall is the same with the samples exchanged. Both depend on the sample size and are below 1 for samples of one
    distribution: compare with two real samples. The errors are the spread over 10 disjoint blocks of rows; a jackknife
    would be twice too large, since a row is covered by several balls or none.

    Args:
        real: ``(rows, features)``.
        fake: ``(others, features)``.
        rng: chooses the rows.
        neighbours: k.
        max_samples: rows of each sample that are used.
        normalise: divide features by their standard deviation in the real sample.

    Returns:
        Precision and recall.

    Raises:
        PartiganError: for values that are not finite, differing features and less than 20 (k + 1) rows.
    """

    def shares(a: Floats, b: Floats) -> tuple[float, float]:
        return _share_inside(a, b, neighbours), _share_inside(b, a, neighbours)

    return _measured(shares, (True, True), *_prepared(real, fake, neighbours, max_samples, normalise, rng))


def density_coverage(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    neighbours: int = 5,
    max_samples: int = 10_000,
    normalise: bool = True,
) -> FidelityDiversity:
    """Density and coverage (arXiv:2002.09797, equations 3 and 4).

    Density is the number of balls about real rows in which a generated row lies, over k; coverage the share of real
    rows in whose ball there is a generated row. For samples of one distribution and of n and m rows the expected
    values are 1 and 1 - (n-1) ... (n-k) / ((n+m-1) ... (n+m-k)), whatever the distribution. The errors are those of
    `precision_recall`.

    Args:
        real: ``(rows, features)``.
        fake: ``(others, features)``.
        rng: chooses the rows.
        neighbours: k.
        max_samples: rows of each sample that are used.
        normalise: divide features by their standard deviation in the real sample.

    Returns:
        Density and coverage.

    Raises:
        PartiganError: for values that are not finite, differing features and less than 20 (k + 1) rows.
    """

    def balls(a: Floats, b: Floats) -> tuple[float, float]:
        radii, inside, covered = _radii(a, neighbours), 0, 0
        for rows in chunks(len(a), len(b)):
            near = squared_distances(a[rows], b) <= radii[rows, None]
            inside += int(near.sum())
            covered += int(near.any(1).sum())
        return inside / neighbours / len(b), covered / len(a)

    return _measured(balls, (False, True), *_prepared(real, fake, neighbours, max_samples, normalise, rng))


class PRD(NamedTuple):
    """Precision and recall of distributions.

    Attributes:
        precision: along the curve, ``(angles,)``; 1 where recall is 0.
        recall: along the curve, ``(angles,)``.
        f8: the greatest F_8 of the curve, a measure of recall.
        f1_8: the greatest F_1/8 of the curve, a measure of precision.
    """

    precision: Floats
    recall: Floats
    f8: Measurement
    f1_8: Measurement


def _prd_curve(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Precision and recall ``(..., angles)`` of histograms of real (p) and generated (q) rows, ``(..., bins)``."""
    slope = np.tan(np.linspace(0, np.pi / 2, _ANGLES + 2)[1:-1])
    precision = np.minimum(slope[:, None] * p[..., None, :], q[..., None, :]).sum(-1)
    return precision, precision / slope


def _f(precision: Floats, recall: Floats, beta: float) -> Floats:
    """The greatest F_beta along curves."""
    denominator = beta**2 * precision + recall
    score = (1 + beta**2) * precision * recall / np.where(denominator > 0, denominator, 1)
    return np.asarray(score.max(-1))


def prd(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    clusters: int = 20,
    runs: int = 10,
    normalise: bool = True,
) -> PRD:
    """Precision and recall of distributions, PRD (arXiv:1806.00035, equations 2 to 4 and section 4.1).

    Both samples are clustered together by k-means and compared as histograms p (real) and q (generated) over the
    clusters: precision(s) = sum min(s p, q), recall(s) = sum min(p, q / s) for all slopes s; averaged over runs of
    k-means. The errors are those of a bootstrap of rows with clusters held, about shares whose differences are reduced
    by the part that noise explains. Noise lowers the values; the errors do not hold that bias.

    Args:
        real: ``(rows, features)``.
        fake: ``(others, features)``.
        rng: seeds k-means and draws the bootstrap.
        clusters: number of clusters.
        runs: number of clusterings.
        normalise: divide features by their standard deviation in the real sample.

    Returns:
        The curve, F_8 and F_1/8.

    Raises:
        PartiganError: for values that are not finite, differing features and less than 10 rows a cluster.
    """
    if clusters < 2 or runs < 1:
        raise PartiganError(f"{clusters} clusters and {runs} runs; at least 2 clusters and 1 run are needed")
    pair = tables(10 * clusters, real=real, fake=fake)
    if normalise:
        pair = standardised(pair[0], *pair)
    fit = min(_FIT // 2, *map(len, pair))
    histograms: list[list[Rows]] = []
    for _ in range(runs):
        rows = np.concatenate([some(sample, fit, rng) for sample in pair])
        number = min(clusters, len(np.unique(rows, axis=0)))
        means = MiniBatchKMeans(number, n_init=1, random_state=seed(rng)).fit(rows)
        histograms.append([means.predict(sample) for sample in pair])

    def shares(which: int, count: Floats) -> Floats:
        return np.array([np.bincount(run[which], count, clusters) for run in histograms]) / float(count.sum())

    n, m = map(len, pair)
    p, q = (shares(which, np.ones(len(sample))) for which, sample in enumerate(pair))
    precision, recall = (curve.mean(0) for curve in _prd_curve(p, q))

    noise = np.square(p - q).sum(1, keepdims=True)
    noise = ((p * (1 - p)).sum(1, keepdims=True) / n + (q * (1 - q)).sum(1, keepdims=True) / m) / np.where(
        noise, noise, 1
    )
    towards = (1 - np.sqrt((1 - noise).clip(0))) * (p - q)
    replicas = []
    for _ in range(_REPLICAS):
        of_real, of_fake = (np.bincount(rng.integers(k, size=k), minlength=k).astype(np.float64) for k in (n, m))
        drawn_p = (shares(0, of_real) - towards * m / (n + m)).clip(0)
        drawn_q = (shares(1, of_fake) + towards * n / (n + m)).clip(0)
        curve = _prd_curve(drawn_p, drawn_q)
        replicas.append([_f(*curve, beta).mean() for beta in (8, 1 / 8)])
    errors = np.std(replicas, axis=0, ddof=1)
    values = [_f(*_prd_curve(p, q), beta).mean() for beta in (8, 1 / 8)]
    return PRD(precision, recall, *(Measurement(float(v), float(e)) for v, e in zip(values, errors, strict=True)))
