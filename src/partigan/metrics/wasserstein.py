"""Wasserstein-1 distances between one-dimensional distributions, with uncertainties whose unit is the jet.

References:
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535.
    B. Käch, I. Melzer-Pellmann, Attention to mean-fields for particle cloud generation, arXiv:2305.15254.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, features, same_features

_CELLS = 64  # in which the error, not the value, follows the distribution functions
_REPLICAS = 400  # simulated for the error


def _between_sorted(a: Floats, b: Floats) -> float:
    """Integral of |A(u) - B(u)| over 0 < u < 1, where A and B are the quantile functions."""
    n, m = len(a), len(b)
    if n == m:
        return float(np.abs(a - b).mean())
    # Both are constant between the multiples of 1/n and of 1/m; in units of 1/(n m) these are whole numbers.
    steps = np.sort(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]), kind="stable")
    gaps = np.abs(a[(steps - 1) // m] - b[(steps - 1) // n])
    return float(gaps @ np.diff(steps, prepend=0)) / (n * m)


def wasserstein_1d(a: ArrayLike, b: ArrayLike) -> float:
    """Exact Wasserstein-1 distance between two one-dimensional samples.

    W1 = integral of |F_a(t) - F_b(t)| dt, which is that of the difference of the quantile functions
    (arXiv:2106.11535, section 3.1).

    Args:
        a: ``(n,)``, any n > 0.
        b: ``(m,)``, any m > 0.

    Returns:
        The distance, in units of the samples.

    Raises:
        PartiganError: for empty samples, other shapes and values that are not finite.
    """
    return _between_sorted(np.sort(features(a, "first", 1)), np.sort(features(b, "second", 1)))


class _Groups(NamedTuple):
    """Values of features in groups, the particles of jets; the groups are independent, their members are not.

    Attributes:
        x: ``(groups, members, features)``.
        mask: ``(groups, members)``, True for the members that are there.
    """

    x: Floats
    mask: NDArray[np.bool_]

    def sorted(self, rows: NDArray[np.intp], feature: int) -> Floats:
        return np.sort(self.x[rows, :, feature][self.mask[rows]])


def _groups(sample: ArrayLike, mask: ArrayLike | None, name: str) -> _Groups:
    x = np.asarray(sample, dtype=np.float64)
    if x.ndim < 3:
        x = features(x, name)[:, None]
    there = np.ones(x.shape[:2], dtype=np.bool_) if mask is None else np.asarray(mask).astype(np.bool_)
    if there.shape != x.shape[:2]:
        raise PartiganError(f"the mask of the {name} sample must have the shape {x.shape[:2]}, not {there.shape}")
    x = features(np.where(there[..., None], x, 0), name, 3)
    return _Groups(x, there)


def _draws(rows: int, size: int, batches: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Rows of each batch: consecutive parts of a random order, of another one where no whole part is left."""
    parts: list[NDArray[np.intp]] = []
    while len(parts) < batches:
        order = rng.permutation(rows)
        parts += [order[i : i + size] for i in range(0, rows - size + 1, size)]
    return parts[:batches]


def _average(distances: Floats, mean: str) -> Floats:
    """Mean over the features of the mean over the batches of ``(..., batches, features)``."""
    of_features = distances.mean(-2)
    if mean == "plain":
        return np.asarray(of_features.mean(-1))
    weight = 1 / distances.var(-2, ddof=1)
    return np.asarray((weight * of_features).sum(-1) / weight.sum(-1))


def _integrals(groups: _Groups, edges: Floats, feature: int) -> Floats:
    """``(groups, cells)``: over each cell, the integral of the number of members of the group below t."""
    cells = len(edges) - 1
    x = groups.x[..., feature][groups.mask]
    cell = np.searchsorted(edges[1:-1], x, side="right")
    index = np.repeat(np.arange(len(groups.x)) * cells, groups.mask.sum(1)) + cell
    shape = (len(groups.x), cells)
    number = np.bincount(index, minlength=shape[0] * cells).reshape(shape)
    within = np.bincount(index, edges[cell + 1] - x, minlength=shape[0] * cells).reshape(shape)
    return np.asarray(within + (number.cumsum(1) - number) * np.diff(edges))


def _fluctuation(
    groups: _Groups, edges: list[Floats], draws: list[NDArray[np.intp]], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Distribution function of all groups, integrated over the cells, and how it fluctuates between batches.

    Returns:
        The integrals ``(cells of all features,)``, and ``(replicas, batches, cells)`` random deviations with the
        covariance that batches drawn from such groups have, those of groups in several batches included.
    """
    integrals = np.concatenate([_integrals(groups, e, f) for f, e in enumerate(edges)], 1)
    number = groups.mask.sum(1)
    function = integrals.sum(0) / number.sum()
    influence = (integrals - np.outer(number, function)) / number.mean()
    inside = np.zeros((len(draws), len(groups.x)))
    for batch, rows in zip(inside, draws, strict=True):
        batch[rows] = 1 / len(rows)
    noise = rng.standard_normal((_REPLICAS, len(draws), len(function)))
    between, within = _root(inside @ inside.T), _root(influence.T @ influence / (len(influence) - 1))
    return function, between @ noise @ within


def _root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def w1(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    real_mask: ArrayLike | None = None,
    fake_mask: ArrayLike | None = None,
    samples: int | None = None,
    batches: int = 1,
    mean: Literal["plain", "inverse-variance"] = "plain",
) -> Measurement:
    """Wasserstein-1 distance of the features of jets or of their particles, averaged over batches and features.

    The jet is the statistical unit.
    """
    a, b = _groups(real, real_mask, "real"), _groups(fake, fake_mask, "fake")
    same_features(a.x, b.x)
    size = min(len(a.x), len(b.x)) if samples is None else samples
    for name, groups in (("real", a), ("fake", b)):
        if len(groups.x) < size:
            raise PartiganError("few")
    a_draws, b_draws = (_draws(len(groups.x), size, batches, rng) for groups in (a, b))
    distances = np.empty((batches, a.x.shape[2]))
    for f in range(a.x.shape[2]):
        for k in range(batches):
            distances[k, f] = _between_sorted(a.sorted(a_draws[k], f), b.sorted(b_draws[k], f))
    value = float(_average(distances, mean))
    edges=[]
    for f in range(a.x.shape[2]):
        v=np.concatenate([a.sorted(a_draws[0],f), b.sorted(b_draws[0],f)]); v.sort()
        e=v[np.linspace(0,len(v)-1,_CELLS+1).astype(int)]
        e[0]=min(a.x[...,f][a.mask].min(), b.x[...,f][b.mask].min())
        e[-1]=max(a.x[...,f][a.mask].max(), b.x[...,f][b.mask].max())
        edges.append(np.unique(e))
    fa,na=_fluctuation(a,edges,a_draws,rng)
    fb,nb=_fluctuation(b,edges,b_draws,rng)
    delta=fa-fb
    if SHRINK:
        var=(na[:,0].var(0)*size/len(a.x)+nb[:,0].var(0)*size/len(b.x))
        delta=delta*np.maximum(0,1-SHRINK*var/np.maximum(delta**2,1e-300))
    cells=np.abs(delta+na-nb)
    starts=np.cumsum([0]+[len(e)-1 for e in edges[:-1]])
    sim=np.add.reduceat(cells,starts,axis=-1)
    return Measurement(value, float(_average(sim, mean).std()))
SHRINK=0.
