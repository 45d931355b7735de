"""GAPT: generator and critic with self-attention between particles.

References:
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023) 076017,
    arXiv:2211.10295, section IV (GAPT); J. Lee et al., Set Transformer, arXiv:1810.00825, equations 6 to 11. Where
    the paper is silent (sizes, noise) the values are the defaults of the authors' code.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import SLOPE, SMALL_NOISE, small_noise


class AttentionBlock(nn.Module):
    """Multi-head attention block (arXiv:1810.00825, equations 6 and 7), without layer normalisation.

    Args:
        width: features of a particle.
        heads: attention heads.
        dropout: probability that a feature is dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        """``x`` ``(batch, n, width)`` after attending to the real ones of ``y`` ``(batch, particles, width)``."""
        padded = None if mask is None else ~mask
        x = self.dropout(x + self.attention(x, y, y, key_padding_mask=padded, need_weights=False)[0])
        new: Tensor = self.dropout(x + self.dropout(functional.leaky_relu(self.feed(x), SLOPE)))
        return new


class GAPTGenerator(Generator):
    """Generator of GAPT: self-attention blocks on noise for each particle, a linear layer, tanh.

    Args:
        features: features of a particle.
        particles: largest number of particles.
        width: features of a particle between layers, and of its noise.
        heads: attention heads.
        blocks: number of self-attention blocks.

    References:
        arXiv:2211.10295, section IV.

    Example:
        >>> generator = GAPTGenerator(blocks=1)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    normal = SMALL_NOISE
    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self, features: int = 3, particles: int = 30, width: int = 64, heads: int = 4, blocks: int = 4
    ) -> None:
        super().__init__()
        self.particles, self.width = particles, width
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(blocks))
        self.out = nn.Linear(width, features)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, particles, width)``; as many particles as ``mask`` is wide."""
        particles = self.particles if mask is None else mask.shape[1]
        return small_noise(size, particles, self.width, rng=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; ``condition`` is not used."""
        x = noise
        for block in self.blocks:
            x = block(x, x, mask)
        x = torch.tanh(self.out(x))
        return x if mask is None else x * mask[..., None]


class GAPTCritic(Critic):
    """Critic of GAPT: self-attention blocks, then a learned seed that attends to the particles.

    Args:
        features: features of a particle.
        width: features of a particle between layers.
        heads: attention heads.
        blocks: number of self-attention blocks.
        dropout: probability that a feature is dropped in training.

    References:
        arXiv:2211.10295, section IV; pooling by attention: arXiv:1810.00825, equation 11.

    Example:
        >>> GAPTCritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self, features: int = 3, width: int = 64, heads: int = 4, blocks: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, dropout) for _ in range(blocks))
        self.seed = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, width)))
        self.pool = AttentionBlock(width, heads, dropout)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and pooled particles ``(batch, width)``; ``condition`` is not used."""
        x = functional.leaky_relu(self.embed(x), SLOPE)
        for block in self.blocks:
            x = block(x, x, mask)
        pooled = self.pool(self.seed.expand(len(x), 1, -1), x, mask)[:, 0]
        return CriticOutput(self.head(pooled), pooled)
