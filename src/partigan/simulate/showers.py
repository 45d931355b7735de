"""Physics of extensive air showers as an array of particle detectors sees them: depth of the maximum, signals, times.

Showers are parametrised, not followed particle by particle; thousands of them take a second. Lengths are in m, depths
in g/cm^2, times in ns, signals in VEM (vertical equivalent muons), energies as lg(E/eV).

References:
    M. Erdmann, J. Glombitza, D. Walz, A deep learning-based reconstruction of cosmic ray-induced air showers,
    Astropart. Phys. 97 (2018) 46, arXiv:1708.00647 (the parametrisation); M. De Domenico et al., JCAP 07 (2013) 050,
    arXiv:1305.2331 (depth of the maximum); B. Keilhauer et al., Astropart. Phys. 22 (2004) 249 (atmosphere).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from partigan.metrics.measurement import Floats

Rng = np.random.Generator
HadronicModel = Literal["epos-lhc", "qgsjetii-04"]

HEIGHT = 1400.0  # of the array above the sea, m
CLEARANCE = 200.0  # least height of the shower maximum above the array, m
LARGEST = 1e7  # particles in a station
TOP = 112_829.2  # of the atmosphere, m

_DEPTHS: dict[str, Floats] = {  # rows: mu, sigma, lambda; then powers of lgE - 19, and of ln A
    "epos-lhc": np.array(
        [
            [[775.589, -7.047, -2.427], [57.589, -0.743, 0.214], [-0.820, -0.169, -0.027]],
            [[29.403, 13.553, -3.154], [0.096, -0.961, 0.150], [0, 0, 0]],
            [[0.563, 0.711, 0.058], [0.039, 0.067, -0.004], [0, 0, 0]],
        ]
    ),
    "qgsjetii-04": np.array(
        [
            [[761.383, -11.719, -1.372], [57.344, -1.731, 0.309], [-0.355, 0.273, -0.137]],
            [[35.221, 12.335, -2.889], [0.307, -1.147, 0.271], [0, 0, 0]],
            [[0.673, 0.694, -0.007], [0.060, -0.019, 0.017], [0, 0, 0]],
        ]
    ),
}

# layers of the atmosphere: depth above height h is a + b exp(-h / c), in the last layer a - b h / c
_BOTTOM = np.array([0.0, 7e3, 11.4e3, 37e3, 100e3])
_A = np.array([-149.801663, -57.932486, 0.63631894, 4.35453690e-4, 0.01128292])
_B = np.array([1183.6071, 1143.0425, 1322.9748, 655.67307, 1.0])
_C = np.array([9542.4834, 8000.0534, 6295.6893, 7375.2177, 1e7])


@dataclass(frozen=True)
class Physics:
    """Constants of the parametrisation; two sets of them make two worlds.

    Attributes:
        hadronic_model: whose depths of the shower maximum.
        signal: in 1000 m from the axis at 10^19 eV, VEM.
        muons: share of muons in it, for protons and before both shares are normalised.
        mass_power: of the mass number, for the share of muons.
        muon_slope: power of the distance, muons.
        em_slope: the same, electromagnetic particles.
        muon_attenuation: power of the depth behind the maximum, muons.
        em_attenuation: the same, electromagnetic particles.
        muon_rise: median arrival time of muons in 750 m, beyond 50 ns, ns.
        em_rise: the same of electromagnetic particles, beyond 80 ns, ns.
        time_spread: sigma of the log-normal arrival times.
    """

    hadronic_model: HadronicModel = "epos-lhc"
    signal: float = 900.0
    muons: float = 0.3
    mass_power: float = 0.15
    muon_slope: float = -4.7
    em_slope: float = -6.1
    muon_attenuation: float = -0.1
    em_attenuation: float = -0.4
    muon_rise: float = 140.0
    em_rise: float = 200.0
    time_spread: float = 0.7


def depth_above(height: Floats) -> Floats:
    """Vertical depth above a height, g/cm^2.

    Example:
        >>> depth_above(np.array([0.0, 1400.0, 2e5])).round(0).tolist()
        [1034.0, 872.0, 0.0]
    """
    layer = np.searchsorted(_BOTTOM, height, side="right") - 1
    a, b, c = _A[layer], _B[layer], _C[layer]
    depth = np.where(layer == len(_A) - 1, a - b * height / c, a + b * np.exp(-np.minimum(height, TOP) / c))
    return np.asarray(np.where(height > TOP, 0.0, depth))


def height_of(depth: Floats) -> Floats:
    """Height below which a vertical depth is; the inverse of `depth_above`, below 100 km.

    Example:
        >>> height_of(depth_above(np.array([1400.0, 25e3]))).round(6).tolist()
        [1400.0, 25000.0]
    """
    edges = depth_above(_BOTTOM)
    layer = np.clip(np.searchsorted(-edges, -depth, side="right") - 1, 0, len(_A) - 2)
    return np.asarray(-_C[layer] * np.log((depth - _A[layer]) / _B[layer]))


def draw_maxima(log_energy: Floats, mass: Floats, rng: Rng, model: HadronicModel) -> Floats:
    """Slant depths of the shower maximum: a generalised Gumbel distribution.

    Args:
        log_energy: lg(E/eV).
        mass: mass number of the primary.
        rng: draws them.
        model: of hadronic interactions.

    References:
        arXiv:1305.2331, equations 2.3 and 3.1 to 3.4.
    """
    energy, mass_log = log_energy - 19, np.log(mass)
    powers = energy[:, None, None] ** np.arange(3)[:, None] * mass_log[:, None, None] ** np.arange(3)
    mu, sigma, shape = (np.asarray((powers * table).sum((1, 2))) for table in _DEPTHS[model])
    return np.asarray(mu - sigma * np.log(rng.gamma(shape, 1 / shape)))


def maximum_position(xmax: Floats, axis: Floats) -> Floats:
    """Where the shower maximum is, ``(showers, 3)``, from a core at the origin on the array's plane.

    Args:
        xmax: slant depth of the maximum.
        axis: unit vectors towards where showers come from, ``(showers, 3)``.
    """
    height = height_of(xmax * axis[:, 2]) - HEIGHT
    return np.asarray(axis * (height / axis[:, 2])[:, None])


def depth_behind(maximum: Floats, station: Floats) -> Floats:
    """Depth from the shower maximum to a station, along the line that joins them; both ``(showers, 3)``."""
    line = maximum - station
    length = np.linalg.norm(line, axis=1)
    vertical = depth_above(station[:, 2] + HEIGHT) - depth_above(maximum[:, 2] + HEIGHT)
    return np.asarray(vertical * length / line[:, 2])


def mean_signals(
    log_energy: Floats, mass: Floats, distance: Floats, behind: Floats, p: Physics
) -> tuple[Floats, Floats]:
    """Mean numbers of muons and of electromagnetic particles in a station.

    Args:
        log_energy: lg(E/eV).
        mass: mass number of the primary.
        distance: from the shower axis.
        behind: depth behind the shower maximum.
        p: constants.
    """
    muons, em = p.muons * mass**p.mass_power, 1 - p.muons
    far = np.maximum(distance, 150.0) / 1000
    total = p.signal * 10 ** (log_energy - 19) / (muons + em)
    return (
        np.minimum(total * muons * far**p.muon_slope * _attenuated(behind, p.muon_attenuation), LARGEST),
        np.minimum(total * em * far**p.em_slope * _attenuated(behind, p.em_attenuation), LARGEST),
    )


def _attenuated(behind: Floats, power: float) -> Floats:
    """What is left of a signal behind the shower maximum."""
    return np.asarray(np.minimum((behind / 100) ** power, 10.0))


def counted(mean: Floats, rng: Rng) -> Floats:
    """Whole numbers of particles about their mean, with its square root as width."""
    return np.asarray(np.floor(np.maximum(rng.normal(mean, np.sqrt(mean)), 0.0)))


def arrival_times(distance: Floats, behind: Floats, p: Physics) -> tuple[Floats, Floats, Floats]:
    """Log-normal arrival times behind the shower front: medians of both kinds of particles, and a delay.

    Args:
        distance: from the shower axis.
        behind: depth behind the shower maximum.
        p: constants.

    Returns:
        Medians of muons and of electromagnetic particles, and how much later the latter begin.
    """
    far = (distance / 750) ** 1.4
    muons = 50 + p.muon_rise * far * (1 - 0.2 * behind / 1000)
    em = 80 + p.em_rise * far * (1 - 0.1 * behind / 1000)
    return np.asarray(muons), np.asarray(em), np.asarray((em - muons) / 1.5)


def bin_shares(median: Floats, later: Floats, spread: float, edges: Floats) -> Floats:
    """Shares of log-normal arrival times in bins, ``(showers, bins + 1)``; the last is that of all outside.

    Args:
        median: of the arrival times.
        later: what is added to each time.
        spread: sigma of the logarithm of the times.
        edges: of the bins.
    """
    from scipy.special import ndtr

    times = np.maximum(edges - later[:, None], 1e-9)
    below = ndtr(np.log(times / median[:, None]) / spread)
    share = np.diff(below, axis=1, append=1.0)
    share[:, -1] += below[:, 0]  # before the first edge, with those after the last
    return np.asarray(share)


def in_bins(number: Floats, median: Floats, later: Floats, spread: float, edges: Floats, rng: Rng) -> Floats:
    """Numbers of particles in time bins, ``(showers, bins)``; those after the last edge are lost.

    Args:
        number: of particles.
        median: of their log-normal arrival times.
        later: what is added to each time.
        spread: sigma of the logarithm of the times.
        edges: of the bins.
        rng: draws them.
    """
    share = bin_shares(median, later, spread, edges)
    return rng.multinomial(number.astype(np.int64), share / share.sum(1, keepdims=True))[:, :-1].astype(float)
