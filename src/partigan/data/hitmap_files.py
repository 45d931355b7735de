"""Files of hitmaps: sparse HDF5, basf2's ROOT files, and folders of PNG images.

Own files are HDF5, sparse: ``counts`` (events, 40) hits of each sensor, and for all hits, event after event and sensor
after sensor, ``u`` (column, 0 to 249), ``v`` (row, 0 to 767) and ``charge`` (1 to 255 ADU; more where digits were
overlaid). The attribute ``sensors`` holds the order of the sensors. The other formats are basf2's ROOT files and
folders of 8-bit PNG images, named ``layer.ladder.sensor/event.png`` with u along the height of 250 and v along the
width of 768 pixels, where the ADC ends at 255.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.data import hdf5
from partigan.data.hdf5 import holds, number_of, open_hdf5, write_chunks
from partigan.data.hitmaps import LARGEST, MAXIMUM, Hitmaps, Ints, charge_type, outside
from partigan.data.parts import is_parts
from partigan.data.pictures import png_pixels
from partigan.data.pxd import COLUMNS, NAMES, PIXELS, ROWS, SENSORS, sensor_indices
from partigan.data.root import open_root
from partigan.data.splits import Rows, stored_rows
from partigan.data.stored import strings
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.files import MANIFEST, atomic, manifest_of
from partigan.folders import atomic_folder
from partigan.progress import tell
from partigan.reading import readable

SUFFIXES = hdf5.SUFFIXES | {".root": "ROOT", "": "folder of PNG images"}
"""Of files of hitmaps, with what is in them."""

TREE = "tree"
BRANCHES = {name: f"PXDDigits.m_{name}" for name in ("sensorID", "uCellID", "vCellID", "charge")}
"""basf2's branches; in its files they lie inside the branch ``PXDDigits``."""

_IMAGES = f"hitmaps are 8-bit grey, {COLUMNS} high and {ROWS} wide"
_LAYOUT = "hitmaps are read from counts (events, 40), u, v and charge (see docs/pxd.md)"
_SAID = "partigan"  # name of the provenance in ROOT files, a string of JSON
_ENTRIES = 200  # of a ROOT file in memory at a time


def read_hitmaps(path: str | Path, split: Rows = "all", digits: bool = False) -> Hitmaps:
    """Read hitmaps from an HDF5 file, a ROOT file (``.root``) or a folder of PNG images, and check every hit.

    Args:
        path: the file or folder.
        split: ``train``, ``valid``, ``test``, ``all``, or rows, by events. The attributes ``split_train`` ... of an
            HDF5 file are obeyed; everything else is cut 70/15/15 in its order.
        digits: keep charges above 255 ADU, which overlay makes; False = they count as 255, where the ADC ends.

    Raises:
        PartiganError: the file is missing, truncated or of another layout, or holds a hit that no sensor can have; the
            message names the file, the entry (event) and the branch or dataset.
    """
    path = Path(path)
    if _of_images(path):
        found = _read_images(path)
    elif path.suffix == ".root":
        found = Hitmaps.joined(read_root(path, digits))
    else:
        return _read_hdf5(path, split, LARGEST if digits else MAXIMUM)
    if len(found) == 0:
        raise PartiganError(f"{path} holds no events; simulate or fetch some")
    first, last = stored_rows({}, len(found), split, path, "events")
    return found.events(first, last)


def hitmaps_in_blocks(path: Path, events: int) -> Iterator[Hitmaps]:
    """All events of a file or folder, some at a time; see `read_hitmaps`."""
    if _of_images(path) or path.suffix == ".root":
        for found in [_read_images(path)] if _of_images(path) else read_root(path):
            for first in range(0, len(found), events):
                yield found.events(first, min(first + events, len(found)))
        return
    for first in range(0, number_of(path, "counts"), events):
        yield read_hitmaps(path, (first, first + events))


