"""Networks of calorimeter showers as rows of voxels: CaloShowerGAN's, and ours, which works layer by layer.

References:
    M. Faucci Giannelli, R. Zhang, CaloShowerGAN, arXiv:2309.06515, with the authors' published settings; the networks
    of `calo-fast` are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.data.calorimeter import geometry
from partigan.data.transforms.calorimeters import LEAST, OFFSET, SCALE
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import dense, silent

MASSES = {"photon": 0.0, "electron": 0.511, "pion": 139.57}  # MeV
TINY = 1e-6


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

    low, high = kinetic(condition.new_tensor(list(energies))).log().tolist()
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


class _Layers(nn.Module):
    """What the networks of `calo-fast` know of a geometry: the features of `LayerRatios` and places of voxels."""

    places: list[Tensor]

    def __init__(self, name: str, energies: Sequence[float]) -> None:
        super().__init__()
        if not name:
            raise PartiganError(
                "this network needs a geometry that partigan knows by name; the binning of these data is another"
            )
        known = geometry(name)
        self.sizes = [layer.size for layer in known.layers]
        self.global_features = 2 * len(self.sizes)
        self.energies = list(energies)
        for number, cells in enumerate(known.cells):
            unit = float(cells.r[cells.r > 0].min())
            place = torch.stack((cells.eta, cells.phi, cells.r)).float() / unit
            self.register_buffer(
                f"places_{number}", torch.cat((place, place.square())).T.contiguous(), persistent=False
            )

    def energy(self, condition: Tensor | None) -> Tensor:
        """Ln E between -1 and 1, its square and its cube, ``(batch, 3)``."""
        t = 2 * log_kinetic(condition, self.energies, 0.0)[:, :1] - 1
        return torch.cat((t, t.square(), t**3), dim=1)

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What there is to see in a shower.

        For each layer: number of hits, its logarithm and that of the number of hits with most of the energy,
        1 / sum of squared shares; centres in eta and phi in units of their statistical errors; logarithms of the centre
        in r and of the widths.

        Args:
            x: normalised showers, see `partigan.data.transforms.calorimeters.LayerRatios`.

        Returns:
            ``(batch, 8 layers)``, features of layers; hits and energies of voxels, ``(batch, voxels)`` each.
        """
        found, y = [], x[:, self.global_features :].relu()
        hits = (2 * y).clamp_max(1.0)
        for number, (part, hit) in enumerate(zip(y.split(self.sizes, 1), hits.split(self.sizes, 1), strict=True)):
            weight = hit * ((part - OFFSET).clamp_max(4.0) * SCALE).exp()
            total = weight.sum(1, keepdim=True)
            share = weight / (total + TINY)
            moments = share @ getattr(self, f"places_{number}")
            eta, phi, r = moments[:, :3].unbind(1)
            wide = (moments[:, 3:] - moments[:, :3].square()).clamp_min(0) + 0.01
            many = 1 / (share.square().sum(1) + TINY)
            count = hit.sum(1)
            here = (total[:, 0] / (total[:, 0] + 1e-3))[:, None]
            columns = (
                4 * count / self.sizes[number] - 2,
                (1 + count).log() - 3,
                (1 + many.clamp_max(1e4)).log() - 2,
                eta * (many / wide[:, 0]).sqrt() / 2,
                phi * (many / wide[:, 1]).sqrt() / 2,
                (r + 0.1).log() - 1,
                0.5 * (wide[:, 0] + wide[:, 1]).log() - 1,
                0.5 * wide[:, 2].log() - 1,
            )
            found.append(torch.stack(columns, dim=1) * here)
        return torch.cat(found, dim=1), hits, y


