"""What the HDF5 files of all kinds of data share: the boundary around h5py, and writing chunk by chunk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from partigan.data.parts import is_parts, open_parts
from partigan.data.stored import Opened, is_file, open_file
from partigan.files import assure_room, atomic
from partigan.reading import release_memory

SUFFIXES = {".h5": "HDF5", ".hdf5": "HDF5"}
"""Of files that are written, with what is in them."""

RELEASE = 2**25  # bytes after which memory is given back
ROOM = 2**21  # bytes that HDF5 may need beside a chunk, for its index and the last partial block


def is_hdf5(path: Path) -> bool:
    """Whether a path is an HDF5 file, whatever state it is in, or a folder of parts."""
    return is_parts(path) or is_file(path)


def open_hdf5(path: Path, layout: str) -> AbstractContextManager[Opened]:
    """Open a file, or a folder of parts as one file, to read.

    Args:
        path: the file.
        layout: what it should hold, for the message.

    Raises:
        PartiganError: it is missing, not HDF5, or cannot be read (see `readable`).
    """
    return open_parts(path, layout) if is_parts(path) else open_file(path, layout)


def holds(path: Path, *names: str) -> bool:
    """Whether a path is an HDF5 file with all these datasets or groups."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path, "") as file:
        return all(name in file.names for name in names)


def number_of(path: Path, name: str) -> int:
    """The number of samples in a file; ``name`` is that of their dataset."""
    with open_hdf5(path, f"a dataset {name} is needed") as file:
        return len(file.dataset(name))


def split_attributes(path: Path) -> dict[str, Any]:
    """The attributes by which a file says its splits; none where it is not HDF5."""
    if not is_hdf5(path):
        return {}
    with open_hdf5(path, "") as file:
        return {name: value for name, value in file.attributes.items() if name.startswith("split_")}


def write_chunks(
    path: str | Path,
    chunks: Iterable[Mapping[str, NDArray[Any]]],
    attributes: Mapping[str, Any],
    features: Mapping[str, Mapping[str, str]],
    rows: int = 1000,
    **storage: Any,
) -> None:
    """Write datasets chunk by chunk and atomically, with checksums of all that is in the file, in constant memory.

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
    with atomic(path) as temporary, _created(temporary) as file:
        file.attrs.update(attributes)
        since = 0
        for chunk in chunks:
            file.flush()
            size = sum(part.nbytes for part in chunk.values())
            assure_room(temporary, size + ROOM)
            if (since := since + size) > RELEASE:
                release_memory()
                since = 0
            for name, part in chunk.items():
                if name not in file:
                    file.create_dataset(
                        name,
                        shape=(0, *part.shape[1:]),
                        maxshape=(None, *part.shape[1:]),
                        chunks=(rows, *part.shape[1:]),
                        dtype=part.dtype,
                        fletcher32=True,
                        **storage,
                    )
                    if name in features:
                        file[name].attrs["features"] = tuple(features[name])
                        file[name].attrs["units"] = tuple(features[name].values())
                before = len(file[name])
                file[name].resize(before + len(part), axis=0)
                file[name][before:] = part


def _created(path: Path) -> h5py.File:
    """A new file in the format of HDF5 1.10: with checksums of names, types and shapes, and without the time."""
    creation, access = (h5py.h5p.create(kind) for kind in (h5py.h5p.FILE_CREATE, h5py.h5p.FILE_ACCESS))
    creation.set_obj_track_times(False)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access))
