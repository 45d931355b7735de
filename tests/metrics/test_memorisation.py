from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from metric_cases import rng, rows
from partigan.metrics.memorisation import birthday, memorisation


def test_nearest_neighbours_are_those_of_all_distances() -> None:
    training, other, fake = rows(300, 1), rows(300, 2), rows(100, 3)
    found = memorisation(training, other, fake, rng=rng(), normalise=False)
    to_training, to_other = (cdist(fake, sample) for sample in (training, other))
    np.testing.assert_allclose(found.ratio, to_training.min(1) / to_other.min(1))
    assert (found.training_rows == to_training.argmin(1)).all()
    assert found.share.value == pytest.approx((to_training.min(1) < to_other.min(1)).mean())


def test_a_few_copies_are_found() -> None:
    training, other, fake = rows(800, 1), rows(1000, 2), rows(500, 3)
    fake[40:60] = training[100:120]
    found = memorisation(training, other, fake, rng=rng())
    assert set(found.copies[:20]) == set(range(40, 60))
    assert (found.training_rows[40:60] == np.arange(100, 120)).all()
    assert found.copies_p_value < 1e-4
    assert found.p_value > 0.01  # 20 of 500 are too few for the share


def test_birthday_paradox_finds_the_size_of_the_support() -> None:
    support = rng(1).normal(size=(5000, 8))
    found = birthday(rng(2).normal(size=(3000, 8)), support[rng(3).integers(5000, size=3000)], rng=rng())
    assert abs(found.support.value - 5000) < 3 * found.support.error
    assert found.support_limit < 5000
    assert found.p_value < 1e-6
