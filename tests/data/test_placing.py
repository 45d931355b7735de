"""Clusters that are moved apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from partigan.data.placing import Placed, apart
from partigan.data.pxd import COLUMNS, ROWS
from partigan.observables.hitmaps import connected

Ints = NDArray[np.int64]


def _blobs(number: int, side: int, maps: int = 3) -> tuple[Placed, Ints]:
    """Squares of pixels at random, and seeds."""
    rng = np.random.default_rng(number)
    map = np.sort(rng.integers(0, maps, number))
    u, v = rng.integers(0, COLUMNS + 1 - side, number), rng.integers(0, ROWS + 1 - side, number)
    du, dv = np.divmod(np.arange(side**2), side)
    cluster = np.repeat(np.arange(number), side**2)
    hits = Placed(map[cluster], cluster, (u[:, None] + du).ravel(), (v[:, None] + dv).ravel())
    return hits, rng.integers(0, 2**62, number).astype(np.uint64)


@pytest.mark.parametrize(("number", "side"), [(3000, 1), (2500, 3), (300, 12)])
def test_clusters_never_touch(number: int, side: int) -> None:
    hits, seeds = _blobs(number, side)
    assert connected(hits.map, hits.u, hits.v)[0] < number
    u, v = apart(hits, seeds)
    found, label = connected(hits.map, u, v)
    assert found == number
    assert len(np.unique(np.stack((label, hits.cluster)), axis=1).T) == number
    assert len(np.unique((hits.map * COLUMNS + u) * ROWS + v)) == len(u)
    assert u.min() >= 0
    assert u.max() < COLUMNS
    assert v.min() >= 0
    assert v.max() < ROWS
    for moved, before in ((u, hits.u), (v, hits.v)):
        shift = (moved - before).reshape(number, -1)
        assert (shift == shift[:, :1]).all()
    still = (u == hits.u) & (v == hits.v)
    assert 0.6 < still.mean() < 1


def test_places_depend_on_seeds_and_maps_alone() -> None:
    hits, seeds = _blobs(3000, 3)
    u, v = apart(hits, seeds)
    again = apart(hits, seeds)
    np.testing.assert_array_equal(u, again[0])
    other = apart(hits, seeds + np.uint64(1))
    assert (u != other[0]).any()
    last = hits.map == 2
    number = hits.cluster[last] - hits.cluster[last][0]
    alone = apart(Placed(hits.map[last], number, hits.u[last], hits.v[last]), seeds[np.unique(hits.cluster[last])])
    np.testing.assert_array_equal(alone[0], u[last])
    np.testing.assert_array_equal(alone[1], v[last])


def test_the_larger_of_two_stays() -> None:
    track = [(100, 50 + n) for n in range(40)]
    u, v = np.array([(101, 60), *track]).T
    hits = Placed(np.zeros(41, int), np.array([0] + [1] * 40), u, v)
    x, y = apart(hits, np.array([1, 2], np.uint64))
    np.testing.assert_array_equal(x[1:], u[1:])
    np.testing.assert_array_equal(y[1:], v[1:])
    assert (x[0], y[0]) != (101, 60)


def test_nothing_and_a_full_map_end() -> None:
    none = np.zeros(0, int)
    assert len(apart(Placed(none, none, none, none), none.astype(np.uint64))[0]) == 0
    hits, seeds = _blobs(20_000, 4, 1)
    assert len(apart(hits, seeds)[0]) == len(hits.u)
