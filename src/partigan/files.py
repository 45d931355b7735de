"""Files that are whole or not there: atomic writes, refusals to overwrite, and long jobs in parts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from partigan.errors import PartiganError
from partigan.reading import readable, size_of


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` and rename it to ``path`` when the block ends well.

    Whatever goes wrong inside, ``path`` keeps what it had and the temporary file is removed.

    Raises:
        PartiganError: the disk is full, or the place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise PartiganError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path, marker: str) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its name, and the place of an older one, when all went well.

    Args:
        path: the folder to make.
        marker: a file that every such folder has; one without it is somebody else's and is never removed.
    """
    remove_folder(path, marker, really=False)
    with atomic(path) as temporary:
        temporary.mkdir()
        try:
            yield temporary
            remove_folder(path, marker)
        except BaseException:
            shutil.rmtree(temporary)
            raise


def fresh_name(path: Path) -> Path:
    """A path at which nothing stands yet: ``path``, or ``path-2``, ``path-3`` and so on."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def remove_folder(path: Path, marker: str, really: bool = True) -> None:
    """Remove a folder that partigan made, or an empty one; raise for anything else that stands there."""
    if not path.exists():
        return
    if path.is_file() or (
        any(not child.name.startswith(".") for child in path.iterdir()) and not (path / marker).exists()
    ):
        raise PartiganError(f"{path} is not a folder that partigan made (it has no {marker}); choose another --out")
    if really:
        shutil.rmtree(path)


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


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or broken file is a `PartiganError` that names it."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise PartiganError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise PartiganError(f"{path} cannot be read as JSON: {error}") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of options; a missing or broken one, or one of something else, is a `PartiganError`."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PartiganError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise PartiganError(f"{path} is not a mapping of options; see partigan/presets/mdma.yaml for one")
    return content


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise where ``path`` exists, unless the user asked to overwrite it."""
    if Path(path).exists() and not overwrite:
        raise PartiganError(f"{path} exists; give --overwrite to replace it, or another --out")


class Parts:
    """A long job in chunks: finished part files in a folder beside the output, merged at the end.

    An interruption loses the chunks that were being made and nothing else. The folder remembers what the
    job was, so that a resumed job with other arguments is refused and never mixed.

    Args:
        out: the file that the job makes; the parts live in ``<out>.parts/``.
        job: the arguments that decide the content of the file.
        chunks: how many chunks there are.
        resume: go on with the parts that an earlier run left.
        overwrite: replace ``out`` and forget parts of earlier runs.

    Attributes:
        merged: an earlier run had made ``out`` of all parts; nothing is left to do.

    Raises:
        PartiganError: ``out`` exists, or parts of another or an unfinished job do.
    """

    def __init__(self, out: str | Path, job: dict[str, Any], chunks: int, *, resume: bool, overwrite: bool) -> None:
        self.out, self.chunks = Path(out), chunks
        self.folder = self.out.with_name(self.out.name + ".parts")
        description = self.folder / "job.json"
        job = json.loads(json.dumps(job))
        if self.out.is_dir():
            raise PartiganError(f"{self.out} is a directory; give --out the name of a file")
        # killed after the merge and before the end
        self.merged = resume and self.out.exists() and description.exists() and read_json(description) == job
        if self.merged:
            self.finish()
            return
        refuse_existing(self.out, overwrite)
        if self.folder.exists() and not resume:
            if not overwrite:
                raise PartiganError(
                    f"{self.folder} holds an unfinished job; give --resume to go on or --overwrite to start anew"
                )
            shutil.rmtree(self.folder)
        if description.exists():
            before = read_json(description)
            for key in sorted(before.keys() | job.keys()):
                if before.get(key) != job.get(key):
                    raise PartiganError(
                        f"{self.folder} was made with {key} = {before.get(key)!r}, not {job.get(key)!r}; "
                        "resume with the same arguments or give --overwrite without --resume"
                    )
        else:
            write_json(description, job)

    def path(self, chunk: int) -> Path:
        """Where the part file of one chunk is, or will be."""
        return self.folder / f"{chunk:06d}.h5"

    def missing(self) -> list[int]:
        """The chunks that are still to be made."""
        return [chunk for chunk in range(self.chunks) if not self.path(chunk).exists()]

    def finish(self) -> None:
        """Remove the part files, after the merged file stands under its name."""
        shutil.rmtree(self.folder)
