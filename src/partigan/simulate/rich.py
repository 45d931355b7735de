"""Physics of a ring-imaging Cherenkov detector: angles, photons, and likelihoods of particles from rings.

One radiator of C4F10, like RICH 1 of LHCb. Momenta are GeV, angles rad, wavelengths nm, photon energies eV.

References:
    I. Frank, I. Tamm, Coherent visible radiation of fast electrons passing through matter (1937); Particle Data Group,
    Review of Particle Physics, sections Passage of particles through matter (Cherenkov radiation) and Particle
    detectors at accelerators (ring imaging, 370 photons per eV and cm).
    LHCb RICH group, Performance of the LHCb RICH detector at the LHC, arXiv:1211.6759 (1.6 mrad for a photon, about 30
    photons, a kaon threshold of 9.3 GeV).
    R. Forty, O. Schneider, RICH pattern recognition, LHCb-98-040 (the likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from partigan.metrics.measurement import Floats

Rng = np.random.Generator

MASSES = {"e": 0.000511, "mu": 0.10566, "pi": 0.13957, "K": 0.49368, "p": 0.93827}
"""Particles that are told apart, with their masses in GeV."""
SPECIES = tuple(MASSES)
HYPOTHESES = (*SPECIES, "bt")
"""What likelihoods are taken of: the particles, and one below threshold, which gives no light."""

FRANK_TAMM = 370.0  # photons per eV and cm at sin(theta) = 1
WINDOW = 0.08  # largest angle of a photon that counts
_POLE, _STRENGTH = 73.7, 0.25324e-6  # of the refractive index
_NODES = 32  # of integrals over the band


@dataclass(frozen=True)
class Detector:
    """Constants of the detector.

    Attributes:
        length: of the radiator, cm.
        band: lowest and highest energy of detected photons, eV; the efficiency is a parabola that is 0 at both.
        efficiency: its maximum.
        resolution: standard deviation of a photon's angle in an empty event beside the spread of colours, rad.
        tracking: standard deviation of the angle that all photons of a track share, rad, at high momentum.
        scattering: the same at 1 GeV, where it falls as 1/P.
        crowding: tracks in an event that double the variances of both angles.
        background: photons of other tracks per mrad at 50 mrad in an event of 180 tracks.
        lost: share of tracks that give no light: they interact or decay before the radiator.
    """

    length: float = 85.0
    band: tuple[float, float] = (2.0, 5.5)
    efficiency: float = 0.145
    resolution: float = 1.5e-3
    tracking: float = 0.3e-3
    scattering: float = 4e-3
    crowding: float = 300.0
    background: float = 0.75
    lost: float = 0.03

    @property
    def nodes(self) -> tuple[Floats, Floats]:
        """Energies in the band and their weights, for integrals of efficiency times a function."""
        low, high = self.band
        place = (np.arange(_NODES) + 0.5) / _NODES
        return low + (high - low) * place, self.efficiency * 4 * place * (1 - place) * (high - low) / _NODES


def refractive_index(wavelength: ArrayLike) -> Floats:
    """Of C4F10 as a gas: n - 1 has one pole in the ultraviolet; n = 1.0014 at 400 nm.

    Args:
        wavelength: nm.
    """
    return np.asarray(1 + _STRENGTH / (_POLE**-2 - np.asarray(wavelength, float) ** -2))


def of_energy(energy: ArrayLike) -> Floats:
    """The refractive index for photons of an energy in eV."""
    return refractive_index(1239.842 / np.asarray(energy, float))


def threshold(mass: ArrayLike, index: ArrayLike) -> Floats:
    """Momentum at which a particle begins to give light: beta = 1/n, so p = m / sqrt(n^2 - 1).

    Example:
        >>> float(threshold(MASSES["K"], refractive_index(400)).round(1))
        9.2
    """
    return np.asarray(mass / np.sqrt(np.square(index) - 1.0))


def sine_squared(momentum: ArrayLike, mass: ArrayLike, index: ArrayLike) -> Floats:
    """sin^2 of the Cherenkov angle, 1 - 1/(n beta)^2; 0 below threshold."""
    inverse = 1 + np.square(mass) / np.square(np.asarray(momentum, float))  # 1/beta^2
    return np.asarray(np.clip(1 - inverse / np.square(index), 0, None))


def angle(momentum: ArrayLike, mass: ArrayLike, index: ArrayLike) -> Floats:
    """The Cherenkov angle, cos(theta) = 1/(n beta); 0 below threshold."""
    return np.asarray(np.arcsin(np.sqrt(sine_squared(momentum, mass, index))))


def acceptance(eta: ArrayLike) -> Floats:
    """Share of a track's light that reaches the photon detectors: it falls at both ends, 1.9 < eta < 4.6."""
    eta = np.asarray(eta, float)
    return np.asarray(1 / (1 + np.exp((1.9 - eta) / 0.1)) / (1 + np.exp((eta - 4.6) / 0.2)))


