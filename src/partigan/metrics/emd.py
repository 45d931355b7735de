"""The exact energy mover's distance (EMD) between jets, and lower bounds of it.

References:
    P. T. Komiske, E. M. Metodiev, J. Thaler, The metric space of collider events, Phys. Rev. Lett. 123 (2019) 041801,
    arXiv:1902.02346 (the distance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.measurement import Floats, Rows, refuse_infinite

_KNOTS = 64  # of the piecewise linear functions that bound a distance from below
_DIRECTIONS = 8  # in which jets are projected for the bounds
_RING = 0.2  # radius of the ring of 8 points, distances from which are such projections too
_MARGIN = 1e-5  # of the bounds, for their rounding, in units of the greatest pt sum


class Jet(NamedTuple):
    """The particles of a jet with pt: (eta_rel, phi_rel) ``(n, 2)`` and pt_rel ``(n,)``."""

    x: Floats
    pt: Floats


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets of massless particles.

    Attributes:
        x: eta_rel, phi_rel (rad) and pt_rel, ``(jets, particles, 3)``.
        real: True for particles with pt, ``(jets, particles)``.
    """

    x: Floats
    real: NDArray[np.bool_]

    @classmethod
    def read(cls, sample: ArrayLike | Clouds, name: str) -> Jets:
        """Check a sample; particles without pt count as padding.

        Args:
            sample: ``(jets, particles, 3 or more)``, with a mask or without.
            name: what messages call it.

        Raises:
            PartiganError: for wrong shapes, negative pt and values that are not finite.
        """
        clouds = Clouds.of(sample)
        x = np.asarray(clouds.x, dtype=np.float64)
        if x.ndim != 3 or x.shape[-1] < 3:
            raise PartiganError(
                f"the {name} sample must have the shape (jets, particles, 3 or more: eta_rel, phi_rel, pt_rel), "
                f"not {x.shape}"
            )
        x = np.where(clouds.real(name)[..., None], x[..., :3], 0)
        refuse_infinite(np.asarray(np.isfinite(x).all((1, 2))), name)
        if (negative := (x[..., 2] < 0).any(1)).any():
            raise PartiganError(
                f"the {name} sample has particles of negative pt_rel in {negative.sum()} of {len(x)} jets, the first "
                f"of them jet {np.argmax(negative)}; no energy mover's distance exists: mask them or set their pt_rel "
                "to 0"
            )
        return cls(x, x[..., 2] > 0)

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, rows: Rows) -> Jets:
        """Some of the jets."""
        return Jets(self.x[rows], self.real[rows])

    def split(self) -> list[Jet]:
        """One by one, without padding."""
        return [Jet(jet[rows, :2], jet[rows, 2]) for jet, rows in zip(self.x, self.real, strict=True)]


def emd(a: Jet, b: Jet, radius: float = 1.0) -> float:
    """The energy mover's distance of two jets; see `energy_movers_distance`.

    The least cost of a linear program that moves the pt of ``a`` to ``b``, the difference to a particle at distance R.
    """
    import ot

    surplus = float(a.pt.sum() - b.pt.sum())
    if len(a.pt) == 0 or len(b.pt) == 0:
        return radius * abs(surplus)
    if np.array_equal(a.x, b.x) and np.array_equal(a.pt, b.pt):
        return 0.0
    cost = np.full((len(a.pt) + (surplus < 0), len(b.pt) + (surplus > 0)), radius)
    cost[: len(a.pt), : len(b.pt)] = cdist(a.x, b.x)
    source = np.append(a.pt, -surplus) if surplus < 0 else a.pt
    target = np.append(b.pt, surplus) if surplus > 0 else b.pt
    target = target * (source.sum() / target.sum())  # rounding
    return float(ot.emd2(source, target, cost, numItermax=1_000_000, check_marginals=False, center_dual=False))


