"""What background in the PXD does to tracks: impact parameters, wrong hits, efficiency and fakes.

Tracks from the interaction point cross two layers of pixels and four layers of strips in 1.5 T. They are found in the
strips, extrapolated to the pixels with multiple scattering, and take the nearest cluster in each layer: their own or
one of the background's. The helix fit to what they took gives d0 and z0. The same tracks are reconstructed without
background, with simulated and with generated background.

Residuals about the true helix are linear in the parameters (d0, phi0, curvature and z0, tan(lambda)); scattering adds a
covariance between layers, and fit and extrapolation are the best linear unbiased ones. Clusters of signal and
background do not merge, and the strips have no background.

The moments of d0 and z0, hence the Fréchet distance of the paper, hardly depend on how many clusters there are. Seeds
in the strips that are no tracks ("ghosts") do: the clusters that they take are as many as the background is dense.

References:
    PE-GAN, section 4.2, equation 1 (the Fréchet distance of the resolutions), and section 5 (efficiency and fake rate).
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

_BLOCK = 500  # tracks whose clusters are looked through at a time
_UNMEASURED = 1e4  # mm^2, variance in place of a hit that is not there


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
        window: standard deviations of the extrapolation within which a cluster is taken, each way.
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
    """True tracks, and what the detector measures of them without background.

    Attributes:
        sensor: ``(tracks, 2)`` index of the sensor that is crossed in layers 1 and 2.
        u: ``(tracks, 2)`` where, from the middle along phi, mm.
        v: ``(tracks, 2)`` where, from the outer end, mm.
        angle: ``(tracks, 2)`` between the track and the sensor's normal in the transverse plane, rad.
        slope: ``(tracks,)`` tan(lambda).
        design: ``(tracks, 6, 3)`` derivatives of transverse residuals by d0, phi0 and curvature; the first two columns
            are those of z residuals by z0 and tan(lambda).
        residual: ``(2, tracks, 6)`` measured less true, across and along z, mm.
        covariance: ``(2, tracks, 6, 6)`` of these.
        ghost: ``(tracks,)`` seeds in the strips that are no tracks and leave no clusters in the pixels.
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
        d0: ``(tracks,)`` fitted less true distance in the transverse plane, mm.
        z0: ``(tracks,)`` the same along z, mm.
        attached: ``(tracks, 2)`` a cluster was taken in layers 1 and 2.
        wrong: ``(tracks, 2)`` it was one of the background.
        good: ``(tracks,)`` chi^2 is small, and there are clusters of both layers.
        ghost: ``(tracks,)`` as in the signal.
        event: ``(tracks,)`` the event of background that a track was in.
    """

    d0: Floats
    z0: Floats
    attached: Flags
    wrong: Flags
    good: Flags
    ghost: Flags
    event: Ints


def signal(tracks: int, rng: np.random.Generator, ghosts: float = 0.5, detector: Detector | None = None) -> Signal:
    """Tracks of pions from the interaction point, as soft as those of B decays, that cross both pixel layers.

    Args:
        tracks: number of tracks.
        rng: draws them, their scattering and their measurement.
        ghosts: share of seeds that are no tracks.
        detector: the layers.
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
    """Transverse path of a helix from the beam line to a cylinder."""
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
    """``(2, tracks, 6, 6)``: resolution, and scattering in everything that lies further in."""
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
    """Find and fit tracks with the clusters of some background.

    Args:
        tracks: the signal; track i is in event i mod (number of events) of the background.
        background: hitmaps; None = no background.
        detector: the layers, those of the signal.

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
    """Expected residuals ``(2, tracks)`` of hits in a layer that has none yet, and the variances of their distance.

    The best linear unbiased prediction H_l x + V_l V^-1 (y - H x) with x of the fit, where V_l holds the scattering
    that the layer shares with the others.
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
    """Clusters of background, map after map, on their sensors' planes.

    Attributes:
        offsets: ``(maps + 1,)`` where the clusters of each map begin.
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
        """Chi^2 ``(tracks,)`` and residuals ``(2, tracks)`` of the nearest cluster; infinite where there is none."""
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