def _read_hdf5(path: Path, split: Rows, largest: int) -> Hitmaps:
    with open_hdf5(path, _LAYOUT) as file:
        counted, *columns = (file.dataset(name) for name in ("counts", "u", "v", "charge"))
        named = tuple(strings(file.attributes.get("sensors", NAMES)))
        if named != NAMES:
            raise PartiganError(
                f"{path}: its sensors are {', '.join(named[:3])}, ...; needed is the order {NAMES[0]}, ..."
            )
        if len(counted.shape) != 2 or counted.shape[1] != len(SENSORS) or len(counted) == 0:
            raise PartiganError(f"{path}: counts has the shape {list(counted.shape)}, not (events, {len(SENSORS)})")
        counts = counted.rows(0, len(counted))
        if (bad := outside(counts.ravel(), PIXELS + 1)) is not None:
            raise PartiganError(
                f"{path}: counts row {bad // len(SENSORS)} has {counts.ravel()[bad]} hits of a sensor, which has "
                f"{PIXELS} pixels"
            )
        counts = counts.astype(np.int64)
        ends = np.concatenate([[0], np.cumsum(counts.sum(1))])
        first, last = stored_rows(file.attributes, len(counts), split, path, "events")
        for column in columns:
            if column.shape != (ends[-1],) or column.dtype.kind not in "iu":
                raise PartiganError(
                    f"{column.where} is {column.text}, counts is of {ends[-1]} hits; "
                    "the file is damaged, make or fetch it again"
                )
        u, v, charge = (column.rows(ends[first], ends[last]) for column in columns)
    rows = np.repeat(np.arange(last - first), counts[first:last].sum(1))
    if largest == MAXIMUM:
        charge, above = _saturated(charge)
        _say_saturated(path, above)
    for name, values, limit in (("u", u, COLUMNS), ("v", v, ROWS), ("charge", charge, largest + 1)):
        _refuse(values, limit, rows, first, path, name)
    found = Hitmaps(
        counts[first:last].astype(np.int32),
        u.astype(np.uint8),
        v.astype(np.uint16),
        charge.astype(charge_type(largest)),
    )
    address = (found.map * COLUMNS + found.u) * ROWS + found.v
    if (charge == 0).any() or (np.diff(address) <= 0).any():
        raise PartiganError(f"{path}: hits of charge 0, or not sorted by sensor, u and v; write it with write_hitmaps")
    return found


