from __future__ import annotations

import pytest
import torch

from helpers import shaken, values
from partigan.nets.traces import TraceClassifier, TraceCritic, TraceDecoder, TraceEncoder, TraceTranslator
from partigan.nets.translation import SharedEncoder


@pytest.mark.parametrize("bins", [80, 37])
@pytest.mark.parametrize("options", [{}, {"conditions": 2}, {"classes": 3}])
def test_networks_take_traces_of_any_length_with_conditions(bins: int, options: dict[str, int]) -> None:
    condition = {
        "conditions": torch.randn(4, 2, dtype=torch.float64),
        "classes": torch.arange(4) % 3,
    }.get(next(iter(options), ""))
    x = torch.randn(4, 2, bins, dtype=torch.float64)
    translator = shaken(TraceTranslator, channels=2, **options)
    coded = shaken(SharedEncoder, TraceEncoder(2, **options), *(TraceDecoder(2, bins, **options) for _ in range(2)))
    critic = shaken(TraceCritic, channels=2, bins=bins, **options)
    for network in (translator, coded, coded.reversed()):
        made = network(x, condition)
        assert made.shape == x.shape
        torch.testing.assert_close(network.deployed()(x, condition), made)
    assert critic(x, condition).score.shape == (4, 1)
    if condition is not None:
        for network in (translator, coded, critic):
            assert not torch.allclose(values(network(x, condition)), values(network(x, condition.flip(0))))


def test_new_refiners_change_nothing() -> None:
    x = torch.randn(3, 1, 80)
    assert torch.equal(TraceTranslator(conditions=2)(x, torch.randn(3, 2)), x)


def test_a_classifier_has_logits() -> None:
    output = TraceClassifier(bins=40, classes=5)(torch.randn(3, 1, 40))
    assert output.score.shape == (3, 5)
    assert output.features is not None
