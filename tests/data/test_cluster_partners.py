"""Layer 2 in sequence after layer 1: what is counted, and what is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from partigan.data.cluster_partners import OFFS, RADII, PartnerCounts, points, with_partners
from partigan.data.cluster_tables import Counts, Drawn, Tables
from partigan.data.clusters import SINGLES, Found, found
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, LAYER_OF, ROWS, SENSORS, cylindrical, pixels_at
from partigan.observables.hitmaps import layer_excess
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import Parameters, Rates

EVENTS = 3


def clusters(recrossing: float) -> Found:
    """Of some simulated events."""
    p = Parameters(recrossing=recrossing)
    events = [simulate_event(2.0, p, Rates.calibrated(), np.random.default_rng(n)) for n in range(EVENTS)]
    return found(Hitmaps.joined(events))


@pytest.fixture(scope="module")
def crossing() -> Found:
    return clusters(1.0)


def excess(sample: Found | Drawn) -> float:
    """Pairs near a helix beyond those of mixed events, for each cluster of layer 1; good to 0.013."""
    (inner, _), (outer, _) = points(sample)
    return float(layer_excess(inner, outer, EVENTS, RADII, OFFS[[2, -3]], mixed=1).sum() / len(inner.z))


def test_partners_that_are_counted_are_drawn(crossing: Found) -> None:
    state = json.loads(json.dumps(PartnerCounts(crossing, EVENTS).state()))
    assert np.sum(state["often"]) > 0.1
    assert np.argmax(state["off"]) in (3, 4)
    drawn = Tables(Counts(crossing, EVENTS).state()).draw(EVENTS, np.random.default_rng(1))
    behind = with_partners(drawn, state, np.random.default_rng(2))
    assert excess(crossing) > 0.08
    assert abs(excess(drawn)) < 0.04
    assert excess(behind) > 0.08
    for name in ("map", "kind", "long", "wide", "phase"):
        np.testing.assert_array_equal(getattr(behind, name), getattr(drawn, name))
    moved = (behind.u != drawn.u) | (behind.v != drawn.v)
    assert (LAYER_OF[drawn.map[moved] % len(SENSORS)] == 2).all()
    assert (drawn.kind[moved] >= SINGLES).all()
    assert np.abs(behind.v - drawn.v)[moved].mean() < 40
    assert behind.u.min() >= 0
    assert (behind.u < COLUMNS).all()
    assert behind.v.min() >= 0
    assert (behind.v < ROWS).all()


def test_where_curlers_cross_once_nothing_is_counted() -> None:
    assert np.sum(PartnerCounts(clusters(0.0), EVENTS).state()["often"]) < 0.01


def test_counts_of_parts_add_up_and_one_event_counts_nothing(crossing: Found) -> None:
    whole, parts = PartnerCounts(crossing, EVENTS), PartnerCounts(crossing, 1)
    assert not parts.pairs.any()
    parts.add(whole)
    assert parts.state() == whole.state()


def test_places_are_found_again() -> None:
    rng = np.random.default_rng(1)
    sensor = np.repeat(np.arange(len(SENSORS)), 3)
    u, v = rng.uniform(40, 200, len(sensor)), rng.uniform(0, ROWS - 1, len(sensor))
    phi, z = cylindrical(sensor, u, v)
    for layer in (1, 2):
        some = LAYER_OF[sensor] == layer
        again = pixels_at(layer, phi[some] + 2 * np.pi, z[some])
        np.testing.assert_array_equal(again[0], sensor[some])
        np.testing.assert_allclose(again[1], u[some], atol=1e-9)
        np.testing.assert_allclose(again[2], v[some], atol=1e-9)
    assert pixels_at(1, [0.0], [500.0])[0].tolist() == [-1]
