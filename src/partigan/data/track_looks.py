"""What is counted of tracks beside their lines: how many hits and how much charge, and how far hits go to each side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partigan.data.clusters import IS_TRACK_V, STRIP, Found, line_at
from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import ROWS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FEW = 5
"""Numbers of hits beyond one for each pixel along a track that are counted one by one: less than this."""
DENSE = np.array([1, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8, 2.0, 2.3, 2.7, 3.3, 5])
"""Hits a pixel along other tracks: edges."""
BRIGHT = np.array([7, *np.arange(8.5, 20), 21, 22.5, 25, 28, 31, 35, 40, 47, 55, 67, 80, 120, MAXIMUM + 1])
"""ADU: edges of the mean charge of the hits of a track."""
SIDES = 2 + STRIP // 2
"""How far hits can reach on each side of a track's line: one column less than it, as far, or beyond."""
AGES = np.array([5, 7, 13, 41, 101])
"""Pixels: edges of the lengths of tracks that are counted apart."""
FINE_AGES = np.array([5, 6, 7, 8, 9, 11, 13, 16, 21, 41, 101])
"""The same for the number of their hits, which goes by their length."""
TILTS = np.array([0.15, 0.5])
"""The same of absolute slopes of tracks of many columns."""
LOOKS = (4, 3, 2, len(FINE_AGES) + 1, len(TILTS) + 5)
"""Layer and side, third along v, axis, length, and line of tracks.

Lines are straight, between two pixels or in the middle of one, or have one or two columns, three, or more.
"""
CROWDS = (1, 2, 3, 4, 5, 8, 10, 12, 14)
"""Edges of the bins of hits."""
FLANKS = (2, 2, 3, len(CROWDS) + 1, 3, 2, 2, 2)
"""Layer, axis, length and hits of tracks; columns of their line, whether it falls, where in a pixel both ends are."""


def looks(found: Found, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Hits a pixel along each cluster's axis and mean charge of its hits, as `Tables` draws them; of use for tracks.

    They are blurred within their bins: a network that is told the very numbers would be judged by these alone.
    """
    return blurred(*look_bins(found), found.long, rng)


def sides(found: Found) -> tuple[Ints, Ints]:
    """How many columns the hits of tracks reach beyond the box of their line, across it, below and above; -1 = less."""
    cluster = np.repeat(np.arange(len(found.kind)), np.diff(found.first))
    across = line_at(found.phase[cluster], found.wide[cluster], found.row) + found.column - STRIP // 2
    low, high = (
        each.reduceat(across, found.first[:-1]) if len(cluster) else across for each in (np.minimum, np.maximum)
    )
    end = line_at(found.phase, found.wide, found.long - 1)
    return (np.minimum(end, 0) - low).clip(-1, SIDES - 2), (high - np.maximum(end, 0)).clip(-1, SIDES - 2)


def look_bins(found: Found) -> tuple[Ints, Ints]:
    """Bins of hits, `FEW` and those of `DENSE`, and of `BRIGHT`."""
    size = np.diff(found.first)
    total = np.add.reduceat(found.charge, found.first[:-1]) if len(size) else size
    more = size - found.long
    dense, bright = size / np.maximum(found.long, 1), total / np.maximum(size, 1)
    values = ((DENSE, dense), (BRIGHT, bright))
    one, two = (np.searchsorted(edges, x, side="right").clip(1, len(edges) - 1) - 1 for edges, x in values)
    return np.where(more < FEW, more.clip(0), FEW + one), two


def blurred(many: Ints, bright: Ints, length: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Hits a pixel along tracks of some lengths and mean charges, within the bins of `look_bins`."""
    ends = ((edges[bin], edges[bin + 1]) for edges, bin in ((DENSE, (many - FEW).clip(0)), (BRIGHT, bright)))
    one, two = (low * (high / low) ** rng.random(len(low)) for low, high in ends)
    return np.where(many < FEW, 1 + many / length, np.maximum(one, 1 + FEW / length)), two


def looks_row(group: Ints, v: Ints, kind: Ints, line: tuple[Ints, Floats, Floats]) -> Ints:
    """Row of the table of the looks of tracks; line: length, slope and phase of each."""
    third = v.clip(0, ROWS - 1) * 3 // ROWS
    return np.asarray(np.ravel_multi_index((group, third, kind - IS_TRACK_V, *_line_bins(*line)), LOOKS))


def sides_row(group: Ints, kind: Ints, line: tuple[Ints, Floats, Floats], many: Ints) -> Ints:
    """Row of the table of what is beside the lines of tracks; line: see `looks_row`, many: see `look_bins`."""
    length, slope, phase = line
    age, crowd = np.searchsorted(AGES[1:3], length, side="right"), np.searchsorted(CROWDS, many, side="right")
    end = phase + slope * (length - 1)
    columns = _columns(*line).clip(max=2)
    begins, ends = (np.rint(2 * at).astype(np.int64) % 2 for at in (phase, end))
    falls = (slope < 0).astype(np.int64)
    bins = (group // 2, kind - IS_TRACK_V, age, crowd, columns, falls, begins, ends)
    return np.asarray(np.ravel_multi_index(bins, FLANKS))


def _line_bins(length: Ints, slope: Floats, phase: Floats) -> tuple[Ints, Ints]:
    """Bins of length and line."""
    columns = _columns(length, slope, phase)
    many = np.where(columns > 2, np.searchsorted(TILTS, np.abs(slope)) + 4, columns.clip(1) + 1)
    tilt = np.where(slope == 0, np.rint(2 * phase).astype(np.int64) % 2, many)
    return np.searchsorted(FINE_AGES, length, side="right"), tilt


def _columns(length: Ints, slope: Floats, phase: Floats) -> Ints:
    """Columns that lines have beside their first one."""
    return np.abs(line_at(phase, slope, length - 1))
