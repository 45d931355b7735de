"""Around every command that writes: outputs that would destroy something are refused, and two jobs never share one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import enclosing, lock_name, manifest_of, refuse_existing, writable
from partigan.folders import refuse_strangers, sweep

_held: ContextVar[tuple[Path, ...]] = ContextVar("held", default=())


@contextmanager
def writing(
    out: str | Path,
    inputs: Iterable[Any] = (),
    *,
    overwrite: bool = False,
    resume: bool = False,
    suffixes: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Hold an output while a command writes it.

    Args:
        out: the file or folder to make.
        inputs: what is read; arrays and None are left out.
        overwrite: replace an existing output, of which only what partigan made is removed.
        resume: the command goes on with an existing output, and decides itself whether it can.
        suffixes: those that a file may have, with what is written under them; None for a folder.

    Raises:
        PartiganError: ``out`` exists, holds files that partigan did not make, is an input or a folder around one or
            inside one, lies in a folder that another command made, has an unknown suffix, or is being written by
            another process.
    """
    out, held = Path(out), _held.get()
    place = out.resolve()
    if place in held:
        yield
        return
    if suffixes is not None and out.suffix not in suffixes:
        known = ", ".join(f"{suffix or 'no suffix'} ({what})" for suffix, what in suffixes.items())
        raise PartiganError(f"--out {out}: the suffix decides the format, and there are {known}")
    if Path.cwd().is_relative_to(place):
        raise PartiganError(f"--out {out} is the working directory, or a folder around it; name what is to be made")
    _refuse_inputs(out, place, inputs)
    if (folder := enclosing(place)) is not None and not any(folder.is_relative_to(mine) for mine in held):
        maker = manifest_of(folder)["made_by"]
        raise PartiganError(f"{out} lies inside {folder}, which {maker} made; choose another --out")
    with _locked(out, place):
        sweep(place)
        if not resume:
            refuse_existing(out, overwrite)
        if suffixes is not None and out.suffix and out.is_dir():
            raise PartiganError(f"{out} is a directory; give --out the name of a file")
        if (suffixes is None or not out.suffix) and overwrite:
            refuse_strangers(out)
        before = _held.set((*held, place))
        try:
            yield
        finally:
            _held.reset(before)


def _refuse_inputs(out: Path, place: Path, inputs: Iterable[Any]) -> None:
    """Raise where writing the output would destroy or change an input."""
    for each in inputs:
        if not isinstance(each, str | Path) or not Path(each).exists():
            continue
        read = Path(each).resolve()
        if read == place or (place.exists() and place.samefile(read)):
            raise PartiganError(f"--out {out} is also an input; choose another --out")
        if read.is_relative_to(place):
            raise PartiganError(f"the input {each} lies inside --out {out}; choose another --out")
        if place.is_relative_to(read):
            raise PartiganError(f"--out {out} lies inside the input {each}; choose another --out")


@contextmanager
def _locked(out: Path, place: Path) -> Iterator[None]:
    """Hold the lock file beside an output; it ends with the process, however that ends."""
    lock = lock_name(place)
    with writable(out):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(lock, out)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _taken(lock: Path, out: Path) -> int:
    """The locked file; one that its last holder has just removed is no lock any more."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise PartiganError(
                f"another process is writing {out}; wait until it is done, or choose another --out"
            ) from error
        except OSError:  # a file system without locks
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)
