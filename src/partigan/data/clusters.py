"""Hitmaps as clusters: each with its class, its place, and a frame in which its hits lie.

A cluster is a group of hits that touch with sides or corners. Classes go by what is needed to describe one:

- *single pixels*, in four bands of charge;
- *small* clusters, whose box of pixels is at most 3 x 3; which of the 9 are hit is one of 512 patterns;
- *tracks*, everything larger, along v or along u. Their frame is a straight line whose ends are at the middle of a
  pixel or between two: hits lie in a strip of `STRIP` pixels across it, pixel by pixel along the axis. What a cluster
  has beyond its strip, mostly other clusters that touch it by chance, counts as clusters of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, ROWS
from partigan.observables.hitmaps import HARD, KEV_PER_ADU, connected

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BANDS = (int(HARD / KEV_PER_ADU) + 1, 20, 40)
"""ADU: edges between the bands of single pixels; the first is that of soft photons."""
SMALL = (3, 3)
"""Columns and rows of the largest box of small clusters."""
STRIP = 5
"""Pixels across a track."""
WINDOW = 16
"""Pixels along a track that training sees."""
OUTSIDE = 2
"""Pixels before and after a track that its first and last windows show."""
PIXELS = (SMALL[0] * SMALL[1], STRIP * WINDOW)
"""Pixels of a small cluster, and of a part of a track: a training sample has one of each."""
PATTERNS = (np.arange(2 ** (SMALL[0] * SMALL[1]))[:, None] >> np.arange(SMALL[0] * SMALL[1])) & 1
"""Which pixels are hit in each pattern of a small cluster, column by column, 0 or 1, ``(512, 9)``."""
FRAMES = (5, 13)
"""Numbers that say where each of the two is, and which pattern or line, hits and charge it has, see the kind."""
SINGLES = len(BANDS) + 1
NAMES = ("single 1", "single 2", "single 3", "single 4", "small", "track in v", "track in u")
IS_SMALL, IS_TRACK_V, IS_TRACK_U = range(SINGLES, len(NAMES))
EDGE = 1e-3
"""Pixels by which a line that runs between two of them lies in the upper one, beyond rounding."""
_TRIALS = 4  # fits of a line, each without the hits far from the one before
_NEAR = 3.0  # pixels, of hits that the next fit takes
_LEVELS = 3  # tracks that are looked for in one cluster, one after another


class Found(NamedTuple):
    """Clusters and their hits; hits are sorted by cluster.

    Attributes:
        map: number of the map, ``(clusters,)`` like all up to ``phase``.
        kind: index in ``NAMES``.
        u: lowest column; of a track, the column of its beginning, which is the lower integer of the line.
        v: the same for rows.
        long: charge of the whole, ADU; of a track its length along the axis, pixels.
        wide: slope of a track's line; 0 for others.
        phase: where inside the pixel (u, v) a track's line begins, 0 to 1; of small clusters the pattern, see
            `PATTERNS`; 0 for others.
        first: ``(clusters + 1,)``: the hits of a cluster lie between two of these.
        row: of each hit, ``(hits,)``: column in the box; pixel along the axis.
        column: row in the box; pixel across the strip, 0 to `STRIP` - 1.
        charge: ADU.
    """

    map: Ints
    kind: Ints
    u: Ints
    v: Ints
    long: Ints
    wide: Floats
    phase: Floats
    first: Ints
    row: Ints
    column: Ints
    charge: Ints


def found(hitmaps: Hitmaps) -> Found:
    """The clusters of all maps."""
    image, u, v, q = (np.asarray(part, np.int64) for part in (hitmaps.map, hitmaps.u, hitmaps.v, hitmaps.charge))
    none, reals = np.zeros(0, np.int64), np.zeros(0)
    empty = Found(none, none, none, none, none, reals, reals, np.zeros(1, np.int64), none, none, none)
    parts = [empty, *_parted(image, u, v, q)]
    lengths = np.concatenate([np.diff(part.first) for part in parts])
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Found._fields}
    return Found(**{**joined, "first": np.concatenate([[0], np.cumsum(lengths)])})


def _parted(image: Ints, u: Ints, v: Ints, q: Ints, level: int = 0) -> Iterator[Found]:
    """Clusters in boxes and tracks; what tracks leave over is clustered again."""
    if len(u) == 0:
        return
    number, label = connected(image, u, v)
    order = np.argsort(label, kind="stable")
    image, u, v, q, label = (part[order] for part in (image, u, v, q, label))
    first = np.searchsorted(label, np.arange(number + 1))
    low_u, high_u, low_v, high_v = _boxes(first, u, v)
    height, width = high_u - low_u + 1, high_v - low_v + 1
    large = (height > SMALL[0]) | (width > SMALL[1])
    yield _boxed(~large, image, u, v, q, label, (low_u, low_v))
    if large.any():
        chosen = large[label]
        numbers = np.cumsum(large) - 1
        track, rest = _tracks(image[chosen], u[chosen], v[chosen], q[chosen], numbers[label[chosen]], level)
        yield track
        yield from _parted(*rest, level + 1)


def _boxes(first: Ints, u: Ints, v: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Lowest and highest column and row of each cluster."""
    at = first[:-1]
    return (
        np.minimum.reduceat(u, at),
        np.maximum.reduceat(u, at),
        np.minimum.reduceat(v, at),
        np.maximum.reduceat(v, at),
    )


