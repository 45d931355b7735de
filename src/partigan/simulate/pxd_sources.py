"""Sources of beam background in the PXD: places of clusters, directions of particles, shares on each sensor.

References:
    Belle II technical design report, arXiv:1011.0352 (detector, backgrounds).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from partigan.data.pxd import LAYER_OF, LAYERS, SENSORS, THICKNESS
from partigan.simulate.pxd_parameters import SOURCES, Parameters, Rates
from partigan.simulate.pxd_silicon import LENGTH, WIDTH, Deposits, Floats, Ints, Tracks

_RADIUS = np.array([LAYERS[sensor.layer].radius for sensor in SENSORS])
_SHIFT = np.array([LAYERS[sensor.layer].shift for sensor in SENSORS])
_OUTER = np.array([LAYERS[sensor.layer].outer[sensor.number - 1] for sensor in SENSORS])
_PHI = np.array([sensor.phi for sensor in SENSORS])


def _z(sensor: Ints, v: Floats) -> Floats:
    return np.asarray(_OUTER[sensor] - np.sign(_OUTER[sensor]) * v)


def _anywhere(sensor: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Uniform points on the sensors."""
    return rng.random(len(sensor)) * WIDTH, rng.random(len(sensor)) * LENGTH[sensor]


class Curlers(NamedTuple):
    """Crossings of sensors by curlers from the interaction point.

    Attributes:
        sensor: index, ``(crossings,)`` like all columns.
        u: from the first column's edge, mm.
        v: from the outer end, mm.
        radius: of the helix, mm.
        charge: sense of rotation, 1 or -1.
        turn: number of the crossing of a layer, from 0.
        slope: dz over transverse path, sinh of the pseudorapidity.
    """

    sensor: Ints
    u: Floats
    v: Floats
    radius: Floats
    charge: Ints
    turn: Ints
    slope: Floats


