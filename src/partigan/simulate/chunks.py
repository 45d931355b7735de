"""What all commands share that make a file of samples chunk by chunk, and the attributes of simulated files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partigan.data.hdf5 import SUFFIXES
from partigan.data.parts import list_parts
from partigan.data.samples import file_attributes
from partigan.data.splits import SHARES, split_rows
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.jobs import STAMP, Parts
from partigan.outputs import writing
from partigan.progress import progress_bar
from partigan.workers import spread

Merge = Callable[[Path, list[Path], dict[str, Any]], None]


@dataclass(frozen=True)
class Chunks:
    """How samples are made in chunks and put together.

    Attributes:
        samples: number of samples of the file.
        chunk: samples of a part file.
        title: of the progress bar.
        make: makes one chunk, see `make_missing`.
        arguments: gives those of ``make`` after the path, from the number and the size of a chunk.
        merge: writes the file, given its path, those of all parts and its attributes.
        said: gives the attributes of a file that is finished.
        suffixes: of files that ``merge`` can write.
        inputs: files that are read.
    """

    samples: int
    chunk: int
    title: str
    make: Callable[..., int]
    arguments: Callable[[int, int], tuple[Any, ...]]
    merge: Merge
    said: Callable[[Path], Mapping[str, Any]] = file_attributes
    suffixes: Mapping[str, str] = field(default_factory=lambda: SUFFIXES)
    inputs: Sequence[Any] = ()


def simulated(
    out: Path, job: Mapping[str, Any], chunks: Chunks, *, workers: int, resume: bool, overwrite: bool
) -> Path:
    """`in_chunks`, for a file that says which job made it and has splits of 70/15/15."""
    said = provenance(job, chunks.samples)
    return in_chunks(out, job, chunks, said, workers=workers, resume=resume, overwrite=overwrite)


def in_chunks(
    out: Path,
    job: Mapping[str, Any],
    chunks: Chunks,
    attributes: Mapping[str, Any],
    *,
    workers: int = 1,
    resume: bool,
    overwrite: bool,
) -> Path:
    """Make a file of samples chunk by chunk: the same for any number of workers, and after any interruption.

    Args:
        out: the file.
        job: the arguments that decide its content.
        chunks: how it is made.
        attributes: of the file.
        workers: number of processes.
        resume: resume an interrupted job.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: the output exists or cannot be written, or a chunk cannot be made.
    """
    sizes = chunk_sizes(chunks.samples, chunks.chunk)
    as_parts = _AS_PARTS.get()
    if as_parts and out.suffix:
        raise PartiganError(f"--parts makes a folder: give --out a name without {out.suffix}")
    suffixes = {"": "folder of parts"} if as_parts else chunks.suffixes
    with writing(out, chunks.inputs, overwrite=overwrite, resume=resume, suffixes=suffixes):
        parts = Parts(out, job, len(sizes), chunks.said, resume=resume, overwrite=overwrite)
        if not parts.finished:
            arguments = [chunks.arguments(number, size) for number, size in enumerate(sizes)]
            make_missing(parts, sizes, chunks.make, arguments, workers, chunks.title)
            paths = [parts.path(number) for number in range(len(sizes))]
            said = {**attributes, STAMP: parts.stamp}
            if as_parts:
                _settle(parts, paths, said, chunks.merge)
            else:
                chunks.merge(parts.out, paths, said)
                parts.remove()
    return parts.out


@contextmanager
def in_parts(wanted: bool = True) -> Iterator[None]:
    """Leave what jobs inside make as folders of parts, one for each chunk, which every reader takes as one file.

    Nothing is copied at the end, which takes time for files of many gigabytes.

    Args:
        wanted: False = no; a file is made.

    Example:
        >>> with in_parts():  # doctest: +SKIP
        ...     simulate_jets(10_000_000, "jets")
    """
    token = _AS_PARTS.set(wanted)
    try:
        yield
    finally:
        _AS_PARTS.reset(token)


_AS_PARTS: ContextVar[bool] = ContextVar("as_parts", default=False)


def _settle(parts: Parts, paths: list[Path], said: dict[str, Any], merge: Merge) -> None:
    """Make a folder of parts of finished ones; the first gets the attributes of the whole."""
    own = {name: value for name, value in said.items() if not name.startswith("split_")}
    whole = paths[0].with_suffix(".whole.h5")
    merge(whole, paths[:1], own)
    digests = [sha256(whole), *(parts.digest(number) for number in range(1, len(paths)))]
    os.replace(whole, paths[0])
    list_parts(parts.folder, paths, digests, {name: said[name] for name in said.keys() - own.keys()})
    parts.become()


def chunk_sizes(samples: int, chunk: int) -> list[int]:
    """The number of samples of each chunk.

    Example:
        >>> chunk_sizes(5, 2)
        [2, 2, 1]
    """
    return [min(chunk, samples - first) for first in range(0, samples, chunk)]


def make_missing(
    parts: Parts,
    sizes: Sequence[int],
    make: Callable[..., int],
    arguments: Sequence[tuple[Any, ...]],
    workers: int,
    title: str,
) -> None:
    """Make the part files that are not there yet, in one process or several.

    Args:
        parts: the part files.
        sizes: samples of each chunk.
        make: called with the path of a part and the chunk's arguments, makes one chunk and returns its number of
            samples; a function of a module.
        arguments: of each chunk.
        workers: number of processes.
        title: of the progress bar.

    Raises:
        PartiganError: a worker process died, or ``make`` failed.
    """
    missing = parts.missing()
    with progress_bar(title, sum(sizes)) as advance:
        advance(sum(sizes) - sum(sizes[chunk] for chunk in missing))
        given = [(chunk, make, *arguments[chunk]) for chunk in missing]
        for done in spread(parts.make, given, workers, parts.folder):
            advance(done)


def provenance(job: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Attributes of a simulated file: the arguments of the job, structures as JSON, and the rows of the splits."""
    attributes: dict[str, Any] = {
        key: value if isinstance(value, (str, int, float)) else json.dumps(value) for key, value in job.items()
    }
    return attributes | {f"split_{split}": split_rows(samples, split) for split in SHARES}
