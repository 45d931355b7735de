"""Jets that obey, while they are trained, what real ones obey in the channels of `JetGaps`."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.gaps import SHARED, JetGaps
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.contracts import Generator, WrappedGenerator


class ChangedNoise(WrappedGenerator):
    """A plain generator that changes noise into jets.

    Noise is distributed as each channel of `JetGaps` is, so the generator only adds to it: at the start, jets have
    almost the right distributions one by one, and no correlations. Noise of the channels that all particles of a jet
    share is their sum over the root of their number: normal again, and the jet's own.

    Args:
        generator: makes the channels of `JetGaps` from as many of noise, ``(batch, particles, 7)``.

    References:
        Ours.
    """

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        real = torch.ones_like(noise[..., :1]) if mask is None else mask[..., None].to(noise.dtype)
        of_jet = (noise * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1).sqrt()
        own = torch.where(torch.tensor(SHARED, device=noise.device), of_jet, noise) * real
        return own + super().forward(own, condition, mask)

    def deployed(self) -> ChangedNoise:
        """The same of the plain generator's deployed form."""
        return ChangedNoise(self.generator.deployed()).eval()


class JetGapsGenerator(ChangedNoise):
    """The same, of jets that are possible while it is trained.

    A critic would tell made jets at once by particles that disagree on the pt sum of their jet, or by an axis that is
    not at the origin. So it sees them after `JetGaps.possible`. The deployed form leaves that out: the inverse of the
    transform does the same.

    Args:
        generator: makes the channels of `JetGaps` from as many of noise, ``(batch, particles, 7)``.
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
            raise PartiganError("JetGapsGenerator needs the transform JetGaps")
        self.tables = copy.deepcopy(transform)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, 7)``."""
        made = Batch(super().forward(noise, condition, mask), mask)
        return self.tables.possible(made).x  # type: ignore
