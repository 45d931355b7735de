"""MDMA beside its unfolded twin."""

from __future__ import annotations

import pytest
import torch

from helpers import values
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
