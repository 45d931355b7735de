"""One HDF5 file that is open to read: the boundary around h5py."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from partigan.data.heaps import check_heaps
from partigan.errors import PartiganError
from partigan.reading import assure_memory, readable, size_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32015: "zstd", 32026: "blosc2"}
_LINKS = 8  # soft links that lead from one to the next, at most


def is_file(path: Path) -> bool:
    """Whether a path is an HDF5 file, whatever state it is in."""
    if not path.is_file():
        return False
    with readable(path, "HDF5"), path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE or bool(h5py.is_hdf5(path))


@contextmanager
def open_file(path: Path, layout: str) -> Iterator[Opened]:
    """Open a file to read.

    Args:
        path: the file.
        layout: what it should hold, for the message.

    Raises:
        PartiganError: it is missing, not HDF5, or cannot be read (see `readable`).
    """
    size = size_of(path)
    if not is_file(path):
        raise PartiganError(f"{path} is not an HDF5 file; {layout}")
    with readable(path, "HDF5"):
        file = h5py.File(path, "r")
    try:
        yield Opened(file, path, layout, size)
    finally:
        with suppress(Exception):  # of a damaged file; nothing was written
            file.close()


class Opened:
    """An HDF5 file that is open to read; whatever h5py says of it is one line that is true.

    Nothing outside the file is read: links to other files and data in other files are refused by name. Virtual datasets
    are the exception, see `Stored`.

    Attributes:
        path: the file.
        layout: what it should hold, for messages.
        names: of datasets and groups at its root.
        attributes: of the file.
    """

    def __init__(self, file: h5py.File, path: Path, layout: str, size: int) -> None:
        self._file, self.path, self.layout, self.size = file, path, layout, size
        with readable(path, "HDF5"):
            self.names: list[str] = list(file)
        self._checked = False
        self.attributes = self.attributes_of(file, path)

    def attributes_of(self, found: Any, where: str | Path) -> dict[str, Any]:
        """The attributes of the file or of a dataset, checked before they are read; texts are `str`."""
        with readable(f"{where}: its attributes", "HDF5"):
            for name in found.attrs:
                stored = found.attrs.get_id(name)
                if stored.get_storage_size() > self.size:
                    raise PartiganError(f"{where}: the attribute {name} is larger than the file; make it again")
                if not self._checked and h5py.check_string_dtype(stored.dtype) and stored.dtype.kind == "O":
                    check_heaps(self.path)
                    self._checked = True
            return {name: _plain(value) for name, value in found.attrs.items()}

    def dataset(self, name: str) -> Stored:
        """A dataset at the root.

        Raises:
            PartiganError: there is none, or not all of its rows are in this file.
        """
        if name not in self.names:
            raise PartiganError(
                f"{self.path}: no dataset {name!r} (it has {_few(self.names) or 'none'}); {self.layout}"
            )
        with readable(self.path, "HDF5"):
            found = self._followed(self._file, name, name, _LINKS)
        if not isinstance(found, h5py.Dataset):
            raise PartiganError(f"{self.path}: {name} is a group, not a dataset; {self.layout}")
        return Stored(found, name, self)

    def _followed(self, group: Any, way: str, name: str, left: int) -> Any:
        """The object at the end of a way through groups and soft links, none of which leaves the file."""
        for part in filter(None, way.split("/")):
            link = group.get(part, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise PartiganError(
                    f"{self.path}: {name} is a link to another file, {link.filename}; copy its data into this one"
                )
            if isinstance(link, h5py.SoftLink):
                if left == 0:
                    raise PartiganError(f"{self.path}: {name} is a link that leads nowhere; make or fetch it again")
                start = self._file if link.path.startswith("/") else group
                group = self._followed(start, link.path, name, left - 1)
            else:
                group = group[part]
        return group


class Stored:
    """A dataset of an open file, of which every row is there.

    HDF5 makes up rows that were never written, and reads data that lie in other files. Both are refused here. A virtual
    dataset is read where `trusted` allows it and all of its sources are there.

    Attributes:
        name: of the dataset.
        shape: of the dataset.
        dtype: of its values, as stored.
        attributes: of the dataset.

    Raises:
        PartiganError: rows are missing or lie elsewhere, or a filter is not installed.
    """

    def __init__(self, found: h5py.Dataset, name: str, file: Opened) -> None:
        self._found, self.name, self.path = found, name, file.path
        self.where = f"{file.path}: {name}"
        with readable(self.where, "HDF5"):
            self.shape: tuple[int, ...] = found.shape or ()
            self.dtype: np.dtype[Any] = found.dtype
            external = found.external
            virtual = found.is_virtual
        self.attributes = file.attributes_of(found, self.where)
        if external:
            raise PartiganError(
                f"{self.where} lies in another file, {external[0][0]}; copy its data into this one, as h5repack does"
            )
        if virtual:
            self._refuse_virtual()
            return
        with readable(self.where, "HDF5"):
            self._refuse_filters()
            blocks = self._blocks()
            there = found.id.get_num_chunks() if found.chunks else found.id.get_storage_size()
        if there < (blocks if found.chunks else found.nbytes):
            raise PartiganError(
                f"{self.where} is {self.text}, but rows of it are missing in the file; make or fetch it again"
            )

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def text(self) -> str:
        """Type and shape, for messages."""
        return f"{self.dtype}{list(self.shape)}"

    @property
    def features(self) -> dict[str, str]:
        """Names of the last axis, with their units; numbers for names and empty units where it says none."""
        names = strings(self.attributes.get("features", np.arange(self.shape[-1] if self.shape else 0)))
        units = strings(self.attributes.get("units", np.full(len(names), "")))
        return dict(zip(names, units, strict=False))

    def rows(self, first: int, last: int, dtype: Any = None) -> NDArray[Any]:
        """Rows of the dataset.

        Args:
            first: first row.
            last: one past the last row.
            dtype: of the result; None = as stored.

        Raises:
            PartiganError: they do not fit into memory, or cannot be read (with the first rows that cannot).
        """
        row = math.prod(self.shape[1:])
        width = self.dtype.itemsize + (0 if dtype is None else np.dtype(dtype).itemsize)
        block = math.prod(self._found.chunks or (0,)) * self.dtype.itemsize
        assure_memory(max((last - first) * row * width, block), f"reading rows {first} to {last} of {self.where}")
        try:
            with np.errstate(over="ignore"):  # what single precision lacks becomes infinite, which the caller refuses
                return np.asarray(self._found[first:last], dtype=dtype)
        except Exception as error:
            with readable(f"{self.where}{self._bad(first, last)}", "HDF5"):
                raise error
            raise

    def _bad(self, first: int, last: int) -> str:
        """The first rows that cannot be read, in words."""
        step = self._found.chunks[0] if self._found.chunks else last - first
        for start in range(first - first % step, last, step):
            try:
                self._found[start : start + step]
            except Exception:
                return f" rows {start} to {min(start + step, len(self)) - 1}"
        return ""

    def _blocks(self) -> int:
        """Number of the blocks that the dataset is stored in, if it is."""
        return math.prod(-(-size // block) for size, block in zip(self.shape, self._found.chunks or (), strict=False))

    def _refuse_filters(self) -> None:
        """Raise where the plugin of a compression filter is missing."""
        stored = self._found.id.get_create_plist()
        for number in range(stored.get_nfilters()):
            code, _, _, said = stored.get_filter(number)
            if h5py.h5z.filter_avail(code):
                continue
            with suppress(ImportError):  # importing it registers its filters
                import_module("hdf5plugin")
            if not h5py.h5z.filter_avail(code):
                name = _FILTERS.get(code) or said.decode() or f"number {code}"
                raise PartiganError(
                    f"{self.where} is compressed with the filter {name}, which is not installed; "
                    "run: pip install hdf5plugin"
                )

    def _refuse_virtual(self) -> None:
        """Raise for a virtual dataset that is not trusted, or whose sources are not there."""
        with readable(self.where, "HDF5"):
            sources = self._found.virtual_sources()
            rows = sum(each.vspace.get_select_npoints() for each in sources)
        names = list(dict.fromkeys(each.file_name for each in sources))
        if not _TRUSTED.get():
            raise PartiganError(
                f"{self.where} is virtual, its data lie in {_few(names) or 'no file'}; copy them into one file, or "
                "give --trust to read them there"
            )
        for each in sources:
            places = (self.path.parent / each.file_name, Path(each.file_name))
            path = self.path if each.file_name == "." else next((p for p in places if p.exists()), places[0])
            with open_file(path, f"it is a source of {self.where}") as file:
                shape = file.dataset(each.dset_name.strip("/")).shape
                if math.prod(shape) < each.vspace.get_select_npoints():
                    raise PartiganError(f"{self.where}: {each.dset_name} in {path} has fewer rows than it should have")
        if rows < math.prod(self.shape):
            raise PartiganError(f"{self.where} is virtual, and no file is given for some of its rows; make it again")


_TRUSTED: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trusted(trust: bool) -> Iterator[None]:
    """Read virtual datasets inside the block, where ``trust`` is given."""
    token = _TRUSTED.set(trust)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def _plain(value: Any) -> Any:
    """An attribute with texts as `str`, however they were stored."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return np.array([_plain(each) for each in value.ravel()], dtype=object).reshape(value.shape)
    return value


def strings(values: Any) -> list[str]:
    """An attribute of several texts, or of one."""
    return [str(value) for value in np.atleast_1d(np.asarray(values, dtype=object)).ravel()]


def _few(names: Sequence[str], shown: int = 5) -> str:
    """The first few of many names."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
