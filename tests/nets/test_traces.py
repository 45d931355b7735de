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
    translator = shaken(TraceTranslator, channels=2, bins=bins, **options)
    noise = torch.randn_like(x)
    assert not torch.allclose(translator(x, condition, noise=noise), translator(x, condition, noise=-noise))
    coded = shaken(SharedEncoder, TraceEncoder(2, **options), *(TraceDecoder(2, bins, **options) for _ in range(2)))
    critic = shaken(TraceCritic, channels=2, bins=bins, **options)
    for network, drawn in ((translator, {"noise": noise}), (coded, {}), (coded.reversed(), {})):
        made = network(x, condition, **drawn)
        assert made.shape == x.shape
        torch.testing.assert_close(network.deployed()(x, condition, **drawn), made)
    assert critic(x, condition).score.shape == (4, 1)
    if condition is not None:
        for network, drawn in ((translator, {"noise": noise}), (coded, {}), (critic, {})):
            one, other = (values(network(x, given, **drawn)) for given in (condition, condition.flip(0)))
            assert not torch.allclose(one, other)


def test_new_refiners_change_nothing() -> None:
    x = torch.randn(3, 1, 80)
    assert torch.equal(TraceTranslator(conditions=2)(x, torch.randn(3, 2)), x)


def test_refiners_draw_noise_of_their_own() -> None:
    """One number a bin, by a learned standard deviation."""
    translator, x = shaken(TraceTranslator, bins=40).float(), torch.zeros(2, 1, 40)
    none, one, two = (translator(x, noise=size * torch.ones_like(x)) for size in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two - one, one - none)
    assert translator.noise(torch.Generator().manual_seed(0)).shape == (1, 40)
    torch.manual_seed(0)
    assert not torch.equal(translator(x)[0], translator(x)[1])


def test_refined_traces_saturate_where_data_do_and_gradients_pass() -> None:
    translator, x = TraceTranslator(bins=40), torch.linspace(-2, 2, 40).view(1, 1, 40).requires_grad_()
    translator.reach(((-1.0, -1.0, 0.5), (0.0, 2000.0)), ((-2.0, -2.0, 2.0), (0.0, 3000.0)))
    made = translator(x)
    torch.testing.assert_close(made, x.clamp(-1.0, 0.5))
    assert translator.ends.tolist() == [0.0, 2000.0]
    (gradient,) = torch.autograd.grad(made.sum(), x)
    assert (gradient == 1).all()


def test_a_classifier_has_logits() -> None:
    output = TraceClassifier(bins=40, classes=5)(torch.randn(3, 1, 40))
    assert output.score.shape == (3, 5)
    assert output.features is not None
