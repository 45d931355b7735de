"""The explicit part of events: numbers, places, boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from partigan.data.cluster_numbers import capacity, moments, numbers
from partigan.data.cluster_tables import (
    TOTALS,
    WIDTHS,
    Counts,
    Tables,
    extents,
)
from partigan.data.clusters import EDGE, IS_TRACK_V, NAMES, SINGLES, found
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.sparse_rows import full, short
from partigan.data.track_lines import LINES, SHORT, SLANTS
from partigan.data.track_looks import AGES, BRIGHT, FEW, SIDES
from partigan.errors import PartiganError
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates


@pytest.mark.parametrize("common", [0.0, 0.01])
def test_numbers_have_the_fitted_mean_spread_and_common_mode(common: float) -> None:
    """Where there is a common mode, and where there is none."""
    mean = np.linspace(100, 900, 40)
    truth = {"mean": mean.tolist(), "excess": [0.02] * 40, "common": common}
    rng = np.random.default_rng(1)
    seen = numbers(truth, 4000, rng)
    fitted = moments(seen)
    np.testing.assert_allclose(fitted[0], mean, rtol=0.02)
    np.testing.assert_allclose(fitted[1], 0.02, rtol=0.2)
    assert fitted[2] == pytest.approx(common, abs=0.0007)
    again = numbers({"mean": fitted[0], "excess": fitted[1], "common": fitted[2]}, 4000, rng)
    np.testing.assert_allclose(again.mean(0), seen.mean(0), rtol=0.02)
    np.testing.assert_allclose(again.std(0), seen.std(0), rtol=0.08)
    pairs = [np.corrcoef(x.T)[~np.eye(40, dtype=bool)].mean() for x in (seen, again)]
    assert pairs[1] == pytest.approx(pairs[0], abs=0.02)
    assert (pairs[0] > 0.1) == (common > 0)
    assert again.max() <= capacity(truth)


def test_one_event_has_no_spread() -> None:
    mean, excess, common = moments(np.array([[3, 4]]))
    assert mean.tolist() == [3, 4]
    assert excess.tolist() == [0, 0]
    assert common == 0


@pytest.fixture(scope="module")
def counts() -> Counts:
    events = [simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(n)) for n in range(3)]
    return Counts(found(Hitmaps.joined(events)), 3)


def test_what_is_drawn_is_like_what_was_counted(counts: Counts) -> None:
    state = json.loads(json.dumps(counts.state()))
    drawn = Tables(state).draw(3, np.random.default_rng(1))
    assert (np.diff(drawn.map) >= 0).all()
    assert len(drawn.map) == pytest.approx(counts.numbers.sum(), rel=0.03)
    table = counts.tables["classes"].reshape(len(SENSORS), len(NAMES), -1)
    of_class = np.bincount(drawn.kind, minlength=len(NAMES))
    np.testing.assert_allclose(of_class, table.sum((0, 2)), rtol=0.12)
    low_u, low_v, span_u, span_v = extents(drawn.kind, drawn.u, drawn.v, drawn.long, drawn.wide, drawn.phase)
    assert low_u.min() == 0
    assert low_v.min() == 0
    assert (low_u + span_u).max() == COLUMNS
    assert (low_v + span_v).max() == ROWS
    charges = drawn.long[drawn.kind < SINGLES]
    seen = counts.tables["charges"].sum(0)
    assert charges.mean() == pytest.approx((seen * np.arange(256)).sum() / seen.sum(), rel=0.03)
    small = drawn.kind == SINGLES
    assert {*span_u[small], *span_v[small]} == {1, 2, 3}
    totals, middles = counts.tables["totals"].sum(0), (TOTALS[1:] + TOTALS[:-1] - 1) / 2
    assert drawn.long[small].mean() == pytest.approx((totals * middles).sum() / totals.sum(), rel=0.03)
    assert drawn.long[small].min() >= 14
    track = drawn.kind >= IS_TRACK_V
    assert (np.abs(drawn.wide[track]) <= 1).all()
    rise = 2 * drawn.wide[track] * (drawn.long[track] - 1)
    np.testing.assert_allclose(rise, np.rint(rise), atol=1e-9)
    assert set(drawn.phase[track]) == {0, 0.5}
    seen = counts.tables["sides"].sum(0)
    made = np.bincount(((drawn.below + 1) * SIDES + drawn.above + 1)[track], minlength=len(seen))
    np.testing.assert_allclose(made / track.sum(), seen / seen.sum(), atol=0.01)
    more = np.rint(drawn.dense * drawn.long)[track] - drawn.long[track]
    seen = counts.tables["looks"].sum(0).reshape(-1, len(BRIGHT) - 1).sum(1)
    made = np.append([(more == few).sum() for few in range(FEW)], (more >= FEW).sum())
    np.testing.assert_allclose(made / track.sum(), np.append(seen[:FEW], seen[FEW:].sum()) / seen.sum(), atol=0.01)
    bare = track & (drawn.wide == 0) & (drawn.dense == 1)
    assert np.abs(drawn.below + drawn.above)[bare].mean() < 0.05  # a hit a pixel, nearly all on the line
    end = np.floor(drawn.phase + drawn.wide * (drawn.long - 1) + EDGE)
    assert (np.abs(end) + 1 + drawn.below + drawn.above)[track].min() == 1  # columns


def test_lines_of_short_tracks_are_drawn_as_often_as_counted(counts: Counts) -> None:
    drawn = Tables(counts.state()).draw(12, np.random.default_rng(1))
    for length in (4, 7, SHORT):
        some = (drawn.kind >= IS_TRACK_V) & (drawn.long == length)
        rise = np.rint(2 * drawn.wide[some] * (length - 1)).astype(int) + 2 * SHORT
        made = np.bincount(rise * 2 + (drawn.phase[some] > 0), minlength=LINES)
        seen = counts.tables["tracks"][:, (length - 4) * LINES : (length - 3) * LINES].sum(0)
        assert made.sum() / 4 == pytest.approx(seen.sum(), rel=0.15)
        gap = np.abs(np.cumsum(made) / made.sum() - np.cumsum(seen) / seen.sum())
        assert gap.max() < 1.6 / np.sqrt(seen.sum())


def test_counts_add_up(counts: Counts) -> None:
    events = [simulate_event(2.0, Parameters(), Rates.calibrated(), np.random.default_rng(n)) for n in range(3)]
    parts = [Counts(found(event), 1) for event in events]
    for part in parts[1:]:
        parts[0].add(part)
    assert parts[0].state() == counts.state()


@pytest.mark.parametrize("name", WIDTHS)
def test_a_table_of_other_bins_is_refused(counts: Counts, name: str) -> None:
    state = json.loads(json.dumps(counts.state()))
    state["widths"][list(WIDTHS).index(name)] -= 1
    with pytest.raises(PartiganError, match=f"'{name}' of clusters has other columns than the {WIDTHS[name]} "):
        Tables(state)


def test_rows_of_too_many_columns_are_refused(counts: Counts) -> None:
    state, width = counts.state(), WIDTHS["columns"]
    for row in ([1] * (width + 1), [-width, 1], [5, 1 - width, 1], [3, -width]):
        with pytest.raises(PartiganError, match=f"row 1 has {width + 1} columns and not 14"):
            Tables({**state, "columns": [[], row]})
    with pytest.raises(PartiganError, match=r"row 1 has 1.* columns and not 14"):
        Tables({**state, "columns": [[], [-(10**30), 1]]})


def test_short_rows_are_the_same_rows() -> None:
    rng = np.random.default_rng(1)
    table = rng.integers(1, 200, (50, 30)) * (rng.random((50, 30)) < np.linspace(0, 1, 50)[:, None])
    rows = [short(row) for row in table]
    np.testing.assert_array_equal(full(rows, 30), table)
    assert rows[0] == []
    assert len(rows[-1]) == 30
    assert short(np.array([0, 5, 0, 0, 6, 7, 0])) == [-1, 5, -2, 6, 7]


def test_sensors_differ_as_counted_and_places_as_in_their_group(counts: Counts) -> None:
    """One sensor of a group gets long tracks alone; the others keep theirs."""
    state = counts.state()
    long = np.repeat([0, 0, 50, 50, 50, 50], len(SLANTS) + 1)
    changed = {**state, "turns": [short(long)] * 2 + state["turns"][2:]}
    shares = []
    for each in (state, changed):
        drawn = Tables(each).draw(60, np.random.default_rng(1))
        of, track = drawn.map % len(SENSORS), drawn.kind >= IS_TRACK_V
        shares.append([(drawn.long >= AGES[1])[track & (of == number)].mean() for number in (0, 2)])
    assert shares[1][0] > shares[0][0] + 0.1
    assert shares[1][1] == pytest.approx(shares[0][1], abs=0.08)
