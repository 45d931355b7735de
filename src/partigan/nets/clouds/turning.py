"""Jets of every orientation from a generator that makes them in one."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from partigan.nets.contracts import Generator
from partigan.observables.jets import rotated

DECISIVE = 3  # normal numbers of each particle that decide on the jet's orientation


def turned(x: Tensor, decisive: Tensor) -> Tensor:
    """Jets turned about the origin of (eta, phi) and mirrored.

    Args:
        x: particles, angles as their first two features, ``(batch, particles, features)``.
        decisive: ``(batch, 3)``; where they are normal, independent and alike, all orientations are equally likely.
    """
    eta, phi, side = decisive.unbind(1)
    mirrored = x[..., :2] * torch.stack((torch.ones_like(side), side.sign()), dim=1)[:, None]
    return torch.cat((rotated(mirrored, torch.atan2(phi, eta)), x[..., 2:]), dim=-1)


class TurningGenerator(Generator):
    """A generator that, once trained, turns and mirrors its jets at random about the origin of (eta, phi).

    It learns from jets in a common orientation, such as `partigan.data.transforms.stretching.JetStretch` gives, and
    makes them so in training mode. All orientations are equally likely.

    Args:
        generator: makes jets from noise of their particles, angles as their first two features.

    Shapes:
        noise ``(batch, particles, that of the generator + 3)``, jets ``(batch, particles, features)``.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """That of the generator; otherwise than in training mode with normal numbers that decide, too."""
        noise = self.generator.noise(size, mask, rng)
        if self.training:
            return noise
        return torch.cat((noise, torch.randn(*noise.shape[:2], DECISIVE, generator=rng, device=rng.device)), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``."""
        if self.training:
            single: Tensor = self.generator(noise, condition, mask)
            return single
        made = self.generator(noise[..., :-DECISIVE], condition, mask)
        decisive = noise[..., -DECISIVE:] if mask is None else noise[..., -DECISIVE:] * mask[..., None]
        return turned(made, decisive.sum(1))
