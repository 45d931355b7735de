"""Hitmaps of the PXD: sparse events, their files, dense images, crops and the log intensity.

Own files are HDF5, sparse: ``counts`` (events, 40) hits of each sensor, and for all hits, event after event and sensor
after sensor, ``u`` (column, 0 to 249), ``v`` (row, 0 to 767) and ``charge`` (1 to 255 ADU). The attribute ``sensors``
holds the order of the sensors. The other formats are basf2's ROOT files and folders of 8-bit PNG images, named
``layer.ladder.sensor/event.png`` with u along the height of 250 and v along the width of 768 pixels.

References:
    H. Hashemi et al., PE-GAN (the images, the padding to 256 x 768 and the cut at 7 ADU after generation).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import pad

from partigan.data.batch import Batch
from partigan.data.hdf5 import dataset, open_hdf5, stored_rows, text, write_chunks
from partigan.data.pxd import COLUMNS, NAMES, ROWS, SENSORS, sensor_indices
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.files import atomic, atomic_folder
from partigan.randomness import rng_for

THRESHOLD = 7  # ADU, below which pixels are not read out
MAXIMUM = 255  # ADU
PADDED = 256  # to which the 250 columns are padded for networks that halve images again and again

TREE = "tree"
BRANCHES = {name: f"PXDDigits.m_{name}" for name in ("sensorID", "uCellID", "vCellID", "charge")}
"""basf2's branches; in its files they lie inside the branch ``PXDDigits``."""

_LAYOUT = "hitmaps are read from counts (events, 40), u, v and charge (see docs/pxd.md)"
_ENTRIES = 200  # of a ROOT file in memory at a time

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
            if (bad := _outside(column, limit)) is not None:
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


def _outside(column: NDArray[Any], limit: int) -> int | None:
    """The first row that is not a number from 0 to ``limit`` - 1."""
    fine = (column >= 0) & (column < limit)
    return None if fine.all() else int(np.argmin(fine))


def read_hitmaps(path: str | Path, split: str = "all") -> Hitmaps:
    """Read hitmaps from an HDF5 file, a ROOT file (``.root``) or a folder of PNG images, and check every hit.

    Args:
        path: the file or folder.
        split: ``train``, ``valid``, ``test`` or ``all``, by events. The attributes ``split_train`` ... of an HDF5 file
            are obeyed; everything else is cut 70/15/15 in its order.

    Raises:
        PartiganError: the file is missing, truncated or of another layout, or holds a hit that no sensor can have; the
            message names the file, the entry (event) and the branch or dataset.
    """
    path = Path(path)
    if path.is_dir():
        found = _read_images(path)
    elif path.suffix == ".root":
        found = Hitmaps.joined(read_root(path))
    else:
        return _read_hdf5(path, split)
    if len(found) == 0:
        raise PartiganError(f"{path} holds no events; simulate or fetch some")
    first, last = stored_rows({}, len(found), split, path, "events")
    return found.events(first, last)


def _read_hdf5(path: Path, split: str) -> Hitmaps:
    with open_hdf5(path, _LAYOUT) as file:
        sets = {name: dataset(file, path, name, _LAYOUT) for name in ("counts", "u", "v", "charge")}
        named = tuple(text(value) for value in np.atleast_1d(file.attrs.get("sensors", NAMES)))
        if named != NAMES:
            raise PartiganError(
                f"{path}: its sensors are {', '.join(named[:3])}, ...; needed is the order {NAMES[0]}, ..."
            )
        counted = sets["counts"]
        if len(counted.shape) != 2 or counted.shape[1] != len(SENSORS) or len(counted) == 0:
            raise PartiganError(f"{path}: counts has the shape {list(counted.shape)}, not (events, {len(SENSORS)})")
        try:
            counts = counted[:].astype(np.int64)
            ends = np.concatenate([[0], np.cumsum(counts.sum(1))])
            first, last = stored_rows(file.attrs, len(counts), split, path, "events")
            for name in ("u", "v", "charge"):
                if sets[name].shape != (ends[-1],) or counts.min() < 0 or sets[name].dtype.kind not in "iu":
                    raise PartiganError(
                        f"{path}: {name} is {sets[name].dtype}{list(sets[name].shape)}, counts is of {ends[-1]} hits; "
                        "the file is damaged, make or fetch it again"
                    )
            u, v, charge = (sets[name][ends[first] : ends[last]] for name in ("u", "v", "charge"))
        except OSError as error:
            raise PartiganError(f"{path}: truncated or damaged ({error}); make or fetch it again") from error
    rows = np.repeat(np.arange(last - first), counts[first:last].sum(1))
    for name, column, limit in (("u", u, COLUMNS), ("v", v, ROWS), ("charge", charge, MAXIMUM + 1)):
        _refuse(column, limit, rows, first, path, name)
    found = Hitmaps(
        counts[first:last].astype(np.int32), u.astype(np.uint8), v.astype(np.uint16), charge.astype(np.uint8)
    )
    address = (found.map * COLUMNS + found.u) * ROWS + found.v
    if (charge == 0).any() or (np.diff(address) <= 0).any():
        raise PartiganError(f"{path}: hits of charge 0, or not sorted by sensor, u and v; write it with write_hitmaps")
    return found


