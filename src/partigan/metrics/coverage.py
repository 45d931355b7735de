"""Coverage (COV) and minimum matching distance (MMD) of jets with the energy mover's distance.

References:
    P. T. Komiske, E. M. Metodiev, J. Thaler, The metric space of collider events, Phys. Rev. Lett. 123 (2019) 041801,
    arXiv:1902.02346 (the distance).
    P. Achlioptas et al., Learning representations and generative models for 3D point clouds, arXiv:1707.02392,
    section 2 (COV and MMD).
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535, section 5.2 (their use for jets).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, draws, particle_mask, refuse_infinite

_KNOTS = 64  # of the piecewise linear functions that bound a distance from below
_DIRECTIONS = 8  # in which jets are projected for the bounds
_RING = 0.2  # radius of the ring of 8 points, distances from which are such projections too
_MARGIN = 1e-5  # of the bounds, for their rounding, in units of the greatest pt sum


_Sample = tuple[Floats, NDArray[np.bool_]]
"""Particles ``(jets, particles, 3)`` and which of them are real, ``(jets, particles)``."""


class _Jet(NamedTuple):
    """The particles of a jet with pt: (eta_rel, phi_rel) ``(n, 2)`` and pt_rel ``(n,)``."""

    x: Floats
    pt: Floats


class CoverageMMD(NamedTuple):
    """What `cov_mmd` finds.

    Attributes:
        cov: share of real jets that are the nearest real jet of some fake jet.
        mmd: mean over real jets of the distance to the nearest fake jet.
    """

    cov: Measurement
    mmd: Measurement


def _read(sample: ArrayLike, mask: ArrayLike | None, name: str) -> _Sample:
    """A sample, checked; particles without pt count as padding."""
    x = np.asarray(sample, dtype=np.float64)
    if x.ndim != 3 or x.shape[-1] < 3:
        raise PartiganError(
            f"the {name} sample must have the shape (jets, particles, 3 or more: eta_rel, phi_rel, pt_rel), "
            f"not {x.shape}"
        )
    real = particle_mask(mask, x.shape[:2], name)
    x = np.where(real[..., None], x[..., :3], 0)
    refuse_infinite(np.asarray(np.isfinite(x).all((1, 2))), name)
    if (negative := (x[..., 2] < 0).any(1)).any():
        raise PartiganError(
            f"the {name} sample has particles of negative pt_rel in {negative.sum()} of {len(x)} jets, the first of "
            f"them jet {np.argmax(negative)}; no energy mover's distance exists: mask them or set their pt_rel to 0"
        )
    return x, x[..., 2] > 0


def _jets(x: Floats, real: NDArray[np.bool_]) -> list[_Jet]:
    return [_Jet(jet[rows, :2], jet[rows, 2]) for jet, rows in zip(x, real, strict=True)]


def _emd(a: _Jet, b: _Jet, radius: float) -> float:
    """The least cost of a linear program: pt of ``a`` is moved to ``b``, the difference to a particle at distance R."""
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


def energy_movers_distance(
    a: ArrayLike,
    b: ArrayLike,
    a_mask: ArrayLike | None = None,
    b_mask: ArrayLike | None = None,
    radius: float = 1.0,
) -> Floats:
    """Exact energy mover's distances between the jets of two samples, pair by pair.

    EMD = min_f sum_ij f_ij theta_ij / R + |sum pt_i - sum pt_j| (arXiv:1902.02346, eq. 1), times R, with pt_rel in the
    place of energy, not normalised, and theta^2 = (eta_i - eta_j)^2 + (phi_i - phi_j)^2. It is a metric where no two
    particles are farther apart than 2 R.

    Args:
        a: ``(jets, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel.
        b: as many jets; the number of particles may differ.
        a_mask: ``(jets, particles)`` or ``(jets, particles, 1)``, True for real particles; None: all are real.
        b_mask: the same of ``b``.
        radius: R, the cost of a unit of pt that only one jet has.

    Returns:
        ``(jets,)``, in units of pt_rel times angle; R times the pt sum of the other where a jet is empty.

    Raises:
        PartiganError: for wrong shapes, different numbers of jets, negative pt and values that are not finite.
    """
    first, second = _jets(*_read(a, a_mask, "first")), _jets(*_read(b, b_mask, "second"))
    if len(first) != len(second):
        raise PartiganError(f"pairs of jets are needed, not {len(first)} and {len(second)} jets")
    return np.array([_emd(*pair, radius) for pair in zip(first, second, strict=True)], dtype=np.float64)


def _projections(x: Floats) -> Floats:
    """Functions of (eta_rel, phi_rel) with slope 1: coordinates along axes, distances from points, ``(..., maps)``."""
    along = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    around = np.pi * np.arange(8) / 4
    points = np.vstack([np.zeros(2), _RING * np.column_stack([np.cos(around), np.sin(around)])])
    distances = np.sqrt(np.square(x[..., None, :] - points).sum(-1))
    return np.concatenate([x @ np.stack([np.cos(along), np.sin(along)]), distances], -1)


def _lower_bounds(
    fake: tuple[Floats, NDArray[np.bool_]], real: tuple[Floats, NDArray[np.bool_]], radius: float
) -> Floats:
    """Numbers that the distances between all fake and all real jets cannot be below, ``(fake, real)``.

    By Kantorovich's duality the distance of a jet A from a jet B of less pt is the greatest of

        sum_A pt f - sum_B pt f,   where |f(x) - f(y)| <= |x - y| and f <= R.

    Here f are functions of one projection, piecewise linear between knots, which are at their steepest up where B has
    more pt beyond and down where A has.
    """
    maps = [_projections(x[..., :2]) for x, _ in (fake, real)]
    seen = np.concatenate([m[present] for m, (_, present) in zip(maps, (fake, real), strict=True)])
    low, high = seen.min(0, initial=np.inf), seen.max(0, initial=-np.inf)
    step = np.where(high > low, high - low, 1) / (_KNOTS - 1)

    def cumulative(values: Floats, x: Floats, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Sum of pt up to each knot, that of a particle between two knots being shared, ``(jets, maps, knots)``."""
        jet, particle = np.nonzero(present)
        place = np.clip((values[jet, particle] - low) / step, 0, _KNOTS - 1)
        knot = np.minimum(place.astype(np.intp), _KNOTS - 2)
        index = (jet[:, None] * len(step) + np.arange(len(step))) * _KNOTS + knot
        pt = x[jet, particle, 2, None]
        upper = pt * (place - knot)
        size = len(x) * len(step) * _KNOTS
        weight = np.bincount(index.ravel(), (pt - upper).ravel(), minlength=size)
        weight += np.bincount(index.ravel() + 1, upper.ravel(), minlength=size)
        return weight.reshape(len(x), len(step), _KNOTS).cumsum(-1).astype(np.float32)

    a, b = (cumulative(m, *sample) for m, sample in zip(maps, (fake, real), strict=True))
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
    greatest = max(x[..., 2].sum(1).max(initial=0) for x, _ in (fake, real))
    return np.asarray(np.maximum(bounds - _MARGIN * greatest * max(1, radius), 0))


def _minima(distance: Callable[[int, int], float], bounds: Floats) -> Floats:
    """All distances that can be the least of their row or column, infinity in the place of the others.

    Pairs are taken in the order of their lower bounds, until these exceed the least distance found; so that every pair
    with the least distance, in case of ties, is among them.
    """
    found = np.full(bounds.shape, np.inf)
    for transpose in (False, True):
        values, limits = (found.T, bounds.T) if transpose else (found, bounds)
        for row, limit in enumerate(limits):
            least = values[row].min()
            for column in np.argsort(limit, kind="stable"):
                if limit[column] > least:
                    break
                if np.isinf(values[row, column]):
                    values[row, column] = distance(*((column, row) if transpose else (row, column)))
                    least = min(least, values[row, column])
    return found


def cov_mmd(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    real_mask: ArrayLike | None = None,
    fake_mask: ArrayLike | None = None,
    size: int = 100,
    batches: int = 10,
    radius: float = 1.0,
) -> CoverageMMD:
    """Coverage and minimum matching distance with the energy mover's distance, means over batches.

    COV is the share of real jets that are the nearest real jet of some fake jet; MMD is the mean over real jets of the
    distance to the nearest fake jet (arXiv:2106.11535, section 5.2). Both depend on the number of jets in a batch.
    Batches share no jets, so that the error is the spread of the batches over the root of their number. For samples of
    equal size they hold the same rows of both, so that a sample is at no distance from itself.

    Exact: a linear program is solved for every pair of jets that a lower bound of its distance does not exclude.

    Args:
        real: ``(jets, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel; ``size * batches`` jets or more.
        fake: the same of the other sample; the numbers of jets and of particles may differ.
        rng: chooses the jets of the batches.
        real_mask: ``(jets, particles)`` or ``(jets, particles, 1)``, True for real particles; None: all are real.
        fake_mask: the same of the fake sample.
        size: jets of each sample in a batch.
        batches: number of batches, 2 or more.
        radius: R of the distance.

    Returns:
        COV, between 0 and 1, and MMD, in units of pt_rel times angle, each with its error.

    Raises:
        PartiganError: for wrong shapes, too few jets, negative pt and values that are not finite.
    """
    samples = _read(real, real_mask, "real"), _read(fake, fake_mask, "fake")
    if size < 1 or batches < 2:
        raise PartiganError(f"COV and MMD need 2 batches or more, of 1 jet or more, not {batches} of {size}")
    for name, (x, _) in zip(("real", "fake"), samples, strict=True):
        if len(x) < size * batches:
            raise PartiganError(
                f"the {name} sample has {len(x)} jets; {batches} batches of {size} are to be made of them"
            )
    real_parts = draws(len(samples[0][0]), size, batches, rng)
    same_size = len(samples[0][0]) == len(samples[1][0])
    fake_parts = real_parts if same_size else draws(len(samples[1][0]), size, batches, rng)  # a sample against itself
    covs, mmds = [], []
    for real_rows, fake_rows in zip(real_parts, fake_parts, strict=True):
        true, made = ((x[rows], there[rows]) for (x, there), rows in zip(samples, (real_rows, fake_rows), strict=True))
        true_jets, made_jets = _jets(*true), _jets(*made)

        def distance(made: int, true: int, a: list[_Jet] = made_jets, b: list[_Jet] = true_jets) -> float:
            return _emd(a[made], b[true], radius)

        distances = _minima(distance, _lower_bounds(made, true, radius))
        covs.append(len(np.unique(distances.argmin(1))) / size)
        mmds.append(distances.min(0).mean())
    return CoverageMMD(
        *(Measurement(float(np.mean(v)), float(np.std(v, ddof=1) / np.sqrt(batches))) for v in (covs, mmds))
    )
