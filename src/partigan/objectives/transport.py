"""Terms that carry generated samples to real ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from partigan.data.batch import Batch
from partigan.objectives.terms import Term, Turn
from partigan.observables.transport import sinkhorn_emd


class EnergyMoversDistance(Term):
    """Energy mover's distance between generated and real jets of a batch, in physical units.

    Jets of a batch are not paired. With ``assign`` each generated jet is held against the real jet that the best
    one-to-one assignment within the batch gives it: the mean is the Wasserstein-1 distance between the two samples,
    with the energy mover's distance as its metric, and is least where the distributions agree. Without, it is held
    against the real jet in the same place, as in the EMD loss of the JetNet library; as with `MeanFieldMatching` this
    is least where all generated jets are like the median of the real ones, and makes sense for reconstructed jets only.

    Args:
        assign: assign generated to real jets within the batch.
        jets: how many jets of the batch are looked at; the assignment needs the distances of all pairs of them.
        regularisation: epsilon of the regularised distance, in units of angle.
        iterations: of Sinkhorn's algorithm.

    References:
        P. T. Komiske et al., arXiv:1902.02346; see `partigan.observables.transport.sinkhorn_emd`.
    """

    weighs: ClassVar[bool] = False

    def __init__(
        self,
        assign: bool = True,
        jets: int = 16,
        regularisation: float = 0.02,
        iterations: int = 50,
    ) -> None:
        self.assign, self.jets = assign, jets
        self.regularisation, self.iterations = regularisation, iterations

    def generator(self, turn: Turn) -> Tensor:
        """Mean over jets of the distance between generated and real."""
        real, fake = turn.in_physical_units(*(batch[: self.jets] for batch in turn.compared))
        if self.assign:
            size = len(real)
            with torch.no_grad():
                rows = torch.arange(size).repeat_interleave(size)
                pairs = self._distance(fake[rows], real[torch.arange(size).repeat(size)]).view(size, size)
            real = real[torch.from_numpy(linear_sum_assignment(pairs.cpu().numpy())[1])]
        return self._distance(fake, real).mean()

    def _distance(self, a: Batch, b: Batch) -> Tensor:
        return sinkhorn_emd(a.x, b.x, a.mask, b.mask, self.regularisation, self.iterations)
