"""Sliced Wasserstein distance: the mean over directions of the one-dimensional distances.

References:
    N. Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, J. Math. Imaging Vis. 51 (2015) 22.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.metrics.measurement import Floats, comparable, table
from partigan.metrics.wasserstein import wasserstein_1d


def directions(features: int, number: int, rng: np.random.Generator) -> Floats:
    """Unit vectors in random directions, ``(features, number)``; the only one, up to its sign, in one dimension."""
    vectors = rng.standard_normal((features, 1 if features == 1 else number))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0))


def sliced_w1(real: ArrayLike, fake: ArrayLike, rng: np.random.Generator, number: int = 32) -> float:
    """Mean Wasserstein-1 distance of projections.

    Args:
        real: ``(n, features)``.
        fake: ``(m, features)``.
        rng: draws the directions.
        number: of directions.

    Returns:
        The distance, in units of the features; in one dimension the Wasserstein distance itself.

    Raises:
        PartiganError: for samples that are not tables of finite numbers with the same features.
    """
    a, b = table(real, "real"), table(fake, "fake")
    comparable(a, b, 1)
    along = directions(a.shape[1], number, rng)
    return float(np.mean([wasserstein_1d(x, y) for x, y in zip((a @ along).T, (b @ along).T, strict=True)]))
