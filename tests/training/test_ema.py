from __future__ import annotations

import pytest
import torch

from partigan.training.ema import EMA


def test_average_has_its_half_life() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    ema = EMA(network, half_life=10)
    torch.nn.init.ones_(network.weight)
    for _ in range(10):
        ema.update(network)
    assert ema.network.weight.item() == pytest.approx(0.5)
    torch.nn.init.zeros_(network.weight)
    exact = EMA(network, half_life=10, decay=0.9)
    torch.nn.init.ones_(network.weight)
    exact.update(network)
    assert exact.network.weight.item() == pytest.approx(0.1)
    off = EMA(network, half_life=0)
    torch.nn.init.zeros_(network.weight)
    off.update(network)
    assert off.network.weight.item() == 0
