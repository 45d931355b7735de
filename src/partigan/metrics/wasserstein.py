"""Wasserstein-1 distances between one-dimensional distributions, with uncertainties whose unit is the jet.

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

_CELLS = 64  # in which the error, not the value, follows the distribution functions
_REPLICAS = 400  # simulated for the error
_BLOCK = 10_000  # jets at a time


def _between_sorted(a: Floats, b: Floats) -> float:
    """Integral of |A(u) - B(u)| over 0 < u < 1, where A and B are the quantile functions."""
    n, m = len(a), len(b)
    if n == 0 or m == 0:
        raise PartiganError("the Wasserstein distance of an empty sample does not exist")
    if n == m:
        return float(np.abs(a - b).mean())
    # Both are constant between the multiples of 1/n and of 1/m; in units of 1/(n m) these are whole numbers.
    steps = np.sort(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]), kind="stable")
    gaps = np.abs(a[(steps - 1) // m] - b[(steps - 1) // n])
    return float(gaps @ np.diff(steps, prepend=0)) / (n * m)


def wasserstein_1d(a: ArrayLike, b: ArrayLike) -> float:
    """Exact Wasserstein-1 distance between two one-dimensional samples.

    W1 = integral of |F_a(t) - F_b(t)| dt, F being the distribution functions (arXiv:2106.11535, section 3.1).

    Args:
        a: ``(n,)``, any n > 0.
        b: ``(m,)``, any m > 0.

    Returns:
        The distance, in units of the samples.

    Raises:
        PartiganError: for empty samples, other shapes and values that are not finite.
    """
    columns = table(a, "first"), table(b, "second")
    if any(column.shape[1] != 1 for column in columns):
        raise PartiganError(f"two samples (n,) and (m,) are needed, not {np.shape(a)} and {np.shape(b)}")
    first, second = (np.sort(column[:, 0]) for column in columns)
    return _between_sorted(first, second)


class _Jets(NamedTuple):
    """Features of jets: jets are independent of each other, the particles of a jet are not.

    Attributes:
        x: ``(jets, particles, features)``; one "particle" where the features are the jet's own.
        mask: ``(jets, particles)``, True for real particles.
    """

    x: NDArray[np.floating]
    mask: NDArray[np.bool_]

    @classmethod
    def read(cls, sample: ArrayLike | Clouds, name: str) -> _Jets:
        clouds = Clouds.of(sample)
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
        return cls(x, real)

    def sorted(self, batches: list[Rows], feature: int) -> list[Floats]:
        """The values of a feature in each batch."""
        whole = len(batches[0]) == len(self.x)  # then all batches are the same
        some = batches[:1] if whole else batches
        values = [np.sort(self.x[rows, :, feature][self.mask[rows]]).astype(np.float64) for rows in some]
        return values * len(batches) if whole else values

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
    real: ArrayLike | Clouds,
    fake: ArrayLike | Clouds,
    *,
    rng: np.random.Generator,
    samples: int | None = None,
    batches: int = 1,
    mean: Literal["plain", "inverse-variance"] = "plain",
) -> Measurement:
    """Wasserstein-1 distance of features of jets, or of their particles, averaged over batches and features.

    Each batch holds ``samples`` jets of both samples, drawn without repetition as long as there are jets; the value of
    W1 depends on that number. The published protocols are

    - MPGAN (arXiv:2106.11535, section 5): ``samples=10_000, batches=5``;
    - MDMA (arXiv:2305.15254, section 3.1), with ten times as many fake as real jets:
      ``batches=10, mean="inverse-variance"``.

    The error is that of the mean and holds the fluctuations of both samples, jet by jet, with the correlations
    between features and between batches that share jets. The distribution functions in each batch are simulated
    as normally distributed about the difference that was found (less the part of it that noise explains), with the
    covariance that jets show, and averaged like the distances themselves.

    Args:
        real: ``(jets,)`` or ``(jets, features)`` for observables of jets; ``(jets, particles, features)``, or `Clouds`
            with a mask, for features of particles.
        fake: the same of the other sample; the number of jets may differ.
        rng: chooses the batches.
        samples: jets of each sample in a batch; None: as many as the smaller sample has.
        batches: number of batches.
        mean: how to average over features: ``"plain"``, or ``"inverse-variance"`` with the variance over batches.

    Returns:
        The distance, in units of the features, and its error.

    Raises:
        PartiganError: for values that are not finite, wrong shapes, differing features and too few jets.
    """
    jets = _Jets.read(real, "real"), _Jets.read(fake, "fake")
    size = min(len(sample.x) for sample in jets) if samples is None else samples
    comparable(jets[0].x, jets[1].x, max(size, 2))
    if size < 1 or batches < 1 or (mean != "plain" and batches < 2):
        raise PartiganError(f"{batches} batches of {size} jets are not enough for the {mean} mean")
    parts = [draws(len(sample.x), size, batches, rng) for sample in jets]

    distances, edges = [], []
    for feature in range(jets[0].x.shape[-1]):
        a, b = (sample.sorted(part, feature) for sample, part in zip(jets, parts, strict=True))
        distances.append([_between_sorted(*pair) for pair in zip(a, b, strict=True)])
        pooled = np.sort(np.concatenate([a[0], b[0]]), kind="stable")
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
