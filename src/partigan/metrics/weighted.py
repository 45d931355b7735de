"""Samples with event weights, which any metric takes in place of an array.

A weighted sample stands for the measure sum w_i delta(x - x_i) / sum w_i. Metrics take sums over rows of it, so weights
may be negative: sWeights subtract a background, those of next-to-leading order a double counting. Distribution
functions then need not rise, and variances and shares may come out below 0; where that cannot be, they count as 0.

The effective size (sum w)^2 / sum w^2 takes the place of the number of rows: so many rows of weight 1 have a mean with
the same error.

References:
    L. Kish, Survey sampling, Wiley 1965, section 11.7 (the effective size).
    M. Pivk, F. Le Diberder, sPlot: a statistical tool to unfold data distributions, Nucl. Instrum. Meth. A 555 (2005)
    356, arXiv:physics/0402083 (sWeights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weighted:
    """A sample with event weights.

    Attributes:
        x: the sample as metrics take it without weights: an array or tensor ``(rows, ...)``, or `Clouds`.
        weight: ``(rows,)``, of any scale, with a sum above 0; None = all 1.

    Example:
        >>> from partigan.metrics.wasserstein import wasserstein_1d
        >>> wasserstein_1d(Weighted([0.0, 1.0, 7.0], [2, 1, 0]), [0.0, 0.0, 1.0])
        0.0
    """

    x: Any
    weight: ArrayLike | None = None

    @classmethod
    def of(cls, sample: Any) -> Weighted:
        """The sample itself, or one without weights."""
        return sample if isinstance(sample, Weighted) else cls(sample)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The rows, for metrics that know no weights.

        Raises:
            PartiganError: there are weights, which would be lost.
        """
        if self.weight is not None:
            raise PartiganError("this metric takes no event weights")
        return np.asarray(self.x, dtype)

    def checked(self, rows: int, name: str) -> Floats | None:
        """The weights ``(rows,)`` with the mean 1; None where there are none.

        Args:
            rows: of the sample.
            name: of the sample, for messages.

        Raises:
            PartiganError: they are not one for each row, not finite (with the first such row), or have no sum above 0.
        """
        if self.weight is None:
            return None
        weight = np.asarray(self.weight, dtype=np.float64)
        if weight.shape != (rows,):
            raise PartiganError(f"the weights of the {name} sample have the shape {weight.shape}; it has {rows} rows")
        refuse_weights(weight, f"of the {name} sample")
        return np.asarray(weight * (rows / weight.sum()))


def refuse_weights(weight: ArrayLike, where: str, first: int = 0) -> None:
    """Raise an error for weights that no sample can have.

    Args:
        weight: ``(rows,)``.
        where: what they belong to, for messages.
        first: number of the first row.

    Raises:
        PartiganError: weights that are not finite (with the first such row), all 0, or without a sum above 0.
    """
    found = np.asarray(weight, dtype=np.float64)
    if not (fine := np.isfinite(found)).all():
        raise PartiganError(
            f"the weights {where} are NaN or infinite in {np.sum(~fine)} of {len(found)} rows, the first of them row "
            f"{first + int(np.argmin(fine))}; remove these rows"
        )
    if not found.any():
        raise PartiganError(f"the weights {where} are all 0; give others, or none")
    if not found.sum() > 0:
        raise PartiganError(
            f"the weights {where} have the sum {found.sum():.3g}, which must be above 0; give more rows, or check signs"
        )


def effective_size(weight: ArrayLike | None, rows: int) -> float:
    """Effective size of a sample: (sum w)^2 / sum w^2, or its number of rows where there are no weights.

    Example:
        >>> effective_size([1, 1, 0], 3), effective_size(None, 3)
        (2.0, 3)
    """
    if weight is None:
        return rows
    found = np.asarray(weight, dtype=np.float64)
    return float(found.sum() ** 2 / np.square(found).sum())


def rows_worth(size: int, weight: ArrayLike | None, rows: int) -> int:
    """About how many rows of a sample have an effective size, on average; all where it is not that large.

    Example:
        >>> rows_worth(10, None, 100), rows_worth(10, [1, 0] * 50, 100)
        (10, 20)
    """
    return size if weight is None else min(rows, max(round(size * rows / effective_size(weight, rows)), 1))


