"""What the HDF5 files of all kinds of data share: opening, reading, splits, and writing chunk by chunk."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from partigan.errors import PartiganError
from partigan.files import assure_room, atomic

SHARES = {"train": 70, "valid": 15, "test": 15}
"""The splits in a file's order, and their percentages of its samples where the file does not say other rows."""

ROOM = 2**21  # bytes that HDF5 may need beside a chunk, for its index and the last partial block
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32015: "zstd", 32026: "blosc2"}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say what is true where a file cannot be read.

    Raises:
        PartiganError: no permission, locked by another process, truncated or damaged.
    """
    try:
        yield
    except OSError as error:
        text = str(error)
        if isinstance(error, PermissionError):
            reason = "you have no permission to read it; ask its owner, or copy it"
        elif error.errno in (errno.EAGAIN, errno.EACCES) or "unable to lock" in text:
            reason = (
                "another process writes to it and has locked it; wait until it is done, or set "
                "HDF5_USE_FILE_LOCKING=FALSE where the file system knows no locks"
            )
        elif "truncated" in text:
            reason = f"truncated ({text}); make or fetch it again"
        else:
            reason = f"truncated or damaged ({text}); make or fetch it again"
        raise PartiganError(f"{path}: {reason}") from error


def is_hdf5(path: Path) -> bool:
    """Whether a path is an HDF5 file, whatever state it is in."""
    if not path.is_file():
        return False
    with readable(path), path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE or bool(h5py.is_hdf5(path))


def open_hdf5(path: Path, layout: str) -> h5py.File:
    """Open a file to read.

    Args:
        path: the file.
        layout: what it should hold, for the message.

    Raises:
        PartiganError: it is missing, not HDF5, or cannot be read (see `readable`).
    """
    if not path.exists():
        raise PartiganError(f"{path} does not exist")
    if not is_hdf5(path):
        raise PartiganError(f"{path} is not an HDF5 file; {layout}")
    with readable(path):
        return h5py.File(path, "r")


def holds(path: Path, *names: str) -> bool:
    """Whether a path is an HDF5 file with all these datasets or groups."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path, "") as file:
        return all(name in file for name in names)


def read_rows(found: h5py.Dataset, path: Path, first: int, last: int, dtype: Any = None) -> NDArray[Any]:
    """Rows of a dataset.

    Args:
        found: the dataset.
        path: of its file, for messages.
        first: first row.
        last: one past the last row.
        dtype: of the result; None = as stored.

    Raises:
        PartiganError: the file cannot be read (see `readable`), or the plugin of a compression filter is missing.
    """
    stored = found.id.get_create_plist()
    for number in range(stored.get_nfilters()):
        code, _, _, said = stored.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        with suppress(ImportError):  # importing it registers its filters
            import_module("hdf5plugin")
        if not h5py.h5z.filter_avail(code):
            name = _FILTERS.get(code) or said.decode() or f"number {code}"
            raise PartiganError(
                f"{path}: {found.name.strip('/')} is compressed with the filter {name}, which is not installed; "
                "run: pip install hdf5plugin"
            )
    with readable(path):
        return np.asarray(found[first:last], dtype=dtype)


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
    """First and one-past-last row of a split: 70 % train, 15 % valid, 15 % test, in the file's order.

    Example:
        >>> split_rows(200, "valid")
        (140, 170)
    """
    if split == "all":
        return 0, samples
    before, after = _percents(split, [*SHARES])
    return round(before / 100 * samples), round(after / 100 * samples)


def _percents(split: str, among: list[str]) -> tuple[int, int]:
    """Where a split begins and ends among others that follow each other, in percents."""
    if split not in SHARES:
        raise PartiganError(f"unknown split {split!r}; there are {', '.join(SHARES)}, all")
    before = sum(SHARES[name] for name in among[: among.index(split)])
    return before, before + SHARES[split]


def stored_rows(attributes: Mapping[str, Any], samples: int, split: str, path: Path, what: str) -> tuple[int, int]:
    """First and one-past-last row of a split by a file's attributes ``split_train``, ``split_valid``, ``split_test``.

    Splits without an attribute share what the others leave, in the file's order and in proportion to 70/15/15, so that
    splits never overlap. A file without any of the attributes is cut as in `split_rows`.

    Args:
        attributes: of the file.
        samples: how many it holds.
        split: train, valid, test or all.
        path: of the file, for messages.
        what: plural of a sample, for messages.

    Raises:
        PartiganError: the attributes are no rows, splits overlap, or the split is empty or not one piece.

    Example:
        >>> stored_rows({"split_test": [0, 500]}, 3000, "train", Path("a.h5"), "jets")
        (500, 2559)
    """
    ranges = _stored(attributes, path, what)
    if split == "all" or not ranges:
        first, last = split_rows(samples, split)
    elif split in ranges:
        first, last = ranges[split]
    else:
        first, last = _left(ranges, samples, split, path)
    if not 0 <= first < last <= samples:
        raise PartiganError(f"{path}: the {split} split is rows {first} to {last} of {samples}, which holds no {what}")
    return first, last


def _stored(attributes: Mapping[str, Any], path: Path, what: str) -> dict[str, tuple[int, int]]:
    """The splits that a file's attributes give, checked."""
    ranges = {}
    for name in SHARES:
        if (rows := attributes.get(f"split_{name}")) is None:
            continue
        stored = np.asarray(rows)
        if stored.shape != (2,) or stored.dtype.kind not in "iu":
            raise PartiganError(f"{path}: the attribute split_{name} is {stored}, not a first and one-past-last row")
        ranges[name] = int(stored[0]), int(stored[1])
    for one, two in itertools.combinations(ranges, 2):
        if max(ranges[one][0], ranges[two][0]) < min(ranges[one][1], ranges[two][1]):
            raise PartiganError(f"{path}: the splits {one} {ranges[one]} and {two} {ranges[two]} share {what}")
    return ranges


def _left(ranges: Mapping[str, tuple[int, int]], samples: int, split: str, path: Path) -> tuple[int, int]:
    """Rows of a split that has no attribute."""
    missing = [name for name in SHARES if name not in ranges]
    before, after = _percents(split, missing)
    ends = sorted((first, last) for first, last in ranges.values() if first < last)
    edges = [0, *itertools.chain(*ends), samples]
    gaps = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
    if len(gaps) > 1:
        raise PartiganError(
            f"{path}: its attributes leave rows {' and '.join(f'{a} to {b}' for a, b in gaps)}, which is no single "
            f"{split} split; write the attribute split_{split}, too"
        )
    first, last = gaps[0] if gaps else (samples, samples)
    per_share = (last - first) / sum(SHARES[name] for name in missing)
    return first + round(before * per_share), first + round(after * per_share)


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
