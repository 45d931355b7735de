"""Silicon of the PXD: energy loss, diffusion of charge, and digitiser.

References:
    H. Bichsel, Rev. Mod. Phys. 60 (1988) 663 (most probable energy loss in thin silicon); L. Landau, J. Phys. USSR 8
    (1944) 201; basf2's PXD digitiser.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import landau

from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import COLUMNS, LAYERS, ROWS, SENSORS, THICKNESS, U_PITCH
from partigan.simulate.pxd_parameters import Parameters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTH = COLUMNS * U_PITCH
"""Width of every sensor, mm."""
LENGTH = np.array([LAYERS[sensor.layer].edges[-1] for sensor in SENSORS])
"""Length of each sensor, mm, ``(40,)``."""
_FIRST_PITCH, _SECOND_PITCH = np.array([[pitch for _, pitch in LAYERS[sensor.layer].pitches] for sensor in SENSORS]).T
_CHANGE = LAYERS[1].pitches[0][0]  # row at which the pitch changes
_LANDAU_MODE = -0.22278  # of scipy's parametrisation


class Deposits(NamedTuple):
    """Points of charge in silicon.

    Attributes:
        sensor: index, ``(points,)`` like all columns.
        u: from the first column's edge, mm.
        v: from the outer end, mm.
        energy: keV.
    """

    sensor: Ints
    u: Floats
    v: Floats
    energy: Floats


class Tracks(NamedTuple):
    """Straight paths through the sensors.

    Attributes:
        sensor: index, ``(tracks,)`` like all columns.
        u: middle of the path, from the first column's edge, mm.
        v: the same from the outer end, mm.
        u_slope: du over path length.
        v_slope: dv over path length.
        length: of the path in silicon, mm.
    """

    sensor: Ints
    u: Floats
    v: Floats
    u_slope: Floats
    v_slope: Floats
    length: Floats


def lose(tracks: Tracks, p: Parameters, rng: np.random.Generator) -> Deposits:
    """Draw the energy that charged particles lose along their paths.

    A path is cut into pieces of equal length, about ``piece``. Each piece gets Bichsel's most probable loss with Landau
    fluctuations. Loss up to the most probable one is spread evenly over the piece; the excess is put into one step.
    """
    number = np.maximum(np.rint(tracks.length / p.piece), 1).astype(np.int64)
    track = np.repeat(np.arange(len(number)), number)
    place = np.arange(len(track)) - np.repeat(np.cumsum(number) - number, number)
    length = (tracks.length / number)[track]
    um = length * 1e3
    mode = um * (p.bichsel[0] + p.bichsel[1] * np.log(um)) * 1e-3
    relative = length / THICKNESS
    loss = mode + p.landau_width * relative * (_landau(len(track), rng) - _LANDAU_MODE)
    loss = np.maximum(loss + rng.normal(0, 1, len(track)) * p.gaussian_width * np.sqrt(relative), 0)
    even = np.minimum(loss, mode)
    energy = np.repeat(even[:, None] / p.steps, p.steps, axis=1)
    energy[np.arange(len(track)), rng.integers(0, p.steps, len(track))] += loss - even
    part = place[:, None] + (np.arange(p.steps) + 0.5) / p.steps
    along = part * length[:, None] - tracks.length[track][:, None] / 2  # from the middle of the path
    return Deposits(
        np.repeat(tracks.sensor[track], p.steps),
        (tracks.u[track][:, None] + along * tracks.u_slope[track][:, None]).ravel(),
        (tracks.v[track][:, None] + along * tracks.v_slope[track][:, None]).ravel(),
        energy.ravel(),
    )


@cache
def _landau_table() -> tuple[Floats, Floats]:
    """Quantiles of the Landau distribution; the highest 10^-4 are cut, since its mean is infinite."""
    quantiles = np.concatenate([np.linspace(0, 0.99, 2000)[1:], 1 - np.geomspace(0.01, 1e-4, 400)[1:]])
    return quantiles, landau.ppf(quantiles)


def _landau(size: int, rng: np.random.Generator) -> Floats:
    quantiles, values = _landau_table()
    return np.interp(rng.random(size), quantiles, values)


def collect(deposits: Deposits, p: Parameters) -> tuple[Ints, Floats]:
    """Pixels ``(sensor * 250 + u) * 768 + v`` with charge, and their electrons, after Gaussian diffusion."""
    inside = (deposits.u >= 0) & (deposits.u < WIDTH) & (deposits.v >= 0) & (deposits.v < LENGTH[deposits.sensor])
    sensor, u, v, energy = (column[inside] for column in deposits)
    electrons = energy * (1e3 / p.pair_energy)
    first, second = _FIRST_PITCH[sensor], _SECOND_PITCH[sensor]
    change = _CHANGE * first
    row = np.where(v < change, v / first, _CHANGE + (v - change) / second)
    columns = _shares(u / U_PITCH, U_PITCH, COLUMNS, p.diffusion)
    rows = _shares(row, np.where(v < change, first, second), ROWS, p.diffusion)
    addresses, charges = [], []
    for column, share_u in columns:
        for row, share_v in rows:
            share = share_u * share_v
            some = np.flatnonzero(share)
            addresses.append((sensor[some] * COLUMNS + column[some]) * ROWS + row[some])
            charges.append(electrons[some] * share[some])
    address, charge = np.concatenate(addresses), np.concatenate(charges)
    order = np.argsort(address)
    pixels, first = np.unique(address[order], return_index=True)
    return pixels, np.add.reduceat(charge[order], first) if len(first) else np.zeros(0)


def _shares(place: Floats, pitch: float | Floats, limit: int, diffusion: float) -> tuple[tuple[Ints, Floats], ...]:
    """The pixel of each point along one axis and its nearer neighbour, with their shares of the charge."""
    pixel = place.astype(np.int64)
    within = place - pixel
    before = within < 0.5
    neighbour = pixel + np.where(before, -1, 1)
    distance = np.where(before, within, 1 - within) * pitch
    near = np.flatnonzero((distance < 4 * diffusion) & (neighbour >= 0) & (neighbour < limit))
    share = np.zeros(len(place))
    share[near] = ndtr(-distance[near] / diffusion)
    return (pixel, 1 - share), (neighbour, share)


def digitise(pixels: Ints, electrons: Floats, p: Parameters, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Pixels above threshold, and their charges in ADU."""
    signal = (electrons + rng.normal(0, p.noise, len(pixels))) / p.gain
    pedestal = np.maximum(rng.normal(*p.pedestal, len(pixels)), 0)
    charge = np.floor(np.minimum(signal + pedestal, MAXIMUM) - pedestal + 0.5).astype(np.int64)
    read = charge >= THRESHOLD
    return pixels[read], charge[read]
