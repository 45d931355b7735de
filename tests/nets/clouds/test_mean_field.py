"""The chain of mean-field blocks in C beside the one of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from helpers import needs_compiler, values
from partigan.nets.clouds import mean_field
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator

pytestmark = needs_compiler

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "generator, 4 heads": lambda: MDMAGenerator(heads=4, blocks=2),
    "generator, 16 heads": lambda: MDMAGenerator(blocks=2),
    "generator, 8 heads of 2, latent 32": lambda: MDMAGenerator(latent=32, hidden=16, heads=8, blocks=2),
    "generator, 1 head": lambda: MDMAGenerator(heads=1, blocks=1),
    "critic, 4 heads": lambda: MDMACritic(heads=4),
    "critic, 16 heads": lambda: MDMACritic(particles=150),
}


def _jets(network: nn.Module) -> tuple[Tensor, Tensor]:
    particles = int(network.body.particles)  # type: ignore
    rng = torch.Generator().manual_seed(1)
    mask = torch.rand(9, particles, generator=rng) < torch.linspace(0.1, 1, 9)[:, None]  # real ones stand anywhere
    mask[:, 3] = True
    return torch.randn(9, particles, 3, generator=rng), mask


def _slopes(network: nn.Module, x: Tensor, mask: Tensor | None, order: int = 1) -> list[Tensor]:
    """The output, and its slopes in the input and all parameters; of order 2: those of the input's squared slope."""
    leaf = x.clone().requires_grad_()
    output = values(network(leaf, mask=mask))
    loss = (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum()
    inputs = [leaf, *network.parameters()]
    if order == 2:
        (slope,) = torch.autograd.grad(loss, leaf, create_graph=True)
        loss = slope.square().sum()
    return [output, *torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("order", [1, 2])
def test_c_and_torch_agree_in_values_and_slopes(
    name: str, masked: bool, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().train()
    x, mask = _jets(network)
    given = mask if masked else None
    found = _slopes(network, x, given, order)
    monkeypatch.setattr(mean_field.MeanFieldNetwork, "compiled", lambda self: None)
    wanted = _slopes(network, x, given, order)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-6 + 2e-5 * float(other.detach().abs().max()))


def test_training_takes_the_form_in_c_and_inference_does_not() -> None:
    network = MDMAGenerator(blocks=1)
    x, mask = _jets(network)
    kinds = {}
    for training in (True, False):
        made, _ = network.train(training).body(x, mask)
        kinds[training] = type(made.grad_fn).__name__
    assert "Chain" in kinds[True]
    assert "Chain" not in kinds[False]


@pytest.mark.parametrize("sizes", [{"latent": 12}, {"hidden": 40, "heads": 4}])
def test_sizes_that_fill_no_vectors_are_left_to_torch(sizes: dict[str, int]) -> None:
    network = MDMAGenerator(blocks=1, **sizes).train()
    x, mask = _jets(network)
    assert network.body.compiled() is None
    assert torch.isfinite(network(x, mask=mask)).all()


def test_without_a_compiler_torch_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    network = MDMAGenerator(blocks=1, heads=2).train()  # of a size that nothing else compiles
    x, mask = _jets(network)
    assert network.body.compiled() is None
    network(x, mask=mask).sum().backward()


def test_a_jet_without_particles_disturbs_no_other() -> None:
    network = MDMACritic(heads=4).train()
    x, mask = _jets(network)
    alone = network(x[1:], mask=mask[1:]).score
    mask[0] = False
    torch.testing.assert_close(network(x, mask=mask).score[1:], alone)
