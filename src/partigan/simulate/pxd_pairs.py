"""Pairs of small images of the pixel vertex detector for translations, made by the simulation of its background.

Each pair are two views of one place of one sensor:

- ``digitiser``: the charge that is deposited in each pixel, in ADU but not read out, and the digits of the ADC with
  noise, threshold and clipping;
- ``resolution``: digits as pixels twice as wide and high would show them, each block's charge spread evenly over
  its pixels, and the digits themselves;
- ``background``: the digits of an event, and the same with those of four times as much background added, as in an
  overlay, up to 255 ADU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import COLUMNS, PIXELS, ROWS, SENSORS
from partigan.data.samples import write_samples
from partigan.errors import PartiganError
from partigan.outputs import writing
from partigan.progress import progress_bar
from partigan.randomness import check_seed
from partigan.simulate.chunks import provenance
from partigan.simulate.pxd import deposit
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates
from partigan.simulate.pxd_silicon import collect, digitise

BLOCK = 2  # pixels of a side of a coarse one
ON_TOP = 4.0  # background that is added, in units of what is there
FROM_EVENT = 400  # pairs

Images = NDArray[np.float32]


def simulate_pxd_pairs(
    task: Literal["digitiser", "resolution", "background"],
    n: int,
    out: Path,
    view: Literal["pairs", "before", "after"] = "pairs",
    height: int = 32,
    width: int = 32,
    background: float = CALIBRATED_AT,
    seed: int = 1,
    overwrite: bool = False,
) -> Path:
    """Simulate pairs of images of the pixel vertex detector, before and after a change.

    Args:
        task: ``digitiser``: deposited charge and digits; ``resolution``: digits of coarse pixels and of fine ones;
            ``background``: digits of an event and of the same event with four times as much background on top.
        n: number of pairs.
        out: HDF5 file to make: ``images`` after the change and ``source`` before it, in ADU.
        view: ``before`` or ``after`` writes one side alone as ``images``, for translations without pairs; give the
            other side another seed.
        height: columns u of an image.
        width: rows v of an image.
        background: level in units of the design background; the occupancies are calibrated at 2.
        seed: of the random generators.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.
    """
    checks = {
        f"n = {n}; at least one pair is needed": n >= 1,
        f"background = {background}; it is above 0 and at most 20": 0 < background <= 20,
        f"images of {height} x {width} pixels; sensors have {COLUMNS} x {ROWS}": 0 < height <= COLUMNS
        and 0 < width <= ROWS,
        f"images of {height} x {width} pixels; coarse ones need multiples of {BLOCK}": task != "resolution"
        or height % BLOCK == width % BLOCK == 0,
        f"task = {task!r}; there are {', '.join(_TASKS)}": task in _TASKS,
        f"view = {view!r}; there are pairs, before and after": view in ("pairs", "before", "after"),
    }
    for message, fine in checks.items():
        if not fine:
            raise PartiganError(f"cannot simulate pairs with {message}")
    check_seed(seed)
    job = {
        "kind": "images",
        "simulated": f"PXD {task}, {view}",
        "n": n,
        "background": background,
        "seed": seed,
        "partigan_version": __version__,
    }
    with writing(out, overwrite=overwrite, suffixes=SUFFIXES), progress_bar("simulating pairs", n) as advance:

        def chunks() -> Iterator[Batch]:
            for event, first in enumerate(range(0, n, FROM_EVENT)):
                size = min(FROM_EVENT, n - first)
                rng = np.random.default_rng((seed, event))
                before, after = (
                    torch.from_numpy(part[:, None]) for part in _crops(task, background, (height, width), rng)
                )
                advance(size)
                whole = {"pairs": Batch(after, source=before), "before": Batch(before), "after": Batch(after)}[view]
                yield whole[:size]

        write_samples(out, "images", chunks(), provenance(job, n))
    return Path(out)


def _crops(task: str, background: float, size: tuple[int, int], rng: np.random.Generator) -> tuple[Images, Images]:
    """Both sides of the pairs of one event, ``(400, height, width)`` each, at random places of all sensors."""
    before, after = _TASKS[task](background, rng)
    sensor = np.arange(FROM_EVENT) % len(SENSORS)
    corners = [rng.integers(0, whole - part + 1, FROM_EVENT) for whole, part in zip((COLUMNS, ROWS), size, strict=True)]
    u, v = (corner[:, None] + np.arange(part) for corner, part in zip(corners, size, strict=True))
    sides = [maps[sensor[:, None, None], u[:, :, None], v[:, None, :]] for maps in (before, after)]
    if task == "resolution":
        sides[0] = _coarse(sides[0])
    return sides[0], sides[1]


def _coarse(images: Images) -> Images:
    """Means of blocks in each of their pixels."""
    blocks = images.reshape(len(images), images.shape[1] // BLOCK, BLOCK, images.shape[2] // BLOCK, BLOCK)
    return np.broadcast_to(blocks.mean((2, 4), keepdims=True), blocks.shape).reshape(images.shape)


def _digitiser(background: float, rng: np.random.Generator) -> tuple[Images, Images]:
    """Maps ``(40, 250, 768)`` of deposited charge, and of the digits."""
    p = Parameters()
    pixels, electrons = collect(deposit(background, p, Rates.calibrated(), rng), p)
    return _maps(pixels, electrons / p.gain), _maps(*digitise(pixels, electrons, p, rng))


def _resolution(background: float, rng: np.random.Generator) -> tuple[Images, Images]:
    """Maps of digits, twice; crops of the first become coarse."""
    digits = _digitiser(background, rng)[1]
    return digits, digits


def _background(background: float, rng: np.random.Generator) -> tuple[Images, Images]:
    """Maps of the digits of an event, and of that event with the digits of another one added."""
    low, more = (_digitiser(level, rng)[1] for level in (background, ON_TOP * background))
    return low, np.minimum(low + more, MAXIMUM)


_TASKS = {"digitiser": _digitiser, "resolution": _resolution, "background": _background}


def _maps(pixels: NDArray[np.int64], charge: NDArray[np.float64] | NDArray[np.int64]) -> Images:
    """Dense maps ``(40, 250, 768)`` of pixels ``(sensor * 250 + u) * 768 + v``."""
    maps = np.zeros(len(SENSORS) * PIXELS, np.float32)
    maps[pixels] = charge
    return maps.reshape(len(SENSORS), COLUMNS, ROWS)
