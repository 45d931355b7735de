"""A folder of part files that is read as one file: rows of a dataset follow each other, part after part.

``parts.json`` names the parts in order, with the rows of every dataset in them and their sha256, and the splits of all
rows. The first part has the attributes of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.stored import Opened, Stored, open_file
from partigan.documents import Rule, check, read_json
from partigan.errors import PartiganError
from partigan.files import sha256, write_json
from partigan.reading import assure_memory

LIST = "parts.json"
_COUNT = Rule(int, lambda number: number >= 0, "a whole number, not negative")
_NAME = Rule(str, lambda text: Path(text).name == text and text.endswith(".h5"), "the name of a part in this folder")
_SCHEMA = {
    "splits": {str: [_COUNT]},
    "parts": [{"file": _NAME, "rows": {str: _COUNT}, "sha256": str}],
}


def is_parts(path: Path) -> bool:
    """Whether a path is a folder of parts."""
    return (path / LIST).is_file()


def list_parts(folder: Path, files: Sequence[Path], digests: Sequence[str], splits: dict[str, Any]) -> None:
    """Write the list of the parts of a folder.

    Args:
        folder: where they are.
        files: the parts in order.
        digests: their sha256.
        splits: the attributes ``split_*`` of all rows together.
    """
    parts = []
    for path, digest in zip(files, digests, strict=True):
        with open_file(path, "a part is needed") as file:
            rows = {name: len(file.dataset(name)) for name in file.names}
        parts.append({"file": path.name, "rows": rows, "sha256": digest})
    write_json(folder / LIST, {"splits": {name: list(rows) for name, rows in splits.items()}, "parts": parts})


def digest(folder: Path) -> str:
    """Sha256 of a folder of parts: that of its list, which has those of all parts.

    Raises:
        PartiganError: a part is not what the list says.
    """
    for part in _listed(folder)["parts"]:
        if sha256(folder / part["file"]) != part["sha256"]:
            raise _changed(folder / part["file"])
    return hashlib.sha256((folder / LIST).read_bytes()).hexdigest()


def _changed(path: Path) -> PartiganError:
    return PartiganError(f"{path} is not what {LIST} says: it was changed or damaged; restore it, or make it again")


def _listed(folder: Path) -> dict[str, Any]:
    """The list of a folder, read once."""
    status = (folder / LIST).stat()
    return _read(folder, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(folder: Path, *_: int) -> dict[str, Any]:
    content = read_json(folder / LIST)
    check(content, _SCHEMA, str(folder / LIST))
    if not content["parts"]:
        raise PartiganError(f"{folder / LIST} names no parts; make the folder again")
    return dict(content)


@contextmanager
def open_parts(folder: Path, layout: str) -> Iterator[Opened]:
    """A folder of parts as one file; see `partigan.data.stored.open_file`."""
    listed = _listed(folder)
    with open_file(folder / listed["parts"][0]["file"], layout) as first:
        yield _Folder(first, folder, listed)


class _Folder(Opened):
    """A folder of parts, of which the first is open."""

    def __init__(self, first: Opened, folder: Path, listed: dict[str, Any]) -> None:
        self._first, self._parts = first, listed["parts"]
        self.path, self.layout, self.names = folder, first.layout, first.names
        splits = {name: np.array(rows) for name, rows in listed["splits"].items()}
        self.attributes = {**first.attributes, **splits}

    def dataset(self, name: str) -> Stored:
        """The rows of a dataset of all parts."""
        return _Rows(self._first.dataset(name), self.path, self._parts)


class _Rows(Stored):
    """A dataset of all parts, which are opened when their rows are read."""

    def __init__(self, first: Stored, folder: Path, parts: list[dict[str, Any]]) -> None:
        self._first, self._folder, self._parts = first, folder, parts
        self.name, self.path, self.where = first.name, folder, f"{folder}: {first.name}"
        self.dtype, self.attributes = first.dtype, first.attributes
        self._ends = [0, *accumulate(part["rows"].get(first.name, 0) for part in parts)]
        self.shape = (self._ends[-1], *first.shape[1:])

    def rows(self, first: int, last: int, dtype: Any = None) -> NDArray[Any]:
        """Rows of the dataset; see `Stored.rows`."""
        each = int(np.prod(self.shape[1:])) * (self.dtype.itemsize if dtype is None else np.dtype(dtype).itemsize)
        assure_memory((last - first) * each, f"reading rows {first} to {last} of {self.where}")
        found = np.empty((last - first, *self.shape[1:]), dtype or self.dtype)
        for part, (begin, end) in zip(self._parts, pairwise(self._ends), strict=True):
            low, high = max(first, begin), min(last, end)
            if low < high:
                with open_file(self._folder / part["file"], "a part is needed") as file:
                    stored = file.dataset(self.name)
                    if stored.shape != (end - begin, *self.shape[1:]):
                        raise _changed(self._folder / part["file"])
                    found[low - first : high - first] = stored.rows(low - begin, high - begin, dtype)
        return found
