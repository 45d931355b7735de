"""The pixel vertex detector of Belle II: its 40 sensors, their order, numbers, pixels and places.

There is one order of the sensors everywhere in partigan, the numeric one of (layer, ladder, sensor): 1.1.1, 1.1.2,
1.2.1, ..., 2.12.2. Names sorted as strings would put 2.10.1 in front of 2.2.1.

Lengths are in mm. The global frame has z along the solenoid, forwards, and ladder 1 of both layers at phi = 0. Columns
u run with growing phi, rows v from the outer end of a sensor towards the middle of its ladder.

References:
    Belle II technical design report, arXiv:1011.0352, chapter 4; the constants are those of basf2's geometry, rounded
    as published: positions along z are good to about 0.5 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError

COLUMNS, ROWS = 250, 768  # pixels of a sensor in u and in v: the shape of its hitmap
PIXELS = COLUMNS * ROWS
U_PITCH = 0.050
THICKNESS = 0.075
FIELD = 1.5  # T, along z

_FRAME_BITS = 5  # the low bits of a VxdID, in which the frame is stored


@dataclass(frozen=True)
class Layer:
    """One layer of ladders around the beam pipe, arranged like the sails of a windmill.

    Attributes:
        ladders: their number, evenly spaced in phi.
        radius: distance of the sensors' planes from the beam line, mm.
        shift: by which the middle of a sensor is off the foot of that perpendicular, along phi, mm.
        pitches: (rows, pitch in mm) in v, from the outer end of the sensor.
        outer: z of the outer ends of the active areas of sensors 1 (forward) and 2 (backward), mm.
    """

    ladders: int
    radius: float
    shift: float
    pitches: tuple[tuple[int, float], ...]
    outer: tuple[float, float]

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """``(769,)``: edges of the rows, from the outer end, mm."""
        widths = np.concatenate([np.full(rows, pitch) for rows, pitch in self.pitches])
        return np.concatenate([[0.0], np.cumsum(widths)])


LAYERS = {
    1: Layer(8, 14.0, 3.5, ((512, 0.060), (256, 0.055)), (59.0, -31.0)),
    2: Layer(12, 22.0, 3.5, ((512, 0.085), (256, 0.070)), (80.8, -42.8)),
}


@dataclass(frozen=True, order=True)
class Sensor:
    """One of the 40 sensors.

    Attributes:
        layer: 1 or 2.
        ladder: from 1.
        number: 1 = forward, 2 = backward.
    """

    layer: int
    ladder: int
    number: int

    @property
    def name(self) -> str:
        """``layer.ladder.sensor``."""
        return f"{self.layer}.{self.ladder}.{self.number}"

    @property
    def vxd_id(self) -> int:
        """basf2's number of the sensor, with the frame bits 0."""
        return self.layer << 13 | self.ladder << 8 | self.number << 5

    @property
    def phi(self) -> float:
        """Azimuth of the perpendicular on the sensor's plane, rad."""
        return 2 * np.pi * (self.ladder - 1) / LAYERS[self.layer].ladders

    def z(self, v: ArrayLike) -> NDArray[np.float64]:
        """Position z in mm of points ``v`` mm away from the outer end."""
        outer = LAYERS[self.layer].outer[self.number - 1]
        return np.asarray(outer - np.sign(outer) * np.asarray(v, np.float64))

    def points(self, u: ArrayLike, v: ArrayLike) -> NDArray[np.float64]:
        """Global positions of points on the sensor's plane.

        Args:
            u: ``(n,)`` distance from the middle of the sensor along phi, mm.
            v: ``(n,)`` distance from the outer end, mm.

        Returns:
            ``(n, 3)``: x, y, z in mm.
        """
        layer = LAYERS[self.layer]
        along = layer.shift + np.asarray(u, np.float64)
        cos, sin = np.cos(self.phi), np.sin(self.phi)
        return np.stack(
            [layer.radius * cos - along * sin, layer.radius * sin + along * cos, self.z(v)],
            axis=-1,
        )

    def centres(self, u: ArrayLike, v: ArrayLike) -> NDArray[np.float64]:
        """Global positions ``(n, 3)`` in mm of the centres of pixels (u, v); fractions of a pixel interpolate."""
        rows = LAYERS[self.layer].edges
        across = (np.asarray(u, np.float64) + 0.5) * U_PITCH - COLUMNS * U_PITCH / 2
        return self.points(across, np.interp(np.asarray(v, np.float64) + 0.5, np.arange(ROWS + 1), rows))


