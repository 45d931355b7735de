"""Showers of electrons, photons and charged pions in calorimeters: thousands a second in place of Geant4's few.

They are parametrised, see `partigan.simulate.calorimeter_showers`: the shapes and fluctuations are those of the
parametrisation and not Geant4's.

References:
    G. Grindhammer, S. Peters, The parameterized simulation of electromagnetic showers in homogeneous and sampling
    calorimeters, hep-ex/0001020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.calorimeter import PARTICLES, Spectrum, geometry, spectrum
from partigan.data.calorimeter_files import read_showers, write_showers
from partigan.errors import PartiganError, check_number
from partigan.randomness import check_seed
from partigan.simulate.calorimeter_showers import Calorimeter
from partigan.simulate.chunks import Chunks, simulated
from partigan.workers import check_workers

CHUNK = 2000  # showers of a part file
AT_ONCE = 2_000_000  # voxels in memory


@dataclass(frozen=True)
class Task:
    """What is simulated.

    Attributes:
        label: of the geometry.
        particle: electron, photon or pion.
        energies: of the particles.
    """

    label: str
    particle: str
    energies: Spectrum

    @classmethod
    def of(cls, name: str, particle: str | None, energies: str) -> Task:
        """A task from what a user gives.

        Raises:
            PartiganError: an unknown geometry or one without material, or energies that cannot be.
        """
        known = geometry(name)
        if particle not in (None, *PARTICLES.values()):
            raise PartiganError(f"there is no particle {particle!r}; there are {', '.join(PARTICLES.values())}")
        text = energies or known.physics.get("spectrum", "")
        if not text:
            raise PartiganError(f'{known.name} names no energies; give some in MeV: --energies "log, 1000, 100000"')
        Calorimeter.of(known)
        return cls(known.label, particle or known.particle, spectrum(text, "--energies" if energies else known.name))

    def showers(self, size: int, rng: np.random.Generator) -> Batch:
        """Simulate showers as they are read out.

        Args:
            size: number of showers.
            rng: draws them.

        Returns:
            x: energies ``(showers, voxels)`` in the unit of the geometry; condition: energy of the particle in MeV and,
            where the geometry has a ``beam``, the place where it hits in mm.
        """
        known = replace(geometry(self.label), particle=self.particle)
        calorimeter, least = Calorimeter.of(known), float(known.physics.get("readout", 0))
        energy = self.energies.draw(size, rng).astype(np.float32).astype(float)
        half = float(known.physics.get("beam", 0))
        impact = rng.uniform(-half, half, (size, 2)) if half else None
        parts, step = [], max(AT_ONCE // known.voxels, 1)
        for first in range(0, size, step):
            some = slice(first, first + step)
            made = calorimeter.showers(energy[some], rng, None if impact is None else impact[some]) / known.mev
            parts.append(np.where(made > least, made, 0.0).astype(np.float32))
        columns = [energy[:, None], *([] if impact is None else [impact])]
        condition = torch.from_numpy(np.concatenate(columns, axis=1)).float()
        return Batch(torch.from_numpy(np.concatenate(parts)), condition=condition)


def make_chunk(path: Path, size: int, task: Task, seed: int, chunk: int) -> int:
    """Simulate one chunk of showers into a part file, and return their number."""
    write_showers(path, [task.showers(size, np.random.default_rng((seed, chunk)))], {}, task.label)
    return size


def simulate_calorimeter(
    n: int,
    out: Path,
    geometry: str = "ds1-photons",
    particle: Literal["electron", "photon", "pion"] | None = None,
    energies: str = "",
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate showers in a calorimeter.

    The file does not depend on the number of workers, bit for bit: each chunk of showers has its own seed.

    Args:
        n: number of showers.
        out: HDF5 file to make, in the CaloChallenge's layout, or CaloGAN's; see `partigan.data.calorimeter_files`.
        geometry: ds1-photons, ds1-pions, ds2, ds3 (CaloChallenge), calogan, testbeam, or the path of a binning XML.
        particle: electron, photon or pion; None = that of the geometry.
        energies: of the particles in MeV: "fixed, E, ...", "log, low, high", "flat, low, high", or "steps, E, ..., n,
            ..." (how often each); those of the geometry where nothing is given.
        seed: of the random generators.
        workers: number of processes, one thread each.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: an unknown geometry or one without material, energies that cannot be, or an existing output.

    Example:
        >>> simulate_calorimeter(10_000, "photons.hdf5", "ds1-photons", workers=2)  # doctest: +SKIP
        PosixPath('photons.hdf5')
    """
    check_seed(seed)
    check_number("n", n, "shower")
    check_workers(workers)
    task = Task.of(geometry, particle, energies)
    job = {
        "kind": "calorimeter",
        "n": n,
        "geometry": task.label,
        "particle": task.particle,
        "energies": f"{task.energies.form}, {', '.join(f'{number:g}' for number in task.energies.numbers)}",
        "seed": seed,
        "partigan_version": __version__,
    }
    chunks = Chunks(
        n,
        CHUNK,
        "simulating showers",
        make_chunk,
        lambda chunk, size: (size, task, seed, chunk),
        lambda out, parts, attributes: write_showers(
            out, (read_showers(part, "all") for part in parts), attributes, task.label
        ),
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)
