"""Tests of single observables and of pairs: is the generated sample distributed like the real one?

The Kolmogorov-Smirnov test, differences of means, medians, widths and correlations, and adjustments of p-values for the
number of tests. Tests of binned samples are in `partigan.metrics.binned`.

References:
    R. Adler, J. Taylor, Random fields and geometry, Springer 2007, section 2.1 (Borell's inequality: tails of the
    largest value of a Gaussian process).
    S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979) 65.
    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, J. R. Statist. Soc. B 57 (1995) 289.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.samples import standardised_samples, weighted_tables
from partigan.metrics.weighted import Sample, Weighted

Counts = NDArray[np.integer]

_CELLS = 4096  # of the distribution function, for permutations of samples with ties
_PERMUTATIONS = 999
_BRIDGE = 1024  # cells in which bridges are drawn


class TwoSampleTest(NamedTuple):
    """A test of the hypothesis that two samples have the same distribution.

    Attributes:
        statistic: larger for samples that differ more.
        p_value: probability of a statistic at least as large if the hypothesis is true.
    """

    statistic: float
    p_value: float


def kolmogorov_smirnov(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, rng: np.random.Generator
) -> list[TwoSampleTest]:
    """Kolmogorov-Smirnov test of each feature: the largest difference of the two distribution functions.

    Without ties the p-value is that of the limiting distribution. If many rows share a value (multiplicities,
    observables with a spike at zero), that is too large; the p-value is then the share of 999 permutations of the
    pooled rows with at least the same statistic, or the limit if that is smaller, as it is far in the tail.

    With event weights rows cannot be exchanged: samples of one distribution may have rows of two. The difference of the
    weighted functions then fluctuates like a sum of two bridges, each with increments of variance sum w^2, of which 999
    are drawn. In the tail the p-value is Borell's bound 2 exp(-d^2 / 2 s^2), with the largest variance s^2 of the
    difference; without weights that is Kolmogorov's.

    Args:
        real: ``(rows,)`` or ``(rows, features)``; `Weighted` for event weights, which may be negative.
        fake: the same of the other sample; the number of rows may differ.
        rng: makes the permutations or bridges.

    Returns:
        A test for each feature.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    pair = weighted_tables(20, real=real, fake=fake)
    if all(sample.weight is None for sample in pair):
        return [_kolmogorov_smirnov(a, b, rng) for a, b in zip(*(sample.x.T for sample in pair), strict=True)]
    columns = zip(*([sample.change(x) for x in sample.x.T] for sample in pair), strict=True)
    return [_with_weights(a, b, rng) for a, b in columns]


