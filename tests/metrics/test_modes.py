from __future__ import annotations

import numpy as np
import pytest

from metric_cases import Floats, rng
from partigan.metrics.manifold import prd
from partigan.metrics.modes import class_modes, cluster_modes


def test_a_dropped_mode_costs_recall_and_is_missing() -> None:
    def peaks(size: int, seed: int, modes: int) -> Floats:
        draw = rng(seed)
        return np.asarray(10 * np.eye(4)[draw.integers(modes, size=size)] + draw.normal(size=(size, 4)))

    real, fake = peaks(2000, 1, 4), peaks(2000, 2, 3)
    found = prd(real, fake, rng=rng(), clusters=4, runs=3, normalise=False)
    # q = (1/3, 1/3, 1/3, 0): precision reaches 1 and recall 3/4
    assert found.f1_8.value == pytest.approx(1, abs=0.02)
    beta = 8**2
    assert found.f8.value == pytest.approx((1 + beta) * 0.75 / (beta + 0.75), abs=5 * found.f8.error + 0.01)
    modes = cluster_modes(real, fake, rng=rng(), clusters=4, normalise=False)
    assert len(modes.missing) == 1
    assert modes.real_share[modes.missing[0]] == pytest.approx(0.25, abs=0.04)
    classes = class_modes(np.arange(200) % 4, np.arange(200) % 3)
    assert classes.missing.tolist() == [3]
    assert classes.p_value < 1e-6
