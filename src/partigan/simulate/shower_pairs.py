"""Pairs of images of showers for translations: coarse cells, and fine ones of the same shower.

Showers of `partigan.simulate.calorimeter_showers` in silicon and tungsten, in three layers, which are the channels.
Fine cells have sides of 4 mm. Coarse ones are as many times wider and higher as said; the energy of each is spread
evenly over its fine ones.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from partigan.data.calorimeter import PARTICLES, Geometry, Layer, spectrum
from partigan.simulate.calorimeter_showers import Calorimeter
from partigan.simulate.pairs import Images, coarse, refuse, write_pairs

CELL = 4.0  # mm
DEPTHS = ((0.0, 5.0), (5.0, 10.0), (10.0, 20.0))  # of the layers, radiation lengths
READOUT = 0.1  # MeV, up to which energies are lost
BEAM = 8.0  # half width of the square that particles hit, mm
LARGEST = 128  # cells of a side
AT_ONCE = 100  # pairs
_STACK = {"active": "silicon, 0.3", "absorber": "tungsten, 1.4", "sampling": "0.20"}


def simulate_shower_pairs(
    n: int,
    out: Path,
    view: Literal["pairs", "before", "after"] = "pairs",
    cells: int = 32,
    block: int = 4,
    particle: Literal["electron", "photon", "pion"] = "electron",
    energies: str = "log, 1000, 100000",
    seed: int = 1,
    overwrite: bool = False,
) -> Path:
    """Simulate pairs of images of showers in a calorimeter, in coarse cells and in fine ones.

    Args:
        n: number of pairs.
        out: HDF5 file to make: ``images`` in fine cells and ``source`` in coarse ones, in MeV, layers as channels.
        view: ``before`` or ``after`` writes one side alone as ``images``, for translations without pairs; give the
            other side another seed.
        cells: fine cells of a side.
        block: sides of a coarse cell, fine cells.
        particle: electron, photon or pion.
        energies: of the particles in MeV: "fixed, E, ...", "log, low, high", "flat, low, high", or "steps, E, ..., n,
            ..." (how often each).
        seed: of the random generators.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.
    """
    refuse(
        {
            f"particle = {particle!r}; there are {', '.join(PARTICLES.values())}": particle in PARTICLES.values(),
            f"cells = {cells}; there are 1 to {LARGEST}": 1 <= cells <= LARGEST,
            f"block = {block}; cells = {cells} need one that divides them": block >= 1 and cells % block == 0,
        }
    )
    drawn = spectrum(energies, "--energies")
    edges = tuple(CELL * (np.arange(cells + 1) - cells / 2))
    layers = tuple(Layer(str(number), edges, 0, edges, depth) for number, depth in enumerate(DEPTHS))
    calorimeter = Calorimeter.of(Geometry("shower-pairs", particle, layers, physics=MappingProxyType(_STACK)))

    def make(rng: np.random.Generator) -> tuple[Images, Images]:
        found = calorimeter.showers(drawn.draw(AT_ONCE, rng), rng, rng.uniform(-BEAM, BEAM, (AT_ONCE, 2)))
        fine = np.where(found > READOUT, found, 0.0).astype(np.float32).reshape(AT_ONCE, len(layers), cells, cells)
        return coarse(fine, block), fine

    job = {
        "simulated": f"showers of {particle}s",
        "view": view,
        "n": n,
        "energies": energies,
        "block": block,
        "seed": seed,
    }
    return write_pairs(out, job, make, AT_ONCE, overwrite)
