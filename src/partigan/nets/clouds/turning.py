"""Random orientation for the jets of a generator that makes them all in the same one."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from partigan.nets.contracts import Generator
from partigan.observables.jets import rotated

DECISIVE = 3  # normal numbers a particle that decide the jet's orientation


def turned(x: Tensor, decisive: Tensor, vectors: int = 1) -> Tensor:
    """Rotate and mirror jets about the origin of (eta, phi).

    Args:
        x: particles, ``(batch, particles, features)``.
        decisive: ``(batch, 3)``; independent normal numbers of equal width make all orientations equally likely.
        vectors: the first so many pairs of features are vectors in (eta, phi), such as the angles of particles.
    """
    eta, phi, side = decisive.unbind(1)
    flip, angle = torch.stack((torch.ones_like(side), side.sign()), dim=1)[:, None], torch.atan2(phi, eta)
    pairs = [rotated(pair * flip, angle) for pair in x[..., : 2 * vectors].split(2, dim=-1)]
    return torch.cat((*pairs, x[..., 2 * vectors :]), dim=-1)


class TurningGenerator(Generator):
    """A plain generator of jets in a common orientation; deployed, it rotates and mirrors them at random.

    It learns from jets in a common orientation, such as `partigan.data.transforms.gaps.JetGaps` gives. In the
    deployed form, `TurnedGenerator`, all orientations about the origin of (eta, phi) are equally likely.

    Args:
        generator: makes jets from noise of each particle.
        vectors: the first so many pairs of features are vectors that turn; one: the angles.

    Example:
        >>> from partigan.nets.clouds.mdma import MDMAGenerator
        >>> generator = TurningGenerator(MDMAGenerator(blocks=1)).deployed()
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, vectors: int = 1) -> None:
        super().__init__()
        self.generator, self.normal, self.vectors = generator, generator.normal, vectors

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The plain generator's."""
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The plain generator's particles ``(batch, particles, features)``."""
        particles: Tensor = self.generator(noise, condition, mask)
        return particles

    def deployed(self) -> TurnedGenerator:
        """The form that rotates and mirrors."""
        return TurnedGenerator(self.generator.deployed(), self.vectors).eval()


class TurnedGenerator(Generator):
    """Deployed form of `TurningGenerator`: every jet is rotated and mirrored at random.

    Args:
        generator: makes jets in a common orientation, in its deployed form.
        vectors: the first so many pairs of features turn.

    Shapes:
        noise ``(batch, particles, that of the generator + 3)``, jets ``(batch, particles, features)``.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, vectors: int = 1) -> None:
        super().__init__()
        self.vectors = vectors
        self.generator, self.normal = generator, generator.normal  # orientations do not depend on the width

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The plain generator's, and three normal numbers a particle that decide the orientation."""
        noise = self.generator.noise(size, mask, rng)
        return torch.cat((noise, torch.randn(*noise.shape[:2], DECISIVE, generator=rng, device=rng.device)), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``."""
        made = self.generator(noise[..., :-DECISIVE], condition, mask)
        decisive = noise[..., -DECISIVE:] if mask is None else noise[..., -DECISIVE:] * mask[..., None]
        return turned(made, decisive.sum(1), self.vectors)