def energy_movers_distance(a: ArrayLike | Clouds, b: ArrayLike | Clouds, radius: float = 1.0) -> Floats:
    """Exact energy mover's distances between the jets of two samples, pair by pair.

    EMD = min_f sum_ij f_ij theta_ij / R + |sum pt_i - sum pt_j| (arXiv:1902.02346, eq. 1), times R, with pt_rel in the
    place of energy, not normalised, and theta^2 = (eta_i - eta_j)^2 + (phi_i - phi_j)^2. It is a metric where no two
    particles are farther apart than 2 R.

    Args:
        a: ``(jets, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel; `Clouds` for a mask.
        b: as many jets; the number of particles may differ.
        radius: R, the cost of a unit of pt that only one jet has.

    Returns:
        ``(jets,)``, in units of pt_rel times angle; R times the pt sum of the other where a jet is empty.

    Raises:
        PartiganError: for wrong shapes, different numbers of jets, negative pt and values that are not finite.

    Example:
        Half of the pt moves by 0.2:

        >>> one = [[[0.0, 0.0, 0.5], [0.0, 0.2, 0.5]]]
        >>> two = [[[0.0, 0.0, 1.0]]]
        >>> energy_movers_distance(one, two).round(6).tolist()
        [0.1]
    """
    first, second = Jets.read(a, "first").split(), Jets.read(b, "second").split()
    if len(first) != len(second):
        raise PartiganError(f"pairs of jets are needed, not {len(first)} and {len(second)} jets")
    return np.array([emd(*pair, radius) for pair in zip(first, second, strict=True)], dtype=np.float64)


def _projections(x: Floats) -> Floats:
    """Functions of (eta_rel, phi_rel) with slope 1: coordinates along axes, distances from points, ``(..., maps)``."""
    along = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    around = np.pi * np.arange(8) / 4
    points = np.vstack([np.zeros(2), _RING * np.column_stack([np.cos(around), np.sin(around)])])
    distances = np.sqrt(np.square(x[..., None, :] - points).sum(-1))
    return np.concatenate([x @ np.stack([np.cos(along), np.sin(along)]), distances], -1)


def lower_bounds(fake: Jets, real: Jets, radius: float) -> Floats:
    """Lower bounds of the distances between all fake and all real jets, ``(fake, real)``.

    By Kantorovich's duality the distance of a jet A from a jet B of less pt is the greatest of

        sum_A pt f - sum_B pt f,   where |f(x) - f(y)| <= |x - y| and f <= R.

    Here f are functions of one projection, piecewise linear between knots, which are at their steepest up where B has
    more pt beyond and down where A has.
    """
    samples = (fake, real)
    maps = [_projections(jets.x[..., :2]) for jets in samples]
    seen = np.concatenate([m[jets.real] for m, jets in zip(maps, samples, strict=True)])
    low, high = seen.min(0, initial=np.inf), seen.max(0, initial=-np.inf)
    step = np.where(high > low, high - low, 1) / (_KNOTS - 1)

    def cumulative(values: Floats, jets: Jets) -> NDArray[np.float32]:
        """Sum of pt up to each knot, that of a particle between two knots being shared, ``(jets, maps, knots)``."""
        jet, particle = np.nonzero(jets.real)
        place = np.clip((values[jet, particle] - low) / step, 0, _KNOTS - 1)
        knot = np.minimum(place.astype(np.intp), _KNOTS - 2)
        index = (jet[:, None] * len(step) + np.arange(len(step))) * _KNOTS + knot
        pt = jets.x[jet, particle, 2, None]
        upper = pt * (place - knot)
        size = len(jets) * len(step) * _KNOTS
        weight = np.bincount(index.ravel(), (pt - upper).ravel(), minlength=size)
        weight += np.bincount(index.ravel() + 1, upper.ravel(), minlength=size)
        return weight.reshape(len(jets), len(step), _KNOTS).cumsum(-1).astype(np.float32)

    a, b = (cumulative(*pair) for pair in zip(maps, samples, strict=True))
    steps = step.astype(np.float32)
    bounds = np.empty((len(a), len(b)))
    for row, jet in enumerate(a):
        excess = jet - b
        excess *= np.where(excess[:, :1, -1:] < 0, np.float32(-1), np.float32(1))
        surplus, excess = excess[..., -1], excess[..., :-1]
        f = -np.sign(excess).cumsum(-1, dtype=np.float32)  # in units of the distance between knots, 0 at the first
        below_top = np.maximum(f.max(-1), 0) - f[..., -1]
        found = steps * np.abs(excess).sum(-1) + surplus * (np.float32(radius) - steps * below_top)
        bounds[row] = found.max(-1)
    greatest = max(jets.x[..., 2].sum(1).max(initial=0) for jets in samples)
    return np.asarray(np.maximum(bounds - _MARGIN * greatest * max(1, radius), 0))
