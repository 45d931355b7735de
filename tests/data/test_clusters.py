"""Hitmaps as clusters: every hit in its place, tracks along lines of their own."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import assert_same_hits
from partigan.data.clusters import BANDS, IS_SMALL, IS_TRACK_U, IS_TRACK_V, NAMES, SINGLES, Found, found, hits
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import SENSORS
from partigan.data.track_looks import sides
from partigan.observables.hitmaps import HARD, KEV_PER_ADU, clusters
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates


@pytest.fixture(scope="module")
def event() -> Hitmaps:
    return simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(1))


def _again(clusters: Found, events: int) -> Hitmaps:
    cluster = np.repeat(np.arange(len(clusters.kind)), np.diff(clusters.first))
    frame = (clusters.kind, clusters.u, clusters.v, clusters.wide, clusters.phase)
    u, v, inside = hits(*frame, cluster, (clusters.row, clusters.column))
    assert inside.all()
    event, sensor = np.divmod(clusters.map[cluster], len(SENSORS))
    return Hitmaps.of(events, event, sensor, u, v, clusters.charge)


def _drawn(pixels: list[tuple[int, int]]) -> Found:
    u, v = np.array(pixels).T
    return found(Hitmaps.of(1, np.zeros_like(u), np.full_like(u, 3), u, v, np.full_like(u, 20)))


def test_clusters_put_back_are_the_event(event: Hitmaps) -> None:
    seen = found(event)
    assert_same_hits(_again(seen, 1), event)
    assert (np.bincount(seen.kind, minlength=len(NAMES)) > 0).all()
    connected = clusters(event.map, event.u, event.v, event.charge)
    assert len(seen.kind) == pytest.approx(len(connected.size), rel=0.005)  # a few tracks had others attached
    assert (connected.size == 1).sum() == pytest.approx((seen.kind < SINGLES).sum(), rel=0.005)


def test_soft_photons_are_a_band_of_their_own() -> None:
    assert (BANDS[0] - 1) * KEV_PER_ADU < HARD < BANDS[0] * KEV_PER_ADU


def test_boxes() -> None:
    assert _drawn([(5, 5)]).kind.tolist() == [2]
    small = _drawn([(5, 7), (6, 6)])
    assert (small.kind[0], small.u[0], small.v[0], small.long[0], small.phase[0]) == (IS_SMALL, 5, 6, 40, 0b1010)
    assert small.row.tolist() == [0, 1]
    assert small.column.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("pixels", "rise", "phase"),
    [([5, 5, 5, 5], 0, 0.5), ([5, 5, 6, 6], 1, 0.5), ([5, 6, 7, 8], 3, 0.5), ([8, 7, 6, 5], -3, 0.5)],
)
def test_lines_of_short_tracks_end_at_half_pixels(pixels: list[int], rise: float, phase: float) -> None:
    for turned in (False, True):
        track = _drawn([(across, along) if turned else (along, across) for along, across in enumerate(pixels, 30)])
        assert track.kind.tolist() == [IS_TRACK_V if turned or abs(rise) == 3 else IS_TRACK_U]
        assert track.wide[0] * 3 == pytest.approx(rise)
        assert track.phase[0] == phase
        assert track.column.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("line", "beside", "below", "above"),
    [
        ([5] * 6, [], 0, 0),
        ([5] * 6, [(2, 6)], 0, 1),
        ([5] * 20, [(4, 4), (15, 6)], 1, 1),
        ([*range(5, 25)], [(1, 5), (17, 23)], 0, 0),
    ],
)
def test_sides_are_columns_beyond_the_box_of_the_line(
    turned: bool, line: list[int], beside: list[tuple[int, int]], below: int, above: int
) -> None:
    pixels = [*enumerate(line), *beside]
    track = _drawn([(across, along) if turned else (along, across) for along, across in pixels])
    assert [side.tolist() for side in sides(track)] == [[below], [above]]


@pytest.mark.parametrize(("turned", "kind"), [(False, IS_TRACK_U), (True, IS_TRACK_V)])
def test_a_straight_track_and_what_touches_it_by_chance(turned: bool, kind: int) -> None:
    track = [(10 + n, int(40.3 + 0.4 * n)) for n in range(60)]
    blob = [(30 + n, 49 + k) for n in range(3) for k in range(3)]
    pixels = [(v, u) if turned else (u, v) for u, v in track + blob]
    seen = _drawn(pixels)
    order = np.argsort(-seen.kind)
    assert seen.kind[order].tolist() == [kind, IS_SMALL]
    at = order[0]
    assert seen.long[at] == 60
    assert seen.wide[at] == pytest.approx(0.4, abs=0.02)
    assert 58 <= seen.first[at + 1] - seen.first[at] <= 66
    assert len(_again(seen, 1).u) == len(set(pixels))


def test_no_hits_are_no_clusters() -> None:
    none = np.zeros(0, int)
    assert len(found(Hitmaps.of(1, none, none, none, none, none)).kind) == 0
