from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from partigan.metrics.spectra import spectrum_distances


def test_distances_of_spectra_are_scipys() -> None:
    rng = np.random.default_rng(0)
    values = [rng.poisson(mean, (50, 40)) for mean in (20, 22)]
    counts = [np.stack([np.bincount(row, minlength=60) for row in sample]) for sample in values]
    ks, w1 = spectrum_distances(*counts, rng=rng)
    assert ks.value == pytest.approx(ks_2samp(values[0].ravel(), values[1].ravel()).statistic)
    assert w1.value == pytest.approx(wasserstein_distance(values[0].ravel(), values[1].ravel()))
    draws = [wasserstein_distance(rng.poisson(20, 2000), rng.poisson(22, 2000)) for _ in range(200)]
    assert w1.error == pytest.approx(np.std(draws), rel=0.35)
    ks, w1 = spectrum_distances(counts[0], np.zeros((3, 60)), rng=rng)
    assert (ks.value, w1.value) == (1, pytest.approx(values[0].mean()))
