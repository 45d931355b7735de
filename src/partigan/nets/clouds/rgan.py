"""r-GAN: fully connected generator, and critic with a shared network for each particle and a maximum over them.

References:
    P. Achlioptas et al., Learning Representations and Generative Models for 3D Point Clouds, arXiv:1707.02392,
    section 4 (r-GAN); sizes for jets: arXiv:2106.11535, appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import SMALL_NOISE, dense, small_noise, with_mask


class RGANGenerator(Generator):
    """Generator of r-GAN: a fully connected network from one vector of noise to all particles.

    It always makes the largest number of particles and ignores masks.

    Args:
        features: features of a particle.
        particles: number of particles.
        latent: dimension of the noise.
        widths: of the hidden layers.

    References:
        arXiv:2106.11535, section 5 ("FC").

    Example:
        >>> generator = RGANGenerator(particles=30)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    normal = SMALL_NOISE

    def __init__(
        self, features: int = 3, particles: int = 30, latent: int = 128, widths: Sequence[int] = (64, 128)
    ) -> None:
        super().__init__()
        self.shape, self.latent = (particles, features), latent
        self.layers = nn.Sequential(*dense([latent, *widths]), nn.Linear(widths[-1], particles * features), nn.Tanh())

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, latent)``."""
        return small_noise(size, self.latent, rng=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; neither ``condition`` nor ``mask`` is used."""
        x: Tensor = self.layers(noise).unflatten(1, self.shape)
        return x


class RGANCritic(Critic):
    """Critic of r-GAN; the features are the maxima over the particles.

    Args:
        features: features of a particle.
        shared: widths of the layers that see one particle.
        widths: of the hidden layers that see the maxima.
        mask_feature: mask - 1/2 is a last feature of particles; it is appended where a mask is given.

    References:
        arXiv:2106.11535, section 5 ("FC").

    Example:
        >>> RGANCritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        shared: Sequence[int] = (64, 128, 256, 256, 512),
        widths: Sequence[int] = (64, 128),
        mask_feature: bool = False,
    ) -> None:
        super().__init__()
        self.mask_feature = mask_feature
        self.shared = dense([features + mask_feature, *shared])
        self.head = nn.Sequential(*dense([shared[-1], *widths]), nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and maxima ``(batch, shared[-1])``; ``condition`` is not used."""
        pooled = self.shared(with_mask(x, mask) if self.mask_feature else x).amax(1)
        return CriticOutput(self.head(pooled), pooled)
