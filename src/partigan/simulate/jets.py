"""Training jets from Pythia 8 and FastJet, in the JetNet layout.

The recipe is that of JetNet: proton-proton collisions at 13 TeV, hard partons with pt in a 1 % window around 1 TeV, the
Monash 2013 tune with underlying event, a simplified detector, and anti-kt jets with R = 0.8 of all visible particles
as massless particles. The two leading jets of an event are kept if their pt is between 0.8 and 1.6 times that of the
partons.

References:
    R. Kansal et al., arXiv:2106.11535, appendix B; E. Coleman et al., arXiv:1709.08705 (the recipe);
    C. Bierlich et al., arXiv:2203.11601 (Pythia 8.3); M. Cacciari, G. Salam, G. Soyez, arXiv:1111.6097 (FastJet).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from partigan import __version__
from partigan.data.jets import attributes, read_parts, write_jets
from partigan.errors import PartiganError, check_number
from partigan.extras import require
from partigan.randomness import check_seed
from partigan.simulate.chunks import Chunks, simulated
from partigan.workers import check_workers

Flavour = Literal["g", "q", "t", "w", "z"]

_HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
_HADRONIC_Z = ("WeakZ0:gmZmode = 2", "23:onMode = off", "23:onIfAny = 1 2 3 4 5")
PROCESSES: dict[str, tuple[str, ...]] = {
    "g": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "q": ("HardQCD:qq2qq = on",),
    "t": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_HADRONIC_W),
    "w": ("WeakDoubleBoson:ffbar2WW = on", *_HADRONIC_W),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", *_HADRONIC_Z),
}
"""Pythia settings of the hard process of each JetNet class."""

RADIUS = 0.8
PT_RANGE = (0.8, 1.6)
CHUNK = 2000  # jets in a part file: a few seconds of work, of which Pythia's start-up takes a few per cent
_NEUTRINOS = (12, 14, 16)


@dataclass(frozen=True)
class Detector:
    """Response of a detector to visible particles.

    Attributes:
        decay_pi0: whether neutral pions decay into photons.
        cell: side of the square (eta, phi) cells in which neutral particles merge; None = no merging.
        charged_pt: lowest pt in GeV at which a charged particle is seen.
        neutral_pt: lowest pt in GeV at which a neutral particle, or a cell, is seen.
    """

    decay_pi0: bool = True
    cell: float | None = None
    charged_pt: float = 0.0
    neutral_pt: float = 0.0


DETECTORS = {
    "particle": Detector(),
    "simplified": Detector(decay_pi0=True, cell=0.03, charged_pt=0.5, neutral_pt=0.5),
}
"""``particle``: every stable visible particle; ``simplified``: thresholds, and a calorimeter that merges neutrals."""


@dataclass(frozen=True)
class Recipe:
    """Settings of the simulation of jets.

    Attributes:
        settings: of Pythia.
        detector: response to its particles.
        pt: transverse momentum of the hard partons in GeV.
        particles: largest number of particles of a jet to keep.
    """

    settings: tuple[str, ...]
    detector: Detector
    pt: float
    particles: int


def pythia_settings(
    flavour: str, detector: Detector, pt: float, pt_window: float, extra: Sequence[str] = ()
) -> list[str]:
    """All Pythia settings of a sample; settings of the user come last and override the others."""
    return [
        "Beams:eCM = 13000.",
        "Tune:pp = 14",  # Monash 2013
        *PROCESSES[flavour],
        f"PhaseSpace:pTHatMin = {pt * (1 - pt_window)!r}",
        f"PhaseSpace:pTHatMax = {pt * (1 + pt_window)!r}",
        "ParticleDecays:limitTau0 = on",
        "ParticleDecays:tau0Max = 10.",
        f"111:mayDecay = {'on' if detector.decay_pi0 else 'off'}",
        *extra,
    ]


def simulate_jets(
    flavour: Flavour,
    n: int,
    out: Path,
    particles: Literal[30, 150] = 30,
    seed: int = 1,
    workers: int = 1,
    detector: Literal["particle", "simplified"] = "simplified",
    pt: float = 1000.0,
    pt_window: float = 0.01,
    set: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate jets with Pythia 8 and FastJet.

    The file does not depend on the number of workers, bit for bit: each chunk of jets has its own Pythia and seed.

    Args:
        flavour: gluon, light quark, top, W or Z jets.
        n: number of jets.
        out: HDF5 file to make, in the JetNet layout.
        particles: largest number of particles of a jet to keep, in order of pt.
        seed: of the random generators.
        workers: number of processes, one thread each.
        detector: ``particle`` level, or a ``simplified`` detector (thresholds, merged neutrals) as in JetNet.
        pt: transverse momentum of the hard partons in GeV.
        pt_window: half width of the window around ``pt``, relative.
        set: further Pythia settings, such as ``"PartonLevel:MPI = off"``.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: Pythia refuses a setting, a value is out of range, the extra is missing, or the output exists or
            cannot be written.
    """
    _check(flavour, n, particles, workers, detector, pt, pt_window)
    check_seed(seed)
    if any(setting.strip().startswith("Random:") for setting in set):
        raise PartiganError("Pythia's Random settings are decided by --seed; leave them out of --set")
    require("simulate", "pythia8mc", "fastjet", "awkward")
    response = DETECTORS[detector]
    settings = pythia_settings(flavour, response, pt, pt_window, set)
    with silent():
        start_pythia(settings, seed=1)  # to find refused settings before anything is written
    job = {
        "kind": "jets",
        "flavour": flavour,
        "n": n,
        "particles": particles,
        "seed": seed,
        "pt": pt,
        "detector": {"name": detector, **asdict(response)},
        "pythia_settings": settings,
        "partigan_version": __version__,
        "pythia_version": metadata.version("pythia8mc"),
        "fastjet_version": metadata.version("fastjet"),
    }
    recipe = Recipe(tuple(settings), response, pt, particles)
    chunks = Chunks(
        n,
        CHUNK,
        f"simulating {flavour} jets",
        make_chunk,
        lambda chunk, size: (size, (seed, chunk), recipe),
        lambda out, parts, said: write_jets(out, read_parts(parts), said),
        attributes,
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)


