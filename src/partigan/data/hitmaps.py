"""Hitmaps of the PXD: sparse events, dense images, crops and the log intensity; files are in `hitmap_files`.

References:
    H. Hashemi et al., PE-GAN (the images, the padding to 256 x 768 and the cut at 7 ADU after generation).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import pad

from partigan.data.batch import Batch
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.randomness import rng_for

THRESHOLD = 7  # ADU, below which pixels are not read out
MAXIMUM = 255  # ADU
LEAST_SHARE = 2e-5  # of the hits, that a charge takes where hits are equalised; well above float32's resolution
PADDED = 256  # to which the 250 columns are padded for networks that halve images again and again

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Hitmaps:
    """The hits of events, sorted by event, sensor, u and v; an event or a sensor may have none.

    Attributes:
        counts: ``(events, 40)`` int32, hits of each sensor.
        u: ``(hits,)`` uint8, column.
        v: ``(hits,)`` uint16, row from the outer end.
        charge: ``(hits,)`` uint8, ADU, at least 1.
    """

    counts: NDArray[np.int32]
    u: NDArray[np.uint8]
    v: NDArray[np.uint16]
    charge: NDArray[np.uint8]

    @classmethod
    def of(
        cls, events: int, event: ArrayLike, sensor: ArrayLike, u: ArrayLike, v: ArrayLike, charge: ArrayLike
    ) -> Hitmaps:
        """Hitmaps of hits in any order; where a pixel is hit twice the larger charge counts, hits of charge 0 do not.

        Args:
            events: number of events.
            event: ``(hits,)`` from 0.
            sensor: ``(hits,)`` index in `partigan.data.pxd.SENSORS`.
            u: ``(hits,)`` column.
            v: ``(hits,)`` row.
            charge: ``(hits,)`` ADU, fractions are cut.

        Raises:
            PartiganError: a value that no hit can have.
        """
        columns = [np.asarray(column) for column in (event, sensor, u, v, np.floor(charge))]
        limits = {"event": events, "sensor": len(SENSORS), "u": COLUMNS, "v": ROWS, "charge": MAXIMUM + 1}
        for (name, limit), column in zip(limits.items(), columns, strict=True):
            if (bad := outside(column, limit)) is not None:
                raise PartiganError(f"hit {bad} has {name} = {column[bad]}, not between 0 and {limit - 1}")
        e, s, u, v, q = (column[columns[4] > 0].astype(np.int64) for column in columns)
        address = ((e * len(SENSORS) + s) * COLUMNS + u) * ROWS + v
        order = np.lexsort((-q, address))
        _, first = np.unique(address[order], return_index=True)
        kept = order[first]
        counts = np.bincount(address[kept] // (COLUMNS * ROWS), minlength=events * len(SENSORS))
        return cls(
            counts.reshape(events, len(SENSORS)).astype(np.int32),
            u[kept].astype(np.uint8),
            v[kept].astype(np.uint16),
            q[kept].astype(np.uint8),
        )

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

    def dense(self, maps: ArrayLike) -> NDArray[np.uint8]:
        """Images ``(maps, 250, 768)`` in ADU of maps ``event * 40 + sensor``."""
        chosen = np.asarray(maps, np.int64)
        images = np.zeros((len(chosen), COLUMNS, ROWS), np.uint8)
        for image, start, stop in zip(images, self.offsets[chosen], self.offsets[chosen + 1], strict=True):
            hits = slice(start, stop)
            image[self.u[hits], self.v[hits]] = self.charge[hits]
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


def outside(column: NDArray[Any], limit: int) -> int | None:
    """The first row that is not a number from 0 to ``limit`` - 1."""
    fine = (column >= 0) & (column < limit)
    return None if fine.all() else int(np.argmin(fine))


class LogIntensity(Transform):
    """Charges between -1 and 1 on a logarithmic scale, with dequantisation; 250 columns are padded to 256.

    x = 2 ln(1 + q + d) / ln 256 - 1, where d is uniform between 0 and ``dequantisation`` times 255 ADU, at most 0.99,
    so that the inverse gives back every charge when it is floored. Generated charges below the threshold are cut
    (PE-GAN, section 4.2).

    Args:
        dequantisation: upper end of the noise in units of the full scale of 255 ADU; 0 = none.
        threshold: least charge in ADU of a generated hit.
        seed: of the noise of `forward`; batches of a training have noise of their own.

    References:
        PE-GAN, section 4.2; the map and its noise are those of the authors' published configuration.
    """

    def __init__(self, dequantisation: float = 0.004, threshold: int = THRESHOLD, seed: int = 1) -> None:
        self.noise = min(dequantisation * MAXIMUM, 0.99)
        self.threshold, self.seed = threshold, seed
        self.height = 0

    def fit(self, sample: Batch) -> None:
        """Remember the height of images; everything else is fixed."""
        self.height = sample.x.shape[2]

    def state(self) -> dict[str, Any]:
        """The height of images."""
        return {"height": self.height}

    def load_state(self, state: dict[str, Any]) -> None:
        """The height of images."""
        self.height = state["height"]

    def forward(self, sample: Batch) -> Batch:
        """ADU to the log intensity, padded."""
        return self.batch(sample, rng_for("dequantisation", self.seed))

    def held(self, sample: Batch) -> Batch:
        """The charges as they are, in whatever type: a normalised map takes 0.8 MB."""
        return sample

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """`forward` with noise from ``rng``."""
        charge = padded(held.x.float())
        noise = torch.rand(charge.shape, generator=rng).mul_(self.noise)
        return replace(held, x=noise.add_(charge).log1p_().mul_(2 / log(MAXIMUM + 1)).sub_(1))

    def inverse(self, sample: Batch) -> Batch:
        """Log intensity to whole ADU, without what is below the threshold, and without the padding."""
        charge = torch.expm1((sample.x + 1) * (log(MAXIMUM + 1) / 2))
        charge = torch.floor(charge + 1e-3).clamp_max(MAXIMUM)
        charge = torch.where(charge < self.threshold, 0.0, charge)
        return replace(sample, x=unpadded(charge, self.height))


class EqualisedCharge(Transform):
    """Charges as shares of the training sample's hits that have less, between 0 and 1; pixels without hit are -1.

    The charges of hits are uniform, so that a network sees every part of their steep spectrum equally well, and there
    is a gap between 0 and -1: for generators that decide which pixels are hit. Within a charge in ADU the share is
    uniform, so that the inverse, which gives back whole ADU, is exact. What is below 0 is no hit; whole maps may be
    taken back where crops were fitted.

    Args:
        seed: of the uniform shares.
    """

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.edges = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Count the charges of hits; every charge from the least to 255 ADU gets a little more, so that it has a share.

        Raises:
            PartiganError: there are no hits.
        """
        counts = torch.bincount(sample.x[sample.x > 0].long(), minlength=MAXIMUM + 1).double()
        if not counts.any():
            raise PartiganError("the training sample has no hits; their charges cannot be normalised")
        counts[int(counts.nonzero()[0]) :] += LEAST_SHARE * counts.sum()
        self.edges = (counts.cumsum(0) / counts.sum()).float()  # upper edge of each charge

    def state(self) -> dict[str, Any]:
        """Share of the hits of at most each charge."""
        return {"edges": self.edges.tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The shares of `state`."""
        self.edges = torch.tensor(state["edges"])

    def forward(self, sample: Batch) -> Batch:
        """ADU to shares."""
        hit = sample.x > 0
        charge = sample.x[hit].long()
        inside = torch.rand(charge.shape, generator=rng_for("dequantisation", self.seed)).clamp(0.01, 0.99)
        x = torch.full(sample.x.shape, -1.0)
        x[hit] = torch.lerp(self.edges[charge - 1], self.edges[charge], inside)
        return replace(sample, x=x)

    def inverse(self, sample: Batch) -> Batch:
        """Shares to whole ADU."""
        hit = sample.x >= 0
        charge = torch.zeros_like(sample.x)
        shares = torch.bucketize(sample.x[hit], self.edges.to(sample.x.device), right=True)
        charge[hit] = shares.clamp_max(MAXIMUM).to(charge)
        return replace(sample, x=charge)


def padded(x: Tensor) -> Tensor:
    """Images ``(..., 250, width)`` with zeros around the middle, ``(..., 256, width)``; others as they are."""
    if x.shape[-2] != COLUMNS:
        return x
    before = (PADDED - COLUMNS) // 2
    return pad(x, (0, 0, before, PADDED - COLUMNS - before))


def unpadded(x: Tensor, height: int) -> Tensor:
    """The inverse of `padded`, for images of ``height``; those that were not padded as they are."""
    if x.shape[-2] != PADDED:
        return x
    before = (PADDED - height) // 2
    return x[..., before : before + height, :]
