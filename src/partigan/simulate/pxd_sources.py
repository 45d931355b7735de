"""Sources of beam background in the PXD: places of clusters, directions of particles, shares on each sensor.

References:
    Belle II technical design report, arXiv:1011.0352 (detector, backgrounds).
"""

from __future__ import annotations

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


def two_photon(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Tracks:
    """Crossings of curlers from the interaction point.

    A helix of radius R reaches the distance r from the beam line if s = r / 2R < 1, that is pt > 3.2 MeV (layer 1) or
    4.9 MeV (layer 2) in 1.5 T, and then makes the angle asin(s) with the radius. Its n-th crossing is the arc
    2R asin(s), 2R (pi - asin(s)), 2R (pi + asin(s)), ... away from the interaction point; there z = arc sinh(eta).
    """
    size = len(sensor)
    s = rng.random(size) ** (1 / (p.pt_power - 1))
    angle = np.arcsin(s)
    turn = np.arange(p.half_turns)
    turns = np.pi * ((turn + 1) // 2) + np.where(turn % 2, -1, 1) * angle[:, None]
    arcs = _RADIUS[sensor][:, None] / s[:, None] * turns
    low, high = (np.arcsinh(_z(sensor, end)[:, None] / arcs) for end in (np.zeros(size), LENGTH[sensor]))
    weight = np.cumsum(p.survival**turn * np.abs(high - low), axis=1)
    which = (rng.random(size)[:, None] * weight[:, -1:] > weight).sum(1)[:, None]
    arc, low, high = (np.take_along_axis(each, which, 1)[:, 0] for each in (arcs, low, high))
    slope = np.sinh(low + (high - low) * rng.random(size))  # dz over transverse path
    u = rng.random(size) * WIDTH
    v = np.abs(arc * slope - _OUTER[sensor])
    # the sensor's normal is not the radius there
    off = np.arctan2(_SHIFT[sensor] + u - WIDTH / 2, _RADIUS[sensor])
    local = np.where(rng.random(size) < 0.5, 1, -1) * angle + off
    whole = np.sqrt(1 + slope**2)
    # grazing paths end where the helix bends out of the silicon
    transverse = np.minimum(THICKNESS / np.abs(np.cos(local)), np.sqrt(4 * _RADIUS[sensor] / s * THICKNESS))
    down = -np.sign(_OUTER[sensor])
    return Tracks(sensor, u, v, np.sin(local) / whole, down * slope / whole, transverse * whole)


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
