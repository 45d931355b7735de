from __future__ import annotations

import numpy as np
import pytest

from helpers import rng
from metric_cases import table
from partigan.metrics.kpd import kpd


def test_kpd_is_its_definition() -> None:
    """Unbiased MMD^2 of (x.y / d + 1)^4, all terms written out; one batch of all rows."""
    a, b = table(60, 1), table(60, 2)
    x, y = (sample / np.abs(a).max(0) for sample in (a, b))
    kernels = [(u @ v.T / 4 + 1) ** 4 for u, v in ((x, x), (y, y), (x, y))]
    within = sum((k.sum() - np.trace(k)) / (60 * 59) for k in kernels[:2])
    found = kpd(a, b, rng=rng(), batches=1, batch_size=60)
    assert found.value == pytest.approx(within - 2 * kernels[2].mean(), rel=1e-9)


def test_kpd_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    value, error = oracle["kpd"]
    ours = kpd(oracle["a_fpd_features"], oracle["b_fpd_features"], rng=rng(), batches=10, batch_size=1000)
    assert abs(ours.value - value) < 2 * np.hypot(error, ours.error)