def two_photon(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Tracks:
    """Crossings of curlers from the interaction point.

    A helix of radius R reaches the distance r from the beam line if s = r / 2R < 1, that is pt > 3.2 MeV (layer 1) or
    4.9 MeV (layer 2) in 1.5 T, and then makes the angle asin(s) with the radius. Its n-th crossing is the arc
    2R asin(s), 2R (pi - asin(s)), 2R (pi + asin(s)), ... away from the interaction point; there z = arc sinh(eta).
    With ``recrossing`` the other crossings of the same helix appear, too.
    """
    size = len(sensor)
    s = rng.random(size) ** (1 / (p.pt_power - 1))
    turn = np.arange(p.half_turns)
    arcs = _RADIUS[sensor][:, None] / s[:, None] * _turned(s[:, None], turn)
    low, high = (np.arcsinh(_z(sensor, end)[:, None] / arcs) for end in (np.zeros(size), LENGTH[sensor]))
    weight = np.cumsum(p.survival**turn * np.abs(high - low), axis=1)
    which = (rng.random(size)[:, None] * weight[:, -1:] > weight).sum(1)[:, None]
    arc, low, high = (np.take_along_axis(each, which, 1)[:, 0] for each in (arcs, low, high))
    slope = np.sinh(low + (high - low) * rng.random(size))  # dz over transverse path
    u = rng.random(size) * WIDTH
    v = np.abs(arc * slope - _OUTER[sensor])
    charge = np.where(rng.random(size) < 0.5, 1, -1)
    curlers = Curlers(sensor, u, v, _RADIUS[sensor] / (2 * s), charge, which[:, 0], slope)
    return _paths(with_others(curlers, p, rng) if p.recrossing > 0 else curlers)


def _turned(s: Floats, turn: Ints) -> Floats:
    """Half of the angle by which a helix has turned at its crossings of a layer, s = r / 2R."""
    return np.asarray(np.pi * ((turn + 1) // 2) + np.where(turn % 2, -1, 1) * np.arcsin(s))


def _off(sensor: Ints, u: Floats) -> Floats:
    """Angle around the beam line between a point and the perpendicular on its sensor."""
    return np.asarray(np.arctan2(_SHIFT[sensor] + u - WIDTH / 2, _RADIUS[sensor]))


def _paths(curlers: Curlers) -> Tracks:
    """Straight paths through the silicon."""
    sensor, slope = curlers.sensor, curlers.slope
    s = _RADIUS[sensor] / (2 * curlers.radius)
    local = curlers.charge * np.arcsin(s) + _off(sensor, curlers.u)  # the sensor's normal is not the radius there
    whole = np.sqrt(1 + slope**2)
    # grazing paths end where the helix bends out of the silicon
    transverse = np.minimum(THICKNESS / np.abs(np.cos(local)), np.sqrt(8 * curlers.radius * THICKNESS))
    down = -np.sign(_OUTER[sensor])
    return Tracks(sensor, curlers.u, curlers.v, np.sin(local) / whole, down * slope / whole, transverse * whole)


def with_others(curlers: Curlers, p: Parameters, rng: np.random.Generator) -> Curlers:
    """A share ``recrossing`` of the curlers with all their other crossings of both layers.

    At the n-th half turn a helix has turned by 2 asin(s), 2 pi - 2 asin(s), ... and lies at half that angle from where
    it began. After a known crossing a curler makes each further half turn with the probability ``survival``. Of the
    curlers that are followed only so many are kept that the mean number of crossings stays, over all sensors.
    """
    followed = np.flatnonzero(rng.random(len(curlers.sensor)) < p.recrossing)
    known = Curlers._make(column[followed] for column in curlers)
    last = known.turn + rng.geometric(max(1 - p.survival, 1e-6), len(followed)) - 1
    began = _PHI[known.sensor] + _off(known.sensor, known.u)
    began = began - known.charge * _turned(_RADIUS[known.sensor] / (2 * known.radius), known.turn % 2)
    sensor, turn = np.arange(len(SENSORS))[:, None], np.arange(p.half_turns)
    radius, charge = (column[:, None, None] for column in (known.radius, known.charge))
    s = _RADIUS[sensor] / (2 * radius)
    reached = s < 1
    s = np.where(reached, s, 0)
    off = began[:, None, None] + charge * _turned(s, turn % 2) - _PHI[sensor]
    off = (off + np.pi) % (2 * np.pi) - np.pi
    facing = np.abs(off) < np.pi / 2
    u = _RADIUS[sensor] * np.tan(np.where(facing, off, 0)) - _SHIFT[sensor] + WIDTH / 2
    z = 2 * radius * _turned(s, turn) * known.slope[:, None, None]
    v = (_OUTER[sensor] - z) * np.sign(_OUTER[sensor])
    there = reached & facing & (u >= 0) & (u < WIDTH) & (v >= 0) & (v < LENGTH[sensor])
    there &= turn <= last[:, None, None]
    same = (LAYER_OF[sensor] == LAYER_OF[known.sensor][:, None, None]) & (turn == known.turn[:, None, None])
    there &= ~same
    kept = rng.random(len(followed)) * (len(followed) + there.sum()) < len(followed)
    owner, where, crossing = np.nonzero(there & kept[:, None, None])
    others = Curlers(
        where,
        u[owner, where, crossing],
        v[owner, where, crossing],
        known.radius[owner],
        known.charge[owner],
        crossing,
        known.slope[owner],
    )
    stays = np.ones(len(curlers.sensor), bool)
    stays[followed] = kept
    return Curlers(*(np.concatenate([one[stays], two]) for one, two in zip(curlers, others, strict=True)))


def beam_gas(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Tracks:
    """Secondaries at small angles to z."""
    size = len(sensor)
    low, high = np.log(p.beam_gas_angles)
    v_slope = 1 / np.tan(np.exp(low + (high - low) * rng.random(size))) * np.where(rng.random(size) < 0.5, 1, -1)
    u_slope = rng.normal(0, p.beam_gas_width, size)
    stretch = np.sqrt(1 + u_slope**2 + v_slope**2)
    return Tracks(sensor, *_anywhere(sensor, rng), u_slope / stretch, v_slope / stretch, THICKNESS * stretch)


def synchrotron(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Deposits:
    """Photons absorbed in one point, most of them near a spot in z."""
    low, high = p.synchrotron_energy
    u = rng.random(len(sensor)) * WIDTH
    mean, width = p.synchrotron_z
    ends = (_z(sensor, np.zeros(len(sensor))), _z(sensor, LENGTH[sensor]))
    near, far = (ndtr((end - mean) / width) for end in ends)
    z = mean + width * ndtri(near + (far - near) * rng.random(len(sensor)))
    return Deposits(sensor, u, np.abs(z - _OUTER[sensor]), low + (high - low) * rng.random(len(sensor)))


def compton(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Deposits:
    """Soft electrons that stop in the silicon, in a few points along their range."""
    size = len(sensor)
    low, high = p.compton_energy
    energy = low * (high / low) ** rng.random(size)
    reach = p.compton_range * (energy / 100) ** 1.75
    u, v = _anywhere(sensor, rng)
    direction, cosine = 2 * np.pi * rng.random(size), rng.random(size)
    sine = np.sqrt(1 - cosine**2)
    along = (np.arange(p.steps) + 0.5) / p.steps * reach[:, None]
    return Deposits(
        np.repeat(sensor, p.steps),
        (u[:, None] + along * (sine * np.cos(direction))[:, None]).ravel(),
        (v[:, None] + along * (sine * np.sin(direction))[:, None]).ravel(),
        np.repeat(energy / p.steps, p.steps),
    )


def weights(p: Parameters, rates: Rates) -> Floats:
    """Shares of the sources in the clusters of each sensor, ``(4, 40)``."""
    phi = (_PHI + np.pi) % (2 * np.pi) - np.pi
    mean, width = p.synchrotron_z
    ends = (_OUTER, _OUTER - np.sign(_OUTER) * LENGTH)
    spot = np.abs(np.subtract(*(ndtr((end - mean) / width) for end in ends)))
    shapes = {
        "two_photon": np.ones(len(SENSORS)),
        "beam_gas": 1 + p.modulation * np.cos(phi),
        "synchrotron": np.exp(-0.5 * (phi / p.synchrotron_phi) ** 2) * spot,
        "compton": np.ones(len(SENSORS)),
    }
    for shape in shapes.values():
        shape /= (np.bincount(LAYER_OF, shape) / np.bincount(LAYER_OF).clip(1))[LAYER_OF]
    shares = np.stack([np.array(rates.shares[source])[LAYER_OF - 1] * shapes[source] for source in SOURCES])
    return np.asarray(shares / shares.sum(0))
