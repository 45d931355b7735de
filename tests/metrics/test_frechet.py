from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from helpers import rng
from metric_cases import table
from partigan.metrics.frechet import Moments, fpd, fpnd, frechet_distance


def test_fpnd_is_scipys_square_root() -> None:
    a, b = table(2000, 1), table(2000, 2, 1.3)
    reference, other = Moments.of(a), Moments.of(b)
    root = np.trace(sqrtm(reference.cov @ other.cov).real)
    expected = np.square(reference.mean - other.mean).sum() + np.trace(reference.cov + other.cov) - 2 * root
    assert fpnd(reference, b, rng=rng()).value == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_two_gaussians() -> None:
    one, two = np.diag([1.0, 4.0]), np.diag([9.0, 4.0])
    assert frechet_distance([0, 0], one, [3, 4], two) == pytest.approx(25 + (1 - 3) ** 2)
    turn = np.linalg.qr(rng().normal(size=(2, 2)))[0]
    turned = frechet_distance(turn @ [0, 0], turn @ one @ turn.T, turn @ [3, 4], turn @ two @ turn.T)
    assert turned == pytest.approx(29)
    assert frechet_distance([1, 2], one, [1, 2], one) == pytest.approx(0, abs=1e-12)
    flat = np.diag([1.0, 0.0])
    assert frechet_distance([0, 0], flat, [0, 0], flat) == pytest.approx(0, abs=1e-12)


def test_fpd_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    """Within two errors: the reference draws with repetition, which keeps the bias of the whole sample in its FPD."""
    value, error = oracle["fpd"]
    ours = fpd(oracle["a_fpd_features"], oracle["b_fpd_features"], rng=rng(), min_samples=1000, max_samples=3000)
    assert abs(ours.value - value) < 2 * np.hypot(error, ours.error)