class LayerGenerator(Generator):
    """Showers in the features of `LayerRatios`: layer energies and hits first, then voxels about them.

    The 2 L features of layers are their noise plus a small network of noise and energy, which is silent at first: a new
    generator makes independent normal numbers, as the transform makes of real showers. A second network takes them,
    the energy and further noise to four numbers for each voxel: whether it is hit, a_v + e_v > 0, and how bright it is,
    b_v + c_v e_v + d_v f_v, where e_v and f_v are normal noise of the voxel alone. So voxels fluctuate by themselves,
    as numbers of particles do, beside what they do together.

    With c = 0 that is an explicit model of voxels. `surprise` is its likelihood on real showers, which a phase of its
    own may use (`partigan.systems.losses.LikelihoodLoss`); what it leaves, the critic sees.

    Args:
        features: number of voxels.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        latent: dimension of the noise that voxels share.
        width: of hidden layers.
        depth: number of hidden layers.

    Example:
        >>> generator = LayerGenerator(geometry="ds1-photons")
        >>> generator(generator.noise(5, None, torch.Generator()), torch.full((5, 1), 1000.0)).shape
        torch.Size([5, 378])
    """

    def __init__(
        self,
        features: int = 368,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        latent: int = 24,
        width: int = 192,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.known = _Layers(geometry, energies)
        self.latent, self.voxels, layers = latent, features, self.known.global_features
        self.shift = nn.Sequential(
            nn.Linear(layers + 3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), silent(nn.Linear(64, layers))
        )
        parts: list[nn.Module] = []
        before = layers + 3 + latent
        for _ in range(depth):
            parts += [nn.Linear(before, width), nn.LayerNorm(width), nn.SiLU()]
            before = width
        self.body, self.out = nn.Sequential(*parts), nn.Linear(before, 3 * features)
        self.coupling = silent(nn.Linear(before, features))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, 2 layers + latent + 2 voxels)``."""
        width = self.known.global_features + self.latent + 2 * self.voxels
        return torch.randn(size, width, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Showers ``(batch, 2 layers + voxels)``."""
        parts = (self.known.global_features, self.latent, self.voxels, self.voxels)
        own, shared, gate, bright = noise.split(parts, dim=1)
        energy = self.known.energy(condition)
        layers = own + self.shift(torch.cat((own, energy), dim=1))
        hidden, a, b, d = self._voxels(layers, energy, shared)
        score = a + gate
        value = (b + self.coupling(hidden) * gate + d * bright).clamp_min(LEAST)
        soft = (2 * score).sigmoid()
        hit = soft + ((score > 0).to(soft) - soft).detach()
        return torch.cat((layers, hit * value - (1 - hit) * (-score).relu()), dim=1)

    def surprise(self, x: Tensor, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        """Minus the log-likelihood of the voxels of real showers, given their layers, for each voxel.

        Hits are Bernoulli distributed with the probability Phi(a_v), their features normal with mean b_v and width d_v.

        Args:
            x: normalised showers.
            condition: of the particles.
            rng: draws the noise that voxels share.
        """
        layers, voxels = x[:, : self.known.global_features], x[:, self.known.global_features :]
        shared = torch.randn(len(x), self.latent, generator=rng, device=rng.device).to(x)
        _, a, b, d = self._voxels(layers, self.known.energy(condition), shared)
        hit = voxels > 0
        of_hits = torch.special.log_ndtr(torch.where(hit, a, -a))
        of_values = -0.5 * ((voxels - b) / d).square() - d.log()
        found: Tensor = -(of_hits + torch.where(hit, of_values, 0.0)).mean()
        return found

    def _voxels(self, layers: Tensor, energy: Tensor, shared: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Last hidden layer, and a, b and d of each voxel."""
        hidden = self.body(torch.cat((layers, energy, shared), dim=1))
        a, b, d = self.out(hidden).chunk(3, dim=1)
        return hidden, 2 * a, OFFSET + b, 0.02 + 0.4 * functional.softplus(d)


class LayerCritic(Critic):
    """What `LayerGenerator` makes, as a row of voxels with what is to be seen in the layers.

    The features that it gives are those of the layers and the energy.

    Args:
        features: number of voxels.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        width: of hidden layers.
        depth: number of hidden layers.

    Example:
        >>> LayerCritic(geometry="ds1-photons")(torch.zeros(5, 378), torch.full((5, 1), 1000.0)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        features: int = 368,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        width: int = 256,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.known = _Layers(geometry, energies)
        before = self.known.global_features + 8 * len(self.known.sizes) + 2 * features + 3
        widths = (before, *[width] * depth)
        self.layers, self.head = dense(widths), nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and features of layers ``(batch, 10 layers + 3)``."""
        of_layers, hits, energies = self.known.seen(x)
        own = torch.cat((x[:, : self.known.global_features], of_layers, self.known.energy(condition)), dim=1)
        return CriticOutput(self.head(self.layers(torch.cat((own, hits, energies / math.pi), dim=1))), own)
