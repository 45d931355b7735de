"""Networks of calorimeter showers as rows of voxels: CaloShowerGAN's.

References:
    M. Faucci Giannelli, R. Zhang, CaloShowerGAN, arXiv:2309.06515, with the authors' published settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from partigan.data.calorimeter import Geometry, geometry
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator

MASSES = {"photon": 0.0, "electron": 0.511, "pion": 139.57}  # MeV
TINY = 1e-6
CM = 10.0  # mm


def known_geometry(name: str) -> Geometry:
    """The geometry of a network's showers.

    Raises:
        PartiganError: there is none of that name, or the data have a binning of their own, without one.
    """
    if not name:
        raise PartiganError(
            "this network needs a geometry that partigan knows by name; the binning of these data is another"
        )
    return geometry(name)


def placed_energy(condition: Tensor | None, energies: Sequence[float]) -> Tensor:
    """Ln E between -1 and 1 at the ends of training, and where the particle hits in cm, ``(batch, conditions)``.

    Args:
        condition: energy of the particle in MeV and, perhaps, where it hits in mm.
        energies: lowest and highest.
    """
    scaled = log_kinetic(condition, energies, 0.0)
    return torch.cat((2 * scaled[:, :1] - 1, scaled[:, 1:] / CM), dim=1)


def log_kinetic(condition: Tensor | None, energies: Sequence[float], mass: float) -> Tensor:
    """Logarithm of the kinetic energy sqrt(E^2 + m^2) - m, 0 at the lowest and 1 at the highest energy of training.

    Args:
        condition: energy of the particle in MeV and, perhaps, more columns, which stay as they are.
        energies: lowest and highest.
        mass: m, MeV.

    Returns:
        ``(batch, conditions)``.

    Raises:
        PartiganError: there is no condition.

    Example:
        >>> log_kinetic(torch.tensor([[256.0], [1024.0], [4096.0]]), [256.0, 4096.0], 0.0)[:, 0]
        tensor([0.0000, 0.5000, 1.0000])
    """
    if condition is None:
        raise PartiganError("this network needs the energy of the particle as condition")

    def kinetic(energy: Tensor) -> Tensor:
        return ((energy.square() + mass**2).sqrt() - mass).clamp_min(TINY)

    low, high = (math.log(max(math.hypot(energy, mass) - mass, TINY)) for energy in energies)
    scaled = (kinetic(condition[:, :1]).log() - low) / max(high - low, TINY)
    return torch.cat((scaled, condition[:, 1:]), dim=1)


class VoxelGenerator(Generator):
    """CaloShowerGAN's generator: noise and log kinetic energy to voxels, with swish and, for photons, batch norm.

    Its noise has the mean 0.5 and the standard deviation 0.5.

    Args:
        features: number of voxels.
        conditions: number of conditions, the first of them the energy in MeV.
        energies: lowest and highest of training, MeV.
        particle: photon, electron or pion: its mass.
        factor: the authors' size factor, of latent 50 and hidden 50, 100, 200.
        batch_norm: after each hidden layer.

    Example:
        >>> generator = VoxelGenerator(features=368)
        >>> noise = generator.noise(5, None, torch.Generator())
        >>> generator(noise, torch.full((5, 1), 1000.0)).shape
        torch.Size([5, 368])
    """

    normal = (0.5, 0.5)

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        energies: Sequence[float] = (256.0, 4194304.0),
        particle: Literal["photon", "electron", "pion"] = "photon",
        factor: int = 2,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.latent, self.energies, self.mass = 50 * factor, list(energies), MASSES[particle]
        layers: list[nn.Module] = []
        before = self.latent + conditions
        for width in (50 * factor, 100 * factor, 200 * factor):
            layers += [nn.Linear(before, width), *([nn.BatchNorm1d(width)] if batch_norm else []), nn.SiLU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, features), nn.ReLU())

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with mean and standard deviation 0.5, ``(size, latent)``."""
        return 0.5 + 0.5 * torch.randn(size, self.latent, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Voxels ``(batch, features)``, not below 0."""
        voxels: Tensor = self.layers(torch.cat((noise, log_kinetic(condition, self.energies, self.mass)), dim=1))
        return voxels


class VoxelCritic(Critic):
    """CaloShowerGAN's critic: voxels and log kinetic energy, three hidden layers with ReLU and without norm.

    Args:
        features: number of voxels.
        conditions: number of conditions, the first of them the energy in MeV.
        energies: lowest and highest of training, MeV.
        particle: photon, electron or pion: its mass.
        widths: of the hidden layers; empty = as many as voxels in each, as for photons; 800, 400, 200 for pions.

    Example:
        >>> VoxelCritic(features=368)(torch.zeros(5, 368), torch.full((5, 1), 1000.0)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        energies: Sequence[float] = (256.0, 4194304.0),
        particle: Literal["photon", "electron", "pion"] = "photon",
        widths: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.energies, self.mass = list(energies), MASSES[particle]
        layers: list[nn.Module] = []
        before = features + conditions
        for width in list(widths) or [features] * 3:
            layers += [nn.Linear(before, width), nn.ReLU()]
            before = width
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(before, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last hidden layer."""
        hidden = self.layers(torch.cat((x, log_kinetic(condition, self.energies, self.mass)), dim=1))
        return CriticOutput(self.head(hidden), hidden)
