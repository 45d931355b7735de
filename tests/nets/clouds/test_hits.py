"""calo-mdma: parameter counts, shapes, and as many hits as the tables say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.calorimeter_hits import HitCloud
from partigan.data.transforms.calorimeter_layers import LayerRatios
from partigan.errors import PartiganError
from partigan.nets.clouds.hits import HitCritic, HitGenerator
from partigan.nets.contracts import introduce
from partigan.simulate.calorimeter import Task


@pytest.fixture(scope="module")
def fitted() -> tuple[HitCloud, Batch]:
    sample = Task.of("ds1-photons", None, "fixed, 1024, 65536").showers(300, np.random.default_rng(1))
    transform = HitCloud()
    transform.fit(sample)
    return transform, sample


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes_of_the_networks() -> None:
    assert parameters(HitGenerator()) == 437_461
    assert parameters(HitCritic()) == 83_570
    with pytest.raises(PartiganError, match="a geometry that partigan knows by name"):
        HitGenerator(geometry="")


def test_numbers_of_hits_follow_the_energy(fitted: tuple[HitCloud, Batch]) -> None:
    transform, sample = fitted
    torch.manual_seed(0)
    generator, critic = (network(latent=8, hidden=8, heads=2, blocks=1) for network in (HitGenerator, HitCritic))
    introduce(generator, transform)
    introduce(critic, transform)
    noise = generator.noise(300, None, torch.Generator().manual_seed(1))
    with torch.no_grad():
        cloud = generator(noise, sample.condition)
    assert cloud.shape == (300, transform.points, 5)
    assert sample.condition is not None
    for energy in (1024, 65536):
        rows = sample.condition[:, 0] == energy
        made, real = cloud[rows, :, 4].sum(1), (sample.x[rows] > 1).sum(1).float()
        assert made.mean() == pytest.approx(real.mean().item(), abs=5 * real.std().item() / len(real) ** 0.5)
    showers = transform.inverse(Batch(cloud, condition=sample.condition)).x
    assert showers.shape == (300, 368)
    assert showers[showers > 0].min() > 1
    assert ((showers > 0).sum(1) <= cloud[..., 4].sum(1)).all()  # some points share a voxel
    output = critic(cloud, sample.condition)
    assert output.score.shape == (300, 1)
    more = torch.cat((cloud, torch.zeros(300, 3, 5)), dim=1)
    assert torch.allclose(critic(more, sample.condition).score, output.score, atol=1e-5)
    with pytest.raises(PartiganError, match="need the transform HitCloud"):
        introduce(critic, LayerRatios())


def test_clouds_hold_the_voxels_of_showers(fitted: tuple[HitCloud, Batch]) -> None:
    """Points are in their voxels whatever random numbers are added; with places moved by a bin they are not."""
    transform, sample = fitted
    held = transform.held(sample[:40])
    one, two = (transform.batch(held, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.equal(one.x, two.x)
    hit = torch.where(held.x > 1, held.x, 0.0)
    for cloud in (one, two):
        assert torch.allclose(transform.inverse(cloud).x, hit, rtol=1e-4)
    moved = one.x.clone()
    moved[..., 3] += 2.0
    assert not torch.allclose(transform.inverse(Batch(moved, condition=held.condition)).x, hit, rtol=0.1)
