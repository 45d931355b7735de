"""Wasserstein-1 distances between one-dimensional distributions, with errors from jet to jet.

References:
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535.
    B. Käch, I. Melzer-Pellmann, Attention to mean-fields for particle cloud generation, arXiv:2305.15254.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.measurement import (
    Floats,
    Measurement,
    Rows,
    comparable,
    draws,
    fluctuations,
    refuse_infinite,
    table,
)
from partigan.metrics.weighted import Sample, Weighted, effective_size, rows_worth

_CELLS = 64  # of the distribution functions, for the error; the value is exact
_REPLICAS = 400  # simulated for the error
_BLOCK = 10_000  # jets at a time


def _between_sorted(a: Floats, b: Floats) -> float:
    """Integral of |A(u) - B(u)| over 0 < u < 1, where A and B are the quantile functions."""
    n, m = len(a), len(b)
    if n == 0 or m == 0:
        raise PartiganError("the Wasserstein distance of an empty sample does not exist")
    if n == m:
        return float(np.abs(a - b).mean())
    # Both are constant between multiples of 1/n and of 1/m, which are whole numbers in units of 1/(n m).
    steps = np.sort(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]), kind="stable")
    gaps = np.abs(a[(steps - 1) // m] - b[(steps - 1) // n])
    return float(gaps @ np.diff(steps, prepend=0)) / (n * m)


def _between(a: Sample, b: Sample) -> float:
    """Integral of the difference of the distribution functions; values in rising order."""
    if a.weight is None and b.weight is None:
        return _between_sorted(a.x, b.x)
    points = np.sort(np.concatenate([a.x, b.x]), kind="stable")
    return float(np.abs(a.function(points) - b.function(points))[:-1] @ np.diff(points))


def _in_order(x: NDArray[np.floating], weight: Floats | None) -> Sample:
    """Values in rising order, with their weights."""
    if weight is None:
        return Sample(np.sort(x).astype(np.float64, copy=False))
    order = np.argsort(x, kind="stable")
    return Sample(x[order].astype(np.float64, copy=False), weight[order])


def wasserstein_1d(a: ArrayLike | Weighted, b: ArrayLike | Weighted) -> float:
    """Exact Wasserstein-1 distance between two one-dimensional samples.

    W1 = integral of |F_a(t) - F_b(t)| dt with distribution functions F (arXiv:2106.11535, section 3.1).

    Args:
        a: ``(n,)``, any n > 0; `Weighted` for event weights, which may be negative.
        b: ``(m,)``, any m > 0; the same.

    Returns:
        The distance, in units of the samples.

    Raises:
        PartiganError: a sample is empty, of another shape or not finite.

    Example:
        >>> wasserstein_1d([0, 1, 3], [5, 6, 8])
        5.0
    """
    given = Weighted.of(a), Weighted.of(b)
    columns = table(given[0].x, "first"), table(given[1].x, "second")
    if any(column.shape[1] != 1 for column in columns):
        shapes = " and ".join(str(np.shape(sample.x)) for sample in given)
        raise PartiganError(f"two samples (n,) and (m,) are needed, not {shapes}")
    first, second = (
        _in_order(column[:, 0], sample.checked(len(column), name))
        for column, sample, name in zip(columns, given, ("first", "second"), strict=True)
    )
    return _between(first, second)


class _Jets(NamedTuple):
    """Features of jets. Jets are independent of each other; the particles of a jet are not.

    Attributes:
        x: ``(jets, particles, features)``; one "particle" for features of the jet itself.
        mask: ``(jets, particles)``, True for real particles.
        weight: of the jets, ``(jets,)`` with the mean 1; None = all 1.
    """

    x: NDArray[np.floating]
    mask: NDArray[np.bool_]
    weight: Floats | None

    @classmethod
    def read(cls, sample: ArrayLike | Clouds | Weighted, name: str) -> _Jets:
        weighted = Weighted.of(sample)
        clouds = Clouds.of(weighted.x)
        x = np.asarray(clouds.x)
        if x.ndim < 3 and clouds.mask is None:
            x = table(x, name)[:, None]
        if x.ndim != 3:
            raise PartiganError(
                f"the {name} sample must have the shape (jets, features), or (jets, particles, features) "
                f"with or without a mask, not {x.shape}"
            )
        real = Clouds(x, clouds.mask).real(name)
        refuse_infinite((np.isfinite(x).all(-1) | ~real).all(-1), name)
        return cls(x, real, weighted.checked(len(x), name))

    @property
    def size(self) -> int:
        """Effective number of jets."""
        return int(effective_size(self.weight, len(self.x)))

    def batches(self, size: int, number: int, rng: np.random.Generator) -> list[Rows]:
        """The rows of batches of an effective size."""
        return draws(len(self.x), rows_worth(size, self.weight, len(self.x)), number, rng)

    def sorted(self, batches: list[Rows], feature: int) -> list[Sample]:
        """The values of a feature in each batch."""
        whole = len(batches[0]) == len(self.x)  # then all batches are the same
        some = batches[:1] if whole else batches
        values = [self._column(rows, feature) for rows in some]
        return values * len(batches) if whole else values

    def _column(self, rows: Rows, feature: int) -> Sample:
        real = self.mask[rows]
        weight = None if self.weight is None else np.repeat(self.weight[rows], real.sum(1))
        return _in_order(self.x[rows, :, feature][real], weight)

    def distribution(self, edges: list[Floats]) -> tuple[Floats, Floats]:
        """Distribution functions F of all features, integrated over cells.

        Args:
            edges: between the cells of each feature; the outermost cells have no end.

        Returns:
            The integrals of F (of F - 1 beyond the last edge), ``(cells of all features,)``, and the covariance with
            which a single jet contributes to them.
        """
        size = sum(len(e) + 1 for e in edges)
        first, second = np.zeros(size + 1), np.zeros((size + 1, size + 1))
        for start in range(0, len(self.x), _BLOCK):
            x, real = self.x[start : start + _BLOCK], self.mask[start : start + _BLOCK]
            number = real.sum(1)
            jet = np.repeat(np.arange(len(x)), number)
            sums = [_integrals(x[..., f][real], jet, len(x), e) for f, e in enumerate(edges)]
            all_sums = np.concatenate([*sums, number[:, None]], 1)
            if self.weight is not None:
                all_sums = all_sums * self.weight[start : start + _BLOCK, None]
            first += all_sums.sum(0)
            second += all_sums.T @ all_sums
        function = first[:-1] / first[-1]
        influence = np.vstack([np.eye(size), -function]) * len(self.x) / first[-1]
        return function, influence.T @ second @ influence / (len(self.x) - 1)


def _integrals(x: NDArray[np.floating], jet: Rows, jets: int, edges: Floats) -> Floats:
    """``(jets, cells)``: over each cell, the integral over t of the number of particles of the jet with x < t."""
    cells = len(edges) + 1
    cell = np.searchsorted(edges, x, side="right")
    index = jet * cells + cell
    upper, width = np.append(edges, edges[-1]), np.diff(edges, prepend=edges[0], append=edges[-1])
    number = np.bincount(index, minlength=jets * cells).reshape(jets, cells)
    within = np.bincount(index, upper[cell] - x, minlength=jets * cells).reshape(jets, cells)
    return np.asarray(within + (number.cumsum(1) - number) * width)


def _average(distances: Floats, mean: str) -> Floats:
    """Mean over the features of the mean over the batches of ``(..., batches, features)``."""
    of_features = distances.mean(-2)
    if mean == "plain":
        return np.asarray(of_features.mean(-1))
    weight = 1 / distances.var(-2, ddof=1)
    return np.asarray((weight * of_features).sum(-1) / weight.sum(-1))


def w1(
    real: ArrayLike | Clouds | Weighted,
    fake: ArrayLike | Clouds | Weighted,
    *,
    rng: np.random.Generator,
    samples: int | None = None,
    batches: int = 1,
    mean: Literal["plain", "inverse-variance"] = "plain",
) -> Measurement:
    """Wasserstein-1 distance of features of jets or of their particles, averaged over batches and features.

    Each batch holds ``samples`` jets of both samples, drawn without repetition as long as there are jets. The value
    depends on ``samples``. The published protocols are

    - MPGAN (arXiv:2106.11535, section 5): ``samples=10_000, batches=5``;
    - MDMA (arXiv:2305.15254, section 3.1), with ten times as many fake as real jets:
      ``batches=10, mean="inverse-variance"``.

    The error of the mean includes the fluctuations of both samples from jet to jet and the correlations between
    features and between batches that share jets. It comes from replicas: distribution functions in each batch, normally
    distributed about the difference found (less the part that noise explains) with the covariance of the jets, and
    averaged like the distances.

    Args:
        real: ``(jets,)`` or ``(jets, features)`` for observables of jets; ``(jets, particles, features)``, or `Clouds`
            with a mask, for features of particles. `Weighted` for event weights of the jets, which may be negative.
        fake: the same of the other sample; the number of jets may differ.
        rng: chooses the batches.
        samples: effective number of jets of each sample in a batch; None = that of the smaller sample.
        batches: number of batches.
        mean: how to average over features: ``"plain"``, or ``"inverse-variance"`` with variances over batches.

    Returns:
        The distance, in units of the features, and its error.

    Raises:
        PartiganError: values are not finite, shapes or features do not fit, or there are too few jets.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> real, fake = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (2000, 1))
        >>> value, error = w1(real, fake, rng=rng)
        >>> abs(value - 0.5) < 4 * error
        True
    """
    jets = _Jets.read(real, "real"), _Jets.read(fake, "fake")
    size = min(sample.size for sample in jets) if samples is None else samples
    comparable(jets[0].x, jets[1].x, max(size, 2))
    if size < 1 or batches < 1 or (mean != "plain" and batches < 2):
        raise PartiganError(f"{batches} batches of {size} jets are not enough for the {mean} mean")
    parts = [sample.batches(size, batches, rng) for sample in jets]

    distances, edges = [], []
    for feature in range(jets[0].x.shape[-1]):
        a, b = (sample.sorted(part, feature) for sample, part in zip(jets, parts, strict=True))
        distances.append([_between(*pair) for pair in zip(a, b, strict=True)])
        pooled = np.sort(np.concatenate([a[0].x, b[0].x]), kind="stable")
        cells = max(8, min(_CELLS, 512 // jets[0].x.shape[-1]))
        edges.append(np.unique(pooled[len(pooled) * np.arange(1, cells) // cells]))
    per_batch = np.array(distances).T
    if mean != "plain" and (per_batch.var(0) == 0).any():
        raise PartiganError("the inverse-variance mean needs batches that differ; give more jets or smaller batches")

    (f_real, cov_real), (f_fake, cov_fake) = (sample.distribution(edges) for sample in jets)
    difference = f_real - f_fake
    noise = cov_real.diagonal() / len(jets[0].x) + cov_fake.diagonal() / len(jets[1].x)
    difference = np.sign(difference) * np.sqrt((np.square(difference) - noise).clip(0))
    deviations = [fluctuations(p, c, _REPLICAS, rng) for p, c in zip(parts, (cov_real, cov_fake), strict=True)]
    starts = np.cumsum([0] + [len(e) + 1 for e in edges[:-1]])
    replicas = np.add.reduceat(np.abs(difference + deviations[0] - deviations[1]), starts, axis=-1)
    return Measurement(float(_average(per_batch, mean)), float(_average(replicas, mean).std()))
