from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from metric_cases import rng, rows
from partigan.metrics.manifold import density_coverage, precision_recall


def test_fidelity_and_diversity_are_their_definitions() -> None:
    a, b = rows(400, 1), rows(400, 2)[:300]
    options = {"rng": rng(), "normalise": False}
    precision, _ = precision_recall(a, b, **options)
    distances = np.linalg.norm(a[:, None] - b, axis=-1)
    radius = {k: NearestNeighbors(n_neighbors=k).fit(a).kneighbors()[0][:, -1:] for k in (3, 5)}
    assert precision.value == pytest.approx((distances <= radius[3]).any(0).mean())
    density, coverage = density_coverage(a, b, **options)
    assert density.value == pytest.approx((distances <= radius[5]).sum(0).mean() / 5)
    assert coverage.value == pytest.approx((distances <= radius[5]).any(1).mean())
    k = np.arange(1, 6)
    assert abs(coverage.value - (1 - np.prod((400 - k) / (700 - k)))) < 4 * coverage.error