def refuse_negative(weight: ArrayLike | None) -> None:
    """Raise an error for negative weights.

    Raises:
        PartiganError: with the number of such rows and the first.
    """
    negative = np.asarray(0 if weight is None else weight, dtype=np.float64) < 0
    if negative.any():
        raise PartiganError(
            f"it takes no negative event weights; there are {negative.sum()}, the first of them in row "
            f"{int(negative.argmax())}"
        )


def accepted(weight: ArrayLike | None, rows: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of an unweighted sample by hit or miss: each is taken with the probability w / max w, at most once.

    For metrics of pairs of rows, which weighted sums cannot express. All rows where there are no weights.

    Args:
        weight: ``(rows,)``, finite.
        rows: of the sample.
        rng: decides.

    Raises:
        PartiganError: a weight is negative; the message has the number of such rows and the first.
    """
    if weight is None:
        return np.arange(rows)
    refuse_negative(weight)
    found = np.asarray(weight, dtype=np.float64)
    return np.flatnonzero(rng.random(rows) * found.max() < found)


@dataclass(frozen=True, eq=False)
class Sample:
    """A checked table with its weights: what metrics compute with.

    Attributes:
        x: ``(rows, features)``, or ``(rows,)`` for a single one.
        weight: ``(rows,)``; None = all 1.
    """

    x: Floats
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Sample:
        return Sample(self.x[rows], None if self.weight is None else self.weight[rows])

    @property
    def size(self) -> float:
        """Effective size."""
        return effective_size(self.weight, len(self.x))

    @property
    def weights(self) -> Floats:
        """The weights, ones where there are none."""
        return np.ones(len(self.x)) if self.weight is None else self.weight

    def change(self, x: Floats) -> Sample:
        """The same weights with other values."""
        return Sample(x, self.weight)

    def function(self, points: Floats) -> Floats:
        """Distribution function of a single feature ``(rows,)`` at points; with negative weights it need not rise."""
        order = self.x.argsort(kind="stable")
        below = np.append(0, self.weights[order].cumsum())
        return np.asarray(below[np.searchsorted(self.x[order], points, side="right")] / below[-1])

    def times(self, values: Floats) -> Floats:
        """Values of the rows, ``(rows, ...)``, times the weights."""
        if self.weight is None:
            return values
        return np.asarray(values * self.weight.reshape(-1, *[1] * (values.ndim - 1)))

    def mean(self, values: Floats | None = None) -> Floats:
        """Mean over the rows of values ``(rows, ...)``, by default of the sample."""
        values = self.x if values is None else values
        if self.weight is None:
            return np.asarray(values.mean(0))
        return np.asarray(self.times(values).sum(0) / self.weight.sum())

    def std(self) -> Floats:
        """Standard deviations of the features."""
        if self.weight is None:
            return np.asarray(self.x.std(0))
        return np.asarray(np.sqrt(self.mean(np.square(self.x - self.mean())).clip(0)))

    def covariance(self) -> Floats:
        """Unbiased covariance of the features, ``(features, features)``."""
        if self.weight is None:
            return np.atleast_2d(np.cov(self.x, rowvar=False))
        total, centred = self.weight.sum(), self.x - self.mean()
        return np.asarray(self.times(centred).T @ centred / (total - np.square(self.weight).sum() / total))

    def spread(self, values: Floats) -> Floats:
        """Variance with which single rows fluctuate in the mean of values ``(rows, ...)``.

        The variance of the mean of n rows is this over n.
        """
        if self.weight is None:
            return np.asarray(values.var(0, ddof=1))
        return np.asarray(np.square(self._deviations(values)).sum(0) * self._unbiased)

    def spreads(self) -> Floats:
        """The covariance with which they fluctuate in the means of the features, ``(features, features)``."""
        if self.weight is None:
            return np.atleast_2d(np.cov(self.x.T))
        deviations = self._deviations(self.x)
        return np.asarray(deviations.T @ deviations * self._unbiased)

    def _deviations(self, values: Floats) -> Floats:
        """What each row adds to the mean of values, ``(rows, ...)``."""
        return np.asarray(self.times(values - self.mean(values)) / self.weights.sum())

    @property
    def _unbiased(self) -> float:
        return len(self) * self.size / (self.size - 1)