SENSORS: tuple[Sensor, ...] = tuple(
    Sensor(layer, ladder, number)
    for layer in LAYERS
    for ladder in range(1, LAYERS[layer].ladders + 1)
    for number in (1, 2)
)
"""The one order of the sensors."""

NAMES = tuple(sensor.name for sensor in SENSORS)
LAYER_OF = np.array([sensor.layer for sensor in SENSORS])

VXD_IDS = np.array([sensor.vxd_id for sensor in SENSORS], np.uint16)
"""basf2's numbers of the sensors; they rise with the index."""


def cylindrical(sensor: ArrayLike, u: ArrayLike, v: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Azimuth in rad and z in mm of pixels of several sensors, all ``(n,)``; fractions of a pixel interpolate.

    Args:
        sensor: index of the sensor of each.
        u: column.
        v: row.
    """
    index, columns, rows = np.asarray(sensor), np.asarray(u, np.float64), np.asarray(v, np.float64)
    places = np.empty((len(index), 3))
    for number, one in enumerate(SENSORS):
        some = index == number
        places[some] = one.centres(columns[some], rows[some])
    return np.arctan2(places[:, 1], places[:, 0]), places[:, 2]


def pixels_at(
    layer: int, phi: ArrayLike, z: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The inverse of `cylindrical` for a layer: index of the sensor, -1 where there is none, column and row.

    Where ladders overlap, it is that of the higher number.
    """
    about, angle, height = LAYERS[layer], np.asarray(phi, np.float64), np.asarray(z, np.float64)
    sensor, columns, rows = np.full(len(angle), -1), np.zeros(len(angle)), np.zeros(len(angle))
    for number, one in enumerate(SENSORS):
        if one.layer == layer:
            off = (angle - one.phi + np.pi) % (2 * np.pi) - np.pi
            near = np.flatnonzero(np.abs(off) < np.pi / 4)
            u = (about.radius * np.tan(off[near]) - about.shift) / U_PITCH + (COLUMNS - 1) / 2
            outer = about.outer[one.number - 1]
            v = np.interp((outer - height[near]) * np.sign(outer), about.edges, np.arange(ROWS + 1), -1, -1) - 0.5
            there = (u > -0.5) & (u < COLUMNS - 0.5) & (v > -0.5)
            near = near[there]
            sensor[near], columns[near], rows[near] = number, u[there], v[there]
    return sensor, columns, rows


def sensor_index(name: str) -> int:
    """Index of a sensor by its name ``layer.ladder.sensor``.

    Raises:
        PartiganError: there is no such sensor.
    """
    if name not in NAMES:
        raise PartiganError(
            f"there is no PXD sensor {name!r}; they are {NAMES[0]} to {NAMES[-1]} (layer.ladder.sensor)"
        )
    return NAMES.index(name)


def sensor_indices(vxd_ids: ArrayLike) -> NDArray[np.int64]:
    """Indices of sensors by their VxdIDs, whose frame bits are ignored; -1 where there is no such sensor."""
    ids = np.asarray(vxd_ids, np.int64) >> _FRAME_BITS << _FRAME_BITS
    index = np.searchsorted(VXD_IDS, ids).clip(max=len(VXD_IDS) - 1)
    return np.where(VXD_IDS[index] == ids, index, -1)
