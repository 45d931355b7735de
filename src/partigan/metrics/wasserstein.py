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
from partigan.metrics.measurement import (
    Floats,
    Measurement,
    draws,
    enough,
    features,
    fluctuations,
    same_features,
)

_CELLS = 64  # in which the error, not the value, follows the distribution functions
_REPLICAS = 400  # simulated for the error


def _between_sorted(a: Floats, b: Floats) -> float:
    """Integral of |A(u) - B(u)| over 0 < u < 1, where A and B are the quantile functions."""
    n, m = len(a), len(b)
    if n == m:
        return float(np.abs(a - b).mean())
    # Both are constant between the multiples of 1/n and of 1/m; in units of 1/(n m) these are whole numbers.
    steps = np.sort(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]), kind="stable")
    gaps = np.abs(a[(steps - 1) // m] - b[(steps - 1) // n])
    return float(gaps @ np.diff(steps, prepend=0)) / (n * m)


def wasserstein_1d(a: ArrayLike, b: ArrayLike) -> float:
    """Exact Wasserstein-1 distance between two one-dimensional samples.

    W1 = integral of |F_a(t) - F_b(t)| dt, which is that of the difference of the quantile functions
    (arXiv:2106.11535, section 3.1).

    Args:
        a: ``(n,)``, any n > 0.
        b: ``(m,)``, any m > 0.

    Returns:
        The distance, in units of the samples.

    Raises:
        PartiganError: for empty samples, other shapes and values that are not finite.
    """
    return _between_sorted(np.sort(features(a, "first", 1)), np.sort(features(b, "second", 1)))


class _Jets(NamedTuple):
    """Values of features in jets: jets are independent of each other, the particles of one are not.

    Attributes:
        x: ``(jets, particles, features)``; one particle where the features are of the jet itself.
        mask: ``(jets, particles)``, True for real particles.
    """

    x: Floats
    mask: NDArray[np.bool_]

    @classmethod
    def read(cls, sample: ArrayLike, mask: ArrayLike | None, name: str) -> _Jets:
        x = np.asarray(sample, dtype=np.float64)
        if mask is None:
            x = features(x, name, max(x.ndim, 2))
            return cls(x if x.ndim == 3 else x[:, None], np.ones(x.shape[:2] if x.ndim == 3 else (len(x), 1), np.bool_))
        return cls(x, np.asarray(mask))

    def sorted(self, batches: list[NDArray[np.intp]], feature: int) -> list[Floats]:
        """The values of a feature in each batch of jets."""
        whole = len(batches[0]) == len(self.x)
        values = [np.sort(self.x[rows, :, feature][self.mask[rows]]) for rows in batches[: 1 if whole else None]]
        return values * len(batches) if whole else values

    def integrals(self, feature: int, edges: Floats) -> Floats:
        """``(jets, cells)``: over each cell, the integral of the number of particles of the jet below t."""
        cells = len(edges) - 1
        x = self.x[..., feature][self.mask]
        cell = np.searchsorted(edges[1:-1], x, side="right")
        index = np.repeat(np.arange(len(self.x)) * cells, self.mask.sum(1)) + cell
        size = len(self.x) * cells
        number = np.bincount(index, minlength=size).reshape(-1, cells)
        within = np.bincount(index, edges[cell + 1] - x, minlength=size).reshape(-1, cells)
        return np.asarray(within + (number.cumsum(1) - number) * np.diff(edges))
