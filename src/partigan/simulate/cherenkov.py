"""Calibration samples of a Cherenkov detector: tracks with RichDLL variables, and background under their mass peak.

A row is one track. Its conditions are momentum, pseudorapidity, the number of tracks in its event, and which particle
the sample is meant to hold; the features are the logarithms of likelihoods over that of a pion. A share of the rows is
background: other particles, slower and in busier events, that fill the mass flat under the peak. sWeights, one fit for
each particle, subtract it. Networks never see mass, population and true particle, which the file keeps as truth.

Not modelled: a second radiator, so that pions and kaons above 60 GeV look alike; electrons' bremsstrahlung; muon
chambers; rings of neighbours, in place of which there is a smooth background; spectra that differ between particles.

References:
    A. Maevskiy et al., Fast data-driven simulation of Cherenkov detectors using generative adversarial networks,
    arXiv:1905.11825 (the variables); M. Barbetti, pidgan (the marginals of momentum, pseudorapidity and tracks);
    `partigan.simulate.rich` and `partigan.simulate.splot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError, check_number
from partigan.metrics.measurement import Floats
from partigan.randomness import check_seed
from partigan.reading import assure_memory
from partigan.simulate.chunks import Chunks, simulated
from partigan.simulate.rich import HYPOTHESES, SPECIES, Detector, Rng, delta_log_likelihoods
from partigan.simulate.splot import sweights
from partigan.workers import check_workers

CHUNK = 5000  # rows of a part file
TARGETS = {f"RichDLL{name}": "" for name in ("e", "k", "mu", "p", "bt")}
"""Features of the file."""
CONDITIONS = {"P": "MeV", "ETA": "", "nTracks": "", **{f"is_{name}": "" for name in SPECIES}}
"""Columns of the conditions: the track, and 1 for the particle that the sample is meant to hold."""
TRUTH = {"mass": "MeV", "signal": "", "particle": ""}
"""What networks never see: the mass, 1 for signal, and the number of the true particle in ``SPECIES``."""
SHARES = {"e": 0.05, "mu": 0.2, "pi": 0.25, "K": 0.25, "p": 0.25}
"""Of the samples, where all particles are asked for."""
BACKGROUND = (0.04, 0.06, 0.65, 0.15, 0.1)
"""Shares of the true particles in the background, in the order of ``SPECIES``."""

PEAK, WIDTH, RANGE, SLOPE = 1865.0, 8.0, (1805.0, 1925.0), 150.0  # of the mass, MeV
_ORDER = [HYPOTHESES.index(name) for name in ("e", "K", "mu", "p", "bt")]
_NORMAL = np.array([-3.4, -0.6745, 0.0, 0.6745, 1.9, 4.2])
_LOG_P = np.log([3.0, 5.97, 10.98, 22.4, 80.0, 200.0])  # momenta in GeV at these normal quantiles
_ETA = stats.truncnorm(-1.63, 2.37, loc=3.3, scale=0.9)
_TRACKS = (3.88, 46.5)  # shape and scale of a gamma distribution
_TOGETHER = 0.5  # correlation of momentum and pseudorapidity, as normal variables


def simulate_cherenkov(
    n: int,
    out: Path,
    species: Sequence[str] = SPECIES,
    signal: float = 0.6,
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate calibration samples of a Cherenkov detector, with sWeights.

    The file does not depend on the number of workers, bit for bit: each chunk of rows has its own seed.

    Args:
        n: number of rows.
        out: HDF5 file to make; see `partigan.kinds.cherenkov`.
        species: which particles: of e, mu, pi, K, p.
        signal: share of the signal; 1 = no background and no weights.
        seed: of the random generators.
        workers: number of processes, one thread each.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.

    Example:
        >>> simulate_cherenkov(200_000, "rich.h5", ["pi", "K"])  # doctest: +SKIP
        PosixPath('rich.h5')
    """
    check_seed(seed)
    check_number("n", n, "row")
    check_workers(workers)
    if not 0 < signal <= 1:
        raise PartiganError(f"signal = {signal}; it is a share, above 0 and at most 1")
    if strange := [name for name in species if name not in SPECIES]:
        raise PartiganError(f"there is no particle {strange[0]!r}; there are {', '.join(SPECIES)}")
    if not species or len(set(species)) < len(species):
        raise PartiganError(f"species = {', '.join(species) or 'none'}; name each particle once")
    assure_memory(32 * n, f"the masses of {n:,} rows")
    detector = Detector()
    job = {
        "kind": "cherenkov",
        "simulated": "cherenkov",
        "species": " ".join(species),
        "signal": signal,
        "constants": asdict(detector),
        "seed": seed,
        "n": n,
        "partigan_version": __version__,
    }
    chunks = Chunks(
        n,
        CHUNK,
        "simulating tracks",
        make_chunk,
        lambda chunk, size: (size, tuple(species), signal, detector, seed, chunk),
        lambda out, parts, attributes: write_samples(
            out,
            "rows",
            _weighted(parts, n) if signal < 1 else _read(parts),
            attributes,
            TARGETS,
            {"conditions": CONDITIONS, "truth": TRUTH},
        ),
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)