def _kolmogorov_smirnov(a: Floats, b: Floats, rng: np.random.Generator) -> TwoSampleTest:
    n, m = len(a), len(b)
    _, value = np.unique(np.concatenate([a, b]), return_inverse=True)
    pooled, of_a = np.bincount(value), np.bincount(value[:n], minlength=value.max() + 1)

    def greatest(of_a: Counts, pooled: Counts) -> Floats:
        function = of_a.cumsum(-1)
        return np.asarray(np.abs(function / n - (pooled.cumsum() - function) / m).max(-1))

    statistic = float(greatest(of_a, pooled))
    p_value = float(stats.kstwo.sf(statistic, round(n * m / (n + m))))
    if pooled.max() > max(1, 1e-4 * (n + m)):
        _, cell = np.unique((pooled.cumsum() - 1) * _CELLS // (n + m), return_inverse=True)
        cells = np.bincount(cell, pooled).astype(np.int64)
        permuted = rng.multivariate_hypergeometric(cells, n, _PERMUTATIONS, method="marginals")
        above = np.sum(greatest(permuted, cells) >= statistic - 1e-12)
        p_value = min(p_value, (1 + int(above)) / (1 + _PERMUTATIONS))
    return TwoSampleTest(statistic, p_value)


def _with_weights(a: Sample, b: Sample, rng: np.random.Generator) -> TwoSampleTest:
    """The test of one feature ``(rows,)`` of weighted samples."""
    _, value = np.unique(np.concatenate([a.x, b.x]), return_inverse=True)
    values = value[: len(a)], value[len(a) :]
    pooled = np.bincount(value)
    _, cell = np.unique((pooled.cumsum() - 1) * _BRIDGE // len(value), return_inverse=True)
    ends = np.append(np.flatnonzero(np.diff(cell)), len(cell) - 1)
    gap, noise, variance = np.zeros(len(pooled)), np.zeros((_PERMUTATIONS, len(ends))), np.zeros(len(ends))
    for sign, sample, which in zip((1, -1), (a, b), values, strict=True):
        weight = sample.weights / len(sample)
        whole = np.bincount(which, weight, len(pooled)).cumsum()
        function = whole[ends]
        squares = np.bincount(cell[which], weight**2, len(ends))
        steps = rng.standard_normal(noise.shape) * np.sqrt(squares)
        motion = steps.cumsum(1)
        noise += motion - function * motion[:, -1:]
        variance += squares.cumsum() * (1 - 2 * function) + function**2 * squares.sum()
        gap += sign * whole
    statistic = float(np.abs(gap).max())
    above = int(np.sum(np.abs(noise).max(1) >= np.abs(gap[ends]).max() - 1e-12))
    largest = float(variance.max())
    tail = 2 * float(np.exp(-(statistic**2) / (2 * largest))) if largest > 0 else float(statistic == 0)
    return TwoSampleTest(statistic, min((1 + above) / (1 + _PERMUTATIONS), tail))


def _bootstrap(sample: Sample, replicas: int, rng: np.random.Generator) -> Iterator[tuple[Floats, float]]:
    """Weights of the rows, ``(rows,)``, and their sum: of the sample itself, then with the rows of each replica."""
    rows = len(sample)
    yield sample.weights, rows
    for _ in range(replicas):
        weight = sample.times(np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(np.float64))
        yield weight, rows if sample.weight is None else float(weight.sum())


def _locations_and_widths(sample: Sample, replicas: int, rng: np.random.Generator) -> Floats:
    """Mean, median, standard deviation and interquartile range, ``(1 + replicas, 4, features)``.

    A quantile is the first value where the distribution function, which need not rise, reaches it.
    """
    order = sample.x.argsort(0)
    ordered = np.take_along_axis(sample.x, order, 0)
    levels, size = np.array([0.25, 0.5, 0.75]), sample.size
    found = []
    for weight, total in _bootstrap(sample, replicas, rng):
        mean, square = weight @ sample.x / total, weight @ sample.x**2 / total
        below = (weight[column].cumsum() for column in order.T)
        reached = below if sample.weight is None else map(np.maximum.accumulate, below)
        position = [np.searchsorted(function, levels * total) for function in reached]
        rows = np.minimum(np.array(position).T, len(sample) - 1)
        low, median, high = np.take_along_axis(ordered, rows, 0)
        found.append([mean, median, np.sqrt((square - mean**2).clip(0) * size / (size - 1)), high - low])
    return np.array(found)


def location_and_width(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, rng: np.random.Generator, replicas: int = 200
) -> dict[str, list[Measurement]]:
    """Differences, fake less real, of means, medians, standard deviations and interquartile ranges.

    The errors are those of a bootstrap of the rows of both samples.

    Args:
        real: ``(rows,)`` or ``(rows, features)``; `Weighted` for event weights, which may be negative.
        fake: the same of the other sample; the number of rows may differ.
        rng: draws the replicas.
        replicas: number of bootstrap replicas.

    Returns:
        For ``"mean"``, ``"median"``, ``"std"`` and ``"iqr"`` the difference of each feature, in its units.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    pair = weighted_tables(20, real=real, fake=fake)
    centre = pair[0].mean()  # for less rounding
    a, b = (_locations_and_widths(sample.change(sample.x - centre), replicas, rng) for sample in pair)
    values, errors = b[0] - a[0], np.sqrt(a[1:].var(0, ddof=1) + b[1:].var(0, ddof=1))
    return {
        name: [Measurement(float(value), float(error)) for value, error in zip(*of_name, strict=True)]
        for name, *of_name in zip(("mean", "median", "std", "iqr"), values, errors, strict=True)
    }


class CorrelationDifference(NamedTuple):
    """Difference of two matrices of linear correlation coefficients, fake less real.

    Attributes:
        value: ``(features, features)``.
        error: ``(features, features)``; 0 on the diagonal.
        statistic: the largest |value / error|.
        p_value: probability of a statistic at least as large for samples of one distribution.
    """

    value: Floats
    error: Floats
    statistic: float
    p_value: float


def _correlations(sample: Sample, replicas: int, rng: np.random.Generator) -> Floats:
    """Correlations of the sample and its replicas, ``(1 + replicas, features, features)``; 0 for constant features."""
    found = []
    for weight, total in _bootstrap(sample, replicas, rng):
        mean = weight @ sample.x / total
        covariance = (sample.x * weight[:, None]).T @ sample.x / total - np.outer(mean, mean)
        deviation = np.sqrt(covariance.diagonal().clip(0))
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
        found.append(covariance * np.outer(scale, scale))
    return np.array(found)


def correlation_difference(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, rng: np.random.Generator, replicas: int = 200
) -> CorrelationDifference:
    """Differences of linear correlation coefficients, with a test of the largest in units of its error.

    The errors are those of a bootstrap of the rows of both samples. The p-value allows for the number of pairs and for
    their correlations: it is the share of replicas whose largest deviation is at least as large, or Bonferroni's bound
    if that is smaller.

    Args:
        real: ``(rows, features)`` with two features or more; `Weighted` for event weights, which may be negative.
        fake: the same of the other sample; the number of rows may differ.
        rng: draws the replicas.
        replicas: number of bootstrap replicas.

    Returns:
        The differences; those of a constant feature are 0 without error.

    Raises:
        PartiganError: values are not finite, features differ or are fewer than 2, or there are fewer than 20 rows.
    """
    pair = weighted_tables(20, real=real, fake=fake)
    features = pair[0].x.shape[1]
    if features < 2:
        raise PartiganError("correlations need samples with two features or more")
    a, b = (_correlations(sample, replicas, rng) for sample in standardised_samples(pair[0], *pair))
    difference = (b - a)[:, *np.triu_indices(features, 1)]
    error = difference[1:].std(0, ddof=1)
    varies = error > 0
    scaled = np.abs(difference[1:] - difference[0])[:, varies] / error[varies]
    statistic = float(np.max(np.abs(difference[0, varies]) / error[varies], initial=0.0))
    above = int(np.sum(scaled.max(1, initial=0.0) >= statistic))
    p_value = min((1 + above) / (1 + replicas), 2 * float(stats.norm.sf(statistic)) * max(int(varies.sum()), 1))
    whole = np.zeros((features, features))
    whole[np.triu_indices(features, 1)] = error
    return CorrelationDifference(b[0] - a[0], whole + whole.T, statistic, p_value)


def adjusted(p_values: ArrayLike, method: Literal["holm", "benjamini-hochberg"] = "holm") -> Floats:
    """Adjust p-values for their number; flag those at or below the level.

    Holm's method bounds the probability of any false flag, whatever the dependence of the tests. Benjamini and
    Hochberg's bounds the expected share of false flags among all flags, for independent or positively dependent tests.

    Args:
        p_values: ``(tests,)``.
        method: whose adjustment.

    Returns:
        The adjusted p-values, ``(tests,)``.

    Raises:
        PartiganError: a p-value is not between 0 and 1.

    Example:
        >>> adjusted([0.01, 0.5]).tolist()
        [0.02, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise PartiganError("p-values must be a list of numbers between 0 and 1")
    order = p.argsort()
    number, rank = len(p), np.arange(1, len(p) + 1)
    if method == "holm":
        ordered = np.maximum.accumulate((number + 1 - rank) * p[order])
    else:
        ordered = np.minimum.accumulate((number / rank * p[order])[::-1])[::-1]
    result = np.empty(number)
    result[order] = ordered.clip(max=1)
    return result
