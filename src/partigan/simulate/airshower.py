"""Air showers on an array of water-Cherenkov stations: maps of signals and arrival times.

Protons to iron, energies flat in lg E, zenith angles as on a flat array, cores around the middle of the array. The
depth of the maximum is drawn from a generalised Gumbel distribution, signals are power laws of the distance from the
axis and of the depth behind the maximum, times are those of a plane or spherical front. A station that does not trigger
has signal 0 and time 0. Times count from when the front reaches the core.

References:
    M. Erdmann, J. Glombitza, D. Walz, A deep learning-based reconstruction of cosmic ray-induced air showers,
    Astropart. Phys. 97 (2018) 46, arXiv:1708.00647, section 2; see `partigan.simulate.showers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from partigan import __version__
from partigan.data.hdf5 import open_hdf5, write_chunks
from partigan.errors import PartiganError, check_number
from partigan.metrics.measurement import Floats
from partigan.observables.airshowers import LAYOUTS, SPEED, Layout, station_positions
from partigan.randomness import check_seed
from partigan.simulate.chunks import Chunks, simulated
from partigan.simulate.showers import (
    CLEARANCE,
    HEIGHT,
    LARGEST,
    Rng,
    arrival_times,
    bin_shares,
    counted,
    depth_above,
    depth_behind,
    draw_maxima,
    height_of,
    in_bins,
    maximum_position,
    mean_signals,
)
from partigan.simulate.traces import BIN_NS, BINS, MASSES, TRIGGER, World, changed, read_out
from partigan.simulate.traces import WORLDS as OF_TRACES
from partigan.workers import check_workers

CHUNK = 2000  # showers of a part file
SPACING = 1500.0  # of neighbouring stations, m
ENERGIES, ZENITHS = (18.5, 20.0), (0.0, 60.0)  # lg(E/eV), degrees
JITTER = 60.0  # of arrival times: its standard deviation is 8 JITTER / (1 + lg(1 + particles)), ns
OFFSET = 50.0  # common to all times of a shower, largest, ns
FEW = 1.0  # particles; a station for which fewer are expected has none
MANY = 200.0  # particles, above which the noise that grows with the signal counts
COLUMNS: dict[str, dict[str, str]] = {
    "conditions": {"log_energy": "lg(E/EeV)", "zenith": "rad", "log_mass": "ln A"},
    "truth": {"azimuth": "rad", "core_x": "m", "core_y": "m", "xmax": "g/cm^2"},
}
"""Columns of the file beside the maps, with their units."""

WORLDS = {name: replace(world, saturation=LARGEST) for name, world in OF_TRACES.items()}
"""Those of `partigan.simulate.traces`, with stations that do not saturate, as in the reference."""


@dataclass(frozen=True)
class Showers:
    """What showers are drawn from.

    Attributes:
        world: constants of showers and detector.
        layout: of the array.
        stations: along each side.
        front: plane, or sphere around the axis where half of the depth of the maximum is reached.
        energies: lg(E/eV), lowest and highest.
        zeniths: degrees, lowest and highest.
        gap: zenith angles that do not occur, degrees, lowest and highest; None = all occur.
        masses: mass numbers, as often as each other.
        traces: whether time traces are kept.
    """

    world: World
    layout: Layout
    stations: int
    front: str
    energies: tuple[float, float]
    zeniths: tuple[float, float]
    gap: tuple[float, float] | None
    masses: tuple[int, ...]
    traces: bool


def simulate_airshower(
    n: int,
    out: Path,
    world: Literal["simulation", "data"] = "simulation",
    layout: Layout = "cartesian",
    stations: int = 9,
    front: Literal["plane", "sphere"] = "sphere",
    energies: tuple[float, float] = ENERGIES,
    zeniths: tuple[float, float] = ZENITHS,
    gap: tuple[float, float] | None = None,
    masses: Sequence[int] = MASSES,
    traces: bool = False,
    set: Sequence[str] = (),
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate air showers on an array of stations.

    The file does not depend on the number of workers, bit for bit: each chunk of showers has its own seed.

    Args:
        n: number of showers.
        out: HDF5 file to make; see `partigan.kinds.airshowers`.
        world: ``simulation``, or ``data``, which differs from it in nine constants.
        layout: of the array: cartesian (squares), axial or offset (triangles).
        stations: along each side of the array.
        front: plane, or sphere around the axis where half of the depth of the maximum is reached.
        energies: lowest and highest lg(E/eV).
        zeniths: smallest and largest zenith angle, degrees.
        gap: zenith angles to leave out, from and to, degrees.
        masses: mass numbers, which occur as often as each other.
        traces: write time traces of all stations, too (80 bins of 25 ns).
        set: constants to change, such as ``"hadronic_model=qgsjetii-04"``; those of `partigan.simulate.traces.World`.
        seed: of the random generators.
        workers: number of processes, one thread each.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.

    Example:
        >>> simulate_airshower(20_000, "showers.h5")  # doctest: +SKIP
        PosixPath('showers.h5')
    """
    check_seed(seed)
    check_number("n", n, "shower")
    check_workers(workers)
    if world not in WORLDS:
        raise PartiganError(f"there is no world {world!r}; there are {', '.join(WORLDS)}")
    constants = changed(WORLDS[world], set)
    plan = Showers(constants, layout, stations, front, (*energies,), (*zeniths,), gap and (*gap,), (*masses,), traces)
    _check(plan)
    job = {
        "kind": "airshower",
        "n": n,
        "world": world,
        "spacing_m": SPACING,
        **asdict(plan),
        "seed": seed,
        "partigan_version": __version__,
    }
    rows = 50 if traces else 1000

    def merge(out: Path, parts: list[Path], attributes: dict[str, Any]) -> None:
        said = {**attributes, "channels": ("signal", "time")}
        write_chunks(out, map(_stored, parts), said, COLUMNS, rows=rows)

    chunks = Chunks(
        n,
        CHUNK,
        "simulating showers",
        make_chunk,
        lambda chunk, size: (size, plan, seed, chunk),
        merge,
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)


