"""What all commands share that make a file of samples chunk by chunk, and the attributes of simulated files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import file_attributes
from partigan.data.splits import SHARES, split_rows
from partigan.jobs import STAMP, Parts
from partigan.outputs import writing
from partigan.progress import progress_bar
from partigan.workers import spread


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
    merge: Callable[[Path, list[Path], dict[str, Any]], None]
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
    with writing(out, chunks.inputs, overwrite=overwrite, resume=resume, suffixes=chunks.suffixes):
        parts = Parts(out, job, len(sizes), chunks.said, resume=resume, overwrite=overwrite)
        if not parts.finished:
            arguments = [chunks.arguments(number, size) for number, size in enumerate(sizes)]
            make_missing(parts, sizes, chunks.make, arguments, workers, chunks.title)
            paths = [parts.path(number) for number in range(len(sizes))]
            chunks.merge(parts.out, paths, {**attributes, STAMP: parts.stamp})
            parts.remove()
    return parts.out


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