def expected_rings(momentum: Floats, detector: Detector) -> tuple[Floats, Floats, Floats]:
    """What each particle would give if it had this momentum.

    Args:
        momentum: ``(tracks,)``.
        detector: its constants.

    Returns:
        Numbers of photons by Frank and Tamm, mean angles, and standard deviations of the angles by colour,
        ``(tracks, 5)`` each in the order of ``SPECIES``.
    """
    energy, weight = detector.nodes
    masses = np.array([*MASSES.values()])
    light = sine_squared(momentum[:, None, None], masses[:, None], of_energy(energy))
    yields = (light * weight).sum(2)
    theta, share = np.arcsin(np.sqrt(light)), light * weight / np.maximum(yields, 1e-12)[..., None]
    mean = (theta * share).sum(2)
    spread = np.sqrt((np.square(theta - mean[..., None]) * share).sum(2))
    return FRANK_TAMM * detector.length * yields, mean, spread


@dataclass(frozen=True, eq=False)
class Photons:
    """Photons of many tracks.

    Attributes:
        track: number of the track, ``(photons,)``.
        theta: angle at which it is seen, ``(photons,)``.
    """

    track: np.ndarray
    theta: Floats


def emitted(particle: np.ndarray, momentum: Floats, accepted: Floats, detector: Detector, rng: Rng) -> Photons:
    """Detected photons of tracks before any resolution: candidates by energy, kept with sin^2 over its largest value.

    Args:
        particle: numbers in ``SPECIES``, ``(tracks,)``.
        momentum: ``(tracks,)``.
        accepted: share of the light, ``(tracks,)``.
        detector: its constants.
        rng: decides.
    """
    (low, high), masses = detector.band, np.array([*MASSES.values()])
    largest = 1 - of_energy(high) ** -2.0
    mean = FRANK_TAMM * detector.length * detector.nodes[1].sum() * largest
    track = np.repeat(np.arange(len(particle)), rng.poisson(mean * accepted))
    energy = low + (high - low) * rng.beta(2, 2, len(track))
    light = sine_squared(momentum[track], masses[particle[track]], of_energy(energy))
    kept = rng.random(len(track)) * largest < light
    return Photons(track[kept], np.arcsin(np.sqrt(light[kept])))


def delta_log_likelihoods(
    particle: np.ndarray, momentum: Floats, eta: Floats, tracks: Floats, detector: Detector, rng: Rng
) -> Floats:
    """Likelihoods of the hypotheses for simulated tracks, over that of a pion.

    The likelihood of a hypothesis with N expected photons is exp(-N) times the product over all photons of
    N G(theta) + b(theta): G is a Gaussian about its angle, b the density of background. It knows the mean resolution,
    background and acceptance of the event, and neither what all photons of a track share nor that light may be lost.

    Args:
        particle: what the tracks are, numbers in ``SPECIES``, ``(tracks,)``.
        momentum: GeV, ``(tracks,)``.
        eta: pseudorapidity, ``(tracks,)``.
        tracks: number of tracks in the event, ``(tracks,)``.
        detector: its constants.
        rng: decides.

    Returns:
        ln L - ln L(pion), ``(tracks, 6)`` in the order of ``HYPOTHESES``.
    """
    size, accepted = len(momentum), acceptance(eta)
    crowded = np.sqrt(1 + np.square(tracks / detector.crowding))
    seen = accepted * (rng.random(size) >= detector.lost)
    own = emitted(particle, momentum, seen, detector, rng)
    shared = np.hypot(detector.tracking, detector.scattering / momentum) * crowded * rng.standard_normal(size)
    blur = detector.resolution * crowded[own.track] * rng.standard_normal(len(own.track))
    density = 1e3 * detector.background * tracks / 180 * np.exp(0.3 * (eta - 3.4)) / 0.05  # per rad, and rad of angle
    other = np.repeat(np.arange(size), rng.poisson(density * WINDOW**2 / 2))
    track = np.concatenate([own.track, other])
    theta = np.concatenate(
        [np.abs(own.theta + shared[own.track] + blur), WINDOW * np.sqrt(rng.random(len(other)))]
    )  # background grows as the circumference of a ring
    inside = theta < WINDOW
    track, theta = track[inside], theta[inside]
    yields, mean, colours = expected_rings(momentum, detector)
    yields = yields * accepted[:, None]
    width = np.hypot(colours, (detector.resolution * crowded)[:, None])
    pull = (theta[:, None] - mean[track]) / width[track]
    signal = yields[track] * np.exp(-0.5 * pull**2) / (np.sqrt(2 * np.pi) * width[track])
    ratio = np.log1p(signal / np.maximum(density[track] * theta, 1.0)[:, None])
    logs = np.stack([np.bincount(track, column, size) for column in ratio.T], axis=1) - yields
    logs = np.concatenate([logs, np.zeros((size, 1))], axis=1)
    return np.asarray(logs - logs[:, [SPECIES.index("pi")]])
