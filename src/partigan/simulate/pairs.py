"""Pairs of images before and after a change, for translations: what their simulations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import write_samples
from partigan.errors import PartiganError
from partigan.outputs import writing
from partigan.progress import progress_bar
from partigan.randomness import check_seed
from partigan.simulate.chunks import chunk_sizes, provenance

Images = NDArray[np.float32]
View = Literal["pairs", "before", "after"]


def write_pairs(
    out: Path,
    job: Mapping[str, Any],
    make: Callable[[np.random.Generator], tuple[Images, Images]],
    at_once: int,
    overwrite: bool,
) -> Path:
    """Write pairs of images, or one side of them.

    Args:
        out: HDF5 file to make: ``images`` after the change and ``source`` before it.
        job: what decides the content, and becomes attributes: number ``n``, ``seed``, ``view`` (``pairs``, or
            ``before`` or ``after`` for one side as ``images``), and others.
        make: draws ``at_once`` pairs, ``(pairs, channel, height, width)`` before and after.
        at_once: pairs that are drawn from one random generator.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a number, view or seed that cannot be, or the output exists or cannot be written.
    """
    n, seed, view = job["n"], job["seed"], job["view"]
    refuse({f"n = {n}; at least one pair is needed": n >= 1})
    refuse({f"view = {view!r}; there are pairs, before and after": view in ("pairs", "before", "after")})
    check_seed(seed)
    with writing(out, overwrite=overwrite, suffixes=SUFFIXES), progress_bar("simulating pairs", n) as advance:

        def chunks() -> Iterator[Batch]:
            for number, size in enumerate(chunk_sizes(n, at_once)):
                before, after = map(torch.from_numpy, make(np.random.default_rng((seed, number))))
                advance(size)
                whole = {"pairs": Batch(after, source=before), "before": Batch(before), "after": Batch(after)}[view]
                yield whole[:size]

        said = {"kind": "images", **job, "partigan_version": __version__}
        write_samples(out, "images", chunks(), provenance(said, n))
    return Path(out)


def refuse(checks: Mapping[str, bool]) -> None:
    """Raise the first message that is not fine."""
    for message, fine in checks.items():
        if not fine:
            raise PartiganError(f"cannot simulate pairs with {message}")


def coarse(images: Images, block: int) -> Images:
    """Images as cells of ``block x block`` pixels show them: the mean of each block in all of its pixels."""
    *first, height, width = images.shape
    blocks = images.reshape(*first, height // block, block, width // block, block)
    return np.broadcast_to(blocks.mean((-3, -1), keepdims=True), blocks.shape).reshape(images.shape)