def _check(plan: Showers) -> None:
    """Raise for showers that cannot be."""
    if plan.layout not in LAYOUTS:
        raise PartiganError(f"there is no layout {plan.layout!r} of an array; there are {', '.join(LAYOUTS)}")
    if plan.front not in ("plane", "sphere"):
        raise PartiganError(f"there is no front {plan.front!r}; there are plane and sphere")
    if not 3 <= plan.stations <= 99:
        raise PartiganError(f"stations = {plan.stations} along a side; give 3 to 99")
    for name, (low, high), (least, most), unit in (
        ("energies", plan.energies, (17.0, 21.0), "lg(E/eV)"),
        ("zeniths", plan.zeniths, (0.0, 75.0), "degrees"),
    ):
        if not least <= low < high <= most:
            raise PartiganError(f"{name} from {low:g} to {high:g}; give two numbers from {least:g} to {most:g} {unit}")
    if plan.gap is not None:
        (low, high), (first, last) = plan.gap, plan.zeniths
        if not (low < high and (first < low or high < last)):
            raise PartiganError(f"a gap from {low:g} to {high:g} degrees leaves nothing of {first:g} to {last:g}")
    if not plan.masses or min(plan.masses) < 1 or max(plan.masses) > 56:
        raise PartiganError(f"masses = {list(plan.masses)}; give mass numbers from 1 (protons) to 56 (iron)")


def _stored(path: Path) -> dict[str, NDArray[Any]]:
    """All datasets of a part file."""
    with open_hdf5(path, "a part of a simulation is needed") as file:
        stored = {name: file.dataset(name) for name in file.names}
        return {name: found.rows(0, len(found)) for name, found in stored.items()}


def make_chunk(path: Path, size: int, plan: Showers, seed: int, chunk: int) -> int:
    """Simulate one chunk of showers into a part file, and return their number."""
    rng = np.random.default_rng((seed, chunk))
    write_chunks(path, _few(size, plan, rng), {}, {}, rows=50 if plan.traces else 1000)
    return size


def _few(size: int, plan: Showers, rng: Rng) -> Iterator[dict[str, NDArray[Any]]]:
    """Showers, as many at a time as their traces allow."""
    step = 250 if plan.traces else CHUNK
    for first in range(0, size, step):
        yield draw_showers(min(step, size - first), plan, rng)


