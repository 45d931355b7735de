"""Jets that obey, while they are trained, what real ones obey in the channels of `JetGaps`."""

from __future__ import annotations

import copy

from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.gaps import JetGaps
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.contracts import Generator, WrappedGenerator


class GapsGenerator(WrappedGenerator):
    """A plain generator whose jets are made possible: what belongs to a jet is the same for all of its particles.

    A critic would tell made jets at once by particles that disagree on the pt sum of their jet, or by an axis that is
    not at the origin. So it sees them after `JetGaps.possible`. The deployed form is the plain generator: the inverse
    of the transform does the same.

    Args:
        generator: makes the channels of `JetGaps`, ``(batch, particles, 7)``.
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
        made = Batch(super().forward(noise, condition, mask), mask)
        return self.tables.possible(made).x  # type: ignore

    def deployed(self) -> Generator:
        """The plain generator's."""
        return self.generator.deployed()
