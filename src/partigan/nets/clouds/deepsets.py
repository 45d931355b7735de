"""Particle flow network, a classifier of jets: a network of each particle, their sum, a network of the sum.

References:
    P. T. Komiske, E. M. Metodiev, J. Thaler, Energy Flow Networks: Deep Sets for Particle Jets, JHEP 01 (2019) 121,
    arXiv:1810.05165, equation 1.4 and section 4.2; M. Zaheer et al., Deep Sets, arXiv:1703.06114.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.layers import dense


class ParticleFlow(Critic):
    """Particle flow network (PFN) with the widths of the paper: F(sum of Phi(particle) over the real particles).

    The sum is divided by the square root of ``particles``, so that the first steps do not depend on it.

    Args:
        particles: largest number of particles.
        features: features of a particle.
        classes: number of classes.
        phi: widths of the network of a particle; the last one is that of the sum.
        f: widths of the network of the sum.

    Example:
        >>> ParticleFlow(classes=2)(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 2])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        particles: int = 30,
        features: int = 3,
        classes: int = 2,
        phi: Sequence[int] = (100, 100, 256),
        f: Sequence[int] = (100, 100, 100),
    ) -> None:
        super().__init__()
        self.scale = particles**-0.5
        self.phi = dense([features, *phi], slope=0.0)
        self.f = dense([phi[-1], *f], slope=0.0)
        self.out = nn.Linear(f[-1], classes)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Logits ``(batch, classes)`` and the last hidden layer ``(batch, f[-1])``; ``condition`` is not used."""
        particles = self.phi(x)
        if mask is not None:
            particles = torch.where(mask[..., None], particles, 0)
        activations = self.f(self.scale * particles.sum(1))
        return CriticOutput(self.out(activations), activations)
