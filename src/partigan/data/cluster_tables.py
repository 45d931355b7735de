"""The explicit part of a generator of clusters: how many there are, where, and how large. Everything is counted.

An event is a compound point process. Numbers of clusters of the 40 sensors are negative binomial, with a common factor;
given its number, a sensor's clusters are independent. Each has a class and a row, then a column, then what its class
needs, each drawn from counts of the training sample given those before: the charge of a single pixel, the pattern of a
small cluster and then its charge, the length of a track, its line, how many hits and how much charge it has, and how
far its hits go beyond the line.
What lies inside is for networks.
"""

from __future__ import annotations

from itertools import zip_longest
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partigan.data.cluster_numbers import moments, numbers
from partigan.data.cluster_sensors import GROUPS, of_sensors
from partigan.data.clusters import IS_SMALL, IS_TRACK_V, NAMES, PATTERNS, SINGLES, SMALL, Found, line_at
from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.sparse_rows import full, short
from partigan.data.track_lines import LENGTHS, LINES, TURNS, drawn_line, length_bin, line_number, turn
from partigan.data.track_looks import (
    AGES,
    BRIGHT,
    DENSE,
    FEW,
    FLANKS,
    LOOKS,
    SIDES,
    blurred,
    look_bins,
    looks_row,
    sides,
    sides_row,
)
from partigan.errors import PartiganError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

V_BINS, U_BINS = 26, 14  # of places; the first and the last are the edges of the sensor
QUARTERS = 4  # of a sensor along v, and along u between its edges
SIXTHS = 6  # of a sensor along u between its edges, where the directions of tracks change
BOXES = np.stack([1 + (PATTERNS.reshape(-1, *SMALL).any(axis) * np.arange(3)).max(1) for axis in (2, 1)], axis=1)
"""Columns and rows of the box of each pattern of small clusters, ``(512, 2)``."""
SHAPES = 8
"""Of small clusters: two pixels along u, along v, at corners; three along v; three else; four; five; more."""
TOTALS = np.unique(np.concatenate([np.arange(MAXIMUM + 1), np.geomspace(MAXIMUM + 1, 9 * MAXIMUM + 1, 40).astype(int)]))
"""ADU: edges of the charges of small clusters."""
BANDS = np.searchsorted((14, 20, 26, 32, 40, 55, 80), TOTALS[:-1], side="right")
"""Of the charges of small clusters: those that are counted for each sensor."""
WIDTHS = {
    "classes": len(NAMES) * V_BINS,
    "columns": U_BINS,
    "charges": MAXIMUM + 1,
    "small": len(PATTERNS),
    "totals": len(TOTALS) - 1,
    "lengths": len(LENGTHS) - 1,
    "tracks": (len(LENGTHS) - 1) * LINES,
    "looks": (FEW + len(DENSE) - 1) * (len(BRIGHT) - 1),
    "sides": SIDES**2,
    "shapes": SHAPES,
    "bands": int(BANDS.max()) + 1,
    "turns": TURNS,
}
"""Columns of the tables."""


def _shapes() -> Ints:
    """The shape of each pattern, see `SHAPES`."""
    number, (columns, rows) = PATTERNS.sum(1), BOXES.T
    two = np.where(columns == 1, 1, np.where(rows == 1, 0, 2))
    return np.select([number <= 2, number == 3], [two, np.where(columns == 1, 3, 4)], (number + 1).clip(max=SHAPES - 1))


SHAPE_OF = _shapes()
"""The shape of each pattern of a small cluster, ``(512,)``."""


class Drawn(NamedTuple):
    """Clusters without their hits; columns as in `partigan.data.clusters.Found`, ``(clusters,)``.

    Attributes:
        map: number of the map.
        kind: class.
        u: column.
        v: row.
        long: charge in ADU; of a track its length.
        wide: slope of a track.
        phase: of tracks; the pattern of small clusters.
        dense: hits a pixel along a track, about; 0 for others.
        bright: mean charge of the hits of a track, about, ADU; 0 for others.
        below: columns of hits beside the box of a track's line, across it, on the lower side; -1 = its lowest column
            has no hits; 0 for others.
        above: the same on the upper side.
    """

    map: Ints
    kind: Ints
    u: Ints
    v: Ints
    long: Ints
    wide: Floats
    phase: Floats
    dense: Floats
    bright: Floats
    below: Ints
    above: Ints


