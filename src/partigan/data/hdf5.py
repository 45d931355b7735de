"""What the HDF5 files of all kinds of data share: opening, splits, and writing chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from partigan.errors import PartiganError
from partigan.files import assure_room, atomic

SPLITS = {"train": (0.0, 0.70), "valid": (0.70, 0.85), "test": (0.85, 1.0), "all": (0.0, 1.0)}

ROOM = 2**21  # bytes that HDF5 may need beside a chunk, for its index and the last partial block


def open_hdf5(path: Path, layout: str) -> h5py.File:
    """Open a file to read.

    Args:
        path: the file.
        layout: what it should hold, for the message.

    Raises:
        PartiganError: it is missing, not HDF5, or truncated.
    """
    if not path.exists():
        raise PartiganError(f"{path} does not exist")
    if path.is_dir() or not h5py.is_hdf5(path):
        raise PartiganError(f"{path} is not an HDF5 file; {layout}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PartiganError(f"{path}: truncated or damaged ({error}); make or fetch it again") from error


def holds(path: Path, *names: str) -> bool:
    """Whether a path is an HDF5 file with all these datasets or groups."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with open_hdf5(path, "") as file:
        return all(name in file for name in names)


def dataset(file: h5py.File, path: Path, name: str, layout: str) -> h5py.Dataset:
    """A dataset of a file by name; raises a `PartiganError` where there is none."""
    if name not in file:
        raise PartiganError(f"{path}: no dataset {name!r} (it has {', '.join(file) or 'none'}); {layout}")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise PartiganError(f"{path}: {name} is a group, not a dataset; {layout}")
    return found


def text(value: Any) -> str:
    """A string attribute, however it was stored."""
    return value.decode() if isinstance(value, bytes) else str(value)


def features_of(found: h5py.Dataset) -> dict[str, str]:
    """Names of the last axis of a dataset, with their units; numbers for names and empty units where it says none."""
    names = [text(name) for name in np.atleast_1d(found.attrs.get("features", np.arange(found.shape[-1])))]
    units = [text(unit) for unit in np.atleast_1d(found.attrs.get("units", np.full(len(names), "")))]
    return dict(zip(names, units, strict=False))


def split_rows(samples: int, split: str) -> tuple[int, int]:
    """First and one-past-last row of a split: 70 % train, 15 % valid, 15 % test, in the file's order."""
    if split not in SPLITS:
        raise PartiganError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    first, last = SPLITS[split]
    return round(first * samples), round(last * samples)


def stored_rows(attributes: Mapping[str, Any], samples: int, split: str, path: Path, what: str) -> tuple[int, int]:
    """`split_rows`, or what a file's attributes ``split_train`` ... (first and one-past-last row) say instead.

    Args:
        attributes: of the file.
        samples: how many it holds.
        split: train, valid, test or all.
        path: of the file, for messages.
        what: plural of a sample, for messages.

    Raises:
        PartiganError: the attributes are no rows, or splits overlap or are empty.
    """
    ranges = {}
    for name in SPLITS:
        if (rows := attributes.get(f"split_{name}")) is None:
            continue
        stored = np.asarray(rows)
        if stored.shape != (2,) or stored.dtype.kind not in "iu":
            raise PartiganError(f"{path}: the attribute split_{name} is {stored}, not a first and one-past-last row")
        ranges[name] = int(stored[0]), int(stored[1])
    for one, two in itertools.combinations(ranges, 2):
        if max(ranges[one][0], ranges[two][0]) < min(ranges[one][1], ranges[two][1]):
            raise PartiganError(f"{path}: the splits {one} {ranges[one]} and {two} {ranges[two]} share {what}")
    first, last = ranges.get(split) or split_rows(samples, split)
    if not 0 <= first < last <= samples:
        raise PartiganError(f"{path}: the {split} split is rows {first} to {last} of {samples}, which holds no {what}")
    return first, last


def write_chunks(
    path: str | Path,
    chunks: Iterable[Mapping[str, NDArray[Any]]],
    attributes: Mapping[str, Any],
    features: Mapping[str, Mapping[str, str]],
    rows: int = 1000,
    **storage: Any,
) -> None:
    """Write datasets chunk by chunk and atomically.

    Args:
        path: the file to make.
        chunks: rows of every dataset, by name.
        attributes: of the file.
        features: names of the last axis of a dataset with their units, written as its attributes.
        rows: in a block of HDF5.
        storage: further options of datasets, such as ``compression``.

    Raises:
        PartiganError: the disk is full or the place cannot be written; nothing is left behind.
    """
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        for chunk in chunks:
            file.flush()
            assure_room(temporary, sum(part.nbytes for part in chunk.values()) + ROOM)
            for name, part in chunk.items():
                if name not in file:
                    file.create_dataset(
                        name,
                        shape=(0, *part.shape[1:]),
                        maxshape=(None, *part.shape[1:]),
                        chunks=(rows, *part.shape[1:]),
                        dtype=part.dtype,
                        **storage,
                    )
                    if name in features:
                        file[name].attrs["features"] = tuple(features[name])
                        file[name].attrs["units"] = tuple(features[name].values())
                before = len(file[name])
                file[name].resize(before + len(part), axis=0)
                file[name][before:] = part
