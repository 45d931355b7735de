"""Networks of tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from partigan.nets.tables import TableCritic, TableGenerator, TableTranslator


@pytest.mark.parametrize(
    "options", [{}, {"batch_norm": True}, {"classes": 3}, {"conditions": 2}, {"activation": "tanh", "depth": 1}]
)
def test_networks_of_tables(options: dict[str, Any]) -> None:
    condition = {"classes": torch.tensor([0, 2, 1, 0]), "conditions": torch.randn(4, 2)}.get(next(iter(options), ""))
    generator = TableGenerator(5, latent=3, width=8, **options)
    rows = generator(generator.noise(4, None, torch.Generator().manual_seed(0)), condition)
    assert rows.shape == (4, 5)
    critic = TableCritic(5, width=8, outputs=2, spectral_norm=1.0, **options)
    output = critic(rows, condition)
    assert output.score.shape == (4, 2)
    assert output.features is not None
    assert output.features.shape == (4, 8)
    output.score.square().sum().backward()
    translator = TableTranslator(5, width=8, **{k: v for k, v in options.items() if k != "batch_norm"})
    data = rows.detach()
    assert torch.equal(translator(data, condition), data)
    nn.init.normal_(translator.out.weight)
    changed = translator(data, condition)
    assert changed.shape == (4, 5)
    assert torch.equal(translator.deployed()(data, condition), changed)
    changed.square().sum().backward()
    for network in (generator, critic, translator):
        assert all(p.grad is not None for p in network.parameters())
    if condition is not None:
        assert not torch.equal(critic(rows, condition).score, critic(rows, condition.flip(0)).score)
        assert not torch.equal(changed, translator(data, condition.flip(0)))


def test_residual_layers_add_to_their_input() -> None:
    """A residual network whose later layers give nothing is one of a single layer; the sizes are the same."""
    plain, residual = (TableGenerator(4, conditions=4, latent=64, depth=5, residual=each) for each in (False, True))
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in residual.parameters()) == 75_396
    for block in [*residual.body.hidden][2:]:
        nn.init.zeros_(block[0].weight)
        nn.init.zeros_(block[0].bias)
    single = TableGenerator(4, conditions=4, latent=64, depth=1)
    pairs = zip(single.parameters(), (*[*residual.parameters()][:2], *residual.out.parameters()), strict=True)
    for ours, theirs in pairs:
        ours.data.copy_(theirs.data)
    noise, condition = torch.randn(5, 64), torch.randn(5, 4)
    torch.testing.assert_close(residual(noise, condition), single(noise, condition))


def test_spectral_norm_is_one() -> None:
    torch.manual_seed(0)
    critic = TableCritic(features=4, width=16, spectral_norm=3.0)
    for _ in range(300):  # power iterations
        critic(torch.zeros(1, 4))
    for module in critic.modules():
        if isinstance(module, nn.Linear):
            assert torch.linalg.matrix_norm(module.weight, 2).item() == pytest.approx(1, abs=1e-3)
    plain = TableCritic(features=4, width=16, spectral_norm=1.0)
    for layer in critic.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    plain.load_state_dict(critic.state_dict())
    x = torch.randn(5, 4)
    torch.testing.assert_close(critic.eval()(x).score, 3**4 * plain.eval()(x).score)
