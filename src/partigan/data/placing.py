"""Clusters on maps so that they do not touch each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from partigan.data.pxd import COLUMNS, ROWS

Ints = NDArray[np.int64]

REACH = 16  # pixels by which a cluster moves at most, along both axes, in one round
ROUNDS = 24
_WIDTH = ROWS + 2
_MAP = (COLUMNS + 2) * _WIDTH
_AHEAD = (1, _WIDTH - 1, _WIDTH, _WIDTH + 1)
_AROUND = (0, *_AHEAD, *(-step for step in _AHEAD))


class Placed(NamedTuple):
    """Hits of clusters on maps, ``(hits,)``, sorted by cluster.

    Attributes:
        map: number of the map.
        cluster: numbers from 0 without gaps, rising.
        u: column.
        v: row.
    """

    map: Ints
    cluster: Ints
    u: Ints
    v: Ints


def apart(hits: Placed, seed: Ints) -> tuple[Ints, Ints]:
    """Columns and rows of the same hits after clusters that touch another have been moved.

    Of two clusters that touch with sides or corners, or overlap, the smaller one is moved by at most `REACH` pixels,
    at random, again and again. Where maps are so full that this does not end within `ROUNDS` rounds, some still touch.

    Args:
        hits: the hits.
        seed: for each cluster, ``(clusters,)`` uint64; places are a function of these, of nothing else.
    """
    if len(hits.cluster) == 0:
        return hits.u, hits.v
    first = np.flatnonzero(np.diff(hits.cluster, prepend=-1))
    number = len(first)
    size = np.diff(first, append=len(hits.cluster))
    box = [(np.minimum.reduceat(x, first), np.maximum.reduceat(x, first)) for x in (hits.u, hits.v)]
    rank = np.empty(number, np.int64)
    rank[np.lexsort((np.arange(number), -size))] = np.arange(number)  # large ones stay
    grid = np.zeros((int(hits.map.max()) + 1) * _MAP, np.int32)
    home = hits.map * _MAP + (hits.u + 1) * _WIDTH + hits.v + 1
    own = (hits.cluster + 1).astype(np.int32)
    shift_u, shift_v = np.zeros(number, np.int64), np.zeros(number, np.int64)
    place = home.copy()
    grid[place] = own
    met = _meetings(grid, place, own, (0, *_AHEAD))
    for turn in range(ROUNDS):
        if len(met) == 0:
            break
        moved, others = np.zeros(number, bool), np.zeros(number, bool)
        others[met.ravel()] = True
        moved[np.where(rank[met[:, 0]] > rank[met[:, 1]], met[:, 0], met[:, 1])] = True
        goes, stays = np.flatnonzero(moved[hits.cluster]), np.flatnonzero((others & ~moved)[hits.cluster])
        grid[place[goes]] = 0
        grid[place[stays]] = own[stays]  # where they were hidden
        which = np.flatnonzero(moved)
        for axis, (shift, limit) in enumerate(((shift_u, COLUMNS), (shift_v, ROWS))):
            low, high = (end[which] for end in box[axis])
            now = shift[which]
            least = np.maximum(now - REACH, -low)
            most = np.minimum(now + REACH, limit - 1 - high)
            shift[which] = least + (_uniform(seed[which], 2 * turn + axis) * (most - least + 1)).astype(np.int64)
        place[goes] = home[goes] + (shift_u * _WIDTH + shift_v)[hits.cluster[goes]]
        checked = np.concatenate((goes, stays))
        with_others = _meetings(grid, place[checked], own[checked], _AROUND)
        grid[place[goes]] = own[goes]
        met = np.concatenate((with_others, _meetings(grid, place[goes], own[goes], _AROUND)))
    return hits.u + shift_u[hits.cluster], hits.v + shift_v[hits.cluster]


def _meetings(grid: NDArray[np.int32], place: Ints, own: NDArray[np.int32], steps: tuple[int, ...]) -> Ints:
    """Pairs of clusters of which a pixel of the first meets the second, ``(pairs, 2)``."""
    pairs = []
    for step in steps:
        there = grid[place + step]
        some = np.flatnonzero((there != 0) & (there != own))
        pairs.append(np.stack((own[some], there[some]), axis=1))
    return np.concatenate(pairs).astype(np.int64) - 1


def _uniform(seed: Ints, number: int) -> NDArray[np.float64]:
    """Random numbers from 0 to 1 that are a function of seed and number (splitmix64)."""
    x = seed.astype(np.uint64) + np.uint64((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64)) * 2.0**-53
