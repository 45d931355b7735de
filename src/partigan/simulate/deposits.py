"""Energy spots in the voxels of a calorimeter: shares of radial profiles in closed form, Poisson numbers of spots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from partigan.data.calorimeter import Layer
from partigan.metrics.measurement import Floats

Rng = np.random.Generator


class Spread(NamedTuple):
    """Radial profiles of showers in a layer, sums of 2 r R^2 / (r^2 + R^2)^2.

    Attributes:
        share: of each term, ``(showers, terms)``; they add up to 1.
        radius: R of each term, ``(showers, terms)``, mm.
    """

    share: Floats
    radius: Floats


def shares(spread: Spread, layer: Layer, impact: Floats | None = None) -> Floats:
    """Share of a layer's energy in its bins.

    Around the axis it is r^2 / (r^2 + R^2) within r, in equal parts in all bins of the angle. In a rectangle between
    the axis and (x, y) it is that of a Student distribution with two degrees of freedom,
    (x / w(x) atan(y / w(x)) + y / w(y) atan(x / w(y))) / 2 pi with w(a) = sqrt(a^2 + R^2).

    Args:
        spread: radial profiles.
        layer: its bins.
        impact: where the axis is, ``(showers, 2)``, mm, for rectangular cells; None = in the middle.

    Returns:
        ``(showers, radii)``, or ``(showers, rows, columns)`` for rectangular cells.
    """
    radius, share = spread.radius[..., None], spread.share[..., None]
    if not layer.rows:
        edges = np.square(np.array(layer.edges))
        within = edges / (edges + np.square(radius))
        return np.asarray((np.diff(within, axis=2) * share).sum(1))
    at = np.zeros((len(radius), 2)) if impact is None else impact
    x = (np.array(layer.edges) - at[:, :1])[:, None, None]
    y = (np.array(layer.rows) - at[:, 1:])[:, None, :, None]
    radius = radius[..., None]
    wide, high = np.hypot(x, radius), np.hypot(y, radius)
    corner = (x / wide * np.arctan(y / wide) + y / high * np.arctan(x / high)) / (2 * np.pi)
    return np.asarray((np.diff(np.diff(corner, axis=2), axis=3) * share[..., None]).sum(1))


def deposited(energy: Floats, number: Floats, share: Floats, layer: Layer, rng: Rng) -> Floats:
    """Energies of the voxels of a layer.

    The number of spots in a voxel is Poisson distributed about its share of the layer's, as it is where each spot is
    placed by itself. Spots have exponentially distributed energies (ours; Grindhammer and Peters give all of a layer
    the same), scaled so that all of them, those outside the bins too, have the energy of the layer.

    Args:
        energy: of the showers in this layer, ``(showers,)``.
        number: mean number of spots, ``(showers,)``.
        share: of `shares`.
        layer: its bins.
        rng: draws them.

    Returns:
        ``(showers, voxels)``, in the unit of ``energy``.
    """
    if not layer.rows:
        share = np.repeat(share[:, None] / layer.alphas, layer.alphas, axis=1)
    flat = np.maximum(share.reshape(len(energy), -1), 0.0)
    outside = np.maximum(1 - flat.sum(1, keepdims=True), 0.0)
    flat = np.concatenate([flat, outside], axis=1)
    found = rng.standard_gamma(rng.poisson(flat * number[:, None]))
    total = found.sum(1)
    if (none := (total == 0) & (energy > 0)).any():  # a single spot has it all
        order = np.log(np.maximum(flat[none], 1e-300)) + rng.gumbel(size=(none.sum(), flat.shape[1]))
        found[np.flatnonzero(none), order.argmax(1)] = 1.0
        total = found.sum(1)
    scale = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    return np.asarray(found[:, :-1] * scale[:, None] * layer.alive())
