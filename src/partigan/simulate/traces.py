"""Time traces of water-Cherenkov stations in air showers, in two worlds: a simulation, and data that differ from it.

A sample is one station of one shower: protons to iron from 10^18.5 to 10^20 eV and up to 60 degrees, 500 to 1500 m from
the axis. The trace has 80 bins of 25 ns from the arrival of the shower front. What a reconstruction knows of a station
(distance and zenith angle, from the rest of the array) are conditions; what it is asked for (energy, mass, depth of the
maximum) is the truth, which networks never see.

References:
    M. Erdmann, L. Geiger, J. Glombitza, D. Schmidt, Generating and refining particle detector simulations using the
    Wasserstein distance in adversarial networks, arXiv:1802.03325, section 4; see `partigan.simulate.showers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError, check_number
from partigan.metrics.measurement import Floats
from partigan.randomness import check_seed
from partigan.simulate.chunks import Chunks, simulated
from partigan.simulate.showers import (
    CLEARANCE,
    Physics,
    Rng,
    arrival_times,
    counted,
    depth_behind,
    draw_maxima,
    in_bins,
    maximum_position,
    mean_signals,
)
from partigan.workers import check_workers

CHUNK = 5000  # traces of a part file
BINS, BIN_NS = 80, 25.0
TRIGGER = 1.2  # least sum of a trace, relative to that of an empty one
MASSES = (1, 4, 14, 56)
COLUMNS: dict[str, dict[str, str]] = {
    "conditions": {"distance": "km", "zenith": "rad"},
    "truth": {"log_energy": "lg(E/eV)", "mass": "", "xmax": "g/cm^2"},
}
"""Columns of the file beside the traces, with their units."""


@dataclass(frozen=True)
class World(Physics):
    """Constants of showers and of the detector.

    Attributes:
        gain: signal of a particle, VEM.
        baseline: mean of an empty bin, VEM.
        noise: its standard deviation, VEM.
        relative_noise: standard deviation of a bin, relative to its signal.
        saturation: largest signal of a bin, VEM.
    """

    gain: float = 1.0
    baseline: float = 1.2
    noise: float = 0.6
    relative_noise: float = 0.05
    saturation: float = 3000.0


WORLDS = {
    "simulation": World(),
    "data": World(
        muons=0.36,
        muon_slope=-4.5,
        em_slope=-6.0,
        muon_rise=160.0,
        em_rise=225.0,
        gain=1.1,
        baseline=1.5,
        noise=0.8,
        relative_noise=0.07,
        saturation=2000.0,
    ),
}
"""The simulation as in the references, and data: more muons, flatter, later, another gain and more noise."""


def simulate_traces(
    n: int,
    out: Path,
    world: Literal["simulation", "data"] = "simulation",
    set: Sequence[str] = (),
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate time traces of water-Cherenkov stations.

    The file does not depend on the number of workers, bit for bit: each chunk of traces has its own seed.

    Args:
        n: number of traces.
        out: HDF5 file to make; see `partigan.kinds.traces`.
        world: ``simulation``, or ``data``, which differs from it in ten constants.
        set: constants to change, such as ``"gain=1.2"``; those of `World`.
        seed: of the random generators.
        workers: number of processes, one thread each.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.

    Example:
        >>> simulate_traces(20_000, "data.h5", "data")  # doctest: +SKIP
        PosixPath('data.h5')
    """
    check_seed(seed)
    check_number("n", n, "trace")
    check_workers(workers)
    if world not in WORLDS:
        raise PartiganError(f"there is no world {world!r}; there are {', '.join(WORLDS)}")
    constants = changed(WORLDS[world], set)
    job = {
        "kind": "traces",
        "n": n,
        "world": world,
        "constants": asdict(constants),
        "bin_ns": BIN_NS,
        "seed": seed,
        "partigan_version": __version__,
    }
    chunks = Chunks(
        n,
        CHUNK,
        "simulating traces",
        make_chunk,
        lambda chunk, size: (size, constants, seed, chunk),
        _merge,
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)


def _merge(out: Path, parts: list[Path], attributes: dict[str, Any]) -> None:
    made = (read_samples(part, "all", "traces", 3) for part in parts)
    write_samples(out, "traces", made, attributes, beside=COLUMNS)


