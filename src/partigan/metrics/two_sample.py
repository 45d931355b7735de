"""Tests of single observables and of pairs: is the generated sample distributed like the real one?

The Kolmogorov-Smirnov test, the chi2 test of binned samples, the separation power, differences of means, medians,
widths and correlations, and adjustments of p-values for the number of tests.

References:
    N. Gagunashvili, Chi-square tests for comparing weighted histograms, Nucl. Instrum. Meth. A 614 (2010) 287,
    arXiv:0905.4221.
    A. Hoecker et al., TMVA, arXiv:physics/0703039, section 3.1.3 (the separation power).
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 4 (its use for generated showers).
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
from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.samples import combined_error, quantile_cells, standardised, tables

Counts = NDArray[np.integer]

_CELLS = 4096  # of the distribution function, for permutations of samples with ties
_PERMUTATIONS = 999
_PER_BIN = 10  # least rows of both samples in a bin


class TwoSampleTest(NamedTuple):
    """A test of the hypothesis that two samples have the same distribution.

    Attributes:
        statistic: larger for samples that differ more.
        p_value: probability of a statistic at least as large if the hypothesis is true.
    """

    statistic: float
    p_value: float


def kolmogorov_smirnov(real: ArrayLike, fake: ArrayLike, *, rng: np.random.Generator) -> list[TwoSampleTest]:
    """Kolmogorov-Smirnov test of each feature: the largest difference of the two distribution functions.

    Without ties the p-value is that of the limiting distribution. If many rows share a value (multiplicities,
    observables with a spike at zero), that is too large; the p-value is then the share of 999 permutations of the
    pooled rows with at least the same statistic, or the limit if that is smaller, as it is far in the tail.

    Args:
        real: ``(rows,)`` or ``(rows, features)``.
        fake: the same of the other sample; the number of rows may differ.
        rng: makes the permutations.

    Returns:
        A test for each feature.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    pair = tables(20, real=real, fake=fake)
    return [_kolmogorov_smirnov(a, b, rng) for a, b in zip(*(sample.T for sample in pair), strict=True)]


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


class _Shares(NamedTuple):
    """Shares of a sample in bins, ``(bins,)``, and their covariance, ``(bins, bins)``."""

    share: Floats
    covariance: Floats

    @classmethod
    def of(cls, cell: Rows, weight: Floats, bins: int, expected: Floats | None = None) -> _Shares:
        """Shares from the bins of rows; covariance about the ``expected`` shares of rows without weights, if given."""
        total = weight.sum()
        share = np.bincount(cell, weight, bins) / total
        square = np.bincount(cell, weight**2, bins) if expected is None else expected * total
        mean = share if expected is None else expected
        cross = np.outer(mean, square)
        covariance = np.diag(square) - cross - cross.T + np.outer(mean, mean) * square.sum()
        return cls(share, covariance / total**2)


def _binned(
    real: ArrayLike,
    fake: ArrayLike,
    bins: int,
    real_weights: ArrayLike | None,
    fake_weights: ArrayLike | None,
    pooled: bool,
) -> Iterator[tuple[_Shares, _Shares]]:
    """Shares of both samples for each feature, in bins that hold equal parts of the pooled rows."""
    pair = tables(2, real=real, fake=fake)
    n, m = map(len, pair)
    if bins < 2 or n + m < _PER_BIN * bins or min(n, m) < _PER_BIN:
        raise PartiganError(
            f"{bins} bins of real and fake samples with {n} and {m} rows: at least 2 bins are needed, "
            f"{_PER_BIN} rows of both for each, and {_PER_BIN} rows of either"
        )
    expect = pooled and real_weights is None and fake_weights is None
    w_real, w_fake = _weights(real_weights, n, "real"), _weights(fake_weights, m, "fake")
    for feature in np.concatenate(pair).T:
        cell = quantile_cells(feature, bins)
        number = int(cell.max()) + 1
        expected = np.bincount(cell) / (n + m) if expect else None
        yield _Shares.of(cell[:n], w_real, number, expected), _Shares.of(cell[n:], w_fake, number, expected)


