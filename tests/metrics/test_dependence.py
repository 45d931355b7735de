from __future__ import annotations

import numpy as np
import pytest

from partigan.errors import PartiganError
from partigan.metrics.dependence import Conditioned, dependence
from partigan.metrics.weighted import Weighted


def sample(size: int, seed: int, strength: float = 1.0, gap: bool = False) -> Conditioned:
    rng = np.random.default_rng(seed)
    conditions = rng.random((size, 2))
    if gap:
        conditions = conditions[(conditions[:, 0] < 0.4) | (conditions[:, 0] > 0.6)]
    rows = np.stack([strength * conditions[:, 0], conditions.sum(1)], 1) + 0.2 * rng.standard_normal(conditions.shape)
    return Weighted(rows), conditions


def test_the_same_dependence_is_accepted_and_a_planted_one_rejected() -> None:
    rng = np.random.default_rng(0)
    real = sample(4000, 1)
    null = dependence(real, sample(4000, 2), rng)
    assert null.value < 0.06
    assert dependence(real, sample(4000, 2, gap=True), rng).value < 0.08  # conditions need not be as frequent
    wrong = sample(4000, 2)
    planted = {
        "conditions that are ignored": (wrong[0], wrong[1][np.random.default_rng(3).permutation(4000)]),
        "half as strong": sample(4000, 2, 0.5),
    }
    for name, fake in planted.items():
        found = dependence(real, fake, rng)
        assert found.value > null.value + 5 * np.hypot(null.error, found.error), name


def test_weights_count() -> None:
    rows, conditions = sample(2000, 1)
    bad = rows.x + 5.0
    both = Weighted(np.concatenate([rows.x, bad]), np.repeat([1.0, 0.0], len(bad)))
    found = dependence((rows, conditions), (both, np.concatenate([conditions, conditions])), np.random.default_rng(0))
    assert found.value == pytest.approx(0, abs=1e-9)


def test_samples_that_cannot_be_compared() -> None:
    rng = np.random.default_rng(0)
    rows, conditions = sample(100, 1)
    with pytest.raises(PartiganError, match="2 and 2 observables, 2 and 1 conditions"):
        dependence((rows, conditions), (rows, conditions[:, :1]), rng)
    with pytest.raises(PartiganError, match="no bin of a condition has 10 rows"):
        dependence((rows, conditions), (rows, conditions + 9), rng)
