"""Parameter counts and shapes of CaloShowerGAN."""

from __future__ import annotations

import pytest
import torch

from partigan.errors import PartiganError
from partigan.nets.calorimeters import VoxelCritic, VoxelGenerator, log_kinetic

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