def _weights(weights: ArrayLike | None, rows: int, name: str) -> Floats:
    if weights is None:
        return np.ones(rows)
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (rows,) or not np.isfinite(found).all() or found.sum() <= 0:
        raise PartiganError(f"the weights of the {name} sample must be {rows} finite numbers with a sum above 0")
    return found


def chi2(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    bins: int = 50,
    real_weights: ArrayLike | None = None,
    fake_weights: ArrayLike | None = None,
) -> list[TwoSampleTest]:
    """chi2 test of each binned feature, with the fluctuations of both samples.

    chi2 = d^T V^-1 d, where d are the differences of the shares in all bins but one and V is their covariance. Without
    weights the variances are those of the pooled sample (Pearson's test of homogeneity); with weights they are sums of
    squared weights (arXiv:0905.4221). These fluctuate: with (sum w)^2 / sum w^2 = 25 in each bin of either sample, 7 %
    of the p-values of the null are below 5 %; with 100 they are right. Choose the bins accordingly.

    Args:
        real: ``(rows,)`` or ``(rows, features)``.
        fake: the same of the other sample; the number of rows may differ.
        bins: number of bins with equal parts of the pooled rows; fewer if an observable has fewer values.
        real_weights: ``(rows,)``, such as sWeights, which may be negative; None = all 1.
        fake_weights: the same of the other sample.

    Returns:
        A test for each feature.

    Raises:
        PartiganError: values or weights are not finite, features differ, or there are fewer than 10 rows a bin.
    """
    tests = []
    for a, b in _binned(real, fake, bins, real_weights, fake_weights, pooled=True):
        difference, covariance = (a.share - b.share)[1:], (a.covariance + b.covariance)[1:, 1:]
        if len(difference) == 0:
            tests.append(TwoSampleTest(0.0, 1.0))
            continue
        statistic = float(difference @ np.linalg.lstsq(covariance, difference, rcond=1e-12)[0])
        tests.append(TwoSampleTest(statistic, float(stats.chi2.sf(statistic, len(difference)))))
    return tests


def separation_power(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    bins: int = 50,
    real_weights: ArrayLike | None = None,
    fake_weights: ArrayLike | None = None,
) -> list[Measurement]:
    """Separation power of each feature: <S^2> = 1/2 sum (h1 - h2)^2 / (h1 + h2) over bins of normalised histograms.

    0 for equal and 1 for disjoint distributions (arXiv:physics/0703039, equation 26). Fluctuations of the bins add
    about (bins - 1) / 4 (1/n + 1/m); this bias is subtracted, so the value scatters about 0 for samples of one
    distribution and may be negative. The error includes the first and second order. It is small if the value is low, so
    only values above 0 speak against the generator.

    Args:
        real: ``(rows,)`` or ``(rows, features)``.
        fake: the same of the other sample; the number of rows may differ.
        bins: number of bins with equal parts of the pooled rows; fewer if an observable has fewer values.
        real_weights: ``(rows,)``; None = all 1.
        fake_weights: the same of the other sample.

    Returns:
        The separation power of each feature, dimensionless, and its error.

    Raises:
        PartiganError: values or weights are not finite, features differ, or there are fewer than 10 rows a bin.
    """
    found = []
    for (a, cov_a), (b, cov_b) in _binned(real, fake, bins, real_weights, fake_weights, pooled=False):
        total, difference = a + b, a - b
        curvature = 4 / total**3  # times (b da - a db)^2 / 2 is the term of second order
        value = 0.5 * (difference**2 / total).sum()
        bias = 0.5 * curvature @ (b**2 * cov_a.diagonal() + a**2 * cov_b.diagonal())
        slope_a = difference / total - 0.5 * (difference / total) ** 2
        slope_b = -difference / total - 0.5 * (difference / total) ** 2
        first = slope_a @ cov_a @ slope_a + slope_b @ cov_b @ slope_b
        spread = curvature[:, None] * (np.outer(b, b) * cov_a + np.outer(a, a) * cov_b)
        second = 0.5 * np.sum(spread * spread.T)
        found.append(Measurement(float(value - bias), combined_error(float(first), float(second))))
    return found


