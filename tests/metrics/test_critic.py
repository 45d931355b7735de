from __future__ import annotations

import numpy as np

from metric_cases import rng
from partigan.metrics.critic import held_out_critic


def test_critic_estimates_a_shift_from_below() -> None:
    shift = np.array([0.8, 0.0])
    a, b = rng(1).normal(size=(3000, 2)), rng(2).normal(size=(3000, 2)) + shift
    distance, _ = held_out_critic(a, b, rng=rng(), steps=100, batch_size=128, width=32)
    assert 0.6 * 0.8 < distance.value < 0.8 + 3 * distance.error
