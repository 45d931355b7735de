"""Global heaps of HDF5 files, where texts lie: checked here, since the HDF5 library never returns from a damaged one.

References:
    HDF5 File Format Specification 3.0, section III.E (Disk Format: Level 1E - Global Heap).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from partigan.errors import PartiganError

_START = b"GCOL\x01\x00\x00\x00"  # signature, version and reserved bytes
_HEADER = 16  # bytes, of a heap and of an object in it


def check_heaps(path: Path) -> None:
    """Raise a `PartiganError` where a global heap does not end where it says."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_START)
        while place >= 0:
            if place % 8 == 0 and not _whole(content, place):
                raise PartiganError(f"{path}: damaged, a heap of its texts has no end; make or fetch it again")
            place = content.find(_START, place + 1)


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
