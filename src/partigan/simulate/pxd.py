"""Beam background in the pixel vertex detector (PXD) of Belle II: sources, energy loss and digitiser, in numpy.

Four sources put clusters on each sensor; their numbers follow a negative binomial distribution:

- two-photon QED pairs e+e- -> e+e-e+e-: curlers with dN/dpt ~ pt^-n, flat in pseudorapidity, which cross a layer where
  their helix reaches it, and again on later half turns;
- Touschek and beam-gas secondaries: shallow along z, more of them around phi = 0;
- synchrotron photons: 4 to 14 keV in one point, localised in z and phi;
- Compton and other soft electrons: 10 to 120 keV on a short range.

Charged particles lose energy after Bichsel and Landau, charge diffuses while it drifts, and the digitiser adds noise,
subtracts a pedestal after the ADC has clipped, and cuts at a threshold.

``benchmarks/pxd_calibration.py`` matches two things to the published Geant4 sample: the mean number of clusters on each
sensor, hence the 40 occupancies, and the shares of the sources, which are fitted to the spectrum of the charge. Sensors
are independent of each other, as in PE-GAN, but for the option ``recrossing``.

References:
    Belle II technical design report, arXiv:1011.0352 (detector, backgrounds); H. Bichsel, Rev. Mod. Phys. 60 (1988) 663
    (most probable energy loss in thin silicon); L. Landau, J. Phys. USSR 8 (1944) 201; basf2's PXD digitiser.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from partigan import __version__
from partigan.data.hitmap_files import SUFFIXES, hitmap_attributes, read_hitmaps, write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import PIXELS, ROWS, SENSORS
from partigan.errors import PartiganError, check_number
from partigan.randomness import check_seed
from partigan.simulate.chunks import Chunks, simulated
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates
from partigan.simulate.pxd_silicon import Deposits, collect, digitise, lose
from partigan.simulate.pxd_sources import beam_gas, compton, synchrotron, two_photon, weights
from partigan.workers import check_workers

CHUNK = 20  # events in a part file: some seconds of work


def simulate_event(background: float, p: Parameters, rates: Rates, rng: np.random.Generator) -> Hitmaps:
    """Simulate one event.

    Args:
        background: level in units of the design background.
        p: parameters of the simulation.
        rates: numbers of clusters.
        rng: random generator of the event.
    """
    address, charge = digitise(*collect(deposit(background, p, rates, rng), p), p, rng)
    sensor, pixel = np.divmod(address, PIXELS)
    return Hitmaps.of(1, np.zeros_like(sensor), sensor, pixel // ROWS, pixel % ROWS, charge)


def deposit(background: float, p: Parameters, rates: Rates, rng: np.random.Generator) -> Deposits:
    """The charge that the background of one event leaves in the silicon; arguments as of `simulate_event`."""
    mean = np.array(rates.clusters) * background / CALIBRATED_AT
    size = 1 / p.overdispersion
    clusters = rng.negative_binomial(size, size / (size + mean))
    of_source = rng.multinomial(clusters, weights(p, rates).T).T
    where = [np.repeat(np.arange(len(SENSORS)), number) for number in of_source]
    deposits = (
        lose(two_photon(where[0], p, rng), p, rng),
        lose(beam_gas(where[1], p, rng), p, rng),
        synchrotron(where[2], p, rng),
        compton(where[3], p, rng),
    )
    return Deposits(*(np.concatenate(columns) for columns in zip(*deposits, strict=True)))


def simulate_pxd(
    events: int,
    out: Path,
    background: float = CALIBRATED_AT,
    recrossing: float = 0.0,
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate background hitmaps of the 40 sensors of the PXD.

    The file does not depend on the number of workers, bit for bit: each event has its own seed.

    Args:
        events: number of events.
        out: file to make, in HDF5 (``.h5``), ROOT (``.root``) or, without a suffix, as a folder of PNG images; see
            `partigan.data.hitmap_files`.
        background: level in units of the design background; the occupancies are calibrated at 2.
        recrossing: share of the curlers of two-photon pairs whose other crossings appear in other sensors, too, so that
            these are correlated; occupancies are calibrated without.
        seed: of the random generators.
        workers: number of processes, one thread each.
        resume: resume an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, or the output exists or cannot be written.
    """
    checks = {
        f"background = {background}; it is between 0 and 20": 0 <= background <= 20,
        f"recrossing = {recrossing}; it is between 0 and 1": 0 <= recrossing <= 1,
    }
    for message, fine in checks.items():
        if not fine:
            raise PartiganError(f"cannot simulate PXD hitmaps with {message}")
    check_number("events", events, "event")
    check_workers(workers)
    check_seed(seed)
    parameters = Parameters(recrossing=recrossing)
    job = {
        "kind": "pxd",
        "events": events,
        "background": background,
        "seed": seed,
        "parameters": asdict(parameters),
        "rates": asdict(Rates.calibrated()),
        "partigan_version": __version__,
    }
    chunks = Chunks(
        events,
        CHUNK,
        "simulating PXD hitmaps",
        make_chunk,
        lambda chunk, size: (chunk * CHUNK, size, background, seed, parameters),
        lambda out, parts, attributes: write_hitmaps(out, map(read_hitmaps, parts), attributes),
        hitmap_attributes,
        SUFFIXES,
    )
    return simulated(out, job, chunks, workers=workers, resume=resume, overwrite=overwrite)


def make_chunk(path: Path, first: int, events: int, background: float, seed: int, parameters: Parameters) -> int:
    """Simulate ``events`` events, from number ``first``, into a part file, and return their number."""
    rngs = (np.random.default_rng((seed, event)) for event in range(first, first + events))
    made = [simulate_event(background, parameters, Rates.calibrated(), rng) for rng in rngs]
    write_hitmaps(path, [Hitmaps.joined(made)], {})
    return events
