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

from helpers import shaken, values
from partigan.errors import PartiganError
from partigan.nets.clouds.deepsets import ParticleFlow
from partigan.nets.clouds.epic import EPiCCritic, EPiCGenerator
from partigan.nets.clouds.gapt import GAPTCritic, GAPTGenerator
from partigan.nets.clouds.graphcnn import GraphCNNGenerator
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.mpgan import MPCritic, MPGenerator, MPLFCGenerator
from partigan.nets.clouds.particlenet import ParticleNet
from partigan.nets.clouds.pointnet import PointNetMixCritic
from partigan.nets.clouds.rgan import RGANCritic, RGANGenerator
from partigan.nets.clouds.treegan import TreeGANGenerator
from partigan.nets.clouds.turning import TurningGenerator
from partigan.nets.contracts import Critic, Generator


@dataclass(frozen=True)
class Case:
    """What is expected of a network: its parameters here and as published, and its symmetries."""

    make: Callable[..., Any]
    parameters: int
    published: int | None
    symmetric: bool  # equivariant generator or invariant critic
    masked: bool
    idle: tuple[str, ...] = ()  # parts of names of parameters that cannot matter
    features: int = 3


CASES = {
    # the bias of the keys cancels in the softmax; the particles of the critic's last block are not looked at
    "mdma generator": Case(MDMAGenerator, 85_235, 87_000, True, True, ("key.bias",)),
    "mdma critic": Case(MDMACritic, 42_418, 43_000, True, True, ("key.bias", "blocks.1.update")),
    "turning generator": Case(
        lambda: TurningGenerator(MDMAGenerator(heads=4)), 85_235, None, True, True, ("key.bias",)
    ),
    "turning generator, deployed": Case(
        lambda: TurningGenerator(MDMAGenerator(heads=4)).deployed().requires_grad_(),
        85_235,
        None,
        True,
        True,
        ("key.bias",),
    ),
    "epic generator": Case(EPiCGenerator, 424_850, 424_850, True, True),
    "epic critic": Case(EPiCCritic, 313_170, 313_170, True, True),
    # published: the authors' weights have as many
    "mp generator": Case(MPGenerator, 361_123, 361_123, True, True),
    "mp generator, older": Case(partial(MPGenerator, distance=True), 361_315, None, True, True),
    "mp generator, learned mask": Case(
        partial(MPGenerator, masking="separate", binary=False), 363_300, None, True, True, features=4
    ),
    "mp generator, mask feature": Case(
        partial(MPGenerator, masking="feature", binary=False), 361_380, None, True, True, features=4
    ),
    "mp-lfc generator": Case(MPLFCGenerator, 484_963, 484_963, False, True),
    "mp critic": Case(MPCritic, 355_617, None, True, True),
    "mp critic, mask feature": Case(partial(MPCritic, mask_feature=True), 355_617 + 448, None, True, True, features=4),
    "r-gan generator": Case(RGANGenerator, 28_186, 28_186, False, False),
    "r-gan critic": Case(RGANCritic, 280_257, None, True, False),
    "graphcnn generator": Case(GraphCNNGenerator, 151_905, 151_905, False, False, ("convolutions.0.root.bias",)),
    "treegan generator": Case(TreeGANGenerator, 757_152, 757_158, False, False),
    "pointnet-mix critic": Case(PointNetMixCritic, 1_190_273, None, True, False),
    "pointnet-mix critic, mask feature": Case(
        partial(PointNetMixCritic, mask_feature=True), 1_190_337, None, True, False
    ),
    "gapt generator": Case(GAPTGenerator, 83_395, None, True, True),
    "gapt critic": Case(GAPTCritic, 62_785, None, True, True),
    "particle flow": Case(partial(ParticleFlow, classes=1), 82_357, None, True, True),
    "particlenet": Case(partial(ParticleNet, classes=1), 409_409, None, True, True),
}
NUMBERS = (1, 2, 30, 15, 7, 29)  # particles of the six jets


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def _knows(case: Case, network: nn.Module, mask: Tensor) -> Tensor | None:
    """The mask, where the network is one that takes it."""
    return None if isinstance(network, Generator) and not case.masked else mask


@pytest.fixture
def network(case: Case) -> Generator | Critic:
    made: Generator | Critic = shaken(case.make)
    return made


def _mask() -> Tensor:
    return torch.arange(30) < torch.tensor(NUMBERS)[:, None]