class Counts:
    """What is counted of some events, to be added up.

    Args:
        found: the clusters of whole events.
        events: number of events.
    """

    def __init__(self, found: Found, events: int) -> None:
        sensor, kind = found.map % len(SENSORS), found.kind
        self.numbers = np.bincount(found.map, minlength=events * len(SENSORS)).reshape(events, len(SENSORS))
        low_u, low_v, span_u, span_v = extents(found.kind, found.u, found.v, found.long, found.wide, found.phase)
        row, column = _bin(low_v, ROWS - span_v, V_BINS), _bin(low_u, COLUMNS - span_u, U_BINS)
        group = GROUPS[sensor]
        shelf = _shelf(group, row, column)
        self.tables = {
            "classes": _count(sensor, len(SENSORS), kind * V_BINS + row, WIDTHS["classes"]),
            "columns": _count(group * len(NAMES) + kind, len(NAMES) * 4, column, WIDTHS["columns"]),
        }
        single = kind < SINGLES
        quarter = _part(row, V_BINS)
        self.tables["charges"] = _count(
            (group * QUARTERS + quarter)[single] * SINGLES + kind[single],
            4 * QUARTERS * SINGLES,
            found.long[single],
            WIDTHS["charges"],
        )
        some = kind == IS_SMALL
        pattern = found.phase[some].astype(np.int64)
        self.tables["small"] = _count(shelf[some], SHELVES, pattern, WIDTHS["small"])
        total = np.searchsorted(TOTALS, found.long[some], side="right") - 1
        self.tables["totals"] = _count(_pile(group[some], found.v[some], pattern), PILES, total, WIDTHS["totals"])
        for name, of in (("shapes", SHAPE_OF[pattern]), ("bands", BANDS[total])):
            self.tables[name] = _count(sensor[some], len(SENSORS), of, WIDTHS[name])
        some = kind >= IS_TRACK_V
        length = np.maximum(found.long[some], LENGTHS[0])  # of what was parted from others some are shorter
        at = (group, row, column, kind)
        self.tables["lengths"] = _count(_rack(*at)[some], RACKS, length_bin(length), WIDTHS["lengths"])
        line = (length, found.wide[some], found.phase[some])
        number = line_number(*line)
        self.tables["tracks"] = _count(_half(*at)[some], HALVES, number, WIDTHS["tracks"])
        dense, bright = (x[some] for x in look_bins(found))
        row = looks_row(group[some], found.v[some], kind[some], line)
        self.tables["looks"] = _count(row, prod(LOOKS), dense * (len(BRIGHT) - 1) + bright, WIDTHS["looks"])
        below, above = (x[some] for x in sides(found))
        column = (below + 1) * SIDES + above + 1
        row = sides_row(group[some], kind[some], line, dense)
        self.tables["sides"] = _count(row, prod(FLANKS), column, WIDTHS["sides"])
        own = 2 * sensor[some] + kind[some] - IS_TRACK_V
        self.tables["turns"] = _count(own, 2 * len(SENSORS), turn(number), WIDTHS["turns"])

    def add(self, other: Counts) -> None:
        """Take the counts of further events."""
        self.numbers = np.concatenate([self.numbers, other.numbers])
        for name, table in other.tables.items():
            self.tables[name] += table

    def state(self) -> dict[str, Any]:
        """Numbers and tables, as JSON values. See `sparse_rows` for the tables."""
        mean, excess, common = moments(self.numbers)
        tables = {name: [short(row) for row in table] for name, table in self.tables.items()}
        numbers = {"mean": mean.tolist(), "excess": excess.tolist(), "common": common}
        return {**numbers, "widths": list(WIDTHS.values()), **tables}


SHELVES = 4 * QUARTERS * (QUARTERS + 2)
"""Layer and side, quarter along v, edge or quarter along u. A sensor in place of layer and side: see `of_sensors`."""
RACKS = 4 * QUARTERS * (SIXTHS + 2) * 2
"""Layer and side, quarter along v, edge or sixth along u, and axis of tracks."""
HALVES = 4 * 2 * SIXTHS * 2
"""Layer and side, half along v, sixth along u, and axis of tracks."""
PILES = 4 * SIXTHS * SHAPES
"""Layer and side, sixth along v, and shape of small clusters."""