def _boxed(
    chosen: NDArray[np.bool_], image: Ints, u: Ints, v: Ints, q: Ints, label: Ints, low: tuple[Ints, Ints]
) -> Found:
    """The chosen clusters: single pixels and small ones."""
    hit = chosen[label]
    low_u, low_v = low
    row, column, charge = (u - low_u[label])[hit], (v - low_v[label])[hit], q[hit]
    size = np.bincount(label, minlength=len(chosen))[chosen]
    first = np.concatenate([[0], np.cumsum(size)])
    at = first[:-1]
    single = np.searchsorted(BANDS, charge[at], side="right") if len(at) else at
    kind = np.where(size == 1, single, IS_SMALL)
    place = (low_u[chosen], low_v[chosen])
    starts = np.searchsorted(label, np.flatnonzero(chosen))
    bits = 2.0 ** (row * SMALL[1] + column)
    total = np.add.reduceat(charge, at) if len(at) else at
    pattern = np.where(kind == IS_SMALL, np.add.reduceat(bits, at) if len(at) else 0.0, 0.0)
    return Found(image[starts], kind, *place, total, np.zeros(len(at)), pattern, first, row, column, charge)


def _tracks(
    image: Ints, u: Ints, v: Ints, q: Ints, label: Ints, level: int
) -> tuple[Found, tuple[Ints, Ints, Ints, Ints]]:
    """The longest track of each cluster, and all hits that belong to none; hits are sorted by cluster."""
    number = int(label[-1]) + 1
    first = np.searchsorted(label, np.arange(number + 1))
    low_u, high_u, low_v, high_v = _boxes(first, u, v)
    in_v = high_v - low_v >= high_u - low_u
    along, across = np.where(in_v[label], v, u), np.where(in_v[label], u, v)
    ends = (np.where(in_v, low, side) for low, side in ((low_v, low_u), (high_v, high_u)))
    start, slope = _halves(*_lines(label, number, along, across, q), *ends)
    offset = across - line_at(start[label], slope[label], along) + STRIP // 2
    inside = (offset >= 0) & (offset < STRIP)
    parts, piece = connected(label[inside], u[inside], v[inside])
    sizes = np.bincount(piece, minlength=parts)
    owner = np.zeros(parts, np.int64)
    owner[piece] = label[inside]
    ranked = np.lexsort((-sizes, owner))
    _, best = np.unique(owner[ranked], return_index=True)
    core = np.zeros(len(label), np.bool_)
    core[np.flatnonzero(inside)] = np.isin(piece, ranked[best])
    rest = ~core if level < _LEVELS else np.zeros_like(core)  # what is too odd for so many tracks is left out
    left = tuple(part[rest] for part in (image, u, v, q))
    image, along, offset, q, label = (part[core] for part in (image, along, offset, q, label))
    order = np.lexsort((along, label))
    image, along, offset, q, label = (part[order] for part in (image, along, offset, q, label))
    clusters, label = np.unique(label, return_inverse=True)
    first = np.searchsorted(label, np.arange(len(clusters) + 1))
    at = first[:-1]
    begin, end = along[at], along[first[1:] - 1]
    line = start[clusters] + slope[clusters] * begin
    anchor = np.floor(line + EDGE).astype(np.int64)
    in_v = in_v[clusters]
    kind = np.where(in_v, IS_TRACK_V, IS_TRACK_U)
    columns = (np.where(in_v, anchor, begin), np.where(in_v, begin, anchor), end - begin + 1)
    track = Found(image[at], kind, *columns, slope[clusters], line - anchor, first, along - begin[label], offset, q)
    return track, left  # type: ignore[return-value]


