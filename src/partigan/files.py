"""Files that are whole or not there: atomic writes, JSON and YAML, refusals to overwrite."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from partigan.documents import read_json
from partigan.errors import PartiganError
from partigan.reading import readable, size_of

MANIFEST = ".partigan.json"
"""In every folder that partigan makes: what made it, of which job, and the names of its files; see `folders`."""

_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}|lock)(\.old)?\.partigan", re.DOTALL)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary file beside ``path`` and rename it to ``path`` when the block ends well.

    Whatever goes wrong inside, ``path`` keeps what it had and the temporary file is removed. The file gets the mode
    that the umask says, and enters the manifest of the folder of partigan that it lies in.

    Raises:
        PartiganError: the disk is full, or the place cannot be written.
    """
    path = Path(path)
    temporary = temporary_name(path)
    with writable(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            if temporary.stat().st_mode != mode:  # safetensors writes files that nobody else can read
                temporary.chmod(mode)
            enlist(path)
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Say why ``path`` cannot be written.

    Raises:
        PartiganError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise PartiganError(f"cannot write {path}: {_reason(error)}") from error


def temporary_name(path: Path, old: bool = False) -> Path:
    """A new name beside ``path`` that no other job has; ``old`` for what ``path`` was before."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{'.old' * old}.partigan")


def lock_name(path: Path) -> Path:
    """Name of the lock file of an output."""
    return path.with_name(f".{path.name}.lock.partigan")


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_name` or `lock_name`."""
    return _TEMPORARY.fullmatch(name) is not None


def enclosing(path: Path) -> Path | None:
    """The nearest folder around ``path`` that partigan made; None where there is none."""
    return next((folder for folder in path.parents if (folder / MANIFEST).is_file()), None)


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a folder: ``made_by``, ``job`` and ``files``.

    Raises:
        PartiganError: it has none, or a damaged one.
    """
    manifest = read_json(folder / MANIFEST)
    shapes = {"made_by": str, "job": dict, "files": list}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(name), t) for name, t in shapes.items()):
        raise PartiganError(f"{folder / MANIFEST} is damaged; remove {folder} yourself, or choose another --out")
    return manifest


def enlist(path: Path) -> None:
    """Add a file, before it takes its name, to the manifest of the folder of partigan that it lies in."""
    place = path.parent.resolve() / path.name
    if (folder := enclosing(place.parent if place.name == MANIFEST else place)) is None:
        return
    inside = place.relative_to(folder)
    manifest = manifest_of(folder)
    if inside.as_posix() not in manifest["files"] and not any(map(is_temporary, inside.parts)):
        write_json(folder / MANIFEST, {**manifest, "files": [*manifest["files"], inside.as_posix()]})


def fresh_name(path: Path) -> Path:
    """A path at which nothing stands yet: ``path``, or ``path-2``, ``path-3`` and so on."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def assure_room(path: Path, size: int) -> None:
    """Raise `OSError` where ``size`` more bytes do not fit behind the file's end.

    HDF5 finds a full disk only when it flushes, and then says so from where it cannot be caught.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), end, size)
            finally:
                file.truncate(end)
        elif shutil.disk_usage(path).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space or choose another --out (nothing was half-written)"
    if error.errno == errno.EFBIG:
        return "the file is larger than this place allows (nothing was half-written)"
    return error.strerror or str(error)


def sha256(path: str | Path) -> str:
    """Hexadecimal digest of a file."""
    size_of(path)
    with readable(path, "a file"), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise where ``path`` exists, unless the user asked to overwrite it."""
    if Path(path).exists() and not overwrite:
        raise PartiganError(f"{path} exists; give --overwrite to replace it, or another --out")
