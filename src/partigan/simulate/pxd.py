"""Beam background in the pixel vertex detector of Belle II: sources, energy loss and digitiser, in vectorised numpy.

Four sources put clusters on each sensor, in numbers that follow a negative binomial distribution:

- two-photon QED pairs e+e- -> e+e-e+e-: curlers with dN/dpt ~ pt^-n, flat in pseudorapidity, which cross a layer where
  their helix reaches it, and again on later half turns;
- Touschek and beam-gas secondaries: shallow along z, more of them around phi = 0;
- synchrotron photons: 4 to 14 keV in one point, localised in z and phi;
- Compton and other soft electrons: 10 to 120 keV on a short range.

Charged particles lose energy after Bichsel and Landau, charge diffuses while it drifts, and the digitiser adds noise,
subtracts a pedestal after the ADC has clipped, and cuts at a threshold.

What is matched to the published Geant4 sample by construction, by ``benchmarks/pxd_calibration.py``: the mean number
of clusters on each sensor, hence the 40 occupancies, and the shares of the sources, which are fitted to the spectrum of
the charge. Sensors are independent of each other, as in PE-GAN.

References:
    Belle II technical design report, arXiv:1011.0352 (detector, backgrounds); H. Bichsel, Rev. Mod. Phys. 60 (1988) 663
    (most probable energy loss in thin silicon); L. Landau, J. Phys. USSR 8 (1944) 201; basf2's PXD digitiser.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import landau

from partigan import __version__
from partigan.data.hdf5 import SPLITS, split_rows
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps
from partigan.data.hitmaps import MAXIMUM, THRESHOLD, Hitmaps
from partigan.data.pxd import COLUMNS, LAYER_OF, LAYERS, NAMES, PIXELS, ROWS, SENSORS, THICKNESS, U_PITCH
from partigan.errors import PartiganError
from partigan.files import Parts
from partigan.progress import progress_bar
from partigan.randomness import check_seed
from partigan.workers import spread

CHUNK = 20  # events in a part file: some seconds of work
SOURCES = ("two_photon", "beam_gas", "synchrotron", "compton")
CALIBRATED_AT = 2.0  # times the design background, of the Geant4 sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LANDAU_MODE = -0.22278  # of scipy's parametrisation


@dataclass(frozen=True)
class Parameters:
    """All numbers of the simulation but the calibrated rates.

    Attributes:
        pt_power: n of dN/dpt ~ pt^-n of two-photon curlers; a choice.
        survival: share of curlers left for each further half turn; a choice.
        half_turns: crossings that are followed.
        beam_gas_angles: range of the angles to z of beam-gas secondaries, rad, flat in the logarithm; a choice.
        beam_gas_width: standard deviation of their slope du/dw; a choice.
        modulation: of their number, 1 + modulation cos(phi); a choice.
        synchrotron_energy: range of photon energies, keV, flat.
        synchrotron_z: mean and width of the spot along z, mm; a choice.
        synchrotron_phi: width of the spot in phi around phi = 0, rad; a choice.
        compton_energy: range of electron energies, keV, flat in the logarithm; a choice.
        compton_range: range of electrons of 100 keV, mm, growing as E^1.75.
        bichsel: a and b of the most probable loss x (a + b ln x) in eV, x in um.
        landau_width: scale of the Landau distribution for 75 um, keV.
        gaussian_width: standard deviation of the broadening by bound electrons for 75 um, keV.
        piece: length of track whose loss is drawn at once, mm.
        steps: parts of a piece; what exceeds the most probable loss lies in one of them.
        pair_energy: to make an electron-hole pair in silicon, eV.
        diffusion: standard deviation of the lateral drift, mm.
        gain: electrons in an ADU.
        noise: electrons.
        pedestal: mean and standard deviation, ADU; the ADC clips at 255 before it is subtracted.
        overdispersion: 1/k of the negative binomial numbers of clusters, variance mu + mu^2 / k.
    """

    pt_power: float = 2.5
    survival: float = 0.6
    half_turns: int = 4
    beam_gas_angles: tuple[float, float] = (0.1, 1.0)
    beam_gas_width: float = 0.5
    modulation: float = 0.3
    synchrotron_energy: tuple[float, float] = (4.0, 14.0)
    synchrotron_z: tuple[float, float] = (10.0, 25.0)
    synchrotron_phi: float = 2.0
    compton_energy: tuple[float, float] = (10.0, 120.0)
    compton_range: float = 0.05
    bichsel: tuple[float, float] = (100.6, 35.35)
    landau_width: float = 1.34
    gaussian_width: float = 2.2
    piece: float = 0.06
    steps: int = 6
    pair_energy: float = 3.65
    diffusion: float = 0.0042
    gain: float = 216.7
    noise: float = 150.0
    pedestal: tuple[float, float] = (100.0, 30.0)
    overdispersion: float = 0.0005


@dataclass(frozen=True)
class Rates:
    """Numbers of clusters, as calibrated at twice the design background.

    Attributes:
        clusters: ``(40,)`` mean number on each sensor.
        shares: share of each source in the clusters of layers 1 and 2, before their dependence on phi and z.
    """

    clusters: tuple[float, ...]
    shares: dict[str, tuple[float, float]]

    @classmethod
    @cache
    def calibrated(cls) -> Rates:
        """The rates that ``benchmarks/pxd_calibration.py`` wrote."""
        stored = json.loads(files("partigan.simulate").joinpath("pxd_rates.json").read_text())
        shares = {source: (float(one), float(two)) for source, (one, two) in stored["shares"].items()}
        return cls(tuple(float(stored["clusters"][name]) for name in NAMES), shares)


class Deposits(NamedTuple):
    """Points of charge in silicon.

    Attributes:
        sensor: ``(points,)`` index.
        u: from the first column's edge, mm.
        v: from the outer end, mm.
        energy: keV.
    """

    sensor: Ints
    u: Floats
    v: Floats
    energy: Floats


class Tracks(NamedTuple):
    """Straight paths through the sensors.

    Attributes:
        sensor: ``(tracks,)`` index.
        u: where the middle of the path is, from the first column's edge, mm.
        v: the same from the outer end, mm.
        u_slope: du over path length.
        v_slope: dv over path length.
        length: of the path in silicon, mm.
    """

    sensor: Ints
    u: Floats
    v: Floats
    u_slope: Floats
    v_slope: Floats
    length: Floats


_RADIUS = np.array([LAYERS[sensor.layer].radius for sensor in SENSORS])
_SHIFT = np.array([LAYERS[sensor.layer].shift for sensor in SENSORS])
_LENGTH = np.array([LAYERS[sensor.layer].edges[-1] for sensor in SENSORS])
_OUTER = np.array([LAYERS[sensor.layer].outer[sensor.number - 1] for sensor in SENSORS])
_FIRST_PITCH, _SECOND_PITCH = np.array([[pitch for _, pitch in LAYERS[sensor.layer].pitches] for sensor in SENSORS]).T
_CHANGE = LAYERS[1].pitches[0][0]  # row at which the pitch changes
_PHI = np.array([sensor.phi for sensor in SENSORS])
_WIDTH = COLUMNS * U_PITCH


def _z(sensor: Ints, v: Floats) -> Floats:
    return np.asarray(_OUTER[sensor] - np.sign(_OUTER[sensor]) * v)


def _anywhere(sensor: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Points that are uniform on the sensors."""
    return rng.random(len(sensor)) * _WIDTH, rng.random(len(sensor)) * _LENGTH[sensor]


