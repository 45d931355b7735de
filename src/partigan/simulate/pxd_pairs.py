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

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import COLUMNS, PIXELS, ROWS, SENSORS
from partigan.simulate.pairs import Images, coarse, refuse, write_pairs
from partigan.simulate.pxd import deposit
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates
from partigan.simulate.pxd_silicon import collect, digitise

BLOCK = 2  # pixels of a side of a coarse one
ON_TOP = 4.0  # background that is added, in units of what is there
FROM_EVENT = 400  # pairs


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
    refuse(
        {
            f"background = {background}; it is above 0 and at most 20": 0 < background <= 20,
            f"images of {height} x {width} pixels; sensors have {COLUMNS} x {ROWS}": 0 < height <= COLUMNS
            and 0 < width <= ROWS,
            f"images of {height} x {width} pixels; coarse ones need multiples of {BLOCK}": task != "resolution"
            or height % BLOCK == width % BLOCK == 0,
            f"task = {task!r}; there are {', '.join(_TASKS)}": task in _TASKS,
        }
    )
    job = {"simulated": f"PXD {task}", "view": view, "n": n, "background": background, "seed": seed}
    return write_pairs(out, job, lambda rng: _crops(task, background, (height, width), rng), FROM_EVENT, overwrite)


def _crops(task: str, background: float, size: tuple[int, int], rng: np.random.Generator) -> tuple[Images, Images]:
    """Both sides of the pairs of one event, ``(400, 1, height, width)`` each, at random places of all sensors."""
    before, after = _TASKS[task](background, rng)
    sensor = np.arange(FROM_EVENT) % len(SENSORS)
    corners = [rng.integers(0, whole - part + 1, FROM_EVENT) for whole, part in zip((COLUMNS, ROWS), size, strict=True)]
    u, v = (corner[:, None] + np.arange(part) for corner, part in zip(corners, size, strict=True))
    sides = [maps[sensor[:, None, None], u[:, :, None], v[:, None, :]][:, None] for maps in (before, after)]
    return (coarse(sides[0], BLOCK) if task == "resolution" else sides[0]), sides[1]


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
