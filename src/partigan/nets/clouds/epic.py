"""EPiC-GAN: equivariant point clouds; particles exchange information through pooled global features.

References:
    E. Buhmann, G. Kasieczka, J. Thaler, EPiC-GAN: Equivariant Point Cloud Generation for Particle Jets,
    SciPost Phys. 15 (2023) 130, arXiv:2301.08128, section 3 and figure 1. Where the paper is silent (residual
    connections, scale of the sum, the critic's head) the layers are those that give its 424,850 and 313,170
    parameters.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import weight_normalised

SUM_SCALE = 0.01  # brings sums over particles to the scale of their means


def _pooled(x: Tensor, real: Tensor) -> Tensor:
    """Mean and scaled sum over the real particles, ``(batch, 2 features)``."""
    total = (x * real).sum(1)
    return torch.cat((total / real.sum(1).clamp_min(1), SUM_SCALE * total), dim=1)


class EPiCLayer(nn.Module):
    """Update the global features from pooled particles, then the particles from the global features (figure 1).

    The first linear layer of the particles acts on particle and global features joined; it is computed as a sum of two
    layers, so nothing of the joined size is built.

    Args:
        hidden: dimension of the particles and of hidden layers.
        latent: dimension of the global features.
    """

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.global1 = weight_normalised(2 * hidden + latent, hidden)
        self.global2 = weight_normalised(hidden, latent)
        self.local1 = weight_normalised(hidden + latent, hidden)
        self.local2 = weight_normalised(hidden, hidden)

    def forward(self, common: Tensor, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """New global features ``(batch, latent)`` and particles ``(batch, particles, hidden)``."""
        change = functional.leaky_relu(self.global1(torch.cat((_pooled(x, real), common), dim=1)))
        common = functional.leaky_relu(self.global2(change) + common)
        weight = self.local1.weight
        shift = functional.linear(common, weight[:, self.hidden :], self.local1.bias)
        change = functional.leaky_relu(functional.linear(x, weight[:, : self.hidden]) + shift[:, None])
        return common, functional.leaky_relu(self.local2(change) + x)


def _real(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask as numbers, ``(batch, particles, 1)``."""
    return torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x.dtype)


class EPiCGenerator(Generator):
    """Generator of EPiC-GAN, 424,850 parameters, with skip connections from the first particles and global features.

    Noise is one row a jet: the global noise, then the noise of the particles.

    Args:
        features: features of a particle, and of its noise.
        particles: largest number of particles.
        hidden: features of a particle between layers.
        latent: dimension of the global features and of their noise.
        layers: number of EPiC layers.

    References:
        arXiv:2301.08128, section 3.1.

    Example:
        >>> generator = EPiCGenerator(layers=1)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self, features: int = 3, particles: int = 30, hidden: int = 128, latent: int = 10, layers: int = 6
    ) -> None:
        super().__init__()
        self.features, self.particles, self.latent = features, particles, latent
        self.local_in = weight_normalised(features, hidden)
        self.global_in = nn.Sequential(
            weight_normalised(latent, hidden), nn.LeakyReLU(), weight_normalised(hidden, latent), nn.LeakyReLU()
        )
        self.layers = nn.ModuleList(EPiCLayer(hidden, latent) for _ in range(layers))
        self.out = weight_normalised(hidden, features)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, latent + particles * features)``; as many particles as ``mask`` is wide."""
        width = self.particles if mask is None else mask.shape[1]
        return torch.randn(size, self.latent + width * self.features, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; ``condition`` is not used."""
        local = noise[:, self.latent :].unflatten(1, (-1, self.features))
        real = _real(local, mask)
        x = x_in = functional.leaky_relu(self.local_in(local))
        common = common_in = self.global_in(noise[:, : self.latent])
        for layer in self.layers:
            common, x = layer(common, x, real)
            common, x = common + common_in, x + x_in
        particles: Tensor = self.out(x) * real
        return particles


class EPiCCritic(Critic):
    """Critic of EPiC-GAN, 313,170 parameters; the features are the last global features.

    Args:
        features: features of a particle.
        hidden: features of a particle between layers.
        latent: dimension of the global features.
        layers: number of EPiC layers.

    References:
        arXiv:2301.08128, section 3.2.

    Example:
        >>> EPiCCritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, features: int = 3, hidden: int = 128, latent: int = 10, layers: int = 3) -> None:
        super().__init__()
        self.local1, self.local2 = weight_normalised(features, hidden), weight_normalised(hidden, hidden)
        self.global_in = nn.Sequential(
            weight_normalised(2 * hidden, hidden), nn.LeakyReLU(), weight_normalised(hidden, latent), nn.LeakyReLU()
        )
        self.layers = nn.ModuleList(EPiCLayer(hidden, latent) for _ in range(layers))
        self.head = nn.Sequential(
            weight_normalised(2 * hidden + latent, hidden),
            nn.LeakyReLU(),
            weight_normalised(hidden, hidden),
            nn.LeakyReLU(),
            weight_normalised(hidden, 1),
        )

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last global features ``(batch, latent)``; ``condition`` is not used."""
        real = _real(x, mask)
        x = functional.leaky_relu(self.local1(x))
        x = x_in = functional.leaky_relu(self.local2(x) + x)
        common = common_in = self.global_in(_pooled(x, real))
        for layer in self.layers:
            common, x = layer(common, x, real)
            common, x = common + common_in, x + x_in
        return CriticOutput(self.head(torch.cat((_pooled(x, real), common), dim=1)), common)
