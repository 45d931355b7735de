"""Electromagnetic showers after Grindhammer and Peters: energy and spots along the axis, radii, with fluctuations.

Depths t are in radiation lengths, radii in Moliere radii, energies in GeV; y is the energy in critical energies.

References:
    G. Grindhammer, S. Peters, The parameterized simulation of electromagnetic showers in homogeneous and sampling
    calorimeters, hep-ex/0001020. Numbers of equations are of its sections 2 and 3, constants of its appendix A;
    properties of materials: Particle Data Group, Review of Particle Physics, Atomic and nuclear properties.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammainc

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats

Rng = np.random.Generator

SCALE_ENERGY = 21.2  # MeV, of multiple scattering: R_M = E_s X_0 / E_c
LEAST_LOG_Y = 2.0  # below it the fits are held
WIDEST = 0.5  # largest standard deviation of ln T and ln alpha
LEAST_ALPHA = 1.05  # a shower rises from its beginning
LATEST = 5.0  # largest tau of radial profiles
SMALLEST = 0.01  # least radius


class Material(NamedTuple):
    """A material: atomic number, density (g/cm^3), X_0 (mm), critical energy (MeV) and interaction length (mm)."""

    z: float
    density: float
    radiation_length: float
    critical_energy: float
    interaction_length: float


MATERIALS = {
    "lead": Material(82, 11.35, 5.612, 7.43, 175.9),
    "tungsten": Material(74, 19.30, 3.504, 7.97, 99.46),
    "iron": Material(26, 7.874, 17.57, 21.68, 167.7),
    "copper": Material(29, 8.96, 14.36, 19.42, 153.2),
    "argon": Material(18, 1.396, 140.0, 32.84, 857.7),
    "silicon": Material(14, 2.329, 93.70, 40.19, 465.2),
    "polystyrene": Material(5.6, 1.06, 413.1, 93.11, 771.6),
    "lead-tungstate": Material(68.4, 8.30, 8.903, 9.64, 202.7),
}


@dataclass(frozen=True)
class Medium:
    """A calorimeter as one effective material (section 3.1).

    Attributes:
        z: effective atomic number.
        radiation_length: mm.
        critical_energy: MeV.
        interaction_length: mm.
        frequency: 1 / F_S, layers' thickness in radiation lengths; 0 = homogeneous.
        e_mip: signal of electrons over that of minimum ionising particles.
        sampling: relative resolution at 1 GeV.
    """

    z: float
    radiation_length: float
    critical_energy: float
    interaction_length: float
    frequency: float = 0.0
    e_mip: float = 1.0
    sampling: float = 0.03

    @property
    def moliere_radius(self) -> float:
        """In mm."""
        return SCALE_ENERGY * self.radiation_length / self.critical_energy

    @classmethod
    def of(cls, active: tuple[str, float], absorber: tuple[str, float] | None, sampling: float) -> Medium:
        """The effective material of a stack, or a homogeneous one where there is no absorber.

        Args:
            active: material that is read out, and its thickness in mm.
            absorber: the same of the other one.
            sampling: relative resolution at 1 GeV.

        Raises:
            PartiganError: an unknown material, or a thickness that is not above 0.

        Example:
            >>> round(Medium.of(("silicon", 0.3), ("tungsten", 1.4), 0.2).radiation_length, 2)
            4.22
        """
        stack = [active, *([] if absorber is None else [absorber])]
        for name, thickness in stack:
            if name not in MATERIALS or not 0 < thickness < np.inf:
                raise PartiganError(
                    f"{name!r} of {thickness:g} mm is no layer of a calorimeter; materials: {', '.join(MATERIALS)}"
                )
        if not 0 < sampling < np.inf:
            raise PartiganError(f"sampling = {sampling}; a resolution must be above 0")
        found = np.array([MATERIALS[name] for name, _ in stack])
        thick = np.array([thickness for _, thickness in stack])
        z, density, length, critical, interaction = found.T
        mass = density * thick / (density * thick).sum()
        in_lengths = (thick / length).sum()
        medium = cls(
            float(mass @ z),
            float(thick.sum() / in_lengths),
            float((thick / length) @ critical / in_lengths),
            float(thick.sum() / (thick / interaction).sum()),
            sampling=sampling,
        )
        if absorber is None:
            return medium
        e_mip = 1 / (1 + 0.007 * (z[1] - z[0]))
        return replace(medium, frequency=float(in_lengths), e_mip=float(e_mip))


@dataclass(frozen=True)
class Averages:
    """Means, widths and correlation of ln T and ln alpha (A.1.2, A.2.2), arrays of one length."""

    log_t: Floats
    log_alpha: Floats
    sigma_t: Floats
    sigma_alpha: Floats
    correlation: Floats

    @classmethod
    def of(cls, y: Floats, medium: Medium) -> Averages:
        """Those of showers of energies ``y``, in critical energies; below y = 7.4 those of 7.4."""
        log_y = np.maximum(np.log(y), LEAST_LOG_Y)
        t, alpha = log_y - 0.812, 0.81 + (0.458 + 2.26 / medium.z) * log_y
        widths, correlation = ((-1.4, 1.26), (-0.58, 0.86)), 0.705 - 0.023 * log_y
        if medium.frequency:
            t = t - 0.55 * medium.frequency - 0.69 * (1 - medium.e_mip)
            alpha = alpha - 0.476 * medium.frequency
            widths, correlation = ((-2.5, 1.25), (-0.82, 0.79)), 0.784 - 0.023 * log_y
        sigma_t, sigma_alpha = (1 / np.maximum(first + slope * log_y, 1 / WIDEST) for first, slope in widths)
        return cls(np.log(np.maximum(t, 0.3)), np.log(np.maximum(alpha, 1.2)), sigma_t, sigma_alpha, correlation)


class Shape(NamedTuple):
    """Profiles dE/dt = E (beta t)^(alpha - 1) beta exp(-beta t) / Gamma(alpha) (equation 2), one for each shower."""

    alpha: Floats
    beta: Floats

    @classmethod
    def drawn(cls, averages: Averages, rng: Rng) -> Shape:
        """Shapes with correlated fluctuations of ln T and ln alpha (equations 12 to 15)."""
        first, second = rng.standard_normal((2, len(averages.log_t)))
        half = np.sqrt((1 + averages.correlation) / 2), np.sqrt((1 - averages.correlation) / 2)
        t = np.exp(averages.log_t + averages.sigma_t * (half[0] * first + half[1] * second))
        alpha = np.exp(averages.log_alpha + averages.sigma_alpha * (half[0] * first - half[1] * second))
        return cls.at(t, np.maximum(alpha, LEAST_ALPHA))

    @classmethod
    def at(cls, maximum: Floats, alpha: Floats) -> Shape:
        """By the depth of the maximum, T = (alpha - 1) / beta."""
        return cls(alpha, (alpha - 1) / maximum)

    @property
    def maximum(self) -> Floats:
        """Depth of the maximum, T."""
        return (self.alpha - 1) / self.beta

    def scaled(self, maximum: float, alpha: float) -> Shape:
        """The same with T and alpha scaled, as for spots (A.1.4, A.2.4)."""
        return Shape.at(self.maximum * maximum, np.maximum(self.alpha * alpha, LEAST_ALPHA))

    def shares(self, edges: Floats, begin: Floats) -> Floats:
        """Shares of the energy between depths.

        Args:
            edges: rising, ``(n + 1,)``.
            begin: where the showers begin, ``(showers,)``.

        Returns:
            ``(showers, n)``.
        """
        depth = np.maximum(edges - begin[:, None], 0.0)
        return np.diff(gammainc(self.alpha[:, None], self.beta[:, None] * depth), axis=1)


def spots(energy: Floats, shape: Shape, medium: Medium) -> tuple[Floats, Shape]:
    """Mean number of energy spots of showers, and how they are distributed along the axis (A.1.4, A.2.4).

    Args:
        energy: GeV.
        shape: of the showers.
        medium: the calorimeter.
    """
    z = medium.z
    if medium.frequency:
        number = 10.3 / medium.sampling * energy**0.959
        return number, shape.scaled(0.831 + 0.0019 * z, 0.844 + 0.0026 * z)
    return 93 * np.log(z) * energy**0.876, shape.scaled(0.698 + 0.00212 * z, 0.639 + 0.00334 * z)


class Radii(NamedTuple):
    """Radial profiles p 2 r R_C^2 / (r^2 + R_C^2)^2 + (1 - p) 2 r R_T^2 / (r^2 + R_T^2)^2 (equation 23)."""

    core: Floats
    tail: Floats
    share: Floats

    @classmethod
    def at(cls, tau: Floats, energy: Floats, medium: Medium) -> Radii:
        """Radii and share of the core (A.1.3, A.2.3).

        Args:
            tau: depth in units of the depth of the maximum.
            energy: GeV.
            medium: the calorimeter.
        """
        tau, log_e, z = np.minimum(tau, LATEST), np.log(energy), medium.z
        core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * z) * tau
        slope = 0.3585 + 0.0421 * log_e
        tail = (0.659 - 0.00309 * z) * (np.exp(-2.59 * (tau - 0.645)) + np.exp(slope * (tau - 0.645)))
        place = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * log_e)
        share = (2.632 - 0.00094 * z) * np.exp(place - np.exp(place))
        if medium.frequency:
            early, less = medium.frequency * np.exp(-tau), 1 - medium.e_mip
            core = core - 0.0203 * less + 0.0397 * early
            tail = tail - 0.14 * less - 0.495 * early
            share = share + less * (0.348 - 0.642 * medium.frequency * np.exp(-np.square(tau - 1)))
        return cls(np.maximum(core, SMALLEST), np.maximum(tail, SMALLEST), np.clip(share, 0.0, 1.0))


def late(depth: Floats, averages: Averages, shape: Shape) -> Floats:
    """Tau of depths behind the beginning, by the shower's own centre of gravity (equation 31).

    Args:
        depth: ``(showers, n)``.
        averages: of the showers.
        shape: of the showers.
    """
    alpha = np.exp(averages.log_alpha)
    centre = shape.alpha / shape.beta
    return np.asarray(depth / centre[:, None] * (alpha / (alpha - 1))[:, None])
