"""Networks of calorimeter showers as clouds of hits: MDMA's, with a model of the number of hits.

References:
    CaloChallenge 2022, arXiv:2410.21611, section 5 (the entry of MDMA); networks: `partigan.nets.clouds.mdma`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from partigan.data.transforms.calorimeter_hits import FEATURES, HitCloud
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.calorimeters import known_geometry, placed_energy
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.contracts import Critic, CriticOutput, Generator, is_recorded


class _Energies(nn.Module):
    """What both networks take from conditions, and the tables of numbers of hits."""

    def __init__(self, name: str, energies: Sequence[float]) -> None:
        super().__init__()
        self.energies, self.tables = list(energies), HitCloud.plain(known_geometry(name))

    def meet(self, transform: Transform) -> None:
        """Take the tables of the transform of the run.

        Raises:
            PartiganError: it is another transform, or one of another geometry.
        """
        if not isinstance(transform, HitCloud) or transform.shapes.shape != self.tables.shapes.shape:
            raise PartiganError("the networks of calo-mdma need the transform HitCloud, of the same geometry")
        self.tables = copy.deepcopy(transform).to(self.tables.knots.device)

    def beside(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Points with the energy of the particle and where it hits, ``(batch, points, features + conditions)``."""
        columns = placed_energy(condition, self.energies)
        return torch.cat((x, columns[:, None].expand(-1, x.shape[1], -1)), dim=2)


class HitGenerator(Generator):
    """Clouds of hits: as many as a normal number says at the particle's energy, made by MDMA's generator.

    Args:
        features: number of voxels, the constant that scales sum and multiplicity.
        conditions: number of conditions, the first of them the energy in MeV, the others where the particle hits in mm.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        latent: dimension l of a hit between blocks.
        hidden: dimension h in which hits and mean field meet.
        heads: attention heads.
        blocks: number of blocks.

    Example:
        >>> generator = HitGenerator(geometry="ds1-photons")
        >>> generator(generator.noise(5, None, torch.Generator()), torch.full((5, 1), 1000.0)).shape
        torch.Size([5, 368, 5])
    """

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        latent: int = 16,
        hidden: int = 128,
        heads: int = 16,
        blocks: int = 6,
    ) -> None:
        super().__init__()
        self.known = _Energies(geometry, energies)
        self.cloud = MDMAGenerator(FEATURES + conditions, features, latent, hidden, heads, blocks)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, 1 + 4 points)``, the first of them for the number of hits."""
        return torch.randn(size, 1 + FEATURES * self.known.tables.points, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Clouds ``(batch, points, 5)``, zero beyond the last hit."""
        assert condition is not None
        number, points = self.known.tables.number(noise[:, 0], condition[:, 0]), self.known.tables.points
        most = points if is_recorded() else max(int(number.max()), 1)
        real = torch.arange(most, device=noise.device) < number[:, None].clamp_min(1)
        start = noise[:, 1 : 1 + FEATURES * most].unflatten(1, (most, FEATURES))
        made = self.cloud(self.known.beside(start, condition), mask=real)[..., :FEATURES]
        there = (torch.arange(most, device=noise.device) < number[:, None])[..., None].to(made)
        cloud = torch.cat((made, torch.ones_like(there)), dim=2) * there
        return cloud if most == points else nn.functional.pad(cloud, (0, 0, 0, points - most))


class HitCritic(Critic):
    """MDMA's critic of clouds of hits, each beside the energy of the particle.

    Args:
        features: number of voxels, the constant that scales sum and multiplicity.
        conditions: number of conditions, the first of them the energy in MeV, the others where the particle hits in mm.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        latent: dimension l of a hit between blocks.
        hidden: dimension h in which hits and mean field meet.
        heads: attention heads.
        blocks: number of blocks.

    Example:
        >>> HitCritic(geometry="ds1-photons")(torch.zeros(5, 368, 5), torch.full((5, 1), 1000.0)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        latent: int = 16,
        hidden: int = 64,
        heads: int = 8,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.known = _Energies(geometry, energies)
        self.cloud = MDMACritic(FEATURES + conditions, features, latent, hidden, heads, blocks)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last mean field; a shower without hits counts as one hit of zeros."""
        number = (x[..., FEATURES] > 0.5).sum(1).clamp_min(1)
        most = int(number.max())
        real = torch.arange(most, device=x.device) < number[:, None]
        output: CriticOutput = self.cloud(self.known.beside(x[:, :most, :FEATURES], condition), mask=real)
        return output
