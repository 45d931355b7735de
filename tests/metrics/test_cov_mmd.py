from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers import rng, toy_clouds
from metric_cases import cloud
from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.cov_mmd import cov_mmd, least_distances
from partigan.metrics.emd import Jets, emd, lower_bounds
from partigan.metrics.measurement import Measurement


def brute_force(made: Clouds, true: Clouds) -> NDArray[np.float64]:
    some, others = (Jets.read(sample, "").split() for sample in (made, true))
    return np.array([[emd(a, b) for b in others] for a in some])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from([0.9, 1.0]))
def test_it_is_brute_force_exactly_with_ties(seed: int, width: float, pt: float) -> None:
    true, made = toy_clouds(12, seed % 1000), toy_clouds(12, seed % 1000 + 1)
    made.x[:] *= [width, width, pt]
    true.x[3], true.mask[3] = true.x[7], true.mask[7]  # ties: a jet that occurs twice, in both samples,
    made.x[5], made.mask[5] = true.x[7], true.mask[7]
    true.mask[1] = made.mask[2] = made.mask[8] = False  # and jets of no particles
    distances = brute_force(made, true)
    bounds = lower_bounds(Jets.read(made, ""), Jets.read(true, ""), 1.0)
    assert (bounds <= distances).all()
    solved: list[tuple[int, int]] = []

    def look_up(row: int, column: int) -> float:
        solved.append((row, column))
        return float(distances[row, column])

    found = least_distances(look_up, bounds)
    assert len(set(solved)) == len(solved) < distances.size
    assert (found.argmin(1) == distances.argmin(1)).all()
    assert (found.min(0) == distances.min(0)).all()


def test_cov_and_mmd_of_all_pairs() -> None:
    real, fake = toy_clouds(30, 1), toy_clouds(30, 2)
    found = cov_mmd(real, fake, rng=rng(), size=15, batches=2)
    covs, mmds = [], []
    for rows in np.split(rng().permutation(30), 2):
        distances = brute_force(*(Clouds(sample.x[rows], sample.mask[rows]) for sample in (fake, real)))
        covs.append(len(set(distances.argmin(1))) / 15)
        mmds.append(distances.min(0).mean())
    assert found.cov == pytest.approx((np.mean(covs), abs(covs[0] - covs[1]) / 2))
    assert found.mmd == pytest.approx((np.mean(mmds), abs(mmds[0] - mmds[1]) / 2))


def test_degenerate_cases() -> None:
    real = toy_clouds(40, 3)
    assert cov_mmd(real, real, rng=rng(), size=20, batches=2) == ((1, 0), (0, 0))
    nothing = cov_mmd(real, np.zeros_like(real.x), rng=rng(), size=20, batches=2)
    assert nothing.cov.value == pytest.approx(1 / 20)  # the one of least pt
    assert nothing.mmd.value == pytest.approx((real.x[..., 2] * real.mask).sum(1).mean())


def test_defects_are_rejected_and_the_null_accepted() -> None:
    """COV sees that a mode is missing, MMD that all jets are too wide."""
    real, null, again, collapsed, wide = (toy_clouds(200, seed) for seed in range(1, 6))
    for sample in (real, null, again):
        sample.x[100:, :, :2] *= 2  # half of the jets have twice the opening angle
    wide.x[..., :2] *= 3
    found = [cov_mmd(real, fake, rng=rng(), size=40, batches=5) for fake in (null, again, collapsed, wide)]

    def significance(a: Measurement, b: Measurement) -> float:
        return abs(a.value - b.value) / np.hypot(a.error, b.error)

    assert significance(found[0].cov, found[2].cov) > 3
    assert significance(found[0].mmd, found[3].mmd) > 3
    assert max(significance(*pair) for pair in zip(found[0], found[1], strict=True)) < 3


def test_errors_are_the_spread_of_replicas() -> None:
    """40 replicas: the spread is known to 11 %."""
    found = np.array(
        [cov_mmd(cloud(50, 2 * k), cloud(50, 2 * k + 1, 1.3), rng=rng(k), size=10, batches=5) for k in range(40)]
    )
    ratio = np.sqrt(np.mean(found[..., 1] ** 2, 0)) / found[..., 0].std(0, ddof=1)
    assert ((ratio > 0.6) & (ratio < 1.7)).all()


def test_bad_input() -> None:
    sample = toy_clouds(20, 1)
    x, mask = sample.x, sample.mask
    for change, message in (
        ((3, 0, 2, -0.1), "fake sample has particles of negative pt_rel in 1 of 20 jets, the first of them jet 3"),
        ((7, 1, 0, np.nan), "fake sample has NaN or infinite values in 1 of 20 rows, the first of them row 7"),
    ):
        bad = x.copy()
        bad[change[:3]] = change[3]
        with pytest.raises(PartiganError, match=message):
            cov_mmd(x, bad, rng=rng(), size=5, batches=2)
    with pytest.raises(PartiganError, match="20 jets; 10 batches of 100"):
        cov_mmd(x, x, rng=rng())
    with pytest.raises(PartiganError, match="mask of the real sample"):
        cov_mmd(Clouds(x, mask[:, :3]), x, rng=rng(), size=5, batches=2)
