"""Coverage (COV) and minimum matching distance (MMD) of jets with the energy mover's distance.

MMD here is the minimum matching distance of point clouds; the maximum mean discrepancies of kernels are the KPD
(`partigan.metrics.kpd`) and the KID (`partigan.metrics.inception`).

References:
    P. Achlioptas et al., Learning representations and generative models for 3D point clouds, arXiv:1707.02392,
    section 2 (COV and MMD).
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535, section 5.2 (their use for jets).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.emd import Jet, Jets, emd, lower_bounds
from partigan.metrics.measurement import Floats, Measurement, draws


class CoverageMMD(NamedTuple):
    """What `cov_mmd` finds.

    Attributes:
        cov: share of real jets that are the nearest real jet of some fake jet.
        mmd: mean over real jets of the distance to the nearest fake jet.
    """

    cov: Measurement
    mmd: Measurement


def least_distances(distance: Callable[[int, int], float], bounds: Floats) -> Floats:
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
    real: ArrayLike | Clouds,
    fake: ArrayLike | Clouds,
    *,
    rng: np.random.Generator,
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
        real: ``(jets, particles, 3 or more)``: eta_rel, phi_rel (rad), pt_rel; ``size * batches`` jets or more;
            `Clouds` for a mask.
        fake: the same of the other sample; the numbers of jets and of particles may differ.
        rng: chooses the jets of the batches.
        size: jets of each sample in a batch.
        batches: number of batches, 2 or more.
        radius: R of the distance.

    Returns:
        COV, between 0 and 1, and MMD, in units of pt_rel times angle, each with its error.

    Raises:
        PartiganError: for wrong shapes, too few jets, negative pt and values that are not finite.
    """
    samples = Jets.read(real, "real"), Jets.read(fake, "fake")
    if size < 1 or batches < 2:
        raise PartiganError(f"COV and MMD need 2 batches or more, of 1 jet or more, not {batches} of {size}")
    for name, jets in zip(("real", "fake"), samples, strict=True):
        if len(jets) < size * batches:
            raise PartiganError(
                f"the {name} sample has {len(jets)} jets; {batches} batches of {size} are to be made of them"
            )
    real_parts = draws(len(samples[0]), size, batches, rng)
    same_size = len(samples[0]) == len(samples[1])
    fake_parts = real_parts if same_size else draws(len(samples[1]), size, batches, rng)  # a sample against itself
    covs, mmds = [], []
    for real_rows, fake_rows in zip(real_parts, fake_parts, strict=True):
        true, made = samples[0].rows(real_rows), samples[1].rows(fake_rows)
        true_jets, made_jets = true.split(), made.split()

        def distance(row: int, column: int, a: list[Jet] = made_jets, b: list[Jet] = true_jets) -> float:
            return emd(a[row], b[column], radius)

        distances = least_distances(distance, lower_bounds(made, true, radius))
        covs.append(len(np.unique(distances.argmin(1))) / size)
        mmds.append(distances.min(0).mean())
    return CoverageMMD(
        *(Measurement(float(np.mean(v)), float(np.std(v, ddof=1) / np.sqrt(batches))) for v in (covs, mmds))
    )