def changed(world: World, settings: Sequence[str]) -> World:
    """A world with constants changed by texts ``name=value``.

    Raises:
        PartiganError: there is no such constant, or the value cannot be.
    """
    known = {field.name: field.type for field in fields(World)}
    given: dict[str, Any] = asdict(world)
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if name not in known or not equals:
            raise PartiganError(f"--set {setting}: give name=value; the names are {', '.join(known)}")
        if name == "hadronic_model":
            given[name] = value
            continue
        try:
            given[name] = float(value)
        except ValueError as error:
            raise PartiganError(f"--set {setting}: {value!r} is not a number") from error
    _check(given)
    return World(**given)


def _check(given: Mapping[str, Any]) -> None:
    """Raise for constants that no world has."""
    if given["hadronic_model"] not in ("epos-lhc", "qgsjetii-04"):
        raise PartiganError(f"hadronic_model = {given['hadronic_model']}; there are epos-lhc and qgsjetii-04")
    for name in ("signal", "gain", "saturation", "muon_rise", "em_rise", "time_spread"):
        if not 0 < given[name] < np.inf:
            raise PartiganError(f"{name} = {given[name]}; it must be above 0")
    for name in ("baseline", "noise", "relative_noise"):
        if not 0 <= given[name] < np.inf:
            raise PartiganError(f"{name} = {given[name]}; it must not be below 0")
    if not 0 < given["muons"] < 1:
        raise PartiganError(f"muons = {given['muons']}; it is a share, between 0 and 1")


def make_chunk(path: Path, size: int, world: World, seed: int, chunk: int) -> int:
    """Simulate one chunk of traces into a part file, and return their number."""
    rng = np.random.default_rng((seed, chunk))
    found: list[Batch] = []
    while sum(map(len, found)) < size:
        found.append(_triggered(CHUNK, world, rng))
    write_samples(path, "traces", [Batch.joined(found)[:size]], {})
    return size


def _triggered(size: int, world: World, rng: Rng) -> Batch:
    """Stations of ``size`` showers, without those that do not trigger or whose maximum lies too low."""
    log_energy = rng.uniform(18.5, 20, size)
    mass = rng.choice(np.array(MASSES, float), size)
    zenith = np.arcsin(np.sqrt(rng.uniform(0, np.sin(np.pi / 3) ** 2, size)))  # density sin(zenith) cos(zenith)
    distance, angle = rng.uniform(500, 1500, size), rng.uniform(0, 2 * np.pi, size)
    xmax = draw_maxima(log_energy, mass, rng, world.hadronic_model)
    axis = np.stack([np.sin(zenith), np.zeros(size), np.cos(zenith)], axis=1)
    maximum = maximum_position(xmax, axis)
    behind = depth_behind(maximum, _on_ground(distance, angle, zenith))
    fine = (maximum[:, 2] > CLEARANCE) & (behind > 1)
    log_energy, mass, zenith, distance, xmax, behind = (
        values[fine] for values in (log_energy, mass, zenith, distance, xmax, behind)
    )
    numbers = [counted(mean, rng) for mean in mean_signals(log_energy, mass, distance, behind, world)]
    muons, em, later = arrival_times(distance, behind, world)
    edges: Floats = BIN_NS * np.arange(BINS + 1, dtype=float)
    arrived = [
        in_bins(number, median, start, world.time_spread, edges, rng)
        for number, median, start in zip(numbers, (muons, em), (0 * later, later), strict=True)
    ]
    traces = read_out(arrived[0] + arrived[1], world, rng)
    kept = torch.from_numpy(np.flatnonzero(traces.sum(1) >= TRIGGER * BINS * world.baseline))
    conditions = np.stack([distance / 1000, zenith], axis=1)
    truth = np.stack([log_energy, mass, xmax], axis=1)
    x, condition, labels = (torch.from_numpy(part).float() for part in (traces[:, None], conditions, truth))
    return Batch(x, condition=condition, truth=labels)[kept]


def _on_ground(distance: Floats, angle: Floats, zenith: Floats) -> Floats:
    """Where stations stand, ``(showers, 3)``, by distance and angle in the plane of the shower, which comes from x."""
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    return np.stack([x / np.cos(zenith), y, np.zeros_like(x)], axis=1)


def read_out(particles: Floats, world: World, rng: Rng) -> Floats:
    """What the electronics make of the numbers of particles in bins, VEM."""
    signal = world.gain * particles * (1 + world.relative_noise * rng.standard_normal(particles.shape))
    noisy = signal + world.baseline + world.noise * rng.standard_normal(particles.shape)
    return np.asarray(np.clip(noisy, 0.0, world.saturation))
