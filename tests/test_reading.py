from __future__ import annotations

import errno
import os
import platform
import socket
from pathlib import Path

import pytest

from partigan.errors import PartiganError, printable
from partigan.reading import assure_memory, free_memory, readable, release_memory, resident_memory, size_of


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    assert size_of(tmp_path / "file") == 3
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    for name, message in (
        ("missing", "missing does not exist"),
        ("pipe", "pipe is a pipe, not a file"),
        ("socket", "socket is a socket, not a file"),
        (".", "is a directory, not a file"),
        ("/dev/zero", "/dev/zero is a device, not a file"),
        ("file/under", "file/under cannot be opened: .*Not a directory"),
        ("x" * 300, "cannot be opened: .*File name too long"),
        ("a\0b", r"a\\x00b cannot be opened: embedded null byte"),
    ):
        with pytest.raises(PartiganError, match=message):
            size_of(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file"), "^a.h5 does not exist$"),
        (PermissionError(13, "Permission denied"), "you have no permission to read it"),
        (IsADirectoryError(21, "Is a directory"), "^a.h5 is a directory, not a file$"),
        (BlockingIOError(errno.EAGAIN, "Unable to lock file"), "another process writes to it"),
        (OSError("unable to lock file, errno = 11"), "another process writes to it"),
        (OSError(errno.EIO, "Input/output error"), "the disk or network that it is on fails"),
        (OSError("truncated file: eof = 5"), r"truncated \(truncated file: eof = 5\); make or fetch it again"),
        (EOFError("end"), r"truncated \(end\)"),
        (MemoryError(), "more memory than there is"),
        (KeyError("x"), r"a.h5 cannot be read as HDF5, it is damaged or something else \('x'\); make or fetch"),
        (RecursionError("too deep"), "too deep"),
        (ValueError("two\nlines"), "two lines"),
        (PartiganError("as it is"), "^as it is$"),
    ],
)
def test_whatever_a_library_raises_becomes_one_true_line(error: Exception, message: str) -> None:
    with pytest.raises(PartiganError, match=message) as caught, readable("a.h5", "HDF5"):
        raise error
    assert "\n" not in str(caught.value)


def test_bounds_are_known_before_anything_is_taken() -> None:
    assure_memory(10**6, "a sample")
    assert 10**7 < free_memory() < 10**15
    with pytest.raises(PartiganError, match=r"a sample needs 1e\+03 GB of memory, and .* GB are free"):
        assure_memory(10**12, "a sample")


def test_messages_are_one_line_that_a_terminal_only_shows() -> None:
    assert str(PartiganError("a\nb\x1b[31m\u202e\udc80 é [/b] $x$")) == r"a\nb\x1b[31m\u202e\udc80 é [/b] $x$"
    assert printable("é [/b] ± ✓") == "é [/b] ± ✓"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs malloc_trim")
def test_holes_are_given_back() -> None:
    arrays: list[bytearray | None] = [bytearray(100_000) for _ in range(1000)]
    for number in range(0, 1000, 50):
        arrays[number + 1 : number + 50] = [None] * 49
    before = resident_memory()
    release_memory()
    assert before - resident_memory() > 5e7
