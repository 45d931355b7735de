"""The lines of tracks, numbered so that they can be counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partigan.data.pxd import ROWS
from partigan.data.track_looks import AGES, TILTS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHORT = 16  # pixels of tracks whose lines are counted one by one
LENGTHS = np.unique(np.concatenate([np.arange(4, SHORT + 1), np.geomspace(SHORT + 1, ROWS + 1, 44).astype(int)]))
"""Pixels: edges of the lengths of tracks."""
SLOPES = (np.arange(34) - 16.5) / 16
"""Edges of the slopes of longer tracks."""
LINES = 8 * SHORT
"""Numbers of lines for one length: half pixels that a short one rises and where it begins, or the bin of a slope."""
SLANTS = np.concatenate([-TILTS[::-1], [-1e-6, 1e-6], TILTS])
"""Edges of slopes that are counted for each sensor."""
TURNS = (len(AGES) + 1) * (len(SLANTS) + 1)
"""Numbers of lengths and slopes that are."""


def line_number(length: Ints, slope: Floats, phase: Floats) -> Ints:
    """Numbers of lines, below `LINES` for each bin of `LENGTHS`."""
    rise = np.rint(2 * slope * (length - 1)).astype(np.int64) + 2 * SHORT
    short = rise * 2 + np.rint(2 * phase).astype(np.int64) % 2
    number = np.where(length <= SHORT, short, np.searchsorted(SLOPES, slope, side="right") - 1)
    return length_bin(length) * LINES + number


def length_bin(length: Ints) -> Ints:
    """Bins of `LENGTHS`."""
    return np.asarray(np.searchsorted(LENGTHS, length, side="right") - 1)


def drawn_line(length: Ints, number: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Slopes and phases of lines of these numbers; all end at half pixels."""
    number = number % LINES
    short, steps = length <= SHORT, length - 1
    bin = number.clip(max=len(SLOPES) - 2)
    slope = SLOPES[bin] + (SLOPES[bin + 1] - SLOPES[bin]) * rng.random(len(bin))
    long = np.rint(2 * slope * steps).clip(-2 * steps, 2 * steps)
    rise = np.where(short, number // 2 - 2 * SHORT, long)
    return rise / (2 * steps), np.where(short, number % 2, rng.integers(0, 2, len(number))) / 2


def turn(number: Ints) -> Ints:
    """Which of the `TURNS` lines of these numbers are."""
    bin, line = np.divmod(number, LINES)
    length = LENGTHS[bin]
    middle = (SLOPES[1:] + SLOPES[:-1]) / 2
    slope = np.where(
        length <= SHORT, (line // 2 - 2 * SHORT) / (2 * (length - 1)), middle[line.clip(max=len(middle) - 1)]
    )
    age = np.searchsorted(AGES, length, side="right")
    return np.asarray(age * (len(SLANTS) + 1) + np.searchsorted(SLANTS, slope))