def draw_showers(size: int, plan: Showers, rng: Rng) -> dict[str, NDArray[Any]]:
    """Showers as they are stored, by dataset.

    Args:
        size: number of showers.
        plan: what they are drawn from.
        rng: draws them.

    Returns:
        ``maps (size, 2, stations, stations)``, ``conditions`` and ``truth`` with the columns of `COLUMNS`, and, where
        asked for, ``traces (size, stations, stations, bins)``, all in single precision.
    """
    lg, mass = rng.uniform(*plan.energies, size), rng.choice(np.array(plan.masses, float), size)
    zenith, azimuth = _zeniths(size, plan, rng), rng.uniform(-np.pi, np.pi, size)
    axis = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=1)
    away, angle = SPACING / 2 * np.sqrt(rng.random(size)), rng.uniform(-np.pi, np.pi, size)
    core = np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)
    xmax = _high_maxima(lg, mass, axis[:, 2], plan.world, rng)

    ground = station_positions(plan.layout, plan.stations, plan.stations, SPACING).double().numpy().reshape(-1, 2)
    line = ground - core[:, None]  # from the core, (showers, stations, 2)
    along = (line * axis[:, None, :2]).sum(2)
    squared = (line**2).sum(2)
    distance = np.sqrt(np.maximum(squared - along**2, 0))
    arrived = _arrivals(Primaries(lg, mass, axis, xmax), line, distance, plan.world, rng)
    if plan.traces or plan.world.saturation < LARGEST:
        number, traces = _traces(arrived, distance.shape, plan.world, rng)
        signal = traces.sum(2)
    else:
        number, signal = _sums(arrived, distance.shape, plan.world, rng)
    time = _front(along, squared, axis[:, 2], xmax, plan.front)
    time += rng.standard_normal(time.shape) * 8 * JITTER / (1 + np.log10(1 + number))
    time += rng.uniform(-OFFSET, OFFSET, (size, 1))
    hit = signal >= TRIGGER * BINS * plan.world.baseline
    shape = (size, plan.stations, plan.stations)
    found = {
        "maps": np.stack([np.where(hit, part, 0.0).reshape(shape) for part in (signal, time)], axis=1),
        "conditions": np.stack([lg - 18, zenith, np.log(mass)], axis=1),
        "truth": np.column_stack([azimuth, core, xmax]),
    }
    if plan.traces:
        found["traces"] = np.where(hit[..., None], traces, 0.0).reshape(*shape, BINS)
    return {name: part.astype(np.float32) for name, part in found.items()}


def _zeniths(size: int, plan: Showers, rng: Rng) -> Floats:
    """Zenith angles in rad, with density sin(zenith) cos(zenith) outside the gap."""
    low, high = np.sin(np.radians(plan.zeniths)) ** 2
    start, end = (low, low) if plan.gap is None else np.clip(np.sin(np.radians(plan.gap)) ** 2, low, high)
    drawn = rng.uniform(low, high - (end - start), size)
    return np.asarray(np.arcsin(np.sqrt(np.where(drawn < start, drawn, drawn + (end - start)))))


def _high_maxima(lg: Floats, mass: Floats, cosine: Floats, world: World, rng: Rng) -> Floats:
    """Depths of the maximum, drawn again where it is less than 200 m above the array."""
    deepest = depth_above(np.array([HEIGHT + CLEARANCE]))[0] / cosine
    xmax = draw_maxima(lg, mass, rng, world.hadronic_model)
    while (low := xmax > deepest).any():
        xmax[low] = draw_maxima(lg[low], mass[low], rng, world.hadronic_model)
    return xmax


@dataclass(frozen=True)
class Primaries:
    """Showers before they reach the array: lg(E/eV), mass number, unit vector to the source, depth of the maximum."""

    log_energy: Floats
    mass: Floats
    axis: Floats
    xmax: Floats


@dataclass(frozen=True)
class _Arrivals:
    """Particles in the stations that have some: two entries each, muons and electromagnetic particles."""

    where: tuple[NDArray[np.intp], ...]  # shower and station
    number: tuple[Floats, Floats]
    median: tuple[Floats, Floats]  # arrival time, ns
    later: tuple[Floats, Floats]  # ns


