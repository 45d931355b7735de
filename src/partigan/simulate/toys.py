"""Toys: known distributions that show what an objective does, and what theory says of them.

References:
    J. Glombitza, M. Erdmann, lecture on Wasserstein GANs (divergences of disjoint distributions); A. Maevskiy,
    lecture on GANs, 2021 (two peaks, the optimal discriminator); M. Arjovsky, S. Chintala, L. Bottou,
    arXiv:1701.07875, example 1 (parallel lines); L. Metz et al., arXiv:1611.02163, section 3.1 (ring of 8 Gaussians);
    A. Srivastava et al., VEEGAN, arXiv:1705.07761, section 5.1 (grid of 25 Gaussians, modes within 3 sigma).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import rel_entr

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import write_samples
from partigan.errors import PartiganError, check_number
from partigan.metrics.measurement import comparable, table
from partigan.outputs import writing
from partigan.randomness import check_seed
from partigan.reading import assure_memory

Floats = NDArray[np.float64]
ToyName = Literal["two-peaks", "ring", "grid", "swiss-roll"]
SHARE = 0.25  # of the expected rows of a mode, needed to cover it


@dataclass(frozen=True)
class Toy:
    """A distribution of rows.

    Attributes:
        features: names of the columns.
        draw: draws rows, ``(n, features)``.
        modes: centres of its Gaussians, ``(modes, features)``; empty if it has none.
        sigma: standard deviation of each Gaussian, ``(modes,)``.
        shares: share of rows in each Gaussian, ``(modes,)``.
    """

    features: tuple[str, ...]
    draw: Callable[[int, np.random.Generator], Floats]
    modes: Floats
    sigma: Floats
    shares: Floats


def _gaussians(modes: ArrayLike, sigma: ArrayLike, shares: ArrayLike | None = None) -> Toy:
    centres = table(modes, "toy")
    widths = np.broadcast_to(np.asarray(sigma, float), len(centres))
    parts = np.full(len(centres), 1 / len(centres)) if shares is None else np.asarray(shares, float)

    def draw(size: int, rng: np.random.Generator) -> Floats:
        mode = rng.choice(len(centres), size, p=parts)
        return np.asarray(centres[mode] + widths[mode, None] * rng.standard_normal((size, centres.shape[1])))

    return Toy(("x", "y")[: centres.shape[1]], draw, centres, widths, parts)


def _swiss_roll(size: int, rng: np.random.Generator) -> Floats:
    angle = 1.5 * np.pi * (1 + 2 * rng.random(size))
    roll = np.stack((angle * np.cos(angle), angle * np.sin(angle)), axis=1) / 10
    return np.asarray(roll + 0.02 * rng.standard_normal(roll.shape))


_ANGLES = 2 * np.pi * np.arange(8) / 8
TOYS: dict[str, Toy] = {
    "two-peaks": _gaussians([[5.0], [-4.0]], [0.8, 1.0], [0.7, 0.3]),
    "ring": _gaussians(2 * np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1), 0.02),
    "grid": _gaussians([[x, y] for x in range(-4, 5, 2) for y in range(-4, 5, 2)], 0.05),
    "swiss-roll": Toy(("x", "y"), _swiss_roll, np.zeros((0, 2)), np.zeros(0), np.zeros(0)),
}


def simulate_toy(name: ToyName, n: int, out: Path, seed: int = 1, overwrite: bool = False) -> Path:
    """Draw rows of a toy and write them as a table.

    Args:
        name: two-peaks, ring (8 Gaussians), grid (25 Gaussians) or swiss-roll.
        n: number of rows.
        out: file to make.
        seed: of the random generator.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: the toy is unknown, ``n`` is below 1, or the output exists.
    """
    if name not in TOYS:
        raise PartiganError(f"unknown toy {name!r}; there are {', '.join(TOYS)}")
    check_number("n", n, "row")
    assure_memory(64 * n, f"{n:,} rows")
    check_seed(seed)
    rows = TOYS[name].draw(n, np.random.default_rng(seed)).astype(np.float32)
    attributes = {"kind": "tables", "simulated": f"toy {name}", "seed": seed, "n": n, "partigan_version": __version__}
    with writing(out, overwrite=overwrite, suffixes=SUFFIXES):
        features = dict.fromkeys(TOYS[name].features, "")
        write_samples(out, "rows", [Batch(torch.from_numpy(rows))], attributes, features)
    return Path(out)


def covered_modes(toy: Toy, rows: ArrayLike) -> tuple[int, float]:
    """Number of modes of a toy that a sample covers, and the share of its rows in modes.

    A row lies in its nearest mode if it is within three standard deviations of it (VEEGAN, arXiv:1705.07761, section
    5.1). There, one such row in 2,500 covers a mode; on the grid, uniform noise reaches that. Here a mode is covered if
    it has at least a quarter of its expected rows.

    Args:
        toy: a toy with modes.
        rows: ``(n, features)``.

    Returns:
        The number of modes and the share of rows.
    """
    sample = table(rows, "generated")
    distances = np.linalg.norm(sample[:, None] - toy.modes, axis=2)
    nearest = distances.argmin(1)
    inside = distances[np.arange(len(sample)), nearest] <= 3 * toy.sigma[nearest]
    counts = np.bincount(nearest[inside], minlength=len(toy.modes))
    return int((counts >= SHARE * toy.shares * len(sample)).sum()), float(inside.mean())


def w2(a: ArrayLike, b: ArrayLike) -> float:
    """Exact Wasserstein-2 distance of two samples of equal size, by optimal assignment.

    Args:
        a: ``(n, features)``.
        b: ``(n, features)``. Time grows as n^3; 1,000 rows take about 0.1 s.

    Raises:
        PartiganError: shapes differ, or values are not finite.

    Example:
        >>> w2([[0.0, 0.0], [1.0, 0.0]], [[1.0, 2.0], [0.0, 2.0]])
        2.0
    """
    first, second = table(a, "first"), table(b, "second")
    comparable(first, second, 1)
    if len(first) != len(second):
        raise PartiganError(f"the samples have {len(first)} and {len(second)} rows; give as many of both")
    cost = np.square(first[:, None] - second).sum(2)
    return float(np.sqrt(cost[linear_sum_assignment(cost)].mean()))


def divergences_of_lines(theta: float) -> dict[str, float]:
    """Divergences between uniform distributions on two parallel lines at the distance ``|theta|``.

    Returns:
        ``kl`` (infinite unless theta = 0), ``js`` = log 2 in the lectures' normalisation
        JS = (KL(P|M) + KL(Q|M)) / 2, and ``w1`` = ``|theta|``.

    References:
        arXiv:1701.07875, example 1.
    """
    apart = theta != 0
    return {"kl": math.inf if apart else 0.0, "js": math.log(2) if apart else 0.0, "w1": abs(theta)}


def estimated_divergences(a: ArrayLike, b: ArrayLike, bins: int = 20) -> dict[str, float]:
    """Estimate `divergences_of_lines` from samples ``(n, 2)``: KL and JS from histograms, W1 by optimal assignment."""
    first, second = table(a, "first"), table(b, "second")
    edges = [np.histogram_bin_edges(column, bins) for column in np.concatenate((first, second)).T]
    p, q = (np.histogramdd(sample, edges)[0] / len(sample) for sample in (first, second))
    middle = (p + q) / 2
    cost = np.linalg.norm(first[:, None] - second, axis=2)
    return {
        "kl": float(rel_entr(p, q).sum()),
        "js": float((rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2),
        "w1": float(cost[linear_sum_assignment(cost)].mean()),
    }


def optimal_discriminator(p: ArrayLike, q: ArrayLike) -> Floats:
    """The discriminator that best separates samples of densities ``p`` and ``q``: p / (p + q).

    References:
        arXiv:1406.2661, proposition 1.

    Example:
        >>> optimal_discriminator([0.6, 0.0], [0.2, 0.5]).round(2).tolist()
        [0.75, 0.0]
    """
    p, q = np.asarray(p, float), np.asarray(q, float)
    return np.asarray(p / (p + q))
