"""What all simulations share: chunks of samples in part files, and the attributes of the merged file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from partigan.data.splits import SHARES, split_rows
from partigan.jobs import Parts
from partigan.progress import progress_bar
from partigan.workers import spread


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
        for done in spread(parts.make, [(chunk, make, *arguments[chunk]) for chunk in missing], workers):
            advance(done)


def provenance(job: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Attributes of a simulated file: the arguments of the job, structures as JSON, and the rows of the splits."""
    attributes: dict[str, Any] = {
        key: value if isinstance(value, (str, int, float)) else json.dumps(value) for key, value in job.items()
    }
    return attributes | {f"split_{split}": split_rows(samples, split) for split in SHARES}
