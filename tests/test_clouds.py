"""One contract for every network of particle clouds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from partigan.nets.clouds.epic import EPiCCritic, EPiCGenerator
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.particlenet import ParticleNet
from partigan.nets.contracts import Critic, CriticOutput, Generator


@dataclass(frozen=True)
class Case:
    """What is expected of a network: its parameters here and as published, and its symmetries."""

    make: Callable[..., Any]
    parameters: int
    published: int | None
    symmetric: bool  # equivariant generator or invariant critic
    masked: bool
    idle: tuple[str, ...] = ()  # parts of names of parameters that cannot matter


CASES = {
    # the bias of the keys cancels in the softmax; the particles of the critic's last block are not looked at
    "mdma generator": Case(MDMAGenerator, 85_235, 87_000, True, True, ("key.bias",)),
    "mdma critic": Case(MDMACritic, 42_418, 43_000, True, True, ("key.bias", "blocks.1.update")),
    "epic generator": Case(EPiCGenerator, 424_850, 424_850, True, True),
    "epic critic": Case(EPiCCritic, 313_170, 313_170, True, True),
    "particlenet": Case(partial(ParticleNet, classes=1), 409_409, None, True, True),
}
NUMBERS = (1, 2, 30, 15, 7, 29)  # particles of the six jets


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def network(case: Case) -> Generator | Critic:
    torch.manual_seed(1)
    made: Generator | Critic = case.make().double().eval()
    with torch.no_grad():  # away from the symmetries of a fresh initialisation
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def _mask() -> Tensor:
    return torch.arange(30) < torch.tensor(NUMBERS)[:, None]


def _cloud(network: nn.Module, mask: Tensor) -> Tensor:
    """What the network is called with, with noise of its own where it is a generator."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        return network.noise(len(mask), mask, rng).double()
    return torch.randn(*mask.shape, 3, generator=rng, dtype=torch.float64)


def _particles(network: nn.Module, cloud: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The same input with its particles changed; noise that belongs to the whole jet stays."""
    if cloud.dim() == 3:
        return change(cloud)
    common, local = cloud.split([network.latent, cloud.shape[1] - network.latent], dim=1)
    return torch.cat((common, change(local.unflatten(1, (-1, 3))).flatten(1)), dim=1)


def _values(output: Tensor | CriticOutput) -> Tensor:
    return output if isinstance(output, Tensor) else torch.cat([part for part in output if part is not None], 1)


def test_parameters_are_counted_and_as_published_within_5_percent(case: Case) -> None:
    assert sum(p.numel() for p in case.make().parameters()) == case.parameters
    if case.published is not None:
        assert case.parameters == pytest.approx(case.published, rel=0.05)


def test_shapes(network: Generator | Critic) -> None:
    mask = _mask()
    output = network(_cloud(network, mask), mask=mask)
    if isinstance(output, Tensor):
        assert output.shape == (6, 30, 3)
        assert (output[~mask] == 0).all()
    else:
        assert output.score.shape == (6, 1)
        assert output.features is not None
        assert output.features.shape[0] == 6


def test_permutations(case: Case, network: Generator | Critic) -> None:
    declared = network.equivariant if isinstance(network, Generator) else network.invariant
    assert declared == case.symmetric
    mask = _mask()
    cloud = _cloud(network, mask)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    plain = network(cloud, mask=mask)
    permuted = network(_particles(network, cloud, lambda x: x[:, order]), mask=mask[:, order])
    expected = plain[:, order] if isinstance(plain, Tensor) else _values(plain)
    same = torch.allclose(_values(permuted), expected, rtol=1e-9, atol=1e-10)
    assert same == case.symmetric


def test_padding(case: Case, network: Generator | Critic) -> None:
    assert network.masked == case.masked
    mask = _mask()
    cloud = _cloud(network, mask)
    plain = network(cloud, mask=mask)
    changed = _particles(network, cloud, lambda x: torch.where(mask[..., None], x, 1e3 * torch.ones_like(x)))
    same = torch.allclose(_values(network(changed, mask=mask)), _values(plain), rtol=1e-9, atol=1e-10)
    assert same == case.masked
    for row, number in enumerate(NUMBERS if case.masked else ()):  # trimmed, and without a mask at all
        jet = _particles(network, cloud[row : row + 1], lambda x, n=number: x[:, :n])
        alone = _values(network(jet))
        full = plain[row : row + 1, :number] if isinstance(plain, Tensor) else _values(plain)[row : row + 1]
        torch.testing.assert_close(alone, full, rtol=1e-9, atol=1e-10)


def test_float32_agrees(network: Generator | Critic) -> None:
    mask = _mask()
    cloud = _cloud(network, mask)
    double = _values(network(cloud, mask=mask))
    single = _values(copy.deepcopy(network).float()(cloud.float(), mask=mask))
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)


def test_every_parameter_matters(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    _values(network(_cloud(network, mask), mask=mask)).square().sum().backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert not {name for name in idle if not any(part in name for part in case.idle)}


def test_saved_and_loaded(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    cloud = _cloud(network, mask)
    other = case.make().double().eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(_values(other(cloud, mask=mask)), _values(network(cloud, mask=mask)))


def test_noise_is_reproducible_and_fits_the_mask(network: Generator | Critic) -> None:
    if isinstance(network, Critic):
        return
    mask = torch.ones(4, 12, dtype=torch.bool)
    draws = [network.noise(4, mask, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    assert network(draws[0].double(), mask=mask).shape == (4, 12, 3)
