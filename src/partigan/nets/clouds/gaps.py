"""Jets of `JetGaps`: first what belongs to a jet, then its particles."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.gaps import JetGaps, shared_by, together
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.contracts import Generator
from partigan.nets.mixtures import MixtureGenerator

TYPICAL = 30  # particles of a jet
SHARED = 4  # channels that all particles of a jet share


class JetFirst(Generator):
    """Axis, pt sum and width of a jet, given its multiplicity; then its particles, given all of these.

    What all particles of a jet share are four numbers with an explicit density: see `surprise`, by which
    `partigan.systems.losses.LikelihoodLoss` trains it in seconds. No gradient of a critic moves it.

    The particles are what the adversary is for. Their channels of `JetGaps` are near to normal, so their generator only
    adds to its noise: at the start, particles have almost the right distributions, and no correlations.

    Args:
        generator: makes what is added to the particles' three channels; told the jet's four as conditions.
        jets: makes the jet's four channels; told 2 ln(multiplicity / 30).

    Shapes:
        noise ``(batch, particles, 3 + 8)``, jets ``(batch, particles, 7)``. The jet's noise is the sum over its
        particles over the root of their number: normal again.

    Raises:
        PartiganError: the density is not of four numbers.

    References:
        Ours.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, jets: MixtureGenerator) -> None:
        super().__init__()
        if jets.features != SHARED:
            raise PartiganError(f"jets have {SHARED} numbers of their own, and the density has {jets.features}")
        self.generator, self.jets, self.normal = generator, jets, generator.normal

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """That of each particle, and of the jet."""
        own = self.generator.noise(size, mask, rng)
        of_jet = torch.randn(*own.shape[:2], 2 * self.jets.features, generator=rng, device=rng.device)
        return torch.cat((own, of_jet), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        real = torch.ones_like(noise[..., :1]) if mask is None else mask[..., None].to(noise.dtype)
        own, of_jet = (noise * real).split((noise.shape[2] - 2 * self.jets.features, 2 * self.jets.features), dim=-1)
        number = real.sum(1).clamp_min(1)
        with torch.no_grad():
            shared = self.jets(of_jet.sum(1) / number.sqrt(), _told(number))
        return together(own + self.generator(own, shared, mask), shared) * real

    def surprise(self, x: Tensor, condition: Tensor | None, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Minus the logarithm of the density of what belongs to a jet, for each number, ``(batch,)``.

        Args:
            x: jets ``(batch, particles, 7)``.
            condition: not used.
            mask: ``(batch, particles)``; None = all particles are real.
            rng: not needed here.
        """
        number = torch.full_like(x[:, 0, :1], x.shape[1]) if mask is None else mask.sum(1, keepdim=True).to(x)
        return self.jets.surprise(shared_by(Batch(x, mask)), _told(number.clamp_min(1)), None, rng)

    def deployed(self) -> JetFirst:
        """The same of the deployed forms."""
        made = JetFirst(self.generator.deployed(), self.jets.deployed())  # type: ignore[arg-type]
        return made.eval().requires_grad_(False)


class JetFirstGenerator(JetFirst):
    """The same, of jets that are possible while it is trained.

    A critic would tell made jets at once by particles whose axis is not at the origin or whose width is not that of
    their jet. So it sees them after `JetGaps.possible`. The deployed form leaves that out: the inverse of the transform
    does the same.

    Args:
        generator: makes what is added to the particles' three channels; told the jet's four as conditions.
        jets: makes the jet's four channels; told 2 ln(multiplicity / 30).
    """

    def __init__(self, generator: Generator, jets: MixtureGenerator) -> None:
        super().__init__(generator, jets)
        self.tables: Transform = JetGaps()

    def meet(self, transform: Transform) -> None:
        """Take the tables of the transform of the run.

        Raises:
            PartiganError: it is another transform.
        """
        if not isinstance(transform, JetGaps):
            raise PartiganError("JetFirstGenerator needs the transform JetGaps")
        self.tables = copy.deepcopy(transform)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        made = Batch(super().forward(noise, condition, mask), mask)
        return self.tables.possible(made).x  # type: ignore


def _told(number: Tensor) -> Tensor:
    """The multiplicity ``(batch, 1)`` as the density of jets is told it."""
    return 2 * (number / TYPICAL).log()