def _check(flavour: str, n: int, particles: int, workers: int, detector: str, pt: float, pt_window: float) -> None:
    checks = {
        f"flavour {flavour!r}; there are {', '.join(PROCESSES)}": flavour in PROCESSES,
        f"detector {detector!r}; there are {', '.join(DETECTORS)}": detector in DETECTORS,
        f"particles = {particles}; JetNet files have 30 or 150": particles in (30, 150),
        f"pt = {pt} GeV; it is between 20 and 6000": 20 <= pt <= 6000,
        f"pt_window = {pt_window}; it is between 0 and 1": 0 < pt_window < 1,
    }
    for message, fine in checks.items():
        if not fine:
            raise PartiganError(f"cannot simulate jets with {message}")
    check_number("n", n, "jet")
    check_workers(workers)


def make_chunk(path: Path, jets: int, seed: tuple[int, int], recipe: Recipe) -> int:
    """Simulate exactly ``jets`` jets into a part file.

    Args:
        path: the part file.
        jets: their number.
        seed: of the file, and number of the chunk.
        recipe: settings of the simulation.

    Returns:
        ``jets``.

    Raises:
        PartiganError: Pythia makes no jets with these settings, or the file cannot be written.
    """
    pythia_seed = int(np.random.SeedSequence(seed).generate_state(1)[0]) % 900_000_000 + 1
    with silent():
        pythia = start_pythia(recipe.settings, pythia_seed)
        found: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        missing, attempts = jets, 0
        while missing > 0:
            events = pythia.nextBatch(max(missing // 2 + 5, 20))
            found.append(cluster(seen(events, pythia, recipe.detector), recipe.pt, recipe.particles))
            missing -= len(found[-1][1])
            attempts = attempts + 1 if len(found[-1][1]) == 0 else 0
            if attempts == 5:
                raise PartiganError(
                    "Pythia makes no jets with these settings: 5 batches of events had none with "
                    f"{PT_RANGE[0] * recipe.pt:g} < pt < {PT_RANGE[1] * recipe.pt:g} GeV; check --pt and --set"
                )
    clouds, features = (np.concatenate(column)[:jets] for column in zip(*found, strict=True))
    write_jets(path, [(clouds, features)], {})
    return jets


def seconds_of_a_jet(pt: float, particles: int) -> float:
    """Seconds that Pythia and FastJet take for a gluon jet in the simplified detector, without their start.

    Args:
        pt: of the hard partons in GeV.
        particles: largest number of particles of a jet.

    Raises:
        PartiganError: the extra is missing, or the pt is out of range.
    """
    _check("g", 1, 30, 1, "simplified", pt, 0.01)
    require("simulate", "pythia8mc", "fastjet", "awkward")
    response = DETECTORS["simplified"]
    with silent():
        pythia = start_pythia(pythia_settings("g", response, pt, 0.01), 1)
        for events in (10, 60):  # the first to warm up
            began = time.perf_counter()
            made = len(cluster(seen(pythia.nextBatch(events), pythia, response), pt, particles)[0])
    return (time.perf_counter() - began) / made


def start_pythia(settings: Sequence[str], seed: int) -> Any:
    """Start a Pythia with these settings.

    Raises:
        PartiganError: Pythia refuses a setting, or cannot start with them.
    """
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for setting in [*settings, "Random:setSeed = on", f"Random:seed = {seed}", "Print:quiet = on"]:
        if not pythia.readString(setting):
            raise PartiganError(f"Pythia refuses the setting {setting!r}; check its name and value")
    if not pythia.init():
        raise PartiganError(f"Pythia cannot start with these settings: {'; '.join(settings)}")
    return pythia


def seen(events: Any, pythia: Any, detector: Detector) -> Any:
    """Particles of Pythia events that a detector sees.

    Args:
        events: what ``pythia.nextBatch`` returned.
        pythia: knows the charges of particles.
        detector: its thresholds and cells.

    Returns:
        ``events * var * {px, py, pz, E}`` in GeV, an awkward array of massless particles.
    """
    import awkward as ak

    final = events.prt[events.prt.status > 0]
    counts = ak.num(final).to_numpy()
    flat = ak.flatten(final)
    identity = flat.id.to_numpy()
    px, py, pz = (flat.p[axis].to_numpy() for axis in ("px", "py", "pz"))
    event = np.repeat(np.arange(len(counts)), counts)
    kinds, index = np.unique(identity, return_inverse=True)
    charged = np.array([pythia.particleData.charge(int(kind)) != 0 for kind in kinds], dtype=bool)[index]
    visible = ~np.isin(np.abs(identity), _NEUTRINOS)

    tracks = visible & charged
    towers = visible & ~charged
    neutral = (event[towers], px[towers], py[towers], pz[towers])
    if detector.cell is not None:
        neutral = merge_neutrals(*neutral, detector.cell)
    event, px, py, pz, charged = (
        np.concatenate(pair)
        for pair in (
            *zip((event[tracks], px[tracks], py[tracks], pz[tracks]), neutral, strict=True),
            (np.ones(int(tracks.sum()), bool), np.zeros(len(neutral[0]), bool)),
        )
    )
    keep = np.hypot(px, py) > np.where(charged, detector.charged_pt, detector.neutral_pt)
    order = np.argsort(event[keep], kind="stable")
    event, px, py, pz = (column[keep][order] for column in (event, px, py, pz))
    energy = np.sqrt(px**2 + py**2 + pz**2)
    momenta = ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")
    return ak.unflatten(momenta, np.bincount(event, minlength=len(counts)))


Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def merge_neutrals(event: NDArray[Any], px: NDArray[Any], py: NDArray[Any], pz: NDArray[Any], cell: float) -> Columns:
    """Merge the neutral particles of each (eta, phi) cell of an event into one massless particle.

    Args:
        event: number of the event, ``(particles,)``.
        px: momentum in GeV, ``(particles,)``.
        py: the same.
        pz: the same.
        cell: side of a cell in eta and in phi.

    Returns:
        ``event``, ``px``, ``py``, ``pz`` of the merged particles.
    """
    eta = np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12))
    # |eta| < 10.24 covers everything that can end in a jet; cells are numbered from 0 in both directions
    columns = np.clip(np.floor(eta / cell), -(2**11), 2**11 - 1).astype(np.int64) + 2**11
    rows = np.floor((np.arctan2(py, px) + np.pi) / cell).astype(np.int64)
    address = (event.astype(np.int64) << 32) | (columns << 16) | rows
    unique, index = np.unique(address, return_inverse=True)
    sums = [np.bincount(index, weights=momentum, minlength=len(unique)) for momentum in (px, py, pz)]
    return unique >> 32, sums[0], sums[1], sums[2]