def two_photon(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Tracks:
    """Crossings of curlers from the interaction point.

    A helix of radius R reaches the distance r from the beam line if s = r / 2R < 1, that is pt > 3.2 MeV (layer 1) or
    4.9 MeV (layer 2) in 1.5 T, and then makes the angle asin(s) with the radius. Its n-th crossing is the arc
    2R asin(s), 2R (pi - asin(s)), 2R (pi + asin(s)), ... away from the interaction point; there z = arc sinh(eta).
    """
    size = len(sensor)
    s = rng.random(size) ** (1 / (p.pt_power - 1))
    angle = np.arcsin(s)
    turn = np.arange(p.half_turns)
    turns = np.pi * ((turn + 1) // 2) + np.where(turn % 2, -1, 1) * angle[:, None]
    arcs = _RADIUS[sensor][:, None] / s[:, None] * turns
    low, high = (np.arcsinh(_z(sensor, end)[:, None] / arcs) for end in (np.zeros(size), _LENGTH[sensor]))
    weight = np.cumsum(p.survival**turn * np.abs(high - low), axis=1)
    which = (rng.random(size)[:, None] * weight[:, -1:] > weight).sum(1)[:, None]
    arc, low, high = (np.take_along_axis(each, which, 1)[:, 0] for each in (arcs, low, high))
    slope = np.sinh(low + (high - low) * rng.random(size))  # dz over transverse path
    u = rng.random(size) * _WIDTH
    v = np.abs(arc * slope - _OUTER[sensor])
    # the sensor's normal is not the radius there
    off = np.arctan2(_SHIFT[sensor] + u - _WIDTH / 2, _RADIUS[sensor])
    local = np.where(rng.random(size) < 0.5, 1, -1) * angle + off
    whole = np.sqrt(1 + slope**2)
    # grazing paths end where the helix bends out of the silicon
    transverse = np.minimum(THICKNESS / np.abs(np.cos(local)), np.sqrt(4 * _RADIUS[sensor] / s * THICKNESS))
    down = -np.sign(_OUTER[sensor])
    return Tracks(sensor, u, v, np.sin(local) / whole, down * slope / whole, transverse * whole)


def beam_gas(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Tracks:
    """Secondaries that go along z."""
    size = len(sensor)
    low, high = np.log(p.beam_gas_angles)
    v_slope = 1 / np.tan(np.exp(low + (high - low) * rng.random(size))) * np.where(rng.random(size) < 0.5, 1, -1)
    u_slope = rng.normal(0, p.beam_gas_width, size)
    stretch = np.sqrt(1 + u_slope**2 + v_slope**2)
    return Tracks(sensor, *_anywhere(sensor, rng), u_slope / stretch, v_slope / stretch, THICKNESS * stretch)


def synchrotron(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Deposits:
    """Photons that are absorbed in one point, most of them near a spot in z."""
    low, high = p.synchrotron_energy
    u = rng.random(len(sensor)) * _WIDTH
    mean, width = p.synchrotron_z
    ends = (_z(sensor, np.zeros(len(sensor))), _z(sensor, _LENGTH[sensor]))
    near, far = (ndtr((end - mean) / width) for end in ends)
    z = mean + width * ndtri(near + (far - near) * rng.random(len(sensor)))
    return Deposits(sensor, u, np.abs(z - _OUTER[sensor]), low + (high - low) * rng.random(len(sensor)))


def compton(sensor: Ints, p: Parameters, rng: np.random.Generator) -> Deposits:
    """Soft electrons that stop in the silicon, in a few points along their range."""
    size = len(sensor)
    low, high = p.compton_energy
    energy = low * (high / low) ** rng.random(size)
    reach = p.compton_range * (energy / 100) ** 1.75
    u, v = _anywhere(sensor, rng)
    direction, cosine = 2 * np.pi * rng.random(size), rng.random(size)
    sine = np.sqrt(1 - cosine**2)
    along = (np.arange(p.steps) + 0.5) / p.steps * reach[:, None]
    return Deposits(
        np.repeat(sensor, p.steps),
        (u[:, None] + along * (sine * np.cos(direction))[:, None]).ravel(),
        (v[:, None] + along * (sine * np.sin(direction))[:, None]).ravel(),
        np.repeat(energy / p.steps, p.steps),
    )


def lose(tracks: Tracks, p: Parameters, rng: np.random.Generator) -> Deposits:
    """The energy that charged particles leave along their paths.

    A path is cut into pieces of equal length, about ``piece``. A piece takes the most probable loss of Bichsel and
    Landau fluctuations about it; losses up to the most probable one are spread evenly, the excess lies in one step.
    """
    number = np.maximum(np.rint(tracks.length / p.piece), 1).astype(np.int64)
    track = np.repeat(np.arange(len(number)), number)
    place = np.arange(len(track)) - np.repeat(np.cumsum(number) - number, number)
    length = (tracks.length / number)[track]
    um = length * 1e3
    mode = um * (p.bichsel[0] + p.bichsel[1] * np.log(um)) * 1e-3
    relative = length / THICKNESS
    loss = mode + p.landau_width * relative * (_landau(len(track), rng) - _LANDAU_MODE)
    loss = np.maximum(loss + rng.normal(0, 1, len(track)) * p.gaussian_width * np.sqrt(relative), 0)
    even = np.minimum(loss, mode)
    energy = np.repeat(even[:, None] / p.steps, p.steps, axis=1)
    energy[np.arange(len(track)), rng.integers(0, p.steps, len(track))] += loss - even
    part = place[:, None] + (np.arange(p.steps) + 0.5) / p.steps
    along = part * length[:, None] - tracks.length[track][:, None] / 2  # from the middle of the path
    return Deposits(
        np.repeat(tracks.sensor[track], p.steps),
        (tracks.u[track][:, None] + along * tracks.u_slope[track][:, None]).ravel(),
        (tracks.v[track][:, None] + along * tracks.v_slope[track][:, None]).ravel(),
        energy.ravel(),
    )


@cache
def _landau_table() -> tuple[Floats, Floats]:
    """Quantiles of the Landau distribution, whose highest 10^-4 are cut: its mean is infinite."""
    quantiles = np.concatenate([np.linspace(0, 0.99, 2000)[1:], 1 - np.geomspace(0.01, 1e-4, 400)[1:]])
    return quantiles, landau.ppf(quantiles)


def _landau(size: int, rng: np.random.Generator) -> Floats:
    quantiles, values = _landau_table()
    return np.interp(rng.random(size), quantiles, values)


def collect(deposits: Deposits, p: Parameters) -> tuple[Ints, Floats]:
    """Pixels ``(sensor * 250 + u) * 768 + v`` with charge, and their electrons; charge drifts by a Gaussian."""
    inside = (deposits.u >= 0) & (deposits.u < _WIDTH) & (deposits.v >= 0) & (deposits.v < _LENGTH[deposits.sensor])
    sensor, u, v, energy = (column[inside] for column in deposits)
    electrons = energy * (1e3 / p.pair_energy)
    first, second = _FIRST_PITCH[sensor], _SECOND_PITCH[sensor]
    change = _CHANGE * first
    row = np.where(v < change, v / first, _CHANGE + (v - change) / second)
    columns = _shares(u / U_PITCH, U_PITCH, COLUMNS, p.diffusion)
    rows = _shares(row, np.where(v < change, first, second), ROWS, p.diffusion)
    addresses, charges = [], []
    for column, share_u in columns:
        for row, share_v in rows:
            share = share_u * share_v
            some = np.flatnonzero(share)
            addresses.append((sensor[some] * COLUMNS + column[some]) * ROWS + row[some])
            charges.append(electrons[some] * share[some])
    address, charge = np.concatenate(addresses), np.concatenate(charges)
    order = np.argsort(address)
    pixels, first = np.unique(address[order], return_index=True)
    return pixels, np.add.reduceat(charge[order], first) if len(first) else np.zeros(0)


def _shares(place: Floats, pitch: float | Floats, limit: int, diffusion: float) -> tuple[tuple[Ints, Floats], ...]:
    """The pixel of each point along one axis and its nearer neighbour, with their shares of the charge."""
    pixel = place.astype(np.int64)
    within = place - pixel
    before = within < 0.5
    neighbour = pixel + np.where(before, -1, 1)
    distance = np.where(before, within, 1 - within) * pitch
    near = np.flatnonzero((distance < 4 * diffusion) & (neighbour >= 0) & (neighbour < limit))
    share = np.zeros(len(place))
    share[near] = ndtr(-distance[near] / diffusion)
    return (pixel, 1 - share), (neighbour, share)


def digitise(pixels: Ints, electrons: Floats, p: Parameters, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Those pixels above threshold, and their charges in ADU."""
    signal = (electrons + rng.normal(0, p.noise, len(pixels))) / p.gain
    pedestal = np.maximum(rng.normal(*p.pedestal, len(pixels)), 0)
    charge = np.floor(np.minimum(signal + pedestal, MAXIMUM) - pedestal + 0.5).astype(np.int64)
    read = charge >= THRESHOLD
    return pixels[read], charge[read]


def weights(p: Parameters, rates: Rates) -> Floats:
    """``(4, 40)``: shares of the sources in the clusters of each sensor."""
    phi = (_PHI + np.pi) % (2 * np.pi) - np.pi
    mean, width = p.synchrotron_z
    ends = (_OUTER, _OUTER - np.sign(_OUTER) * _LENGTH)
    spot = np.abs(np.subtract(*(ndtr((end - mean) / width) for end in ends)))
    shapes = {
        "two_photon": np.ones(len(SENSORS)),
        "beam_gas": 1 + p.modulation * np.cos(phi),
        "synchrotron": np.exp(-0.5 * (phi / p.synchrotron_phi) ** 2) * spot,
        "compton": np.ones(len(SENSORS)),
    }
    for shape in shapes.values():
        shape /= (np.bincount(LAYER_OF, shape) / np.bincount(LAYER_OF).clip(1))[LAYER_OF]
    shares = np.stack([np.array(rates.shares[source])[LAYER_OF - 1] * shapes[source] for source in SOURCES])
    return np.asarray(shares / shares.sum(0))


def simulate_event(background: float, p: Parameters, rates: Rates, rng: np.random.Generator) -> Hitmaps:
    """One event.

    Args:
        background: level in units of the design background.
        p: numbers of the simulation.
        rates: numbers of clusters.
        rng: draws everything.
    """
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
    together = Deposits(*(np.concatenate(columns) for columns in zip(*deposits, strict=True)))
    address, charge = digitise(*collect(together, p), p, rng)
    sensor, pixel = np.divmod(address, PIXELS)
    return Hitmaps.of(1, np.zeros_like(sensor), sensor, pixel // ROWS, pixel % ROWS, charge)


def simulate_pxd(
    events: int,
    out: Path,
    background: float = CALIBRATED_AT,
    seed: int = 1,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Simulate background hitmaps of the 40 sensors of the PXD.

    The file is the same bit for bit whatever the number of workers, since every event has a seed of its own.

    Args:
        events: number of events.
        out: HDF5 file to make; see `partigan.data.hitmap_files`.
        background: level in units of the design background; the occupancies are calibrated at 2.
        seed: makes the file reproducible.
        workers: number of processes, one thread each.
        resume: go on with an interrupted simulation.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a value is out of range, the output exists or cannot be written.
    """
    checks = {
        f"events = {events}; at least one event is needed": events >= 1,
        f"background = {background}; it is between 0 and 20": 0 <= background <= 20,
        f"workers = {workers}; at least one is needed": workers >= 1,
    }
    for message, fine in checks.items():
        if not fine:
            raise PartiganError(f"cannot simulate PXD hitmaps with {message}")
    check_seed(seed)
    job = {
        "kind": "pxd",
        "events": events,
        "background": background,
        "seed": seed,
        "parameters": asdict(Parameters()),
        "rates": asdict(Rates.calibrated()),
        "partigan_version": __version__,
    }
    sizes = [min(CHUNK, events - first) for first in range(0, events, CHUNK)]
    parts = Parts(out, job, len(sizes), resume=resume, overwrite=overwrite)
    if parts.merged:
        return parts.out
    missing = parts.missing()
    with progress_bar("simulating PXD hitmaps", events) as advance:
        advance(events - sum(sizes[chunk] for chunk in missing))
        arguments = [(parts.path(chunk), chunk * CHUNK, sizes[chunk], background, seed) for chunk in missing]
        for done in spread(_make_chunk, arguments, workers):
            advance(done)
    attributes: dict[str, Any] = {
        key: value if isinstance(value, (str, int, float)) else json.dumps(value) for key, value in job.items()
    }
    attributes |= {f"split_{split}": split_rows(events, split) for split in SPLITS if split != "all"}
    write_hitmaps(out, (read_hitmaps(parts.path(chunk)) for chunk in range(len(sizes))), attributes)
    parts.finish()
    return Path(out)


def _make_chunk(path: Path, first: int, events: int, background: float, seed: int) -> int:
    """Simulate some events, from number ``first``, into a part file."""
    rngs = (np.random.default_rng((seed, event)) for event in range(first, first + events))
    made = [simulate_event(background, Parameters(), Rates.calibrated(), rng) for rng in rngs]
    write_hitmaps(path, [Hitmaps.joined(made)], {})
    return events
