"""Sliced Wasserstein distance: the mean of one-dimensional distances over directions.

References:
    N. Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, J. Math. Imaging Vis. 51 (2015) 22.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.metrics.measurement import Floats, comparable, table
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.metrics.weighted import Weighted


def directions(features: int, number: int, rng: np.random.Generator) -> Floats:
    """Random unit vectors, ``(features, number)``; a single one in one dimension."""
    vectors = rng.standard_normal((features, 1 if features == 1 else number))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0))


def sliced_w1(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, rng: np.random.Generator, number: int = 32
) -> float:
    """Mean Wasserstein-1 distance of projections.

    Args:
        real: ``(n, features)``; `Weighted` for event weights.
        fake: ``(m, features)``; the same.
        rng: draws the directions.
        number: number of directions.

    Returns:
        The distance, in units of the features; in one dimension the Wasserstein distance itself.

    Raises:
        PartiganError: shapes or features differ, or values are not finite.

    Example:
        >>> x = np.array([[0.0], [1.0]])
        >>> sliced_w1(x, x + 2, np.random.default_rng(1))
        2.0
    """
    pair = Weighted.of(real), Weighted.of(fake)
    a, b = table(pair[0].x, "real"), table(pair[1].x, "fake")
    comparable(a, b, 1)
    along = directions(a.shape[1], number, rng)
    columns = zip((a @ along).T, (b @ along).T, strict=True)
    weights = pair[0].weight, pair[1].weight
    return float(np.mean([wasserstein_1d(Weighted(x, weights[0]), Weighted(y, weights[1])) for x, y in columns]))