def _saturated(charge: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Charges as the ADC would give them, and how many were larger: overlaid digits have the sum of theirs."""
    if charge.dtype.kind not in "iuf":
        return charge, 0
    return np.minimum(charge, MAXIMUM), int((charge > MAXIMUM).sum())


def _say_saturated(path: Path, above: int) -> None:
    if above:
        tell(
            f"{path}: hits of more than {MAXIMUM} ADU, as overlay makes them, count as {MAXIMUM}, where the ADC "
            f"ends: {above:,}"
        )


def _refuse(column: NDArray[Any], limit: int, rows: Ints, first: int, path: Path, name: str) -> None:
    """Raise for the first hit outside 0 to ``limit`` - 1; ``rows`` are the events of the hits, from ``first``."""
    if (bad := outside(column, limit, whole=not name.endswith("charge"))) is not None:
        raise PartiganError(
            f"{path}: entry {first + rows[bad]}: {name} = {column[bad]}, not a whole number from 0 to {limit - 1}; "
            "it is no hit of the PXD"
        )


def write_hitmaps(path: str | Path, chunks: Iterable[Hitmaps], attributes: dict[str, Any]) -> None:
    """Write hitmaps, chunk by chunk and atomically: to a ROOT file (``.root``), a folder (no suffix), or HDF5.

    Args:
        path: the file or folder to make.
        chunks: hitmaps of some events each.
        attributes: provenance, see `hitmap_attributes`.

    Raises:
        PartiganError: the disk is full or the place cannot be written; nothing is left behind.
    """
    if Path(path).suffix == ".root":
        _write_root(path, chunks, attributes)
        return
    if not Path(path).suffix:
        _write_images(path, chunks, attributes)
        return
    columns = ("counts", "u", "v", "charge")
    rows = ({name: getattr(chunk, name) for name in columns} for chunk in chunks)
    write_chunks(path, rows, {**attributes, "sensors": NAMES}, {}, rows=2**14, compression="gzip", shuffle=True)


def events_of(path: str | Path) -> int:
    """The number of events in a file or folder that `read_hitmaps` reads."""
    path = Path(path)
    return len(read_hitmaps(path)) if _of_images(path) or path.suffix == ".root" else number_of(path, "counts")


def is_hitmaps(path: Path) -> bool:
    """Whether a path has one of these layouts: a ROOT file, a folder of images, or HDF5 with hits."""
    return _of_images(path) or path.suffix == ".root" or holds(path, "counts", "u", "v", "charge")


def _of_images(path: Path) -> bool:
    """Whether a path is a folder of images."""
    return path.is_dir() and not is_parts(path)


def hitmap_attributes(path: str | Path) -> dict[str, Any]:
    """What hitmaps say of themselves: HDF5 in attributes, ROOT in the string ``partigan``, a folder in its manifest."""
    path = Path(path)
    if _of_images(path):
        return dict(manifest_of(path)["job"]) if (path / MANIFEST).exists() else {}
    if path.suffix == ".root":
        with open_root(path) as file:
            return dict(json.loads(str(file[_SAID]))) if _SAID in file else {}
    with open_hdf5(path, _LAYOUT) as file:
        return {name: value for name, value in file.attributes.items() if name != "sensors"}


def read_root(path: str | Path, digits: bool = False) -> Iterator[Hitmaps]:
    """Hitmaps of a ROOT file of basf2 (tree ``tree``, ``PXDDigits``), some entries at a time.

    Frame bits of the sensors' ids are ignored: frames of an entry are overlaid. Charges may be floats or integers.

    Args:
        path: the file.
        digits: see `read_hitmaps`.

    Raises:
        PartiganError: the file is missing, truncated or without these branches, or holds a hit that no sensor can have.
    """
    path = Path(path)
    above = 0
    for first, numbers, columns in _digits(path):
        if any((number != numbers[0]).any() for number in numbers):
            raise PartiganError(f"{path}: entries from {first}: branches of different lengths")
        if not digits:
            columns[-1], more = _saturated(columns[-1])
            above += more
        events = len(numbers[0])
        event = np.repeat(np.arange(events), numbers[0])
        yield _of_digits(path, first, event, events, columns, LARGEST if digits else MAXIMUM)
    _say_saturated(path, above)


def _digits(path: Path) -> Iterator[tuple[int, list[Ints], list[NDArray[Any]]]]:
    """First of some entries, numbers of digits of each in every branch, and the values."""
    with open_root(path) as file:
        import awkward as ak

        if TREE not in file:
            raise PartiganError(f"{path}: no TTree {TREE!r}; it has {', '.join(file.keys()) or 'nothing'}")
        tree = file[TREE]
        names = {branch.split("/")[-1]: branch for branch in tree.keys(recursive=True)}
        if missing := [branch for branch in BRANCHES.values() if branch not in names]:
            raise PartiganError(f"{path}: {TREE} has no branch {', '.join(missing)}; PXDDigits of basf2 are needed")
        branches = [tree[names[branch]] for branch in BRANCHES.values()]
        entries = int(tree.num_entries)
        for branch in branches:
            if branch.num_entries != entries or branch.entry_offsets[-1] != entries:
                raise PartiganError(
                    f"{path}: {branch.name} has {branch.entry_offsets[-1]} entries, {TREE} {entries}; fetch it again"
                )
        for first in range(0, entries, _ENTRIES):
            last = min(first + _ENTRIES, entries)
            parts = [branch.array(entry_start=first, entry_stop=last) for branch in branches]
            numbers = [ak.num(part).to_numpy() for part in parts]
            yield first, numbers, [ak.flatten(part).to_numpy() for part in parts]


def _of_digits(
    path: Path, first: int, event: Ints, events: int, columns: Sequence[NDArray[Any]], largest: int
) -> Hitmaps:
    for name, column, limit in zip(BRANCHES, columns, (2**16, COLUMNS, ROWS, largest + 1), strict=True):
        if column.dtype.kind not in "iuf":
            raise PartiganError(f"{path}: {BRANCHES[name]} is {column.dtype}, not numbers")
        _refuse(column, limit, event, first, path, BRANCHES[name])
    ids, u, v, charge = columns
    sensor = sensor_indices(ids)
    if (sensor < 0).any():
        bad = int(np.argmax(sensor < 0))
        raise PartiganError(
            f"{path}: entry {first + event[bad]}: {BRANCHES['sensorID']} = {ids[bad]} is no sensor of the PXD"
        )
    return Hitmaps.of(events, event, sensor, u, v, charge, largest)


def _write_root(path: str | Path, chunks: Iterable[Hitmaps], attributes: dict[str, Any]) -> None:
    """Write hitmaps as ``PXDDigits`` to a ROOT file, chunk by chunk and atomically; one entry for each event.

    ROOT files have the time in them, so that two are never the same byte for byte.

    Raises:
        PartiganError: uproot is missing, or the place cannot be written.
    """
    require("root", "uproot", "awkward")
    import awkward as ak
    import uproot

    with atomic(path) as temporary, uproot.recreate(temporary) as file:
        for chunk in chunks:
            columns: list[NDArray[Any]] = [chunk.vxd_id, chunk.u, chunk.v, chunk.charge]
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
        file[_SAID] = json.dumps(attributes)


def _read_images(path: Path) -> Hitmaps:
    with readable(path, "a folder of images"):
        files = sorted(path.glob("*/*.png"))
    if unknown := sorted({file.parent.name for file in files} - set(NAMES)):
        raise PartiganError(f"{path}: {unknown[0]} is no PXD sensor; images are layer.ladder.sensor/event.png")
    where: dict[tuple[int, str], Path] = {}
    for file in files:
        if not (file.stem.isascii() and file.stem.isdecimal()):
            raise PartiganError(
                f"{file}: its name is not the number of an event; images are layer.ladder.sensor/event.png"
            )
        other = where.setdefault((int(file.stem), file.parent.name), file)
        if other != file:
            raise PartiganError(f"{file} and {other} are the same event; remove one of them")
    events = sorted({event for event, _ in where})
    images: list[Ints] = []
    for event, name in itertools.product(events, NAMES):
        if (event, name) not in where:
            raise PartiganError(
                f"{path}: event {event} has no image of sensor {name}; write an empty one if it has no hits"
            )
        pixels = png_pixels(where[event, name], ["L"], (COLUMNS, ROWS), _IMAGES)
        u, v = np.nonzero(pixels)
        images.append(np.stack([np.full(len(u), len(images)), u, v, pixels[u, v]]))
    number, u, v, charge = np.concatenate(images, axis=1) if images else np.zeros((4, 0), np.int64)
    return Hitmaps.of(len(events), number // len(SENSORS), number % len(SENSORS), u, v, charge)


def _write_images(path: str | Path, chunks: Iterable[Hitmaps], attributes: dict[str, Any]) -> None:
    """Write hitmaps as a folder of 8-bit PNG images ``layer.ladder.sensor/event.png``.

    Raises:
        PartiganError: something else stands there, or the place cannot be written.
    """
    from PIL import Image

    with atomic_folder(Path(path), "partigan", attributes) as folder:
        for name in NAMES:
            (folder / name).mkdir()
        events = 0
        for chunk in chunks:
            for number in range(chunk.counts.size):
                event, sensor = divmod(number, len(SENSORS))
                image = Image.fromarray(chunk.dense([number])[0])
                image.save(folder / NAMES[sensor] / f"{events + event}.png")
            events += len(chunk)
