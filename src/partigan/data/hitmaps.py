"""Hitmaps of the PXD: sparse events, dense images and crops; files are in `hitmap_files`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.data.pxd import COLUMNS, ROWS, SENSORS, VXD_IDS, sensor_indices
from partigan.errors import PartiganError
from partigan.reading import assure_memory

THRESHOLD = 7  # ADU, below which pixels are not read out
MAXIMUM = 255  # ADU
LARGEST = 2**16 - 1  # ADU, of a digit in which others are added, an unsigned short

Ints = NDArray[np.int64]


def charge_type(largest: int) -> type[np.unsignedinteger]:
    """Of charges up to ``largest``, `MAXIMUM` or `LARGEST`."""
    return np.uint8 if largest == MAXIMUM else np.uint16


@dataclass(frozen=True)
class Hitmaps:
    """The hits of events, sorted by event, sensor, u and v; an event or a sensor may have none.

    Attributes:
        counts: ``(events, 40)`` int32, hits of each sensor.
        u: ``(hits,)`` uint8, column.
        v: ``(hits,)`` uint16, row from the outer end.
        charge: ``(hits,)`` uint8, ADU, at least 1; uint16 where charges were added, as overlay does.
    """

    counts: NDArray[np.int32]
    u: NDArray[np.uint8]
    v: NDArray[np.uint16]
    charge: NDArray[np.unsignedinteger]

    @classmethod
    def of(
        cls,
        events: int,
        event: ArrayLike,
        sensor: ArrayLike,
        u: ArrayLike,
        v: ArrayLike,
        charge: ArrayLike,
        largest: int = MAXIMUM,
    ) -> Hitmaps:
        """Hitmaps of hits in any order; where a pixel is hit twice the larger charge counts, hits of charge 0 do not.

        Args:
            events: number of events.
            event: ``(hits,)`` from 0.
            sensor: ``(hits,)`` index in `partigan.data.pxd.SENSORS`.
            u: ``(hits,)`` column.
            v: ``(hits,)`` row.
            charge: ``(hits,)`` ADU, fractions are cut.
            largest: charge that there can be: `MAXIMUM`, or `LARGEST` for digits in which others are added.

        Raises:
            PartiganError: a value that no hit can have.
        """
        columns = [np.asarray(column) for column in (event, sensor, u, v, np.floor(charge))]
        limits = {"event": events, "sensor": len(SENSORS), "u": COLUMNS, "v": ROWS, "charge": largest + 1}
        for (name, limit), column in zip(limits.items(), columns, strict=True):
            if (bad := outside(column, limit)) is not None:
                raise PartiganError(f"hit {bad} has {name} = {column[bad]}, not a whole number from 0 to {limit - 1}")
        e, s, u, v, q = (column[columns[4] > 0].astype(np.int64) for column in columns)
        address = ((e * len(SENSORS) + s) * COLUMNS + u) * ROWS + v
        kept: Any = slice(None)
        if (np.diff(address) <= 0).any():
            order = np.lexsort((-q, address))
            _, first = np.unique(address[order], return_index=True)
            kept = order[first]
        counts = np.bincount(address[kept] // (COLUMNS * ROWS), minlength=events * len(SENSORS))
        return cls(
            counts.reshape(events, len(SENSORS)).astype(np.int32),
            u[kept].astype(np.uint8),
            v[kept].astype(np.uint16),
            q[kept].astype(charge_type(largest)),
        )

    @classmethod
    def of_digits(
        cls, events: int, event: ArrayLike, vxd_id: ArrayLike, u: ArrayLike, v: ArrayLike, charge: ArrayLike
    ) -> Hitmaps:
        """Hitmaps of basf2's digits: as `of`, with VxdIDs for sensors and charges up to `LARGEST`.

        Raises:
            PartiganError: an unknown VxdID, or a value that no digit can have.

        Example:
            >>> Hitmaps.of_digits(1, [0], [8480], [3], [4], [300]).charge.tolist()
            [300]
        """
        ids = np.asarray(vxd_id)
        if (bad := outside(ids, 2**16)) is None:
            bad = outside(sensor_indices(ids), len(SENSORS))
        if bad is not None:
            raise PartiganError(f"digit {bad} has VxdID {ids[bad]}, which is no sensor of the PXD (see docs/pxd.md)")
        return cls.of(events, event, sensor_indices(ids), u, v, charge, LARGEST)

    @classmethod
    def of_images(cls, images: ArrayLike, sensors: ArrayLike) -> Hitmaps:
        """Hitmaps of whole images ``(maps, 250, 768)`` of given sensors ``(maps,)``, in ADU; fractions are cut.

        The n-th image of every sensor belongs to event n; a sensor with fewer images than others is empty in the last.

        Raises:
            PartiganError: another shape, or a value that no pixel can have.
        """
        x, sensor = np.asarray(images), np.asarray(sensors, np.int64)
        if x.ndim != 3 or x.shape[1:] != (COLUMNS, ROWS):
            raise PartiganError(f"images of shape {x.shape[1:]} are no hitmaps, which are {COLUMNS} x {ROWS}")
        order = np.argsort(sensor, kind="stable")
        of_each = np.bincount(sensor, minlength=len(SENSORS))
        event = np.empty_like(sensor)
        event[order] = np.concatenate([np.arange(n) for n in of_each]) if len(x) else 0
        image, u, v = np.nonzero(x)
        return cls.of(int(of_each.max(initial=0)), event[image], sensor[image], u, v, x[image, u, v])

    @classmethod
    def joined(cls, parts: Iterable[Hitmaps]) -> Hitmaps:
        """Several samples as one, event after event."""
        some = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in some]) for name in ("counts", "u", "v", "charge")))

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def offsets(self) -> Ints:
        """``(events * 40 + 1,)``: the hits of map ``event * 40 + sensor`` lie between two of these."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    @cached_property
    def map(self) -> Ints:
        """``(hits,)``: the map ``event * 40 + sensor`` of each hit."""
        return np.repeat(np.arange(self.counts.size), self.counts.ravel())

    @property
    def occupancy(self) -> NDArray[np.float64]:
        """``(events, 40)``: share of the pixels of each sensor that are hit."""
        return self.counts / (COLUMNS * ROWS)

    def events(self, first: int, last: int) -> Hitmaps:
        """The events from ``first`` to one before ``last``."""
        start, stop = self.offsets[[first * len(SENSORS), last * len(SENSORS)]]
        return Hitmaps(self.counts[first:last], self.u[start:stop], self.v[start:stop], self.charge[start:stop])

    @property
    def vxd_id(self) -> NDArray[np.uint16]:
        """``(hits,)``: basf2's number of the sensor of each hit."""
        return VXD_IDS[self.map % len(SENSORS)]

    def overlaid(self, background: Hitmaps) -> Hitmaps:
        """These digits with those of background, event by event, as basf2's BGOverlayExecutor does it.

        Charges of one channel are added, not clipped at 255; the other channels are appended. The order of digits stays
        that of all hitmaps.

        Args:
            background: as many events.

        Raises:
            PartiganError: another number of events, or a sum above 65,535 ADU, which no digit holds.

        Example:
            >>> signal = Hitmaps.of(1, [0], [5], [9], [7], [250])
            >>> signal.overlaid(Hitmaps.of(1, [0, 0], [5, 6], [9, 1], [7, 1], [100, 20])).charge.tolist()
            [350, 20]
        """
        if len(background) != len(self):
            raise PartiganError(f"{len(self)} events of signal with {len(background)} of background; give one for each")
        both = Hitmaps.joined([self, background])
        pixel = (both.map % self.counts.size * COLUMNS + both.u) * ROWS + both.v
        channel, place = np.unique(pixel, return_inverse=True)
        charge = np.bincount(place, both.charge, minlength=len(channel))
        image, (u, v) = channel // (COLUMNS * ROWS), np.divmod(channel % (COLUMNS * ROWS), ROWS)
        return Hitmaps.of(len(self), image // len(SENSORS), image % len(SENSORS), u, v, charge, LARGEST)

    def dense(self, maps: ArrayLike) -> NDArray[np.uint8]:
        """Images ``(maps, 250, 768)`` in ADU of maps ``event * 40 + sensor``; the ADC ends at 255."""
        chosen = np.asarray(maps, np.int64)
        assure_memory(3 * len(chosen) * COLUMNS * ROWS, f"{len(chosen):,} hitmaps as images")
        images = np.zeros((len(chosen), COLUMNS, ROWS), np.uint8)
        for image, start, stop in zip(images, self.offsets[chosen], self.offsets[chosen + 1], strict=True):
            hits = slice(start, stop)
            image[self.u[hits], self.v[hits]] = self.charge[hits].clip(max=MAXIMUM)
        return images


def crops(hitmaps: Hitmaps, maps: ArrayLike, corners: ArrayLike, height: int, width: int) -> NDArray[np.uint8]:
    """Parts of maps at their own pitch.

    Args:
        hitmaps: the events.
        maps: ``(n,)``: ``event * 40 + sensor``.
        corners: ``(n, 2)``: first u and v of each crop.
        height: columns u of a crop.
        width: rows v of a crop.

    Returns:
        ``(n, height, width)`` in ADU.

    Raises:
        PartiganError: a crop does not lie inside the sensor.
    """
    chosen, corner = np.asarray(maps, np.int64), np.asarray(corners, np.int64)
    ends = corner + np.array([height, width])
    if len(corner) and (corner.min() < 0 or (ends > (COLUMNS, ROWS)).any()):
        raise PartiganError(f"crops of {height} x {width} pixels do not all lie inside {COLUMNS} x {ROWS} pixels")
    parts = np.empty((len(chosen), height, width), np.uint8)
    for part, one, (u, v) in zip(parts, chosen, corner, strict=True):
        part[:] = hitmaps.dense([one])[0, u : u + height, v : v + width]
    return parts


def outside(column: NDArray[Any], limit: int, whole: bool = True) -> int | None:
    """The first row that is not a number from 0 to ``limit`` - 1, or not a whole one."""
    fine = (column >= 0) & (column < limit)
    if whole and column.dtype.kind == "f":
        fine &= column == np.floor(column)
    return None if fine.all() else int(np.argmin(fine))
