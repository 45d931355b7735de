"""MDMA: generator and critic around one mean-field token, linear in the number of particles.

References:
    B. Käch, I.-A. Melzer-Pellmann, Attention to Mean-Fields for Particle Cloud Generation, arXiv:2305.15254,
    section 3 and figure 1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.clouds.mean_field import MeanFieldNetwork
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import weight_normalised


class MDMAGenerator(Generator):
    """Generator of MDMA: residual connections between the particles before and after a block, GELU.

    The defaults give the paper's 87k parameters (85,235); the configuration in the authors' published code has
    111,555.

    Args:
        features: features of a particle, and of its noise.
        particles: largest number of particles, the constant that scales sum and multiplicity.
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet.
        heads: attention heads.
        blocks: number of blocks.
        conditions: number of float conditions, which every particle is told beside its noise; 0 = the paper's.

    References:
        arXiv:2305.15254, section 3.

    Example:
        >>> generator = MDMAGenerator(particles=30)
        >>> mask = torch.ones(8, 30, dtype=torch.bool)
        >>> generator(generator.noise(8, mask, torch.Generator()), mask=mask).shape
        torch.Size([8, 30, 3])
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 16,
        hidden: int = 48,
        heads: int = 16,
        blocks: int = 7,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        told = features + conditions
        self.body = MeanFieldNetwork(told, particles, latent, hidden, heads, blocks, nn.Linear, functional.gelu)
        self.out = nn.Linear(latent, features)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, particles, features)``; as many particles as ``mask`` is wide."""
        width = self.body.particles if mask is None else mask.shape[1]
        return torch.randn(size, width, self.out.out_features, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; a ``condition`` that it is not made for is not used.

        Raises:
            PartiganError: it is made for conditions, and these are others.
        """
        if conditions := self.body.features - self.out.out_features:
            if condition is None or condition.shape != (len(noise), conditions):
                found = "none" if condition is None else list(condition.shape[1:])
                raise PartiganError(f"MDMAGenerator has conditions = {conditions}, and is given {found}")
            noise = torch.cat((noise, condition[:, None].expand(-1, noise.shape[1], -1)), dim=-1)
        particles: Tensor = self.out(self.body(noise, mask)[0])
        return particles if mask is None else particles * mask[..., None]


class MDMACritic(Critic):
    """Critic of MDMA: residual connections between mean fields, weight-normalised layers, LeakyReLU 0.01.

    The defaults give the paper's 43k parameters (42,418); the features are the last mean field.

    Args:
        features: features of a particle.
        particles: largest number of particles, the constant that scales sum and multiplicity.
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet, and of the two-layer head.
        heads: attention heads.
        blocks: number of blocks.

    References:
        arXiv:2305.15254, section 3; weight normalisation in critics: S. Xiang, H. Li, arXiv:1704.03971.

    Example:
        >>> MDMACritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True
    one_by_one: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 16,
        hidden: int = 64,
        heads: int = 16,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.body = MeanFieldNetwork(
            features, particles, latent, hidden, heads, blocks, weight_normalised, functional.leaky_relu
        )
        self.head = nn.Sequential(weight_normalised(latent, hidden), nn.LeakyReLU(0.01), weight_normalised(hidden, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last mean field ``(batch, latent)``; ``condition`` is not used."""
        mean_field = self.body(x, mask)[1]
        return CriticOutput(self.head(mean_field), mean_field)