def _cloud(case: Case, network: nn.Module, mask: Tensor) -> Tensor:
    """What the network is called with, with noise of its own where it is a generator."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        return network.noise(len(mask), _knows(case, network, mask), rng).double()
    x = torch.randn(*mask.shape, case.features, generator=rng, dtype=torch.float64)
    if case.features == 4:
        x[..., 3] = mask.double() - 0.5
    return x


def _particles(network: nn.Module, cloud: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The same input with its particles changed; noise that belongs to the whole jet stays."""
    if cloud.dim() == 3:
        return change(cloud)
    assert isinstance(network, EPiCGenerator)
    common, local = cloud.split([network.latent, cloud.shape[1] - network.latent], dim=1)
    return torch.cat((common, change(local.unflatten(1, (-1, 3))).flatten(1)), dim=1)


def test_parameters_are_counted_and_as_published_within_5_percent(case: Case) -> None:
    assert sum(p.numel() for p in case.make().parameters()) == case.parameters
    if case.published is not None:
        assert case.parameters == pytest.approx(case.published, rel=0.05)


def test_shapes(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    output = network(_cloud(case, network, mask), mask=_knows(case, network, mask))
    if isinstance(output, Tensor):
        assert output.shape == (6, 30, case.features)
        if case.masked:
            assert (output[~mask] == 0).all()
    else:
        assert output.score.shape == (6, 1)
        assert output.features is not None
        assert output.features.shape[0] == 6


def test_permutations(case: Case, network: Generator | Critic) -> None:
    declared = network.equivariant if isinstance(network, Generator) else network.invariant
    assert declared == case.symmetric
    mask = _mask()
    cloud = _cloud(case, network, mask)
    if not case.symmetric:
        assert cloud.dim() == 2  # noise that belongs to the whole jet: there are no particles to permute
        return
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    plain = network(cloud, mask=mask)
    permuted = network(_particles(network, cloud, lambda x: x[:, order]), mask=mask[:, order])
    expected = plain[:, order] if isinstance(plain, Tensor) else values(plain)
    torch.testing.assert_close(values(permuted), expected, rtol=1e-9, atol=1e-10)


def test_padding(case: Case, network: Generator | Critic) -> None:
    assert network.masked == case.masked
    mask = _mask()
    cloud = _cloud(case, network, mask)
    plain = network(cloud, mask=mask)
    if isinstance(network, Generator) and not case.masked:
        assert torch.equal(network(cloud), plain)
        return
    if cloud.dim() == 3 or isinstance(network, EPiCGenerator):
        far = _particles(network, cloud, lambda x: torch.where(mask[..., None], x, 1e3 * torch.ones_like(x)))
        same = torch.allclose(values(network(far, mask=mask)), values(plain), rtol=1e-9, atol=1e-10)
        assert same == case.masked
    for row, number in enumerate(NUMBERS if case.masked else ()):  # trimmed to the real particles
        jet = cloud[row : row + 1]
        if case.symmetric:
            jet = _particles(network, jet, lambda x, n=number: x[:, :n])
        calls = [network(jet, mask=torch.ones(1, number, dtype=torch.bool))]
        if case.symmetric:  # and without a mask at all
            calls.append(network(jet))
        full = plain[row : row + 1, :number] if isinstance(plain, Tensor) else values(plain)[row : row + 1]
        for alone in calls:
            torch.testing.assert_close(values(alone), full, rtol=1e-9, atol=1e-10)


def test_float32_agrees(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    cloud = _cloud(case, network, mask)
    double = values(network(cloud, mask=mask))
    single = values(copy.deepcopy(network).float()(cloud.float(), mask=mask))
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)


def test_every_parameter_matters(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    values(network(_cloud(case, network, mask), mask=_knows(case, network, mask))).square().sum().backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert not {name for name in idle if not any(part in name for part in case.idle)}


def test_saved_and_loaded(case: Case, network: Generator | Critic) -> None:
    mask = _mask()
    cloud = _cloud(case, network, mask)
    other = case.make().double().eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(values(other(cloud, mask=mask)), values(network(cloud, mask=mask)))


def test_noise_is_reproducible_and_fits_the_mask(case: Case, network: Generator | Critic) -> None:
    if isinstance(network, Critic):
        return
    mask = torch.ones(4, 12, dtype=torch.bool)
    draws = [network.noise(4, mask, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    width = 12 if case.masked else 30
    assert network(draws[0].double(), mask=mask).shape == (4, width, case.features)


def test_a_tree_with_too_few_leaves_is_refused() -> None:
    with pytest.raises(PartiganError, match=r"degrees = \[2, 2\]: the tree has 4 leaves; give at least 30"):
        TreeGANGenerator(degrees=[2, 2])
