"""Global heaps of HDF5 files, where texts lie: checked here, since the HDF5 library never returns from a damaged one.

References:
    HDF5 File Format Specification 3.0, section III.E (Disk Format: Level 1E - Global Heap).
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

from partigan.errors import PartiganError

_START = int.from_bytes(b"GCOL\x01\x00\x00\x00", "little")  # signature, version and reserved bytes
_WORDS = 2**17  # that are looked at together
_HEADER = 16  # bytes, of a heap and of an object in it


def check_heaps(path: Path) -> None:
    """Raise a `PartiganError` where a global heap does not end where it says; a file is looked through once."""
    status = path.stat()
    looked_through(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1024)
def looked_through(path: Path, state: tuple[int, int, int]) -> None:
    """The same for a file in a state: inode, size and time of the last change."""
    starts, before = [], 0
    with path.open("rb") as file:
        while len(words := np.fromfile(file, "<u8", _WORDS)):
            starts += [8 * (before + int(place)) for place in np.flatnonzero(words == _START)]
            before += len(words)
    if starts:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if not all(_whole(content, start) for start in starts):
                raise PartiganError(f"{path}: damaged, a heap of its texts has no end; make or fetch it again")


def _whole(content: mmap.mmap, start: int) -> bool:
    """Whether the objects of a heap fill it, none of them being larger than what is left."""
    if start + _HEADER > len(content):
        return False
    left = int(struct.unpack_from("<Q", content, start + 8)[0]) - _HEADER
    if not 0 <= left <= len(content) - start - _HEADER:
        return False
    place = start + _HEADER
    while left >= _HEADER:
        number, size = struct.unpack_from("<H6xQ", content, place)
        taken = size if number == 0 else _HEADER + (size + 7) // 8 * 8  # number 0 is what is free
        if not _HEADER <= taken <= left:
            return False
        place, left = place + taken, left - taken
    return True