def _arrivals(showers: Primaries, line: Floats, distance: Floats, world: World, rng: Rng) -> _Arrivals:
    """Numbers and times of the particles, in stations where at least ``FEW`` may be expected."""
    muons, em = mean_signals(
        showers.log_energy[:, None], showers.mass[:, None], distance, np.full_like(distance, 100.0), world
    )
    where = np.nonzero(muons + em >= FEW)
    shower = where[0]
    high = maximum_position(showers.xmax, showers.axis)[shower]
    station = np.column_stack([line[where], np.zeros(len(shower))])
    behind = depth_behind(high, station)
    far = distance[where]
    means = mean_signals(showers.log_energy[shower], showers.mass[shower], far, behind, world)
    muons, em, later = arrival_times(far, behind, world)
    return _Arrivals(where, (counted(means[0], rng), counted(means[1], rng)), (muons, em), (0 * later, later))


def _traces(arrived: _Arrivals, shape: tuple[int, ...], world: World, rng: Rng) -> tuple[Floats, Floats]:
    """Particles in the time window ``(showers, stations)``, and traces of all stations, ``(..., bins)``."""
    edges: Floats = BIN_NS * np.arange(BINS + 1, dtype=float)
    parts = zip(arrived.number, arrived.median, arrived.later, strict=True)
    particles = np.zeros((*shape, BINS))
    particles[arrived.where] = sum(in_bins(*part, world.time_spread, edges, rng) for part in parts)
    return particles.sum(2), read_out(particles, world, rng)


def _sums(arrived: _Arrivals, shape: tuple[int, ...], world: World, rng: Rng) -> tuple[Floats, Floats]:
    """The same particles, and sums of traces, without making the traces; they have the same distribution."""
    from scipy.stats import norm

    ends, window = BIN_NS * np.arange(BINS + 1, dtype=float), np.array([0.0, BIN_NS * BINS])
    found = [
        rng.binomial(number.astype(np.int64), bin_shares(median, later, world.time_spread, window)[:, 0].clip(0, 1))
        for number, median, later in zip(arrived.number, arrived.median, arrived.later, strict=True)
    ]
    number = np.zeros(shape)
    number[arrived.where] = found[0] + found[1]
    signal = world.gain * number
    many = np.flatnonzero(found[0] + found[1] > MANY)
    binned = sum(
        total[many, None] * _normalised(bin_shares(median[many], later[many], world.time_spread, ends)[:, :-1])
        for total, median, later in zip(found, arrived.median, arrived.later, strict=True)
    )
    width = world.gain * world.relative_noise * np.sqrt((np.asarray(binned) ** 2).sum(1))
    signal[tuple(index[many] for index in arrived.where)] += width * rng.standard_normal(len(many))
    mean, spread = world.baseline, world.noise  # of an empty bin, before it is cut at 0
    if spread:
        ratio = mean / spread
        cut = mean * norm.cdf(ratio) + spread * norm.pdf(ratio)
        squares = (mean**2 + spread**2) * norm.cdf(ratio) + mean * spread * norm.pdf(ratio)
        mean, spread = cut, np.sqrt(squares - cut**2)
    signal += BINS * mean + np.sqrt(BINS) * spread * rng.standard_normal(shape)
    return number, signal


def _normalised(share: Floats) -> Floats:
    """Shares that sum to 1."""
    return np.asarray(share / np.maximum(share.sum(1, keepdims=True), 1e-12))


def _front(along: Floats, squared: Floats, cosine: Floats, xmax: Floats, front: str) -> Floats:
    """When a front reaches the stations, relative to the core, ``(showers, stations)``.

    Args:
        along: distance of the stations from the core along the axis, m.
        squared: square of their distance from the core.
        cosine: of the zenith angle.
        xmax: depth of the maximum.
        front: plane or sphere.
    """
    if front == "plane":
        return -along / SPEED
    origin = ((height_of(0.5 * xmax * cosine) - HEIGHT) / cosine)[:, None]
    return np.asarray((np.sqrt(squared - 2 * origin * along + origin**2) - origin) / SPEED)