def _read(parts: Sequence[Path]) -> Iterator[Batch]:
    return (read_samples(part, "all", "rows", 2) for part in parts)


def _weighted(parts: Sequence[Path], rows_of_all: int) -> Iterator[Batch]:
    """All rows with the sWeights of their sample's signal."""
    sample = np.empty(rows_of_all, np.int8)
    mass, weight = np.empty(len(sample)), np.empty(len(sample))
    first = 0
    for chunk in _read(parts):
        rows = slice(first, first := first + len(chunk))
        assert chunk.condition is not None
        assert chunk.truth is not None
        sample[rows] = chunk.condition[:, -len(SPECIES) :].argmax(1).numpy()
        mass[rows] = chunk.truth[:, 0].numpy()
    for number in np.unique(sample):
        weight[sample == number] = sweights(mass_densities(mass[sample == number]))[:, 0]
    first = 0
    for chunk in _read(parts):
        rows = slice(first, first := first + len(chunk))
        yield replace(chunk, weight=torch.from_numpy(weight[rows].astype(np.float32)))


def mass_densities(mass: Floats) -> Floats:
    """Densities of signal and background in the mass, ``(rows, 2)``: a Gaussian and an exponential, both truncated."""
    low, high = RANGE
    peak = stats.truncnorm((low - PEAK) / WIDTH, (high - PEAK) / WIDTH, PEAK, WIDTH)
    return np.stack([peak.pdf(mass), stats.truncexpon((high - low) / SLOPE, low, SLOPE).pdf(mass)], axis=1)


def make_chunk(
    path: Path, size: int, species: Sequence[str], signal: float, detector: Detector, seed: int, chunk: int
) -> int:
    """Simulate one chunk of rows into a part file, and return their number."""
    rng = np.random.default_rng((seed, chunk))
    write_samples(path, "rows", [draw_tracks(size, species, signal, detector, rng)], {})
    return size


def draw_tracks(size: int, species: Sequence[str], signal: float, detector: Detector, rng: Rng) -> Batch:
    """Rows without weights, in the columns of the file.

    Args:
        size: number of rows.
        species: particles whose samples they are.
        signal: share of the signal.
        detector: its constants.
        rng: decides.
    """
    shares = np.array([SHARES[name] for name in species])
    sample = rng.choice([SPECIES.index(name) for name in species], size, p=shares / shares.sum())
    true = rng.random(size) < signal
    particle = np.where(true, sample, rng.choice(len(SPECIES), size, p=BACKGROUND))
    first, second = rng.standard_normal((2, size))
    momentum = np.exp(np.interp(first - 0.4 * ~true, _NORMAL, _LOG_P))
    eta = _ETA.ppf(stats.norm.cdf(_TOGETHER * first + np.sqrt(1 - _TOGETHER**2) * second))
    tracks = np.clip(np.round(rng.gamma(*_TRACKS, size) * np.where(true, 1.0, 1.25)), 9, 1000)
    found = delta_log_likelihoods(particle, momentum, eta, tracks, detector, rng)
    low, high = RANGE
    peak = stats.truncnorm.rvs((low - PEAK) / WIDTH, (high - PEAK) / WIDTH, PEAK, WIDTH, size, random_state=rng)
    below = stats.truncexpon.rvs((high - low) / SLOPE, low, SLOPE, size, random_state=rng)
    columns = [1e3 * momentum, eta, tracks, *np.eye(len(SPECIES))[sample].T]
    truth = [np.where(true, peak, below), true, particle]
    parts: dict[str, Any] = {"x": found[:, _ORDER].T, "condition": columns, "truth": truth}
    return Batch(**{name: torch.from_numpy(np.stack(part, axis=1).astype(np.float32)) for name, part in parts.items()})
