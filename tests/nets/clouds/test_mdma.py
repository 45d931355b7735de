"""MDMA beside its unfolded twin."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from helpers import values
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from unfolded_mdma import unfold


@pytest.mark.parametrize("particles", [30, 150])
@pytest.mark.parametrize("make", [MDMAGenerator, MDMACritic])
def test_folded_and_unfolded_agree_in_value_and_gradient(
    make: type[MDMAGenerator] | type[MDMACritic], particles: int
) -> None:
    torch.manual_seed(1)
    network = make(particles=particles).double()
    mask = torch.arange(particles) < torch.tensor([1, 2, particles, particles // 2, 7, particles - 1])[:, None]
    x = torch.randn(6, particles, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    outputs, slopes = [], []
    for each in (network, unfold(network)):
        leaf = x.clone().requires_grad_()
        output = values(each(leaf, mask=mask))
        weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        # everything that the blocks compute flows back into the bias of the embedding
        slopes.append(torch.autograd.grad((output * weight).sum(), [leaf, each.body.embed.bias]))
        outputs.append(output)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-8, atol=1e-9)
    with torch.inference_mode():  # where the residual is overwritten
        torch.testing.assert_close(values(network(x, mask=mask)), outputs[0].detach(), rtol=1e-12, atol=1e-12)


def test_hidden_has_to_be_a_multiple_of_heads() -> None:
    with pytest.raises(PartiganError, match="hidden = 50; give a multiple of heads = 16"):
        MDMAGenerator(hidden=50)


def test_particles_are_told_conditions() -> None:
    torch.manual_seed(1)
    network = MDMAGenerator(conditions=2, blocks=1)
    noise = network.noise(2, None, torch.Generator())
    assert noise.shape == (2, 30, 3)
    one, other = (network(noise, torch.full((2, 2), value)) for value in (0.0, 1.0))
    assert one.shape == noise.shape
    assert not torch.isclose(one, other).any()
    with pytest.raises(PartiganError, match=r"conditions = 2, and is given \[3\]"):
        network(noise, torch.zeros(2, 3))


def test_critic_gives_the_same_for_real_and_generated_together() -> None:
    torch.manual_seed(1)
    critic, rng = MDMACritic(), torch.Generator().manual_seed(2)
    real, fake = (Batch(torch.randn(4, 9, 3, generator=rng), torch.rand(4, 9, generator=rng) > 0.3) for _ in "ab")
    calls: list[int] = []
    critic.register_forward_hook(lambda *_: calls.append(1))
    for found, wanted in zip(
        critic.both(real, fake), (critic(real.x, mask=real.mask), critic(fake.x, mask=fake.mask)), strict=True
    ):
        torch.testing.assert_close(found.score, wanted.score)
        torch.testing.assert_close(found.features, wanted.features)
        assert found.logits is None
    assert len(calls) == 3
    critic.both(real, replace(fake, x=fake.x[:3], mask=None))
    assert len(calls) == 5
