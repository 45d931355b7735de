"""Terms that change in which space the critic sees samples."""

from __future__ import annotations

from dataclasses import replace

import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.terms import Showing, Term


class PhysicalView(Term):
    """The critic is shown jets in physical features, whatever the space in which the generator works.

    Args:
        angle: unit of eta_rel and phi_rel.
        pt: unit of pt_rel, whose logarithm is shown.
    """

    def __init__(self, angle: float = 0.1, pt: float = 0.03) -> None:
        self.angle, self.pt = angle, pt

    def shown(self, sample: Batch, strength: float, turn: Showing) -> Batch:
        """Real or generated jets with the features eta_rel / angle, phi_rel / angle, log(pt_rel / pt)."""
        if turn.physical is None:
            raise PartiganError("PhysicalView needs physical units, and this turn has no transform")
        jets = turn.physical(sample)
        log_pt = (jets.x[..., 2:] / self.pt).clamp_min(1e-12).log()
        x = torch.cat((jets.x[..., :2] / self.angle, log_pt), dim=-1)
        return replace(jets, x=x if jets.mask is None else x * jets.mask[..., None])
