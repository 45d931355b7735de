"""Tracks through background in the PXD: signal, extrapolation with multiple scattering, and helix fit.

Tracks from the interaction point cross two layers of pixels and four layers of strips in 1.5 T. Tracks found in the
strips are extrapolated to the pixels with multiple scattering and take the nearest cluster in each layer, their own or
a background cluster. A helix fit to these gives d0 and z0. `partigan.physics.scenarios` compares the same tracks
without background, with simulated and with generated background.

Residuals about the true helix are linear in the parameters (d0, phi0, curvature and z0, tan(lambda)). Scattering adds a
covariance between layers; fit and extrapolation are the best linear unbiased ones. Clusters of signal and background
do not merge, and the strips have no background.

The moments of d0 and z0, hence the Fréchet distance of the paper, hardly depend on the number of clusters. Seeds in the
strips that are no tracks ("ghosts") do: the number of clusters they take is proportional to the density of the
background.

References:
    R. L. Workman et al., Review of particle physics, chapter 34.3 (multiple scattering).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, FIELD, LAYERS, ROWS, SENSORS, U_PITCH
from partigan.errors import PartiganError
from partigan.observables.hitmaps import clusters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BLOCK = 500  # tracks whose clusters are searched at a time
_UNMEASURED = 1e4  # mm^2, variance in place of a missing hit


@dataclass(frozen=True)
class Detector:
    """Layers, their resolutions and material, from the beam line outwards.

    Attributes:
        pipe: radius of the beam pipe, mm, and its thickness in radiation lengths.
        strips: radii of the strip layers, mm.
        pixel_resolution: of a cluster across and along z, mm.
        strip_resolution: the same of the strips.
        pixel_material: thickness of a pixel layer in radiation lengths.
        strip_material: the same of a strip layer.
        window: largest distance of a cluster from the extrapolation, in standard deviations.
        chi2: largest chi^2 over degrees of freedom of a good track.
    """

    pipe: tuple[float, float] = (10.5, 0.007)
    strips: tuple[float, ...] = (39.0, 80.0, 104.0, 135.0)
    pixel_resolution: tuple[float, float] = (0.010, 0.015)
    strip_resolution: tuple[float, float] = (0.012, 0.030)
    pixel_material: float = 0.002
    strip_material: float = 0.006
    window: float = 4.0
    chi2: float = 4.0


class Signal(NamedTuple):
    """True tracks, and their measurement without background.

    Attributes:
        sensor: index of the sensor crossed in layers 1 and 2, ``(tracks, 2)``.
        u: place on it, from the middle along phi, mm, ``(tracks, 2)``.
        v: place on it, from the outer end, mm, ``(tracks, 2)``.
        angle: between track and normal of the sensor in the transverse plane, rad, ``(tracks, 2)``.
        slope: tan(lambda), ``(tracks,)``.
        design: derivatives of transverse residuals by d0, phi0 and curvature, ``(tracks, 6, 3)``; the first two columns
            are the derivatives of z residuals by z0 and tan(lambda).
        residual: measured less true, across and along z, mm, ``(2, tracks, 6)``.
        covariance: of the residuals, ``(2, tracks, 6, 6)``.
        ghost: True for seeds in the strips that are no tracks and leave no clusters in the pixels, ``(tracks,)``.
    """

    sensor: Ints
    u: Floats
    v: Floats
    angle: Floats
    slope: Floats
    design: Floats
    residual: Floats
    covariance: Floats
    ghost: Flags


class Reconstruction(NamedTuple):
    """Tracks after the fit.

    Attributes:
        d0: fitted less true distance in the transverse plane, mm, ``(tracks,)``.
        z0: the same along z, mm, ``(tracks,)``.
        attached: True if a cluster was taken in layers 1 and 2, ``(tracks, 2)``.
        wrong: True if it was a background cluster, ``(tracks, 2)``.
        good: True for a small chi^2 and clusters in both layers, ``(tracks,)``.
        ghost: as in the signal, ``(tracks,)``.
        event: event of background of each track, ``(tracks,)``.
    """

    d0: Floats
    z0: Floats
    attached: Flags
    wrong: Flags
    good: Flags
    ghost: Flags
    event: Ints


def signal(tracks: int, rng: np.random.Generator, ghosts: float = 0.5, detector: Detector | None = None) -> Signal:
    """Draw pion tracks from the interaction point, as soft as in B decays, that cross both pixel layers.

    Args:
        tracks: number of tracks.
        rng: draws them, their scattering and their measurement.
        ghosts: share of seeds that are no tracks.
        detector: the layers; None = the defaults of `Detector`.
    """
    found: list[tuple[Floats, ...]] = []
    number = 0
    while number < tracks:
        size = 2 * (tracks - number) + 100
        pt = 0.1 + rng.gamma(2.0, 0.25, size)  # GeV
        slope = 1 / np.tan(np.arccos(rng.uniform(np.cos(np.radians(150)), np.cos(np.radians(17)), size)))
        phi, sign = rng.uniform(0, 2 * np.pi, size), np.where(rng.random(size) < 0.5, 1.0, -1.0)
        radius = sign * pt / (0.3 * FIELD) * 1e3  # mm
        crossings = [_crossing(layer, radius, phi, slope) for layer in LAYERS]
        both = np.flatnonzero((crossings[0][0] >= 0) & (crossings[1][0] >= 0))
        parts = (np.stack([one, two], axis=1)[both] for one, two in zip(*crossings, strict=True))
        found.append((pt[both], radius[both], slope[both], *parts))
        number += len(both)
    columns = [np.concatenate(column)[:tracks] for column in zip(*found, strict=True)]
    pt, radius, slope, sensor, u, v, angle, arc = columns
    d = detector or Detector()
    arcs = np.concatenate([arc, *(_arc(r, radius)[:, None] for r in d.strips)], axis=1)
    covariance = _covariance(d, pt, radius, slope, angle, arcs)
    root = np.linalg.cholesky(covariance)
    residual = (root @ rng.standard_normal((2, tracks, arcs.shape[1], 1)))[..., 0]
    design = np.stack([np.ones_like(arcs), arcs, arcs**2 / 2], axis=-1)
    ghost = rng.random(tracks) < ghosts
    return Signal(sensor.astype(np.int64), u, v, angle, slope, design, residual, covariance, ghost)


def _arc(r: float, radius: Floats) -> Floats:
    """Transverse path of a helix from the beam line to a cylinder of radius ``r``."""
    return np.asarray(2 * np.abs(radius) * np.arcsin(r / (2 * np.abs(radius))))


def _crossing(layer: int, radius: Floats, phi: Floats, slope: Floats) -> tuple[Floats, ...]:
    """Sensor (-1 = none), u, v, angle to the normal and transverse path of the first crossing of a pixel layer."""
    shape = LAYERS[layer]
    found = [np.full(len(phi), -1.0), *(np.zeros(len(phi)) for _ in range(3)), np.full(len(phi), np.inf)]
    forward = [(index, sensor) for index, sensor in enumerate(SENSORS) if sensor.layer == layer and sensor.number == 1]
    for index, sensor in forward:
        start = phi - sensor.phi  # the direction of the track in the frame of the ladder
        path = np.full(len(phi), shape.radius)
        for _ in range(8):  # Newton
            height = radius * (np.sin(start + path / radius) - np.sin(start)) - shape.radius
            path = np.clip(path - height / np.maximum(np.cos(start + path / radius), 0.2), 0, 3 * shape.radius)
        angle = start + path / radius
        height = radius * (np.sin(angle) - np.sin(start)) - shape.radius
        u = radius * (np.cos(start) - np.cos(angle)) - shape.shift
        z = path * slope
        for offset in (0, 1):
            outer = shape.outer[offset]
            v = (outer - z) * np.sign(outer)
            inside = (np.abs(u) < COLUMNS * U_PITCH / 2) & (v > 0) & (v < shape.edges[-1]) & (np.cos(angle) > 0.2)
            better = inside & (np.abs(height) < 1e-6) & (path < found[4])
            for column, values in zip(found, (float(index + offset), u, v, angle, path), strict=True):
                column[better] = values if isinstance(values, float) else values[better]
    return tuple(found)


def _covariance(d: Detector, pt: Floats, radius: Floats, slope: Floats, angle: Floats, arcs: Floats) -> Floats:
    """Covariance from resolution and from scattering further in, ``(2, tracks, 6, 6)``."""
    stretch = np.sqrt(1 + slope**2)
    momentum = pt * stretch
    beta = momentum / np.hypot(momentum, 0.1396)
    steep = np.concatenate([np.ones((len(pt), 1)), np.cos(angle), np.ones((len(pt), len(d.strips)))], axis=1)
    depth = (
        np.array([d.pipe[1], *[d.pixel_material] * 2, *[d.strip_material] * len(d.strips)]) * stretch[:, None] / steep
    )
    kink = 13.6e-3 / (momentum * beta)[:, None] * np.sqrt(depth) * (1 + 0.038 * np.log(depth))
    where = np.concatenate([_arc(d.pipe[0], radius)[:, None], arcs], axis=1)
    lever = np.maximum(arcs[:, :, None] - where[:, None, :], 0) * kink[:, None, :]
    found = []
    for axis, scale in ((0, stretch), (1, stretch**2)):
        scattered = lever * scale[:, None, None]
        resolution = np.array([*[d.pixel_resolution[axis]] * 2, *[d.strip_resolution[axis]] * len(d.strips)])
        found.append(scattered @ scattered.swapaxes(1, 2) + np.diag(resolution**2))
    return np.stack(found)


def reconstruct(tracks: Signal, background: Hitmaps | None, detector: Detector | None = None) -> Reconstruction:
    """Find and fit tracks in background.

    Args:
        tracks: the signal; track i is in event i mod (number of events) of the background.
        background: hitmaps; None = no background.
        detector: the layers of the signal; None = the defaults of `Detector`.

    Raises:
        PartiganError: the background has no events.
    """
    d = detector or Detector()
    if background is not None and len(background) == 0:
        raise PartiganError("the background has no events; give hitmaps of at least one event or none")
    size = len(tracks.slope)
    event = np.arange(size) % (1 if background is None else len(background))
    sky = None if background is None else _Sky.of(background)
    residual, covariance = tracks.residual.copy(), tracks.covariance.copy()
    residual[:, :, :2] = 0
    for layer in (0, 1):
        covariance[:, :, layer, layer] += _UNMEASURED
    attached, wrong = np.zeros((size, 2), np.bool_), np.zeros((size, 2), np.bool_)
    for layer in (1, 0):  # from the strips inwards
        expected, variance = _extrapolated(tracks.design, residual, covariance, layer)
        hit = tracks.residual[:, :, layer]
        chi2 = np.where(tracks.ghost, np.inf, ((hit - expected) ** 2 / variance).sum(0))
        if sky is not None:
            other, there = sky.nearest(event, tracks, layer, expected, variance)
            wrong[:, layer] = other < chi2
            hit, chi2 = np.where(wrong[:, layer], there, hit), np.minimum(chi2, other)
        took = attached[:, layer] = chi2 < d.window**2
        wrong[:, layer] &= took
        residual[:, :, layer] = np.where(took, hit, 0)
        covariance[:, :, layer, layer] -= np.where(took, _UNMEASURED, 0)
    (across, one), (along, two) = (
        _fit(tracks.design[..., :parameters], residual[axis], covariance[axis]) for axis, parameters in ((0, 3), (1, 2))
    )
    freedom = 2 * (len(d.strips) + attached.sum(1)) - 5
    good = attached.all(1) & (one + two < d.chi2 * freedom)
    return Reconstruction(across[:, 0], along[:, 0], attached, wrong, good, tracks.ghost, event)


def _fit(design: Floats, residual: Floats, covariance: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    """Parameters ``(tracks, parameters)`` of generalised least squares, and chi^2."""
    weight = np.linalg.inv(covariance)
    left = design.swapaxes(1, 2) @ weight
    found = np.linalg.solve(left @ design, left @ residual[..., None])
    rest = residual[..., None] - design @ found
    return found[..., 0], (rest.swapaxes(1, 2) @ weight @ rest)[:, 0, 0]


def _extrapolated(design: Floats, residual: Floats, covariance: Floats, layer: int) -> tuple[Floats, Floats]:
    """Expected residuals of hits in a layer that has none yet, and variances of their distance, ``(2, tracks)`` each.

    The best linear unbiased prediction H_l x + V_l V^-1 (y - H x) with x of the fit, where V_l is the scattering that
    the layer shares with the others.
    """
    expected: list[Floats] = []
    variance: list[Floats] = []
    for axis, parameters in ((0, 3), (1, 2)):
        h, v = design[..., :parameters], covariance[axis]
        shared = v[:, layer].copy()
        own = shared[:, layer] - _UNMEASURED
        shared[:, layer] = 0
        weight = np.linalg.inv(v)
        left = h.swapaxes(1, 2) @ weight
        errors = np.linalg.inv(left @ h)
        gain = shared[:, None] @ weight
        rest = h[:, layer, None] - gain @ h
        whole = gain + rest @ errors @ left
        expected.append((whole @ residual[axis][..., None])[:, 0, 0])
        lost = (gain @ shared[..., None])[:, 0, 0]
        variance.append(np.asarray(own - lost + (rest @ errors @ rest.swapaxes(1, 2))[:, 0, 0]))
    return np.asarray(np.stack(expected)), np.stack(variance)


class _Sky(NamedTuple):
    """Clusters of background on the planes of their sensors, map after map.

    Attributes:
        offsets: where the clusters of each map begin, ``(maps + 1,)``.
        u: from the middle of the sensor along phi, mm.
        v: from its outer end, mm.
    """

    offsets: Ints
    u: Floats
    v: Floats

    @classmethod
    def of(cls, background: Hitmaps) -> _Sky:
        found = clusters(background.map, background.u, background.v, background.charge)
        u = (found.u + 0.5 - COLUMNS / 2) * U_PITCH
        layer = np.array([sensor.layer for sensor in SENSORS])[found.image % len(SENSORS)]
        edges = [np.interp(found.v + 0.5, np.arange(ROWS + 1), LAYERS[number].edges) for number in LAYERS]
        counts = np.bincount(found.image, minlength=background.counts.size)
        return cls(np.concatenate([[0], np.cumsum(counts)]), u, np.choose(layer - 1, edges))

    def nearest(
        self, event: Ints, tracks: Signal, layer: int, expected: Floats, variance: Floats
    ) -> tuple[Floats, Floats]:
        """Chi^2 ``(tracks,)`` and residuals ``(2, tracks)`` of the nearest cluster; infinite chi^2 without clusters."""
        sensor, angle = tracks.sensor[:, layer], tracks.angle[:, layer]
        outer = np.array([LAYERS[s.layer].outer[s.number - 1] for s in SENSORS])[sensor]
        chi2, there = np.full(len(event), np.inf), np.zeros((2, len(event)))
        for first in range(0, len(event), _BLOCK):
            block = np.arange(first, min(first + _BLOCK, len(event)))
            begin = self.offsets[event[block] * len(SENSORS) + sensor[block]]
            number = self.offsets[event[block] * len(SENSORS) + sensor[block] + 1] - begin
            track = np.repeat(block, number)
            which = np.arange(len(track)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(begin, number)
            du = self.u[which] - tracks.u[track, layer]
            dz = (tracks.v[track, layer] - self.v[which]) * np.sign(outer[track])
            residuals = np.stack([du * np.cos(angle[track]), dz - tracks.slope[track] * du * np.sin(angle[track])])
            distance = ((residuals - expected[:, track]) ** 2 / variance[:, track]).sum(0)
            some = number > 0
            least = np.minimum.reduceat(distance, (np.cumsum(number) - number)[some]) if some.any() else distance
            best = np.flatnonzero(distance == np.repeat(least, number[some]))
            chi2[track[best]], there[:, track[best]] = distance[best], residuals[:, best]
        return chi2, there
