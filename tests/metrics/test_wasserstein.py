from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from helpers import rng
from metric_cases import particles
from partigan.metrics.clouds import Clouds
from partigan.metrics.wasserstein import w1, wasserstein_1d


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))
def test_wasserstein_is_scipys_and_symmetric(n: int, m: int, seed: int) -> None:
    a, b = rng(seed).normal(0, 1, n), rng(seed + 1).normal(0.3, 2, m)
    assert wasserstein_1d(a, b) == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-12)
    assert wasserstein_1d(b, a) == pytest.approx(wasserstein_1d(a, b), rel=1e-12, abs=1e-12)
    assert wasserstein_1d(a, a) == 0
    assert wasserstein_1d(a, a + 0.7) == pytest.approx(0.7)


def test_wasserstein_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    assert wasserstein_1d(oracle["a_mass"], oracle["b_mass"]) == pytest.approx(float(oracle["w1m"]), rel=1e-5)
    for feature in range(3):
        a, b = (oracle[name][..., feature][oracle[name][..., 3] > 0.5] for name in "ab")
        assert wasserstein_1d(a, b) == pytest.approx(float(oracle["w1p"][feature]), rel=1e-5)


def test_a_mass_peak_that_is_5_percent_too_wide_is_rejected() -> None:
    def peak(seed: int, width: float = 0.02) -> NDArray[np.float64]:
        return rng(seed).normal(0.16, width, 20_000)

    options = {"samples": 10_000, "batches": 5}
    null = w1(peak(1), peak(2), rng=rng(), **options)
    defect = w1(peak(1), peak(3, 0.021), rng=rng(), **options)
    assert (defect.value - null.value) / np.hypot(defect.error, null.error) > 3


def test_padding_of_particles_is_ignored() -> None:
    a, b = particles(500, 1), particles(500, 2)
    mask = np.arange(6) < rng().integers(1, 7, (500, 1))
    padded = np.where(mask[..., None], a, np.nan)
    plain = w1(Clouds(a, mask), b, rng=rng(), samples=200, batches=2)
    assert w1(Clouds(padded, mask), b, rng=rng(), samples=200, batches=2) == plain
