"""Numbers of the PXD simulation: parameters of sources, silicon and digitiser, and the calibrated rates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from partigan.data.pxd import NAMES

SOURCES = ("two_photon", "beam_gas", "synchrotron", "compton")
CALIBRATED_AT = 2.0  # level of the Geant4 sample, in units of the design background


@dataclass(frozen=True)
class Parameters:
    """Parameters of the simulation, except the calibrated rates.

    Attributes:
        pt_power: n of dN/dpt ~ pt^-n of two-photon curlers; a choice.
        survival: share of curlers left after each further half turn; a choice.
        half_turns: number of crossings to follow.
        recrossing: share of curlers whose other crossings of both layers appear, too; 0 = crossings are independent.
        beam_gas_angles: range of the angles to z of beam-gas secondaries, rad, flat in the logarithm; a choice.
        beam_gas_width: standard deviation of their slope du/dw; a choice.
        modulation: of their number as 1 + modulation cos(phi); a choice.
        synchrotron_energy: range of photon energies, keV, flat.
        synchrotron_z: mean and width of the spot along z, mm; a choice.
        synchrotron_phi: width of the spot in phi around phi = 0, rad; a choice.
        compton_energy: range of electron energies, keV, flat in the logarithm; a choice.
        compton_range: range of electrons of 100 keV, mm, growing as E^1.75.
        bichsel: a and b of the most probable loss x (a + b ln x) in eV, x in um.
        landau_width: scale of the Landau distribution for 75 um, keV.
        gaussian_width: standard deviation of the broadening by bound electrons for 75 um, keV.
        piece: length of track whose loss is drawn at once, mm.
        steps: parts of a piece; loss above the most probable one is put into one of them.
        pair_energy: energy of an electron-hole pair in silicon, eV.
        diffusion: standard deviation of the lateral drift, mm.
        gain: electrons in an ADU.
        noise: electrons.
        pedestal: mean and standard deviation, ADU; the ADC clips at 255 before it is subtracted.
        overdispersion: 1/k of the negative binomial numbers of clusters, variance mu + mu^2 / k.
    """

    pt_power: float = 2.5
    survival: float = 0.6
    half_turns: int = 4
    recrossing: float = 0.0
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
    """Numbers of clusters, calibrated at twice the design background.

    Attributes:
        clusters: mean number on each sensor, ``(40,)``.
        shares: share of each source in the clusters of layers 1 and 2, before the dependence on phi and z.
    """

    clusters: tuple[float, ...]
    shares: dict[str, tuple[float, float]]

    @classmethod
    @cache
    def calibrated(cls) -> Rates:
        """The rates that ``benchmarks/pxd_calibration.py`` wrote."""
        stored = json.loads(files("partigan.simulate").joinpath("pxd_rates.json").read_text(encoding="utf-8"))
        shares = {source: (float(one), float(two)) for source, (one, two) in stored["shares"].items()}
        return cls(tuple(float(stored["clusters"][name]) for name in NAMES), shares)
