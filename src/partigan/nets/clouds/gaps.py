"""Jets that obey, while they are trained, what real ones obey in the channels of `JetGaps`."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.gaps import SHARED, JetGaps
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.contracts import Generator, WrappedGenerator


class GapsGenerator(WrappedGenerator):
    """A plain generator that changes noise into jets, which are possible ones while it is trained.

    Noise is distributed as each channel of `JetGaps` is, so the generator only adds to it: at the start, jets have
    almost the right distributions one by one, and no correlations. Noise of the channels that all particles of a jet
    share is their sum over the root of their number: normal again, and the jet's own.

    A critic would tell made jets at once by particles that disagree on the pt sum of their jet, or by an axis that is
    not at the origin. So it sees them after `JetGaps.possible`. The deployed form leaves that out: the inverse of the
    transform does the same.

    Args:
        generator: makes the channels of `JetGaps` from as many of noise, ``(batch, particles, 7)``.

    References:
        Ours.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator)
        self.tables: Transform = JetGaps()

    def meet(self, transform: Transform) -> None:
        """Take the tables of the transform of the run.

        Raises:
            PartiganError: it is another transform.
        """
        if not isinstance(transform, JetGaps):
            raise PartiganError("GapsGenerator needs the transform JetGaps")
        self.tables = copy.deepcopy(transform)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        made = Batch(_changed(self.generator, noise, condition, mask), mask)
        return self.tables.possible(made).x  # type: ignore

    def deployed(self) -> ChangedNoise:
        """The form that leaves jets as they are made."""
        return ChangedNoise(self.generator.deployed()).eval()


class ChangedNoise(Generator):
    """Deployed form of `GapsGenerator`.

    Args:
        generator: the plain generator, in its deployed form.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.normal = generator, generator.normal

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The plain generator's."""
        return self.generator.noise(size, mask, rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        return _changed(self.generator, noise, condition, mask)


def _changed(generator: Generator, noise: Tensor, condition: Tensor | None, mask: Tensor | None) -> Tensor:
    """Noise that jets share where particles do, and what the generator adds to it."""
    real = torch.ones_like(noise[..., :1]) if mask is None else mask[..., None].to(noise.dtype)
    of_jet = (noise * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1).sqrt()
    own = torch.where(torch.tensor(SHARED, device=noise.device), of_jet, noise) * real
    made: Tensor = own + generator(own, condition, mask)
    return made
