"""Parameter counts, shapes and what the networks of calorimeter showers see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.calorimeter import geometry
from partigan.data.transforms.calorimeters import LayerRatios
from partigan.errors import PartiganError
from partigan.nets.calorimeters import LayerCritic, LayerGenerator, VoxelCritic, VoxelGenerator, log_kinetic
from partigan.observables.calorimeters import shower_features
from partigan.simulate.calorimeter import Task

ENERGY = torch.tensor([[256.0], [4096.0], [65536.0]])


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_caloshowergan_has_the_sizes_of_the_authors() -> None:
    """Photons: latent 100, hidden 100, 200, 400 with batch norm; critic three times as many units as voxels."""
    generator, critic = VoxelGenerator(368), VoxelCritic(368)
    dense = (101 * 100 + 100) + (100 * 200 + 200) + (200 * 400 + 400) + (400 * 368 + 368)
    assert parameters(generator) == dense + 2 * (100 + 200 + 400) == 259_768
    assert parameters(critic) == (369 * 368 + 368) + 2 * (368 * 368 + 368) + 369 == 408_113
    noise = generator.noise(5000, None, torch.Generator().manual_seed(1))
    assert noise.shape == (5000, 100)
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.std() == pytest.approx(0.5, abs=0.01)
    voxels = generator(noise[:3], ENERGY)
    assert voxels.shape == (3, 368)
    assert (voxels >= 0).all()
    assert critic(voxels, ENERGY).score.shape == (3, 1)
    pions = VoxelCritic(533, particle="pion", widths=(800, 400, 200))
    assert pions(torch.zeros(3, 533), ENERGY).score.shape == (3, 1)


def test_kinetic_energies() -> None:
    scaled = log_kinetic(ENERGY, (256.0, 65536.0), 0.0)
    assert scaled[:, 0].tolist() == pytest.approx([0, 0.5, 1])
    pion = log_kinetic(ENERGY, (256.0, 65536.0), 139.57)
    assert pion[1, 0] > scaled[1, 0]
    with pytest.raises(PartiganError, match="energy of the particle as condition"):
        log_kinetic(None, (1.0, 2.0), 0.0)


def test_calo_fast_is_small_and_begins_with_independent_layers() -> None:
    torch.manual_seed(0)
    generator, critic = LayerGenerator(), LayerCritic()
    assert parameters(generator) == 372_362
    assert parameters(critic) == 334_081
    noise = generator.noise(3, None, torch.Generator().manual_seed(1))
    x = generator(noise, ENERGY)
    assert x.shape == (3, 378)
    assert torch.equal(x[:, :10], noise[:, :10])
    output = critic(x, ENERGY)
    assert output.features is not None
    assert output.features.shape == (3, 53)
    x.sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())
    with pytest.raises(PartiganError, match="a geometry that partigan knows by name"):
        LayerGenerator(geometry="")


def test_the_critic_sees_the_observables_of_layers() -> None:
    """From normalised features alone: hits, centres and widths are those of the energies."""
    known = geometry("ds1-photons")
    sample = Task.of("ds1-photons", None, "fixed, 16384").showers(50, np.random.default_rng(1))
    transform = LayerRatios()
    transform.fit(sample)
    seen, hits, _ = LayerCritic().known.seen(transform.forward(sample).x)
    true = shower_features(sample.x, known.cells, 1.0)
    layer = seen[:, 16:24]  # the third of five, in which all showers have most of their energy
    assert hits.sum(1).tolist() == (sample.x > 1).sum(1).tolist()
    assert torch.allclose((layer[:, 0] + 2) / 4, 1 - true["sparsity"][:, 2].float(), atol=1e-3)
    assert torch.allclose((layer[:, 5] + 1).exp() - 0.1, true["ec_r"][:, 2].float(), rtol=0.02)
    width = ((layer[:, 7] + 1).mul(2).exp() - 0.01).sqrt()
    assert torch.allclose(width, true["width_r"][:, 2].float(), rtol=0.02)
    assert torch.corrcoef(torch.stack((layer[:, 3], true["ec_eta"][:, 2].float())))[0, 1] > 0.9


def test_likelihood_is_highest_for_what_the_model_makes() -> None:
    torch.manual_seed(0)
    generator, rng = LayerGenerator(width=16, depth=1), torch.Generator().manual_seed(1)
    condition = torch.full((400, 1), 4096.0)
    with torch.no_grad():
        x = generator(generator.noise(400, None, rng), condition)
        own = generator.surprise(x, condition, rng)
        brighter, dimmer = x.clone(), x.clone()
        brighter[:, 10:] *= 1.5
        dimmer[:, 10:] *= 0.7
        for other in (brighter, dimmer):
            assert generator.surprise(other, condition, rng) > own + 0.1
