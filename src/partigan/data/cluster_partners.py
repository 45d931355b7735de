"""Clusters of two layers that one particle left: counted pairs on a helix, and layer 2 drawn in sequence after layer 1.

An option of the explicit part of a generator of clusters. The pairs of an event beyond those of mixed events
(`partigan.observables.hitmaps.layer_pairs`) say how often a cluster of layer 1 has a partner of each class in layer 2,
by how much a helix turns between them, and how far the partner is off. When events are drawn, clusters of layer 1 get
partners so: each is one of the clusters that layer 2 has anyway, of the right class and sensor and as near along v as
there is, and moves to its place. So numbers, classes, boxes and, nearly, the profile along v stay as they were drawn.

Single pixels, mostly photons, have no partners. Layers are where their sensors' planes are nearest to the beam line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.cluster_tables import Drawn, extents
from partigan.data.clusters import NAMES as CLASSES
from partigan.data.clusters import SINGLES, Found
from partigan.data.pxd import COLUMNS, LAYER_OF, LAYERS, ROWS, SENSORS, cylindrical, pixels_at
from partigan.observables.hitmaps import LayerPairs, Points, helix_ratio, layer_pairs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RADII = (LAYERS[1].radius, LAYERS[2].radius)
REACH = 0.2  # mm, of partners from the helix
KINDS = len(CLASSES) - SINGLES  # of clusters that have partners
TURNS = np.linspace(0, np.arccos(RADII[0] / RADII[1]), 13)  # rad: edges
OFFS = np.linspace(-REACH, REACH, 9)  # mm: edges
SIGNIFICANT = 3.0  # standard deviations, below which an excess counts as none


def boxes(clusters: Found | Drawn) -> tuple[Ints, Ints, Ints, Ints]:
    """Lowest column and row, and number of columns and rows, of each cluster."""
    return extents(clusters.kind, clusters.u, clusters.v, clusters.long, clusters.wide, clusters.phase)


def centres(low_u: Ints, low_v: Ints, span_u: Ints, span_v: Ints) -> tuple[Floats, Floats]:
    """Middle column and row of each of some `boxes`."""
    return low_u + (span_u - 1) / 2, low_v + (span_v - 1) / 2


def points(clusters: Found | Drawn) -> tuple[tuple[Points, Ints], tuple[Points, Ints]]:
    """For layers 1 and 2 the places of clusters of several pixels, and their rows in ``clusters``."""
    event, sensor = np.divmod(clusters.map, len(SENSORS))
    phi, z = cylindrical(sensor, *centres(*boxes(clusters)))
    rows = [np.flatnonzero((LAYER_OF[sensor] == layer) & (clusters.kind >= SINGLES)) for layer in LAYERS]
    one, two = ((Points(event[row], phi[row], z[row]), row) for row in rows)
    return one, two


class PartnerCounts:
    """Pairs of some events, to be added up.

    Args:
        found: the clusters of whole events.
        events: number of events; each is held against the next, so that of a single one nothing is counted.
    """

    def __init__(self, found: Found, events: int) -> None:
        self.pairs = np.zeros((2, KINDS, KINDS, len(TURNS) - 1, len(OFFS) - 1))
        self.chances = np.zeros((KINDS, len(TURNS) - 1))
        if events == 1:
            return
        (inner, own), (outer, others) = points(found)
        kinds = found.kind[own] - SINGLES, found.kind[others] - SINGLES
        number = np.bincount(outer.event, minlength=events)
        for shift in (0, 1):
            pairs = layer_pairs(inner._replace(event=(inner.event + shift) % events), outer, RADII, REACH)
            weight = number / np.maximum(np.roll(number, -shift), 1)
            self.pairs[shift] = _histogram(pairs, kinds, weight[inner.event[pairs.inner]])
        for bin, turned in enumerate((TURNS[1:] + TURNS[:-1]) / 2):
            to = inner.phi + (-1) ** bin * turned  # to one side of each, since there are many
            sensor = pixels_at(2, to, inner.z * helix_ratio(turned, RADII))[0]
            self.chances[:, bin] += np.bincount(kinds[0], sensor >= 0, KINDS)

    def add(self, other: PartnerCounts) -> None:
        """Take the counts of further events."""
        self.pairs += other.pairs
        self.chances += other.chances

    def state(self) -> dict[str, Any]:
        """As JSON values: ``often`` (classes, classes), ``turned`` and ``off``.

        ``often`` is the mean number of partners that a cluster would have if all places where they can be were on
        sensors, by its class and theirs; ``turned`` and ``off`` are shares of bins.
        """
        same, mixed = self.pairs
        excess, error = (same - mixed).sum((2, 3)), np.sqrt((same + mixed).sum((2, 3)))
        per_turn = (same - mixed).sum((1, 3)) / np.maximum(self.chances, 1)
        kept = excess > SIGNIFICANT * error
        turned = _shares(per_turn[kept.any(1)].mean(0) if kept.any() else np.ones(len(TURNS) - 1))
        seen = self.chances @ turned
        off = _shares((same - mixed)[kept].sum((0, 1)) if kept.any() else np.ones(len(OFFS) - 1))
        often = np.where(kept, excess, 0) / np.maximum(seen, 1)[:, None]
        return {"often": often.tolist(), "turned": turned.tolist(), "off": off.tolist()}


def _histogram(pairs: LayerPairs, kinds: tuple[Ints, Ints], weight: Floats) -> Floats:
    """Pairs by both classes, angle and distance."""
    axes = (kinds[0][pairs.inner], kinds[1][pairs.outer], np.abs(pairs.turned), pairs.off)
    edges = (np.arange(KINDS + 1), np.arange(KINDS + 1), TURNS, OFFS)
    return np.asarray(np.histogramdd(np.stack(axes, 1), edges, weights=weight)[0])


def _shares(counts: Floats) -> Floats:
    """Counts, of which those below 0 are 0, over their sum."""
    positive = np.maximum(counts, 0)
    return np.asarray(positive / max(positive.sum(), 1e-12))


def with_partners(drawn: Drawn, state: dict[str, Any], rng: np.random.Generator) -> Drawn:
    """Clusters of whole events, some of layer 2 moved behind one of layer 1.

    Args:
        drawn: the clusters, drawn without regard to each other.
        state: from `PartnerCounts.state`.
        rng: chooses who has partners, and where.
    """
    (inner, own), _ = points(drawn)
    often = np.asarray(state["often"])[drawn.kind[own] - SINGLES]
    who, kind = np.nonzero(rng.random(often.shape) < often)
    size = len(who)
    bins = [rng.choice(len(state[name]), size, p=state[name]) for name in ("turned", "off")]
    turned, off = (
        edges[bin] + (edges[1] - edges[0]) * rng.random(size) for edges, bin in zip((TURNS, OFFS), bins, strict=True)
    )
    z = inner.z[who] * helix_ratio(turned, RADII) + off
    sensor, u, v = pixels_at(2, inner.phi[who] + turned * rng.choice((-1, 1), size), z)
    there = np.flatnonzero(sensor >= 0)
    wanted = ((inner.event[who] * len(SENSORS) + sensor) * KINDS + kind)[there]
    available = drawn.map * KINDS + drawn.kind - SINGLES
    available = np.where(drawn.kind >= SINGLES, available, -1)
    box = boxes(drawn)
    middle_u, middle_v = centres(*box)
    chosen, place = _matched(available, middle_v, wanted, v[there])
    target_u, target_v = u[there][place], v[there][place]
    moved = []
    for column, middle, target, low, span, limit in (
        (drawn.u, middle_u, target_u, box[0], box[2], COLUMNS),
        (drawn.v, middle_v, target_v, box[1], box[3], ROWS),
    ):
        by = np.rint(target - middle[chosen]).astype(np.int64)
        by = np.maximum(np.minimum(by, limit - (low + span)[chosen]), -low[chosen])
        new = column.copy()
        new[chosen] += by
        moved.append(new)
    return drawn._replace(u=moved[0], v=moved[1])


def _matched(available: Ints, height: Floats, wanted: Ints, target: Floats) -> tuple[Ints, Ints]:
    """Pairs of a cluster and a place of one group, those nearest along v first, all places if there are enough.

    Args:
        available: group of each cluster, ``(clusters,)``.
        height: row of each cluster.
        wanted: group of each place, ``(places,)``.
        target: row of each place.
    """
    clusters, places = np.argsort(available, kind="stable"), np.argsort(wanted, kind="stable")
    groups = np.unique(wanted)
    ends = [
        np.searchsorted(group[order], groups, side=side)
        for group, order in ((available, clusters), (wanted, places))
        for side in ("left", "right")
    ]
    chosen, place = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first, last, start, stop in zip(*ends, strict=True):
        some, spots = clusters[first:last], places[start:stop]
        row, column = _nearest(np.abs(height[some][:, None] - target[spots]))
        chosen.append(some[row])
        place.append(spots[column])
    return np.concatenate(chosen), np.concatenate(place)


def _nearest(distance: Floats) -> tuple[Ints, Ints]:
    """Rows and columns of a matrix, the nearest pair first, until either are used up."""
    left = distance.astype(float)
    pairs = np.zeros((min(left.shape), 2), np.int64)
    for pair in pairs:
        pair[:] = np.unravel_index(left.argmin(), left.shape)
        left[pair[0]], left[:, pair[1]] = np.inf, np.inf
    return pairs[:, 0], pairs[:, 1]
