"""Showers of electrons, photons and charged pions in a calorimeter.

Electrons: `partigan.simulate.gflash` along the axis and across, with sampling fluctuations: the energy in a layer is
gamma distributed with the variance c^2 E (GeV), c being the relative resolution at 1 GeV (hep-ex/0001020, section 3.3).

Photons convert after an exponentially distributed depth with the mean 9/7 X_0, to two electrons whose shares of the
energy z have the density 1 - 4/3 z (1 - z) of pair production at high energy; each makes a shower.

Charged pions: two components, after Bock et al., with numbers that are ours where they give none.

- Up to the first interaction, exponentially distributed in interaction lengths, a pion ionises: a critical energy in
  each radiation length (Rossi's definition of it).
- There its energy is shared out. A part f goes to neutral pions: it is beta distributed about Groom's mean
  1 - E^(k-1) with k = 0.82 (E in GeV), with the concentration 4 (1 + 0.3 ln E). It makes an electromagnetic shower.
- The rest makes a hadronic shower, of which 70 % is seen. Its depth in interaction lengths is gamma distributed with
  Bock's c = 0.6165 + 0.3183 ln E and d = 0.9099 - 0.0237 ln E. Its radius grows from 0.05 to 0.25 interaction lengths
  over the first four, it has 25 E^0.9 spots, and the sampling fluctuations are six times those of electrons.

References:
    G. Grindhammer, S. Peters, hep-ex/0001020; R. K. Bock, T. Hansl-Kozanecka, T. P. Shah, Nucl. Instrum. Meth. 186
    (1981) 533; D. E. Groom, Nucl. Instrum. Meth. A 572 (2007) 633 (energy of neutral pions); Particle Data
    Group, Passage of particles through matter (pair production).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammainc

from partigan.data.calorimeter import Geometry, Layer
from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats
from partigan.simulate.deposits import Spread, deposited, shares
from partigan.simulate.gflash import Averages, Medium, Radii, Shape, late, spots

Rng = np.random.Generator

CONVERSION = 9 / 7  # mean depth of a photon's conversion, radiation lengths
STEP = 1.0  # largest thickness of a slice of a layer, radiation lengths
GROOM = 0.82  # k
CONCENTRATION = (4.0, 0.3)  # of the neutral pions' part
SEEN = 0.7  # of the hadronic energy
HADRONIC_SPOTS, HADRONIC_SAMPLING = 25.0, 6.0
LEAST = 1.0  # GeV, below which Bock's numbers are held
IONISING = 0.05  # radius of a track's deposits, Moliere radii


@dataclass(frozen=True)
class Calorimeter:
    """A geometry with its material.

    Attributes:
        geometry: voxels.
        medium: effective material.
    """

    geometry: Geometry
    medium: Medium

    @classmethod
    def of(cls, geometry: Geometry) -> Calorimeter:
        """The calorimeter that a binning describes.

        Raises:
            PartiganError: it does not say of which material it is, or where layers begin and end.
        """
        given = geometry.physics
        for layer in geometry.layers:
            if layer.depth is None:
                raise PartiganError(
                    f"{geometry.name}: layer {layer.name} has no x0, where it begins and ends in radiation lengths; "
                    'add x0="2.2, 6.5" to simulate showers in it'
                )
        if "active" not in given or "sampling" not in given:
            raise PartiganError(
                f'{geometry.name}: add active="argon, 4.18", sampling="0.1" and, unless it is homogeneous, '
                'absorber="lead, 1.53" (mm) to its Bin to simulate showers in it'
            )
        stack = [_layer_of(given[name], name) if name in given else None for name in ("active", "absorber")]
        assert stack[0] is not None
        return cls(geometry, Medium.of(stack[0], stack[1], _number(given["sampling"], "sampling")))

    @cached_property
    def edges(self) -> list[Floats]:
        """Edges of the slices of each layer, radiation lengths."""
        found = []
        for layer in self.geometry.layers:
            assert layer.depth is not None
            begin, end = layer.depth
            found.append(np.linspace(begin, end, max(int(np.ceil((end - begin) / STEP - 1e-9)), 1) + 1))
        return found

    def showers(self, energy: Floats, rng: Rng, impact: Floats | None = None) -> Floats:
        """Energies of the voxels of showers, MeV.

        Args:
            energy: of the particles, ``(showers,)``, MeV.
            rng: draws them.
            impact: where they hit rectangular cells, ``(showers, 2)``, mm; None = in the middle.

        Returns:
            ``(showers, voxels)``, before read-out.
        """
        begin = np.zeros(len(energy))
        if self.geometry.particle == "photon":
            begin = rng.exponential(CONVERSION, len(energy))
            z = _pair_share(len(energy), rng)
            return sum(self.electrons(part * energy, begin, rng, impact) for part in (z, 1 - z))  # type: ignore[return-value]
        if self.geometry.particle == "pion":
            return self.pions(energy, rng, impact)
        return self.electrons(energy, begin, rng, impact)

    def electrons(self, energy: Floats, begin: Floats, rng: Rng, impact: Floats | None = None) -> Floats:
        """Voxels of electromagnetic showers.

        Args:
            energy: ``(showers,)``, MeV.
            begin: where they begin, ``(showers,)``, radiation lengths.
            rng: draws them.
            impact: as for `showers`.
        """
        gev = np.maximum(energy, 1e-3) / 1000
        averages = Averages.of(np.maximum(energy, 1e-3) / self.medium.critical_energy, self.medium)
        shape = Shape.drawn(averages, rng)
        number, of_spots = spots(gev, shape, self.medium)
        parts = []
        for layer, edges in zip(self.geometry.layers, self.edges, strict=True):
            share = shape.shares(edges, begin)
            seen = _sampled(energy * share.sum(1), self.medium.sampling, rng)
            expected = number * of_spots.shares(edges[[0, -1]], begin)[:, 0]
            depth = np.maximum((edges[1:] + edges[:-1]) / 2 - begin[:, None], 0.0)
            radii = Radii.at(late(depth, averages, shape), gev[:, None], self.medium)
            spread = _spread(share, radii, self.medium.moliere_radius)
            parts.append(self._filled(layer, seen, expected, spread, rng, impact))
        return np.concatenate(parts, axis=1)

    def pions(self, energy: Floats, rng: Rng, impact: Floats | None = None) -> Floats:
        """Voxels of showers of charged pions; arguments as for `showers`."""
        medium = self.medium
        ratio = medium.interaction_length / medium.radiation_length
        first = rng.exponential(size=len(energy)) * ratio
        log_e = np.log(np.maximum(energy / 1000, LEAST))
        mean = np.clip(1 - np.exp((GROOM - 1) * log_e), 0.1, 0.95)
        concentration = CONCENTRATION[0] * (1 + CONCENTRATION[1] * log_e)
        neutral = rng.beta(mean * concentration, (1 - mean) * concentration)
        lost = np.minimum(first * medium.critical_energy, energy)
        left = energy - lost
        found = self.electrons(neutral * left, first, rng, impact)
        hadronic, parts = SEEN * (1 - neutral) * left, []
        c, d = 0.6165 + 0.3183 * log_e, 0.9099 - 0.0237 * log_e
        for layer, edges in zip(self.geometry.layers, self.edges, strict=True):
            span = np.diff(np.minimum(edges[[0, -1]], first[:, None]), axis=1)[:, 0]
            ionised = _sampled(np.minimum(span * medium.critical_energy, energy), medium.sampling, rng)
            track = Spread(np.ones((len(energy), 1)), np.full((len(energy), 1), IONISING * medium.moliere_radius))
            tracks = self._filled(layer, ionised, np.ones(len(energy)), track, rng, impact)
            behind = np.maximum(edges - first[:, None], 0.0) / ratio
            share = np.diff(gammainc(c[:, None], d[:, None] * behind), axis=1)
            seen = _sampled(hadronic * share.sum(1), HADRONIC_SAMPLING * medium.sampling, rng)
            middle = (behind[:, 1:] + behind[:, :-1]) / 2
            radius = medium.interaction_length * (0.05 + 0.05 * np.minimum(middle, 4.0))
            spread = Spread(_normalised(share), radius)
            expected = HADRONIC_SPOTS * (hadronic / 1000) ** 0.9 * share.sum(1)
            parts.append(tracks + self._filled(layer, seen, expected, spread, rng, impact))
        return found + np.concatenate(parts, axis=1)

    @staticmethod
    def _filled(
        layer: Layer, energy: Floats, number: Floats, spread: Spread, rng: Rng, impact: Floats | None
    ) -> Floats:
        """Voxels of a layer; only showers that have energy there take time."""
        found = np.zeros((len(energy), layer.size))
        if len(there := np.flatnonzero(energy > 0)):
            some = Spread(spread.share[there], spread.radius[there])
            share = shares(some, layer, None if impact is None else impact[there])
            found[there] = deposited(energy[there], number[there], share, layer, rng)
        return found


def _pair_share(size: int, rng: Rng) -> Floats:
    """Share of an electron in a pair, by rejection."""
    found = np.empty(0)
    while len(found) < size:
        z = rng.random(2 * size)
        found = np.append(found, z[rng.random(2 * size) < 1 - 4 / 3 * z * (1 - z)])
    return found[:size]


def _sampled(energy: Floats, sampling: float, rng: Rng) -> Floats:
    """Energies (MeV) with sampling fluctuations: gamma distributed, standard deviation c sqrt(E), E in GeV."""
    scale = 1000 * sampling**2
    return np.asarray(scale * rng.standard_gamma(np.maximum(energy, 0.0) / scale))


def _normalised(share: Floats) -> Floats:
    """Shares that add up to 1; those of slices without any are equal."""
    total = share.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, share / np.where(total > 0, total, 1), 1 / share.shape[1]))


def _spread(share: Floats, radii: Radii, unit: float) -> Spread:
    """Core and tail of all slices of a layer."""
    weight = _normalised(share)
    terms = np.concatenate([weight * radii.share, weight * (1 - radii.share)], axis=1)
    return Spread(terms, unit * np.concatenate([radii.core, radii.tail], axis=1))


def _layer_of(text: str, name: str) -> tuple[str, float]:
    """A material and its thickness in mm, from text."""
    material, _, thickness = text.partition(",")
    return material.strip(), _number(thickness, name)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise PartiganError(f"{name} = {text!r}; a number is needed") from error