def _refuse(column: NDArray[Any], limit: int, rows: Ints, first: int, path: Path, name: str) -> None:
    """Raise for the first hit outside 0 to ``limit`` - 1; ``rows`` are the events of the hits, from ``first``."""
    if (bad := _outside(column, limit)) is not None:
        raise PartiganError(
            f"{path}: entry {first + rows[bad]}: {name} = {column[bad]}, not between 0 and {limit - 1}; "
            "it is no hit of the PXD"
        )


def write_hitmaps(path: str | Path, chunks: Iterable[Hitmaps], attributes: dict[str, Any]) -> None:
    """Write hitmaps to an HDF5 file, chunk by chunk and atomically.

    Args:
        path: the file to make.
        chunks: hitmaps of some events each.
        attributes: provenance, written as HDF5 attributes of the file.

    Raises:
        PartiganError: the disk is full or the place cannot be written; nothing is left behind.
    """
    columns = ("counts", "u", "v", "charge")
    rows = ({name: getattr(chunk, name) for name in columns} for chunk in chunks)
    write_chunks(path, rows, {**attributes, "sensors": NAMES}, {}, rows=2**14, compression="gzip", shuffle=True)


def hitmap_attributes(path: str | Path) -> dict[str, Any]:
    """What an HDF5 file of hitmaps says of itself; a ROOT file or a folder of images says nothing."""
    if Path(path).is_dir() or Path(path).suffix == ".root":
        return {}
    with open_hdf5(Path(path), _LAYOUT) as file:
        return {name: value for name, value in file.attrs.items() if name != "sensors"}


def read_root(path: str | Path) -> Iterator[Hitmaps]:
    """Hitmaps of a ROOT file of basf2 (tree ``tree``, ``PXDDigits``), some entries at a time.

    Frame bits of the sensors' ids are ignored: frames of an entry are overlaid. Charges may be floats or integers.

    Raises:
        PartiganError: the file is missing, truncated or without these branches, or holds a hit that no sensor can have.
    """
    require("root", "uproot", "awkward")
    import awkward as ak
    import uproot

    path = Path(path)
    if not path.exists():
        raise PartiganError(f"{path} does not exist")
    try:
        with uproot.open(path) as file:
            if TREE not in file:
                raise PartiganError(f"{path}: no TTree {TREE!r}; it has {', '.join(file.keys()) or 'nothing'}")
            tree = file[TREE]
            names = {branch.split("/")[-1]: branch for branch in tree.keys(recursive=True)}
            if missing := [branch for branch in BRANCHES.values() if branch not in names]:
                raise PartiganError(f"{path}: {TREE} has no branch {', '.join(missing)}; PXDDigits of basf2 are needed")
            for first in range(0, tree.num_entries, _ENTRIES):
                last = min(first + _ENTRIES, tree.num_entries)
                parts = [tree[names[branch]].array(entry_start=first, entry_stop=last) for branch in BRANCHES.values()]
                numbers = [ak.num(part).to_numpy() for part in parts]
                if any((number != numbers[0]).any() for number in numbers):
                    raise PartiganError(f"{path}: entries {first} to {last - 1}: branches of different lengths")
                columns = [ak.flatten(part).to_numpy() for part in parts]
                yield _of_digits(path, first, np.repeat(np.arange(last - first), numbers[0]), last - first, columns)
    except (OSError, ValueError, EOFError, uproot.DeserializationError) as error:
        raise PartiganError(f"{path}: truncated or damaged ({str(error).splitlines()[0]}); fetch it again") from error


def _of_digits(path: Path, first: int, event: Ints, events: int, columns: Sequence[NDArray[Any]]) -> Hitmaps:
    ids, u, v, charge = columns
    sensor = sensor_indices(ids)
    if (sensor < 0).any():
        bad = int(np.argmax(sensor < 0))
        raise PartiganError(
            f"{path}: entry {first + event[bad]}: {BRANCHES['sensorID']} = {ids[bad]} is no sensor of the PXD"
        )
    limits = (("uCellID", u, COLUMNS), ("vCellID", v, ROWS), ("charge", charge, MAXIMUM + 1))
    for name, column, limit in limits:
        _refuse(column, limit, event, first, path, BRANCHES[name])
    return Hitmaps.of(events, event, sensor, u, v, charge)


