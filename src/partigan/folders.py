"""Folders that partigan makes. Only files that their manifest names are ever removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from partigan.errors import PartiganError
from partigan.files import MANIFEST, enlist, is_temporary, manifest_of, temporary_name, writable, write_json

_NAMED = 3  # files in a message


@contextmanager
def atomic_folder(path: Path, made_by: str, job: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its name, and the place of an older one, when all went well.

    Args:
        path: the folder to make.
        made_by: what makes it, for its manifest.
        job: what decides its content, for its manifest.

    Raises:
        PartiganError: the older one holds files that partigan did not make, or the place cannot be written.
    """
    path = path.resolve()
    refuse_strangers(path)
    temporary = temporary_name(path)
    with writable(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            files = sorted(file.relative_to(temporary).as_posix() for file in temporary.rglob("*") if file.is_file())
            _write(temporary, made_by, job, files)
            before = _aside(path, old=True)
            enlist(path / MANIFEST)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


def open_folder(path: Path, made_by: str, job: Mapping[str, Any], files: Sequence[str] = ()) -> None:
    """Make a folder, or go on with the one that the same job made.

    Args:
        path: the folder.
        made_by: what makes it.
        job: what decides its content, as JSON values.
        files: names of files that several processes write; others enter the manifest when they are written.

    Raises:
        PartiganError: the folder is of another job, or holds anything and is not partigan's.
    """
    if not (path / MANIFEST).exists():
        refuse_strangers(path)
        _write(path, made_by, job, files)
        return
    manifest = manifest_of(path)
    if manifest["made_by"] != made_by:
        raise PartiganError(f"{path} was made by {manifest['made_by']}, not by {made_by}; choose another --out")
    before = manifest["job"]
    for key in sorted(before.keys() | job.keys()):
        if before.get(key) != job.get(key):
            raise PartiganError(
                f"{path} was made with {key} = {before.get(key)!r}, not {job.get(key)!r}; go on with the same "
                "arguments, or start anew with --overwrite and without --resume, or with another --out"
            )


def _write(path: Path, made_by: str, job: Mapping[str, Any] | None, files: Sequence[str]) -> None:
    write_json(path / MANIFEST, {"made_by": made_by, "job": dict(job or {}), "files": list(files)})


def settle(folder: Path, path: Path) -> None:
    """Give a folder that a job has made its final name, and the place of an older one.

    Args:
        folder: what is there.
        path: its new name.

    Raises:
        PartiganError: the older one holds files that partigan did not make, or the place cannot be written.
    """
    path = path.resolve()
    refuse_strangers(path)
    with writable(path):
        manifest = manifest_of(folder)
        left = sorted(name for name in manifest["files"] if (folder / name).exists())
        _write(folder, manifest["made_by"], manifest["job"], left)
        before = _aside(path, old=True)
        enlist(path / MANIFEST)
        os.replace(folder, path)
        shutil.rmtree(before, ignore_errors=True)


def refuse_strangers(path: Path) -> None:
    """Raise where something stands at ``path`` that is not a folder of nothing but partigan's files."""
    if path.exists() and not path.is_dir():
        raise PartiganError(f"{path} is a file, not a folder; choose another --out")
    if found := list(islice(_strangers(path), _NAMED + 1)):
        names = ", ".join(found[:_NAMED]) + " and more" * (len(found) > _NAMED)
        raise PartiganError(
            f"{path} holds what partigan did not make: {names}; move it away, or choose another --out (nothing was "
            "removed)"
        )


def _strangers(folder: Path) -> Iterator[str]:
    """Files below a folder that no manifest names; manifests below it count where one above names them."""
    listed = {folder / MANIFEST}
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if here / MANIFEST in listed and MANIFEST in files:
            listed |= {here / name for name in manifest_of(here)["files"]}
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*files, *links]):
            if here / name not in listed and not is_temporary(name):
                yield str((here / name).relative_to(folder))


def remove_folder(path: Path) -> None:
    """Remove a folder that partigan made, or an empty one; raise for one that holds anything else."""
    path = path.resolve()
    refuse_strangers(path)
    with writable(path):
        shutil.rmtree(_aside(path), ignore_errors=True)


def _aside(path: Path, old: bool = False) -> Path:
    """Rename a folder, where there is one, to a name that nobody else uses; back again if it holds strangers by now."""
    aside = temporary_name(path, old)
    if path.exists():
        os.replace(path, aside)
        if any(_strangers(aside)):
            os.replace(aside, path)
            refuse_strangers(path)
    return aside


def sweep(path: Path) -> None:
    """Remove what killed jobs left beside and in ``path``; a folder that was about to be replaced gets its name back.

    Only for the process that holds the lock of ``path``.
    """
    if not path.parent.is_dir():
        return
    left = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}(\.old)?\.partigan")
    for found in sorted(path.parent.iterdir()):
        match = left.fullmatch(found.name)
        if match is None:
            continue
        if match[1] and not path.exists():
            os.replace(found, path)
        elif found.is_dir():
            shutil.rmtree(found, ignore_errors=True)
        else:
            found.unlink(missing_ok=True)
    if (path / MANIFEST).is_file():
        for found in path.rglob(".*.partigan"):
            if is_temporary(found.name) and not found.name.endswith(".lock.partigan") and found.is_file():
                found.unlink(missing_ok=True)
