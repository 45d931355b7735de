"""How small clusters share their charge: a stick that is broken pixel by pixel, with the breaks' places made uniform.

Each hit but the last takes a part of what is left above the least charges of the hits from it on. The distribution of
this part is counted by layer, whose pitches differ, the shape of the cluster, the hits that are left and the charge
that is left, and its value stands for the part. So values are uniform in training clusters, and an untrained network
has the right spectra.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from partigan.data.cluster_tables import SHAPE_OF
from partigan.data.clusters import PATTERNS
from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import LAYER_OF

REST = torch.tensor([0, 1, 3, 5, 8, 11, 14, 18, 23, 29, 37, 48, 65, 100, 150, 220, 260, 300, 350, 420, 500])
"""ADU: lower edges of the charge that is left."""
SLICES = 32
PARTS = torch.sin(torch.linspace(0, pi / 2, SLICES + 1, dtype=torch.float64)) ** 2
"""Edges of the parts that are counted apart, finest at both ends."""
ALIKE = 3.0  # breaks that are spread as those of the charges below
LEAST = 1e-4  # share of a cell, above what rounding in float32 needs
ROUNDING = 1.2e-7  # by which values stay away from those of other charges
PRECISION = 10**5  # of edges, in files
_MOST = 5  # hits left that are counted apart; more count as so many


def _breaks() -> tuple[Tensor, Tensor, int]:
    """For each pixel of each pattern the number of its break, -1 without one; its hits from it on; number of breaks."""
    left = np.flip(np.cumsum(np.flip(PATTERNS, 1), 1), 1) * PATTERNS
    kinds = SHAPE_OF[:, None] * _MOST + left.clip(max=_MOST) - 1
    numbers, at = np.unique(kinds[left > 1], return_inverse=True)
    breaks = np.full(PATTERNS.shape, -1)
    breaks[left > 1] = at
    return torch.from_numpy(breaks), torch.from_numpy(left.copy()), len(numbers)


BREAK_OF, LEFT, BREAKS = _breaks()
"""Both ``(512, 9)``: see `partigan.data.clusters.PATTERNS`."""
LAYER = torch.from_numpy(LAYER_OF - 1)
"""Of each sensor, from 0."""
CONTEXTS = 2 * BREAKS * len(REST)


class Sticks(NamedTuple):
    """Small clusters whose charge is to be shared.

    Attributes:
        layer: from 0, ``(clusters,)``.
        pattern: see `partigan.data.clusters.PATTERNS`, ``(clusters,)``.
        total: charge in whole ADU, ``(clusters,)``.
        edges: values at the edges of `PARTS` in each context, ``(CONTEXTS, SLICES + 1)``, from `edges_of`.
        least: charge of a hit, ADU.
    """

    layer: Tensor
    pattern: Tensor
    total: Tensor
    edges: Tensor
    least: int

    @classmethod
    def of(cls, frame: Tensor, edges: Tensor, least: int) -> Sticks:
        """Clusters of frames: sensor, column, row, pattern and charge, ``(clusters, 5 or more)``."""
        layer = LAYER.to(frame.device)[frame[:, 0].long()]
        return cls(layer, frame[:, 3].long(), frame[:, 4], edges, least)

    def breaks(self) -> Tensor:
        """Number of the break of each pixel, below ``2 * BREAKS``, -1 without one, ``(clusters, 9)``."""
        return breaks_of(self.layer, self.pattern)


def breaks_of(layer: Tensor, pattern: Tensor) -> Tensor:
    """See `Sticks.breaks`; layers from 0 and patterns, ``(clusters,)`` each."""
    number = BREAK_OF.to(pattern.device)[pattern]
    return torch.where(number < 0, number, number + BREAKS * layer[:, None])


def edges_of(charge: Tensor, sticks: Sticks) -> Tensor:
    """Count the parts of training clusters, ``(CONTEXTS, SLICES + 1)``.

    Args:
        charge: whole ADU, 0 without hit, ``(clusters, 9)``.
        sticks: the clusters; their edges are not used.
    """
    own, rest, breaks = _taken(charge, sticks)
    there = breaks >= 0
    own, rest, context = own[there].double(), rest[there], _context(breaks, rest)[there]
    below = (PARTS.to(own.device) * (rest + 1)[:, None] - own[:, None]).clamp(0, 1)  # of one ADU
    counts = torch.zeros(CONTEXTS, SLICES + 1, dtype=torch.float64, device=own.device).index_add(0, context, below)
    table = counts.diff(dim=1).reshape(-1, len(REST), SLICES)
    alike, rows = table.sum(1) + 1 / SLICES, []
    for row in table.unbind(1):
        rows.append(alike := row + ALIKE * alike / alike.sum(1, keepdim=True))
    shares = torch.stack(rows, dim=1).reshape(CONTEXTS, SLICES)
    shares = (shares / shares.sum(1, keepdim=True)).clamp_min(LEAST)
    edges = torch.nn.functional.pad(shares.cumsum(1), (1, 0))
    return ((edges / edges[:, -1:] * PRECISION).round() / PRECISION).float()


def parted(charge: Tensor, sticks: Sticks, rng: torch.Generator) -> Tensor:
    """Values of the breaks, uniform within one ADU; 1/2 for the last hit and 0 without hit, ``(clusters, 9)``.

    Args:
        charge: whole ADU, 0 without hit, ``(clusters, 9)``.
        sticks: the clusters.
        rng: of the values within one ADU.
    """
    own, rest, breaks = _taken(charge, sticks)
    context = _context(breaks, rest)
    low, high = (_value(sticks.edges, context, (own + more).double() / (rest + 1)) for more in (0, 1))
    return torch.where(breaks >= 0, inside(low, high, rng), 0.5 * (charge > 0))


def broken(value: Tensor, sticks: Sticks) -> tuple[Tensor, Tensor]:
    """The inverse of `parted`: whole ADU of hits, at most 255, and the same with gradient and parts of an ADU.

    Args:
        value: ``(clusters, 9)``; what is below 0 counts as 0, what is above 1 as 1.
        sticks: the clusters.

    Returns:
        ``(clusters, 9)`` each, of no meaning without hit.
    """
    breaks, left = sticks.breaks(), LEFT.to(value.device)[sticks.pattern]
    room = MAXIMUM - sticks.least
    rest = (sticks.total - sticks.least * left.amax(1)).clamp_min(0).to(value)
    whole, smooth = [], []
    for pixel, each in enumerate(value.clamp(0, 1).T):
        some = torch.nonzero(breaks[:, pixel] >= 0)[:, 0]
        before = rest[some]
        now, after = before.detach(), left[some, pixel] - 1
        taken = _part(sticks.edges, _context(breaks[some, pixel], now.long()), each[some]) * (before + 1)
        steps = torch.maximum(taken.detach().floor().minimum(now), now - after * room).clamp_max(room)
        whole.append(rest.detach().clamp_max(room).index_copy(0, some, steps) + sticks.least)
        smooth.append((rest + 0.5).index_copy(0, some, taken) + sticks.least)
        rest = rest.index_copy(0, some, (before - steps) - (taken - taken.detach()))
    return torch.stack(whole, dim=1), torch.stack(smooth, dim=1)


def inside(low: Tensor, high: Tensor, rng: torch.Generator) -> Tensor:
    """Values between those of two charges, away from both by more than rounding."""
    value = torch.lerp(low, high, torch.rand(low.shape, generator=rng).to(low.device))
    return torch.minimum(torch.maximum(value, low + ROUNDING), high - ROUNDING)


def _taken(charge: Tensor, sticks: Sticks) -> tuple[Tensor, Tensor, Tensor]:
    """Of each pixel what is above the least charge, what of that is there from it on, and its break."""
    own = (charge - sticks.least).clamp_min(0)
    rest = own.flip(1).cumsum(1).flip(1)
    return own, rest, sticks.breaks()


def _context(breaks: Tensor, rest: Tensor) -> Tensor:
    """Row of a table, 0 without break."""
    return breaks.clamp_min(0) * len(REST) + torch.bucketize(rest, REST.to(rest.device), right=True) - 1


def _value(edges: Tensor, context: Tensor, part: Tensor) -> Tensor:
    """Value at a part of what is left."""
    parts = PARTS.to(part.device)
    cell = (torch.bucketize(part, parts, right=True) - 1).clamp(0, SLICES - 1)
    low, high = edges[context, cell].double(), edges[context, cell + 1].double()
    return (low + (high - low) * (part - parts[cell]) / (parts[cell + 1] - parts[cell])).float()


def _part(edges: Tensor, context: Tensor, value: Tensor) -> Tensor:
    """The inverse of `_value`."""
    parts = PARTS.to(value)
    cell = (torch.searchsorted(edges[context], value.detach()[:, None], right=True)[:, 0] - 1).clamp(0, SLICES - 1)
    low, high = edges[context, cell], edges[context, cell + 1]
    return parts[cell] + (parts[cell + 1] - parts[cell]) * ((value - low) / (high - low))
