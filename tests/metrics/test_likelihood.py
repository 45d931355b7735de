from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

from metric_cases import rng, rows
from partigan.metrics.likelihood import kernel_density_likelihood


def test_likelihood_is_scikit_learns_and_knows_its_units() -> None:
    x, y = rows(500, 1), rows(600, 2)
    found = kernel_density_likelihood(x, y, rng=rng())
    scale = y.std(0)
    tree = KernelDensity(bandwidth=found.bandwidth).fit(y / scale)
    expected = tree.score_samples(x / scale).mean() - np.log(scale).sum()
    assert found.log_likelihood.value == pytest.approx(expected, rel=1e-6)
