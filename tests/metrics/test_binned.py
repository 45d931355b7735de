from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metric_cases import rng
from partigan.metrics.binned import separation_power


def test_separation_power_of_shifted_normal_distributions() -> None:
    a, b = rng(1).normal(0, 1, 50_000), rng(2).normal(1, 1, 50_000)
    x = np.linspace(-10, 11, 20_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, 1)
    (power,) = separation_power(a, b, bins=200)
    assert power.value == pytest.approx(0.5 * np.trapezoid((p - q) ** 2 / (p + q), x), abs=4 * power.error + 1e-3)