def _lines(label: Ints, number: int, along: Ints, across: Ints, q: Ints) -> tuple[Floats, Floats]:
    """Straight lines through the hits of clusters by least squares: where they are at 0, and their slopes.

    The middle of pixel n is at n + 1/2 across, and at n along.
    """
    weight = np.minimum(q, 30).astype(float)  # a spike is no better a point than others
    for _ in range(_TRIALS):
        total, x, y, xx, xy = (
            np.bincount(label, weight * value, minlength=number)
            for value in (np.ones(len(label)), along, across + 0.5, along * along, along * (across + 0.5))
        )
        spread = np.maximum(xx * total - x * x, 1e-9)
        slope = np.clip((xy * total - x * y) / spread, -1.5, 1.5)
        start = (y - slope * x) / np.maximum(total, 1e-9)
        distance = np.abs(across + 0.5 - start[label] - slope[label] * along)
        weight = np.where(distance < _NEAR, np.minimum(q, 30), 0.0)
        lost = np.bincount(label, weight, minlength=number) == 0
        weight = np.where(lost[label], np.minimum(q, 30), weight)
    return start, slope


def _halves(start: Floats, slope: Floats, begin: Ints, end: Ints) -> tuple[Floats, Floats]:
    """Lines whose ends are moved to the nearest half pixel; no slope is above 1."""
    low = np.rint(2 * (start + slope * begin)) / 2
    high = np.rint(2 * (start + slope * end)) / 2
    slope = (np.clip(high, low - (end - begin), low + (end - begin)) - low) / (end - begin)
    return low - slope * begin, slope


def line_at(phase: Floats, slope: Floats, along: Ints) -> Ints:
    """Pixel across in which lines are at pixels along them; phase: where they are at 0."""
    return np.asarray(np.floor(phase + slope * along + EDGE).astype(np.int64))


def hits(
    kind: Ints, u: Ints, v: Ints, wide: Floats, phase: Floats, cluster: Ints, place: tuple[Ints, Ints]
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Column and row of hits in their maps, and whether they lie inside.

    Args:
        kind: class of each cluster, ``(clusters,)`` like all up to ``phase``, as in `Found`.
        u: column.
        v: row.
        wide: slope of tracks.
        phase: of tracks.
        cluster: of each hit, ``(hits,)``.
        place: row and column of each hit, as in `Found`.
    """
    row, across = place[0], place[1].copy()
    track = np.flatnonzero(kind[cluster] >= IS_TRACK_V)
    at = cluster[track]
    across[track] += line_at(phase[at], wide[at], row[track]) - STRIP // 2
    turned = kind[cluster] == IS_TRACK_V
    x = u[cluster] + np.where(turned, across, row)
    y = v[cluster] + np.where(turned, row, across)
    return x, y, (x >= 0) & (x < COLUMNS) & (y >= 0) & (y < ROWS)