def cluster(momenta: Any, pt: float, particles: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cluster events into anti-kt jets in the JetNet layout.

    Args:
        momenta: ``events * var * {px, py, pz, E}`` in GeV, an awkward array.
        pt: pt of the hard partons in GeV; the two leading jets with 0.8 < pt(jet) / pt < 1.6 are kept.
        particles: largest number of particles of a jet to keep, in order of pt.

    Returns:
        ``particle_features`` (jets, particles, 4) and ``jet_features`` (jets, 4).
    """
    import awkward as ak
    import fastjet

    sequence = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS))
    lowest = PT_RANGE[0] * pt
    jets = sequence.inclusive_jets(min_pt=lowest)
    constituents = sequence.constituents(min_pt=lowest)
    jet_pt = np.hypot(jets.px, jets.py)
    leading = ak.argsort(jet_pt, ascending=False, stable=True)[:, :2]
    jets, constituents, jet_pt = jets[leading], constituents[leading], jet_pt[leading]
    keep = jet_pt < PT_RANGE[1] * pt
    jets, constituents = ak.flatten(jets[keep]), ak.flatten(constituents[keep], axis=1)

    jx, jy, jz, je = (jets[axis].to_numpy() for axis in ("px", "py", "pz", "E"))
    counts = ak.num(constituents).to_numpy()
    flat = ak.flatten(constituents)
    x, y, z = (flat[axis].to_numpy() for axis in ("px", "py", "pz"))
    jet = np.repeat(np.arange(len(counts)), counts)
    axis_pt = np.hypot(jx, jy)
    eta, phi, p_t = np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x), np.hypot(x, y)
    jet_eta, jet_phi = np.arcsinh(jz / axis_pt), np.arctan2(jy, jx)
    delta_phi = (phi - jet_phi[jet] + np.pi) % (2 * np.pi) - np.pi

    order = np.lexsort((-p_t, jet))
    rank = np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)
    order, rank = order[rank < particles], rank[rank < particles]
    clouds = np.zeros((len(counts), particles, 4), np.float32)
    columns = (eta - jet_eta[jet], delta_phi, p_t / axis_pt[jet], np.ones_like(eta))
    clouds[jet[order], rank] = np.stack([column[order] for column in columns], axis=-1)
    mass = np.sqrt(np.maximum(je**2 - jx**2 - jy**2 - jz**2, 0.0))
    multiplicity = np.minimum(counts, particles)
    return clouds, np.stack([axis_pt, jet_eta, mass, multiplicity], axis=1).astype(np.float32)


@contextmanager
def silent() -> Iterator[None]:
    """Keep C++ libraries, which write around Python, off standard output."""
    sys.stdout.flush()
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
