"""Files that others wrote: is there one, does it fit into memory, and one true line where it cannot be read."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from partigan.errors import PartiganError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: str | Path) -> int:
    """Bytes of a file.

    Raises:
        PartiganError: there is none, it cannot be looked at, or it is no regular file: opening a pipe would wait for
            ever, a device may have no end.
    """
    with readable(path, "a file"):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise PartiganError(f"{path} is {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}, not a file")
    return status.st_size


@contextmanager
def readable(path: str | Path, form: str, remedy: str = "make or fetch it again") -> Iterator[None]:
    """The boundary around a library that reads a file: whatever it raises becomes one line that says what is true.

    Args:
        path: the file.
        form: what it should be, for the message.
        remedy: what to do where the content is at fault.

    Raises:
        PartiganError: for any exception of the block.
    """
    try:
        yield
    except PartiganError:
        raise
    except Exception as error:  # a damaged file leads libraries anywhere
        raise PartiganError(f"{path}{_reason(error, form, remedy)}") from error


def _reason(error: Exception, form: str, remedy: str) -> str:
    """What is true of a file, as the end of a sentence that begins with its name."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, FileNotFoundError):
        return " does not exist"
    if isinstance(error, IsADirectoryError):
        return " is a directory, not a file"
    if number in (errno.EAGAIN, errno.EDEADLK) or "unable to lock" in text:
        return (
            ": another process writes to it and has locked it; wait until it is done, or set "
            "HDF5_USE_FILE_LOCKING=FALSE where the file system knows no locks"
        )
    if isinstance(error, PermissionError):
        return ": you have no permission to read it; ask its owner, or copy it"
    if isinstance(error, MemoryError):
        return ": reading it needs more memory than there is"
    if number in (errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV):
        return f": the disk or network that it is on fails ({text}); try again, or copy it from elsewhere"
    if number in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EMFILE) or "null byte" in text:
        return f" cannot be opened: {text}"
    if "filter returned failure" in text:
        return f": damaged, a block cannot be decompressed or does not have its checksum; {remedy}"
    if "truncated" in text or isinstance(error, EOFError):
        return f": truncated ({text}); {remedy}"
    return f" cannot be read as {form}, it is damaged or something else ({text}); {remedy}"


def free_memory() -> int:
    """Bytes of memory that this process may still take: free in the machine and within its limits."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):  # not Linux
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = min(free, *(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")))
    with suppress(OSError, ValueError, KeyError):  # a container with a limit; what was read from files can go
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        free = min(free, most - used + int(stat["inactive_file"]))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free = min(free, limit - _pages(0))
    return free


def resident_memory() -> int:
    """Bytes of memory that this process has; 0 where that is not known."""
    return _pages(1)


def release_memory() -> None:
    """Give memory that is free inside this process back to the system, where the C library can (that of Linux).

    Arrays of many sizes, made and forgotten in turns, leave holes that only grow in number.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _pages(column: int) -> int:
    """Bytes of this process by a column of its statistics: 0 = addresses, 1 = resident."""
    with suppress(OSError, ValueError, IndexError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[column])
    return 0


def assure_memory(size: int, what: str) -> None:
    """Raise a `PartiganError` where ``size`` bytes for ``what`` do not fit into memory, before any are taken."""
    if size > (free := free_memory()):
        raise PartiganError(
            f"{what} needs {size / 1e9:.3g} GB of memory, and {max(free, 0) / 1e9:.3g} GB are free; take fewer samples"
        )
