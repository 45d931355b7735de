"""Observables of hitmaps of pixel sensors: clusters, spectra of charge, correlations of pixels and of layers.

Hits are sparse: arrays ``(hits,)`` of image number, column u, row v and charge in ADU. Time grows with the number of
hits, not of pixels.

References:
    PE-GAN, section 4.2 (occupancy and charge); basf2's background monitor of the PXD (six segments along v; single
    pixels of 6 to 10 keV are soft photons, single pixels above hard photons, larger clusters above 10 keV charged).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SEGMENTS = 6
CLASSES = ("soft photon", "hard photon", "charged")
SOFT, HARD = 6.0, 10.0  # keV
_SECTORS = 48  # of the azimuth, in which clusters of the outer layer are sorted
KEV_PER_ADU = 216.7 * 3.65e-3  # electrons in an ADU times keV for an electron-hole pair


class Clusters(NamedTuple):
    """Groups of hits that touch each other with sides or corners.

    Attributes:
        image: number of the image, ``(clusters,)`` like all columns.
        charge: sum, ADU.
        size: number of pixels.
        seed: largest charge of a pixel, ADU.
        u: mean column, weighted by charge.
        v: mean row, weighted by charge.
        u_size: number of columns from the first to the last.
        v_size: number of rows from the first to the last.
    """

    image: Ints
    charge: Ints
    size: Ints
    seed: Ints
    u: Floats
    v: Floats
    u_size: Ints
    v_size: Ints

    @property
    def energy(self) -> Floats:
        """Energy in keV, ``(clusters,)``."""
        return np.asarray(self.charge * KEV_PER_ADU)

    @property
    def kind(self) -> Ints:
        """Index in ``CLASSES``, -1 for no class, ``(clusters,)``."""
        single, energy = self.size == 1, self.energy
        soft, hard, charged = single & (energy > SOFT) & (energy < HARD), single & (energy >= HARD), energy > HARD
        return np.select([soft, hard, charged], [0, 1, 2], -1)

    def segment(self, rows: int) -> Ints:
        """Which of six equal parts of the rows a cluster lies in, ``(clusters,)``."""
        return np.asarray(self.v * SEGMENTS // rows, np.int64)


def clusters(image: ArrayLike, u: ArrayLike, v: ArrayLike, charge: ArrayLike) -> Clusters:
    """Find clusters, connected hits (8 neighbours), of all images at once, in the order of their first hits.

    Args:
        image: numbers of images from 0, ``(hits,)``.
        u: columns, ``(hits,)``; no pixel twice.
        v: rows, ``(hits,)``.
        charge: above 0, ``(hits,)``.
    """
    i, x, y, q = (np.asarray(column, np.int64) for column in (image, u, v, charge))
    found, label = connected(i, x, y)
    first, size = np.full(found, len(i)), np.bincount(label, minlength=found)
    np.minimum.at(first, label, np.arange(len(i)))
    total = np.bincount(label, q, minlength=found)
    seed, extents = np.zeros(found, np.int64), []
    np.maximum.at(seed, label, q)
    for position in (x, y):
        low, high = np.full(found, np.iinfo(np.int64).max), np.full(found, -1)
        np.minimum.at(low, label, position)
        np.maximum.at(high, label, position)
        extents.append(high - low + 1)
    centres = [np.bincount(label, q * position, minlength=found) / total for position in (x, y)]
    columns = (i[first], total.astype(np.int64), size, seed, *centres, *extents)
    order = np.argsort(first)
    return Clusters(*(column[order] for column in columns))


def connected(image: Ints, u: Ints, v: Ints) -> tuple[int, Ints]:
    """Number of clusters, and the cluster of each hit, ``(hits,)``."""
    one, two = [], []
    for du, dv in ((0, 1), (1, -1), (1, 0), (1, 1)):
        a, b = _pairs(image, u, v, du, dv)
        one.append(a)
        two.append(b)
    a, b = np.concatenate(one), np.concatenate(two)
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(len(u), len(u)))
    found, label = connected_components(graph, directed=False)
    return int(found), label.astype(np.int64)


def _pairs(image: Ints, u: Ints, v: Ints, du: int, dv: int) -> tuple[Ints, Ints]:
    """Pairs of hits (a, b) of one image with u(b) = u(a) + du and v(b) = v(a) + dv."""
    if len(u) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    height, width = int(u.max()) + 1 + abs(du), int(v.max()) + 1 + 2 * abs(dv)
    address = (image * height + u) * width + v + abs(dv)
    order = np.argsort(address, kind="stable")
    ordered, wanted = address[order], address + du * width + dv
    place = np.searchsorted(ordered, wanted).clip(max=len(u) - 1)
    there = ordered[place] == wanted
    return np.flatnonzero(there), order[place[there]]


def spectrum(charge: ArrayLike) -> Ints:
    """Number of hits of each charge in ADU, ``(256,)``."""
    return np.bincount(np.asarray(charge, np.int64), minlength=256)


def pair_correlation(
    image: ArrayLike, u: ArrayLike, v: ArrayLike, images: int, shape: tuple[int, int], reach: int = 4
) -> Floats:
    """How much more often two pixels fire together than if they were independent, by their distance.

    Args:
        image: numbers of images from 0, ``(hits,)``.
        u: columns, ``(hits,)``.
        v: rows, ``(hits,)``.
        images: number of images.
        shape: columns and rows of an image.
        reach: largest distance in pixels.

    Returns:
        Pairs at distance (du, dv), dv from -reach, over their number for evenly spread hits,
        ``(reach + 1, 2 reach + 1)``; 1 = independent, NaN for a pixel with itself and without hits.
    """
    i, x, y = (np.asarray(column, np.int64) for column in (image, u, v))
    occupancy = np.bincount(i, minlength=images) / (shape[0] * shape[1])
    found = np.full((reach + 1, 2 * reach + 1), np.nan)
    expected = np.square(occupancy).sum()
    for du in range(reach + 1):
        for dv in range(-reach, reach + 1):
            if (du or dv) and expected > 0:
                places = (shape[0] - du) * (shape[1] - abs(dv))
                found[du, dv + reach] = len(_pairs(i, x, y, du, dv)[0]) / (expected * places)
    return found


class Points(NamedTuple):
    """Clusters of one layer by where they are, ``(clusters,)`` each.

    Attributes:
        event: number from 0.
        phi: azimuth, rad.
        z: along the beam, mm.
    """

    event: Ints
    phi: Floats
    z: Floats


class LayerPairs(NamedTuple):
    """Clusters of two layers that one particle may have left, ``(pairs,)`` each.

    Attributes:
        inner: row in the points of the inner layer.
        outer: row in those of the outer layer.
        turned: azimuth of the outer minus that of the inner, rad.
        off: z of the outer minus where a helix from the middle through the inner is there, mm.
    """

    inner: Ints
    outer: Ints
    turned: Floats
    off: Floats


def helix_ratio(turned: ArrayLike, radii: tuple[float, float]) -> Floats:
    """Ratio of z at the outer to z at the inner layer, for a helix from the middle that first crosses both.

    Args:
        turned: angle between the crossings, rad; at most acos of inner over outer radius in size.
        radii: of the layers.
    """
    angle = np.maximum(np.abs(np.asarray(turned, float)), 1e-6)
    inner, outer = radii
    radius = np.sqrt(inner**2 + outer**2 - 2 * inner * outer * np.cos(angle)) / (2 * np.sin(angle))
    return np.asarray(np.arcsin(np.minimum(outer / (2 * radius), 1)) / np.arcsin(inner / (2 * radius)))


def layer_pairs(inner: Points, outer: Points, radii: tuple[float, float], reach: float) -> LayerPairs:
    """Pairs of one event that a helix from the middle joins, whose radius is that of the circle through both.

    Only first crossings of both layers are looked for, at the layers' radii.

    Args:
        inner: clusters of the inner layer.
        outer: clusters of the outer layer.
        radii: of the layers, mm.
        reach: largest ``off``, mm.
    """
    most, width = np.arccos(radii[0] / radii[1]), 2 * np.pi / _SECTORS
    sector = np.floor(outer.phi / width).astype(np.int64) % _SECTORS
    apart = 8 * max(float(np.abs(z).max(initial=0)) for z in (inner.z, outer.z)) + 2 * reach + 1
    order = np.lexsort((outer.z, sector, outer.event))
    there = ((outer.event * _SECTORS + sector) * apart + outer.z)[order]
    own = np.floor(inner.phi / width).astype(np.int64)
    parts = []
    for step in range(-int(most / width) - 1, int(most / width) + 2):
        low = (own + step) * width - inner.phi
        nearest, farthest = np.maximum(np.maximum(low, -low - width), 0), np.maximum(np.abs(low), np.abs(low + width))
        ratios = (helix_ratio(np.minimum(angle, most), radii) for angle in (nearest, farthest))
        ends = np.sort([ratio * inner.z for ratio in ratios], axis=0) + np.array([[-reach], [reach]])
        here = (inner.event * _SECTORS + (own + step) % _SECTORS) * apart
        first, last = np.searchsorted(there, here + ends)
        number = np.where(nearest <= most, last - first, 0)
        a = np.repeat(np.arange(len(here)), number)
        b = order[np.arange(len(a)) - np.repeat(np.cumsum(number) - number, number) + first[a]]
        turned = (outer.phi[b] - inner.phi[a] + np.pi) % (2 * np.pi) - np.pi
        off = outer.z[b] - helix_ratio(np.minimum(np.abs(turned), most), radii) * inner.z[a]
        near = (np.abs(turned) <= most) & (np.abs(off) <= reach)
        parts.append(LayerPairs(a[near], b[near], turned[near], off[near]))
    return LayerPairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def layer_excess(
    inner: Points, outer: Points, events: int, radii: tuple[float, float], edges: ArrayLike, mixed: int = 3
) -> Floats:
    """Pairs of clusters of two layers on one helix, beyond those of mixed events, by their distance from it.

    Args:
        inner: clusters of the inner layer.
        outer: clusters of the outer layer.
        events: their number, above ``mixed``.
        radii: of the layers, mm.
        edges: of bins of ``off``, see `LayerPairs`, mm.
        mixed: other events with whose outer layer each inner layer is paired; as if that had as many clusters.

    Returns:
        ``(events, bins)``; 0 but for fluctuations where the layers are independent.
    """
    bins, number = np.asarray(edges, float), np.bincount(outer.event, minlength=events)
    excess = np.zeros((events, len(bins) - 1))
    for shift in range(mixed + 1):
        other = inner._replace(event=(inner.event + shift) % events)
        pairs = layer_pairs(other, outer, radii, float(np.abs(bins).max()))
        own = inner.event[pairs.inner]
        found = np.histogram2d(own, pairs.off, (np.arange(events + 1), bins))[0]
        scale = number / np.maximum(np.roll(number, -shift), 1)
        excess += found if shift == 0 else -found * scale[:, None] / mixed
    return excess


def singular_values(images: torch.Tensor, number: int = 16) -> torch.Tensor:
    """Largest singular values of images ``(images, height, width)``, in falling order, ``(images, number)``."""
    values: torch.Tensor = torch.linalg.svdvals(images)
    return values[:, :number]