def _bootstrap(sample: Floats, replicas: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each row is drawn, ``(rows,)``: once for the sample itself, then for each replica."""
    yield np.ones(len(sample))
    for _ in range(replicas):
        yield np.bincount(rng.integers(len(sample), size=len(sample)), minlength=len(sample)).astype(np.float64)


def _locations_and_widths(sample: Floats, replicas: int, rng: np.random.Generator) -> Floats:
    """Mean, median, standard deviation and interquartile range, ``(1 + replicas, 4, features)``."""
    rows = len(sample)
    order = sample.argsort(0)
    ordered = np.take_along_axis(sample, order, 0)
    targets = np.array([0.25, 0.5, 0.75]) * rows
    found = []
    for count in _bootstrap(sample, replicas, rng):
        mean, square = count @ sample / rows, count @ sample**2 / rows
        position = [np.searchsorted(count[column].cumsum(), targets) for column in order.T]
        low, median, high = np.take_along_axis(ordered, np.array(position).T, 0)
        found.append([mean, median, np.sqrt((square - mean**2).clip(0) * rows / (rows - 1)), high - low])
    return np.array(found)


def location_and_width(
    real: ArrayLike, fake: ArrayLike, *, rng: np.random.Generator, replicas: int = 200
) -> dict[str, list[Measurement]]:
    """Differences, fake less real, of means, medians, standard deviations and interquartile ranges.

    The errors are those of a bootstrap of the rows of both samples.

    Args:
        real: ``(rows,)`` or ``(rows, features)``.
        fake: the same of the other sample; the number of rows may differ.
        rng: draws the replicas.
        replicas: number of bootstrap replicas.

    Returns:
        For ``"mean"``, ``"median"``, ``"std"`` and ``"iqr"`` the difference of each feature, in its units.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    pair = tables(20, real=real, fake=fake)
    centre = pair[0].mean(0)  # for less rounding
    a, b = (_locations_and_widths(sample - centre, replicas, rng) for sample in pair)
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


def _correlations(sample: Floats, replicas: int, rng: np.random.Generator) -> Floats:
    """Correlations of the sample and its replicas, ``(1 + replicas, features, features)``; 0 for constant features."""
    rows = len(sample)
    found = []
    for count in _bootstrap(sample, replicas, rng):
        mean = count @ sample / rows
        covariance = (sample * count[:, None]).T @ sample / rows - np.outer(mean, mean)
        deviation = np.sqrt(covariance.diagonal().clip(0))
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
        found.append(covariance * np.outer(scale, scale))
    return np.array(found)


def correlation_difference(
    real: ArrayLike, fake: ArrayLike, *, rng: np.random.Generator, replicas: int = 200
) -> CorrelationDifference:
    """Differences of linear correlation coefficients, with a test of the largest in units of its error.

    The errors are those of a bootstrap of the rows of both samples. The p-value allows for the number of pairs and for
    their correlations: it is the share of replicas whose largest deviation is at least as large, or Bonferroni's bound
    if that is smaller.

    Args:
        real: ``(rows, features)`` with two features or more.
        fake: the same of the other sample; the number of rows may differ.
        rng: draws the replicas.
        replicas: number of bootstrap replicas.

    Returns:
        The differences; those of a constant feature are 0 without error.

    Raises:
        PartiganError: values are not finite, features differ or are fewer than 2, or there are fewer than 20 rows.
    """
    pair = tables(20, real=real, fake=fake)
    features = pair[0].shape[1]
    if features < 2:
        raise PartiganError("correlations need samples with two features or more")
    a, b = (_correlations(sample, replicas, rng) for sample in standardised(pair[0], *pair))
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