class Tables:
    """Draws from the tables of a state.

    Args:
        state: from `Counts.state`.

    Raises:
        PartiganError: a table has other columns than those of this version.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        for name, width in zip_longest(WIDTHS, state["widths"]):
            if width != WIDTHS.get(name):
                raise PartiganError(
                    f"the table {name!r} of clusters has other columns than the {WIDTHS.get(name)} of this version; "
                    "train the run again, or use it with the version that made it"
                )
        self.state = {name: state[name] for name in ("mean", "excess", "common")}
        counted = {name: full(state[name], width) for name, width in WIDTHS.items()}
        self.patterns, self.lines = (np.flatnonzero(counted[name].any(0)) for name in ("small", "tracks"))
        counted |= {"small": counted["small"][:, self.patterns], "tracks": counted["tracks"][:, self.lines]}
        tables = {name: _shares(table) for name, table in counted.items()}
        ages = np.searchsorted(AGES, LENGTHS[:-1], side="right")
        turns = counted["turns"].reshape(len(SENSORS), 2, -1)
        of_age = turns.reshape(*turns.shape[:2], ages.max() + 1, -1).sum(3)
        for name, own, classes in (
            ("small", counted["shapes"][:, None], SHAPE_OF[self.patterns]),
            ("totals", counted["bands"][:, None], BANDS),
            ("lengths", of_age, ages),
            ("tracks", turns, turn(self.lines)),
        ):
            tables[name] = of_sensors(tables[name], own, classes)
        self.cumulative = {name: _cumulative(table) for name, table in tables.items()}

    def draw(self, events: int, rng: np.random.Generator) -> Drawn:
        """The clusters of events of 40 maps."""
        map = np.repeat(np.arange(events * len(SENSORS)), numbers(self.state, events, rng).ravel())
        sensor = map % len(SENSORS)
        kind, row = np.divmod(self._draw("classes", sensor, rng), V_BINS)
        order = np.lexsort((kind, map))
        map, sensor, kind, row = (part[order] for part in (map, sensor, kind, row))
        group = GROUPS[sensor]
        column = self._draw("columns", group * len(NAMES) + kind, rng)
        shelf = _shelf(sensor, row, column)
        long, wide, phase = np.ones(len(map), np.int64), np.zeros(len(map)), np.zeros(len(map))
        small = kind == IS_SMALL
        phase[small] = pattern = self.patterns[self._draw("small", shelf[small], rng)]
        some = kind >= IS_TRACK_V
        at = (sensor, row, column, kind)
        bin = self._draw("lengths", _rack(*at)[some], rng)
        long[some] = length = np.minimum(rng.integers(LENGTHS[bin], LENGTHS[bin + 1]), _longest(kind[some]))
        between = np.searchsorted(self.lines, [bin * LINES, (bin + 1) * LINES])
        number = self.lines[self._draw("tracks", _half(*at)[some], rng, between)]
        wide[some], phase[some] = drawn_line(length, number, rng)
        zero = np.zeros_like(map)
        below_u, below_v, span_u, span_v = extents(kind, zero, zero, long, wide, phase)
        u = _place(column, COLUMNS - span_u, U_BINS, rng) - below_u
        v = _place(row, ROWS - span_v, V_BINS, rng) - below_v
        some = kind < SINGLES
        quarter = _part(row[some], V_BINS)
        long[some] = self._draw("charges", (group[some] * QUARTERS + quarter) * SINGLES + kind[some], rng)
        bin = self._draw("totals", _pile(sensor[small], v[small], pattern), rng)
        long[small] = rng.integers(TOTALS[bin], TOTALS[bin + 1])
        some = kind >= IS_TRACK_V
        line = (length, wide[some], phase[some])
        row = looks_row(group[some], v[some], kind[some], line)
        dense, bright = np.zeros((2, len(map)))
        bins = np.divmod(self._draw("looks", row, rng), len(BRIGHT) - 1)
        dense[some], bright[some] = blurred(*bins, length, rng)
        below, above = np.zeros((2, len(map)), np.int64)
        column = self._draw("sides", sides_row(group[some], kind[some], line, bins[0]), rng)
        below[some], above[some] = column // SIDES - 1, column % SIDES - 1
        above = np.maximum(above, 1 - below - np.where(kind == IS_TRACK_V, span_u, span_v))  # a column is left
        return Drawn(map, kind, u, v, long, wide, phase, dense, bright, below, above)

    def _draw(self, name: str, rows: Ints, rng: np.random.Generator, between: Ints | None = None) -> Ints:
        """A column of a table for each of some rows, with probabilities as counted, between two columns if given."""
        flat, columns = self.cumulative[name]
        share = rng.random(len(rows)) * (1 - 1e-12)
        if between is not None:
            low, high = (np.where(end > 0, flat[rows * columns + end - 1] - rows, 0) for end in between)
            share = low + share * (high - low)
        at = np.searchsorted(flat, rows + share, side="right") - rows * columns
        return np.asarray(np.clip(at, *((0, columns - 1) if between is None else (between[0], between[1] - 1))))


def extents(kind: Ints, u: Ints, v: Ints, long: Ints, wide: Floats, phase: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """Lowest column and row, and number of columns and rows, of boxes and of the lines of tracks."""
    track = kind >= IS_TRACK_V
    end = line_at(phase, wide, long - 1)
    below, across = np.minimum(end, 0), np.abs(end) + 1
    columns, rows = BOXES[np.where(kind == IS_SMALL, phase, 0).astype(np.int64)].T
    turned = kind == IS_TRACK_V
    flat = track & ~turned
    return (
        u + np.where(turned, below, 0),
        v + np.where(flat, below, 0),
        np.where(turned, across, np.where(flat, long, columns)),
        np.where(flat, across, np.where(turned, long, rows)),
    )


def _longest(kind: Ints) -> Ints:
    return np.where(kind == IS_TRACK_V, ROWS, COLUMNS)


def _count(rows: Ints, number: int, columns: Ints, width: int) -> Ints:
    return np.bincount(rows * width + columns, minlength=number * width).reshape(number, width)


def _shares(table: Floats) -> Floats:
    """Counts over those of their row; rows without counts take all."""
    empty = table.sum(1) == 0
    table = np.where(empty[:, None], table.sum(0) if table.any() else 1.0, table)
    return np.asarray(table / table.sum(1, keepdims=True))


def _cumulative(table: Floats) -> tuple[Floats, int]:
    """Cumulative shares of all rows, one after another, row n between n and n + 1."""
    shares = np.cumsum(table / table.sum(1, keepdims=True), axis=1)
    shares[:, -1] = 1.0
    return np.ravel(shares + np.arange(len(table))[:, None]).astype(float), int(table.shape[1])


def _bin(low: Ints, room: Ints, bins: int) -> Ints:
    """Bins of places: 0 and the last for both ends, equal parts between them."""
    inside = ((low - 0.5) / np.maximum(room - 1, 1) * (bins - 2)).astype(np.int64).clip(0, bins - 3) + 1
    return np.where(low <= 0, 0, np.where(low >= room, bins - 1, inside))


def _place(number: Ints, room: Ints, bins: int, rng: np.random.Generator) -> Ints:
    """Places in bins, see `_bin`."""
    part = (number - 1 + rng.random(len(number))) / (bins - 2)
    inside = 1 + np.floor(part * np.maximum(room - 1, 1)).astype(np.int64)
    return np.where(number == 0, 0, np.where(number == bins - 1, room, inside)).clip(0, np.maximum(room, 0))


def _part(number: Ints, bins: int, parts: int = QUARTERS) -> Ints:
    """Part of the sensor in which bins of places lie; edges belong to the part beside them."""
    return ((number - 1).clip(0, bins - 3) * parts) // (bins - 2)


def _ends(column: Ints, parts: int) -> Ints:
    """Edge or part along u."""
    inside = _part(column, U_BINS, parts) + 1
    return np.where(column == 0, 0, np.where(column == U_BINS - 1, parts + 1, inside))


def _shelf(group: Ints, row: Ints, column: Ints) -> Ints:
    """Row of the table of patterns."""
    return (group * QUARTERS + _part(row, V_BINS)) * (QUARTERS + 2) + _ends(column, QUARTERS)


def _rack(group: Ints, row: Ints, column: Ints, kind: Ints) -> Ints:
    """Row of the table of lengths; of no meaning for others than tracks, as `_half`."""
    place = (group * QUARTERS + _part(row, V_BINS)) * (SIXTHS + 2) + _ends(column, SIXTHS)
    return place * 2 + kind - IS_TRACK_V


def _half(group: Ints, row: Ints, column: Ints, kind: Ints) -> Ints:
    """Row of the table of lines."""
    place = (group * 2 + _part(row, V_BINS, 2)) * SIXTHS + _part(column, U_BINS, SIXTHS)
    return place * 2 + kind - IS_TRACK_V


def _pile(group: Ints, v: Ints, pattern: Ints) -> Ints:
    """Row of the table of charges of small clusters."""
    return (group * SIXTHS + v * SIXTHS // ROWS) * SHAPES + SHAPE_OF[pattern]
