"""A generator for short trainings: MDMA's blocks correct particles that are nearly right from the start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from partigan.nets.clouds.mdma import MDMAGenerator


class CorrectingGenerator(MDMAGenerator):
    """MDMA's generator as a correction of its own noise, in the space of `partigan.data.morphing.JetMorph`.

    There standard normal noise is jets of the right mass, pt and particle spectra in which nothing else is correlated.
    The last layer is zero at first, so that training starts from these jets. A particle's noise carries its pt rank,
    whose meaning the transform has fixed, and an embedding of the rank is added to the particle.

    Args:
        features: features of a particle.
        particles: largest number of particles.
        latent: dimension of a particle between blocks.
        hidden: dimension in which particles and mean field meet.
        heads: attention heads.
        blocks: number of blocks.

    References:
        Blocks: arXiv:2305.15254, section 3; the rest is ours.
    """

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 32,
        hidden: int = 64,
        heads: int = 4,
        blocks: int = 4,
    ) -> None:
        super().__init__(features, particles, latent, hidden, heads, blocks)
        self.rank = nn.Parameter(0.5 * torch.randn(particles, latent))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal features and the rank from 0, ``(size, particles, features + 1)``."""
        normal = super().noise(size, mask, rng)
        rank = torch.arange(normal.shape[1], dtype=normal.dtype, device=normal.device)
        return torch.cat((normal, rank[:, None].expand(size, -1, 1)), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; ``condition`` is not used."""
        normal, rank = noise[..., :-1], noise[..., -1]
        x, mean_field, multiplicity, padding = self.body.start(normal, mask)
        x = x + self.rank[rank.long().clamp(0, len(self.rank) - 1)]
        for block in self.body.blocks:
            x, mean_field = block(x, mean_field, multiplicity, padding, residual=x)
        particles: Tensor = normal + self.out(x)
        return particles if mask is None else particles * mask[..., None]
