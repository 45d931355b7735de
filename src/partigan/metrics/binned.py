"""Tests of binned samples: the chi2 test and the separation power.

References:
    N. Gagunashvili, Chi-square tests for comparing weighted histograms, Nucl. Instrum. Meth. A 614 (2010) 287,
    arXiv:0905.4221.
    A. Hoecker et al., TMVA, arXiv:physics/0703039, section 3.1.3 (the separation power).
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 4 (its use for generated showers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.samples import combined_error, quantile_cells, weighted_tables
from partigan.metrics.two_sample import TwoSampleTest
from partigan.metrics.weighted import Sample, Weighted, refuse_negative

_PER_BIN = 10  # least rows of both samples in a bin
_WEIGHTED = 50  # least effective rows of a weighted sample in a bin, about


class Shares(NamedTuple):
    """Shares of a sample in bins, ``(bins,)``, and their covariance, ``(bins, bins)``."""

    share: Floats
    covariance: Floats

    @classmethod
    def of(cls, cell: Rows, weight: Floats, bins: int, expected: Floats | None = None) -> Shares:
        """Shares from the bins of rows; covariance about the ``expected`` shares of rows without weights, if given."""
        total = weight.sum()
        share = np.bincount(cell, weight, bins) / total
        square = np.bincount(cell, weight**2, bins) if expected is None else expected * total
        mean = share if expected is None else expected
        cross = np.outer(mean, square)
        covariance = np.diag(square) - cross - cross.T + np.outer(mean, mean) * square.sum()
        return cls(share, covariance / total**2)


def shares(
    cells: tuple[Rows, Rows], pair: tuple[Sample, Sample], number: int, pooled: bool = True
) -> tuple[Shares, Shares]:
    """Shares of two samples in cells.

    Args:
        cells: cell of each row of either sample.
        pair: the samples.
        number: of cells.
        pooled: whether the covariance of rows without weights is about the shares of both samples together, so that a
            sample without rows in a cell fluctuates there, too.
    """
    expected = None
    if pooled:
        found = [np.bincount(cell, sample.weights, number) for cell, sample in zip(cells, pair, strict=True)]
        if all(sample.weight is None for sample in pair):
            expected = (found[0] + found[1]) / sum(map(len, pair))
        else:  # each in proportion to its effective size
            sizes = [sample.size / len(sample) for sample in pair]
            expected = (sizes[0] * found[0] + sizes[1] * found[1]).clip(0)
            expected /= expected.sum()
    first, second = (
        Shares.of(cell, sample.weights, number, expected if sample.weight is None else None)
        for cell, sample in zip(cells, pair, strict=True)
    )
    return first, second


def filled(number: int, samples: Iterable[Sample]) -> int:
    """At most so many cells: as many as weighted samples fill with about 50 effective rows each."""
    return min(number, *(max(2, int(s.size / _WEIGHTED)) for s in samples if s.weight is not None), number)


def homogeneity(a: Shares, b: Shares) -> TwoSampleTest:
    """chi2 test that two samples have equal shares."""
    difference, covariance = (a.share - b.share)[1:], (a.covariance + b.covariance)[1:, 1:]
    if len(difference) == 0:
        return TwoSampleTest(0.0, 1.0)
    statistic = float(difference @ np.linalg.lstsq(covariance, difference, rcond=1e-12)[0])
    return TwoSampleTest(statistic, float(stats.chi2.sf(statistic, len(difference))))


def _binned(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, bins: int, pooled: bool
) -> Iterator[tuple[Shares, Shares]]:
    """Shares of both samples for each feature, in bins that hold equal parts of the pooled rows, or of their weight.

    With equal parts of the rows, bins could hold many rows that weigh next to nothing.
    """
    first, second = pair = weighted_tables(2, real=real, fake=fake)
    n, m = (int(sample.size) for sample in pair)
    if bins < 2 or n + m < _PER_BIN * bins or min(n, m) < _PER_BIN:
        raise PartiganError(
            f"{bins} bins of real and fake samples with {n} and {m} rows: at least 2 bins are needed, "
            f"{_PER_BIN} rows of both for each, and {_PER_BIN} rows of either"
        )
    bins, mass = filled(bins, pair), None
    if first.weight is not None or second.weight is not None:
        mass = np.concatenate([np.abs(s.weights) * (s.size / np.abs(s.weights).sum()) for s in pair])
    for feature in np.concatenate([first.x, second.x]).T:
        cell = quantile_cells(feature, bins, mass)
        yield shares((cell[: len(first)], cell[len(first) :]), (first, second), int(cell.max()) + 1, pooled)


def chi2(real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, bins: int = 50) -> list[TwoSampleTest]:
    """chi2 test of each binned feature, with the fluctuations of both samples.

    chi2 = d^T V^-1 d, where d are the differences of the shares in all bins but one and V is their covariance. Without
    weights the variances are those of the pooled sample (Pearson's test of homogeneity); with weights they are sums of
    squared weights (arXiv:0905.4221). These fluctuate: with (sum w)^2 / sum w^2 = 25 in each bin of either sample, 7 %
    of the p-values of the null are below 5 %; with 100 they are right. So bins of a weighted sample hold about 50 or
    more.

    Args:
        real: ``(rows,)`` or ``(rows, features)``; `Weighted` for event weights, which may be negative.
        fake: the same of the other sample; the number of rows may differ.
        bins: number of bins with equal parts of the pooled rows; fewer if an observable has fewer values.

    Returns:
        A test for each feature.

    Raises:
        PartiganError: values or weights are not finite, features differ, or there are fewer than 10 rows a bin.
    """
    return [homogeneity(a, b) for a, b in _binned(real, fake, bins, pooled=True)]


def separation_power(real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, bins: int = 50) -> list[Measurement]:
    """Separation power of each feature: <S^2> = 1/2 sum (h1 - h2)^2 / (h1 + h2) over bins of normalised histograms.

    0 for equal and 1 for disjoint distributions (arXiv:physics/0703039, equation 26). Fluctuations of the bins add
    about (bins - 1) / 4 (1/n + 1/m); this bias is subtracted, so the value scatters about 0 for samples of one
    distribution and may be negative. The error includes the first and second order. It is small if the value is low, so
    only values above 0 speak against the generator.

    Args:
        real: ``(rows,)`` or ``(rows, features)``; `Weighted` for event weights, none of them negative: the mean of two
            shares that cancel is no unit.
        fake: the same of the other sample; the number of rows may differ.
        bins: number of bins with equal parts of the pooled rows; fewer if an observable has fewer values.

    Returns:
        The separation power of each feature, dimensionless, and its error.

    Raises:
        PartiganError: values or weights are not finite, features differ, or there are fewer than 10 rows a bin.
    """
    for sample in (real, fake):
        refuse_negative(Weighted.of(sample).weight)
    found = []
    for a, b in _binned(real, fake, bins, pooled=False):
        power, bias = _power(a, b)
        found.append(Measurement(power.value - bias, power.error))
    return found


def _power(first: Shares, second: Shares) -> tuple[Measurement, float]:
    """Separation power of shares, none of which is 0 in both, and what fluctuations add to it."""
    (a, cov_a), (b, cov_b) = first, second
    total, difference = a + b, a - b
    curvature = 4 / total**3  # times (b da - a db)^2 / 2 is the term of second order
    value = 0.5 * (difference**2 / total).sum()
    bias = 0.5 * curvature @ (b**2 * cov_a.diagonal() + a**2 * cov_b.diagonal())
    slope_a = difference / total - 0.5 * (difference / total) ** 2
    slope_b = -difference / total - 0.5 * (difference / total) ** 2
    linear = slope_a @ cov_a @ slope_a + slope_b @ cov_b @ slope_b
    spread = curvature[:, None] * (np.outer(b, b) * cov_a + np.outer(a, a) * cov_b)
    square = 0.5 * np.sum(spread * spread.T)
    return Measurement(float(value), combined_error(float(linear), float(square))), float(bias)


def separation_in_bins(real: ArrayLike | Weighted, fake: ArrayLike | Weighted, edges: ArrayLike) -> Measurement | None:
    """Separation power in given bins, as the CaloChallenge publishes it.

    It has the bias that `separation_power` subtracts. Rows outside the bins are left out.

    Args:
        real: ``(rows,)``; `Weighted` for event weights, none of them negative.
        fake: the same of the other sample.
        edges: of the bins, rising; as for histograms, the last bin holds its upper edge.

    Returns:
        The separation power and its error; 1 where the other sample has nothing in the bins, None where the real one
        has nothing.

    Raises:
        PartiganError: values or weights are not finite, or weights are negative.

    Example:
        >>> separation_in_bins([0.1, 0.6], [0.1, 0.2], [0.0, 0.5, 1.0]).value
        0.3333333333333333
    """
    for sample in (real, fake):
        refuse_negative(Weighted.of(sample).weight)
    bounds: Floats = np.asarray(edges, dtype=np.float64)
    found: list[tuple[Rows, Floats]] = []
    for given in weighted_tables(1, real=real, fake=fake):
        cell = np.searchsorted(bounds, given.x[:, 0], side="right") - 1
        cell = np.where(given.x[:, 0] == bounds[-1], len(bounds) - 2, cell)
        inside = (cell >= 0) & (cell < len(bounds) - 1) & (given.weights > 0)
        found.append((cell[inside], given.weights[inside]))
    if not len(found[0][0]):
        return None
    if not len(found[1][0]):
        return Measurement(1.0, 0.0)
    filled = np.unique(np.concatenate([cell for cell, _ in found]))
    both = [Shares.of(np.searchsorted(filled, cell), weight, len(filled)) for cell, weight in found]
    return _power(both[0], both[1])[0]
