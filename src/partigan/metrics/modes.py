"""Modes: which classes or clusters of the real sample the generator makes, and how often.

References:
    E. Richardson, Y. Weiss, On GANs and GMMs, arXiv:1805.12462 (the number of statistically different bins, NDB).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.cluster import KMeans

from partigan.errors import PartiganError
from partigan.metrics.binned import filled, homogeneity, shares
from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.samples import seed, standardised_samples, weighted_tables
from partigan.metrics.weighted import Sample, Weighted

_FIT = 10_000  # most rows for k-means, and at most a third of the sample
_LEVEL = 0.05  # of the test of each mode
_MISSING = 0.1  # share over real share below which a mode is missing
_EXPECTED = 10  # generated rows needed to judge whether a mode is missing
_DRAWS = 100  # of the true differences, for the error


class Modes(NamedTuple):
    """Frequencies of modes in two samples.

    Attributes:
        real_share: share of each mode in the real sample, ``(modes,)``.
        fake_share: the same in the generated sample, ``(modes,)``.
        z: difference, fake less real, in units of its standard deviation for equal shares, ``(modes,)``.
        different: number of modes whose shares differ at the 5 % level (NDB); 5 % of modes do so by chance.
        p_value: of the chi2 test that all shares are equal.
        missing: modes with less than a tenth of the real share, ``(number,)``; judged only if 10 generated rows are
            expected.
    """

    real_share: Floats
    fake_share: Floats
    z: Floats
    different: Measurement
    p_value: float
    missing: Rows


def _modes(labels: tuple[Rows, Rows], pair: tuple[Sample, Sample], number: int) -> Modes:
    """Frequencies of the modes 0 to ``number`` - 1, whose labels are given for the rows of two samples."""
    a, b = shares(labels, pair, number)
    p, q = a.share, b.share
    if all(sample.weight is None for sample in pair):
        counts = np.stack([np.bincount(each, minlength=number) for each in labels])
        n, m = map(len, labels)
        pooled = counts.sum(0) / (n + m)
        deviation = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        present = counts[:, counts.any(0)]
        p_value = float(stats.chi2_contingency(present, correction=False).pvalue) if present.shape[1] > 1 else 1.0
    else:
        deviation = np.sqrt((a.covariance + b.covariance).diagonal())
        p_value = homogeneity(a, b).p_value
    z = np.divide(q - p, deviation, out=np.zeros(number), where=deviation > 0)

    threshold = stats.norm.isf(_LEVEL / 2)
    # z is the true difference, normal with the variance that is not noise, plus noise of variance 1
    spread = max(float(np.square(z).mean()) - 1, 0.0)
    quantile = stats.norm.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS)[:, None]
    true = (z * spread + quantile * np.sqrt(spread * (1 + spread))) / (1 + spread)
    rejected = stats.norm.sf(threshold - true) + stats.norm.cdf(-threshold - true)
    error = np.sqrt((rejected * (1 - rejected)).mean(0).sum())
    different = Measurement(float((np.abs(z) > threshold).sum()), float(error))
    missing = np.flatnonzero((q < _MISSING * p) & (p * pair[1].size >= _EXPECTED))
    return Modes(p, q, z, different, p_value, missing)


def class_modes(real: ArrayLike | Weighted, fake: ArrayLike | Weighted) -> Modes:
    """Coverage of classes.

    Args:
        real: class of each real row, ``(rows,)``, whole numbers from 0; `Weighted` for event weights.
        fake: class of each generated row, ``(others,)``, from a classifier or the condition.

    Returns:
        The frequencies of the classes.

    Raises:
        PartiganError: classes are not whole numbers from 0, or there are fewer than 20 rows.

    Example:
        >>> class_modes(np.arange(200) % 4, np.arange(200) % 3).missing.tolist()
        [3]
    """
    first, second = pair = weighted_tables(20, real=real, fake=fake)
    if any(sample.x.shape[1] != 1 or (sample.x < 0).any() or (sample.x % 1).any() for sample in pair):
        raise PartiganError("classes must be whole numbers from 0, one a row")
    a, b = (sample.x[:, 0].astype(np.intp) for sample in pair)
    return _modes((a, b), (first, second), int(max(a.max(), b.max())) + 1)


def cluster_modes(
    real: ArrayLike | Weighted,
    fake: ArrayLike | Weighted,
    *,
    rng: np.random.Generator,
    clusters: int = 100,
    normalise: bool = True,
) -> Modes:
    """Coverage of clusters of the real sample, and the number of statistically different bins (arXiv:1805.12462).

    k-means is fitted to a third of the real rows, at most 10,000. Shares are those of the other rows, so that both
    samples are equally new to the clusters. The error of the number of different bins allows for differences that
    noise does not explain. With event weights, clusters are fitted to rows of weight |w|, about 50
    effective rows of either sample in each or more.

    Args:
        real: ``(rows, features)``; `Weighted` for event weights, which may be negative.
        fake: ``(others, features)``.
        rng: chooses the rows and seeds k-means.
        clusters: number of clusters; fewer if there are fewer different rows.
        normalise: divide features by their standard deviation in the real sample.

    Returns:
        The frequencies of the clusters.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 10 rows a cluster.
    """
    if clusters < 2:
        raise PartiganError(f"clusters = {clusters}; at least 2 are needed")
    pair = weighted_tables(10 * clusters, real=real, fake=fake)
    if normalise:
        pair = standardised_samples(pair[0], *pair)
    shuffled = pair[0][rng.permutation(len(pair[0]))]
    size = min(_FIT, len(shuffled) // 3)
    fitted, others = shuffled[:size], shuffled[size:]
    number = min(filled(clusters, (others, pair[1])), len(np.unique(fitted.x, axis=0)))
    means = KMeans(number, n_init=1, random_state=seed(rng))
    means.fit(fitted.x, sample_weight=None if fitted.weight is None else np.abs(fitted.weight))
    labels = means.predict(others.x), means.predict(pair[1].x)
    return _modes(labels, (others, pair[1]), number)