def write_root(path: str | Path, chunks: Iterable[Hitmaps]) -> None:
    """Write hitmaps as ``PXDDigits`` to a ROOT file, chunk by chunk and atomically; one entry for each event.

    Raises:
        PartiganError: uproot is missing, or the place cannot be written.
    """
    require("root", "uproot", "awkward")
    import awkward as ak
    import uproot

    ids = np.array([sensor.vxd_id for sensor in SENSORS], np.uint16)
    with atomic(path) as temporary, uproot.recreate(temporary) as file:
        for chunk in chunks:
            columns: list[NDArray[Any]] = [ids[chunk.map % len(SENSORS)], chunk.u, chunk.v, chunk.charge]
            digits = ak.zip(
                {
                    branch.partition(".")[2]: ak.unflatten(column.astype(np.uint16), chunk.counts.sum(1))
                    for branch, column in zip(BRANCHES.values(), columns, strict=True)
                }
            )
            if TREE not in file:
                file.mktree(
                    TREE, {"PXDDigits": digits.type.content}, field_name=lambda outer, inner: f"{outer}.{inner}"
                )
            file[TREE].extend({"PXDDigits": digits})


def _read_images(path: Path) -> Hitmaps:
    from PIL import Image

    files = sorted(path.glob("*/*.png"))
    if unknown := sorted({file.parent.name for file in files} - set(NAMES)):
        raise PartiganError(f"{path}: {unknown[0]} is no PXD sensor; images are layer.ladder.sensor/event.png")
    if odd := [file for file in files if not file.stem.isdecimal()]:
        raise PartiganError(
            f"{odd[0]}: its name is not the number of an event; images are layer.ladder.sensor/event.png"
        )
    events = sorted({int(file.stem) for file in files})
    where = {(int(file.stem), file.parent.name): file for file in files}
    images: list[Ints] = []
    for event, name in itertools.product(events, NAMES):
        if (event, name) not in where:
            raise PartiganError(
                f"{path}: event {event} has no image of sensor {name}; write an empty one if it has no hits"
            )
        try:
            with Image.open(where[event, name]) as image:
                mode, pixels = image.mode, np.asarray(image)
        except (OSError, SyntaxError) as error:
            raise PartiganError(f"{where[event, name]}: truncated or damaged ({error}); make it again") from error
        if mode != "L" or pixels.shape != (COLUMNS, ROWS):
            raise PartiganError(
                f"{where[event, name]}: {mode} image of {' x '.join(map(str, pixels.shape))} pixels; "
                f"hitmaps are 8-bit grey, {COLUMNS} high and {ROWS} wide"
            )
        u, v = np.nonzero(pixels)
        images.append(np.stack([np.full(len(u), len(images)), u, v, pixels[u, v]]))
    number, u, v, charge = np.concatenate(images, axis=1) if images else np.zeros((4, 0), np.int64)
    return Hitmaps.of(len(events), number // len(SENSORS), number % len(SENSORS), u, v, charge)


def write_images(path: str | Path, hitmaps: Hitmaps) -> None:
    """Write hitmaps as a folder of 8-bit PNG images ``layer.ladder.sensor/event.png``.

    Raises:
        PartiganError: something else stands there, or the place cannot be written.
    """
    from PIL import Image

    with atomic_folder(Path(path), NAMES[0]) as folder:
        for sensor, name in enumerate(NAMES):
            (folder / name).mkdir()
            for event in range(len(hitmaps)):
                image = Image.fromarray(hitmaps.dense([event * len(SENSORS) + sensor])[0])
                image.save(folder / name / f"{event}.png")


class LogIntensity(Transform):
    """Charges between -1 and 1 on a logarithmic scale, with dequantisation; 250 columns are padded to 256.

    x = 2 ln(1 + q + d) / ln 256 - 1, where d is uniform between 0 and ``dequantisation`` times 255 ADU, at most 0.99,
    so that the inverse gives back every charge when it is floored. Generated charges below the threshold are cut
    (PE-GAN, section 4.2).

    Args:
        dequantisation: upper end of the noise in units of the full scale of 255 ADU; 0 = none.
        threshold: least charge in ADU of a generated hit.
        seed: of the noise.

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
        charge = padded(sample.x.float())
        noise = torch.rand(charge.shape, generator=rng_for("dequantisation", self.seed)).mul_(self.noise)
        return replace(sample, x=noise.add_(charge).log1p_().mul_(2 / log(MAXIMUM + 1)).sub_(1))

    def inverse(self, sample: Batch) -> Batch:
        """Log intensity to whole ADU, without what is below the threshold, and without the padding."""
        charge = torch.expm1((sample.x + 1) * (log(MAXIMUM + 1) / 2))
        charge = torch.floor(charge + 1e-3).clamp_max(MAXIMUM)
        charge = torch.where(charge < self.threshold, 0.0, charge)
        return replace(sample, x=unpadded(charge, self.height))


def padded(x: Tensor) -> Tensor:
    """Images ``(..., 250, width)`` with zeros around the middle, ``(..., 256, width)``; others as they are."""
    if x.shape[-2] != COLUMNS:
        return x
    before = (PADDED - COLUMNS) // 2
    return pad(x, (0, 0, before, PADDED - COLUMNS - before))


def unpadded(x: Tensor, height: int) -> Tensor:
    """The inverse of `padded`, for images of ``height``."""
    before = (x.shape[-2] - height) // 2
    return x[..., before : before + height, :]
