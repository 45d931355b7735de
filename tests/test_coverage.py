from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from helpers import rng, toy_jets
from partigan.errors import PartiganError
from partigan.metrics import coverage
from partigan.metrics.coverage import cov_mmd, energy_movers_distance
from partigan.metrics.measurement import Measurement

Jets = tuple[NDArray[np.float64], NDArray[np.bool_]]


def jets(size: int, seed: int, particles: int = 8) -> Jets:
    clouds = toy_jets(size, particles, seed)[0]
    return clouds[..., :3].astype(float), clouds[..., 3] > 0.5


def test_emd_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    a, b = (oracle[name][:12].astype(float) for name in "ab")
    for row, jet in enumerate(a):
        found = energy_movers_distance(np.repeat(jet[None], 12, 0), b, np.repeat(jet[None, :, 3:], 12, 0), b[..., 3])
        np.testing.assert_allclose(found, oracle["emd12"][row], rtol=1e-6)


@pytest.mark.parametrize("radius", [1.0, 0.5])
def test_emd_is_the_linear_program_of_its_definition(radius: float) -> None:
    """Without the fictitious particle: flows f_ij >= 0, at most pt_i leave and pt_j arrive, min(E, E') in all."""
    (a, mask_a), (b, mask_b) = jets(6, 1, 5), jets(6, 2, 4)
    found = energy_movers_distance(a, torch.from_numpy(b), mask_a, torch.from_numpy(mask_b)[..., None], radius)
    for jet, other, real, also, value in zip(a, b, mask_a, mask_b, found, strict=True):
        (x, e), (y, f) = ((j[m][:, :2], j[m][:, 2]) for j, m in ((jet, real), (other, also)))
        theta = np.hypot(*(x[:, None] - y[None]).transpose(2, 0, 1))
        leave, arrive = np.kron(np.eye(len(x)), np.ones(len(y))), np.kron(np.ones(len(x)), np.eye(len(y)))
        least = linprog(
            theta.ravel(),
            A_ub=np.vstack([leave, arrive]),
            b_ub=np.concatenate([e, f]),
            A_eq=np.ones((1, theta.size)),
            b_eq=[min(e.sum(), f.sum())],
        )
        assert value == pytest.approx(least.fun + radius * abs(e.sum() - f.sum()), rel=1e-9)


def brute_force(made: Jets, true: Jets) -> NDArray[np.float64]:
    some, others = (coverage._jets(x, m & (x[..., 2] > 0)) for x, m in (made, true))
    return np.array([[coverage._emd(a, b, 1.0) for b in others] for a in some])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from([0.9, 1.0]))
def test_it_is_brute_force_exactly_with_ties(seed: int, width: float, pt: float) -> None:
    (true, true_mask), (made, made_mask) = jets(12, seed % 1000), jets(12, seed % 1000 + 1)
    made *= [width, width, pt]
    true[3], true_mask[3] = true[7], true_mask[7]  # ties: a jet that occurs twice, in both samples,
    made[5], made_mask[5] = true[7], true_mask[7]
    true_mask[1] = made_mask[2] = made_mask[8] = False  # and jets of no particles
    distances = brute_force((made, made_mask), (true, true_mask))
    bounds = coverage._lower_bounds(*(coverage._read(*s, "") for s in ((made, made_mask), (true, true_mask))), 1.0)
    assert (bounds <= distances).all()
    solved: list[tuple[int, int]] = []

    def look_up(row: int, column: int) -> float:
        solved.append((row, column))
        return float(distances[row, column])

    found = coverage._minima(look_up, bounds)
    assert len(set(solved)) == len(solved) < distances.size
    assert (found.argmin(1) == distances.argmin(1)).all()
    assert (found.min(0) == distances.min(0)).all()


def test_cov_and_mmd_of_all_pairs() -> None:
    real, fake = jets(30, 1), jets(30, 2)
    options: dict[str, Any] = {"size": 15, "batches": 2}
    found = cov_mmd(real[0], fake[0], rng=rng(), real_mask=real[1], fake_mask=fake[1], **options)
    covs, mmds = [], []
    for rows in np.split(rng().permutation(30), 2):
        distances = brute_force((fake[0][rows], fake[1][rows]), (real[0][rows], real[1][rows]))
        covs.append(len(set(distances.argmin(1))) / 15)
        mmds.append(distances.min(0).mean())
    assert found.cov == pytest.approx((np.mean(covs), abs(covs[0] - covs[1]) / 2))
    assert found.mmd == pytest.approx((np.mean(mmds), abs(mmds[0] - mmds[1]) / 2))


def test_degenerate_cases() -> None:
    x, mask = jets(40, 3)
    options: dict[str, Any] = {"size": 20, "batches": 2, "real_mask": mask}
    assert cov_mmd(x, x, rng=rng(), fake_mask=mask, **options) == ((1, 0), (0, 0))
    nothing = cov_mmd(x, np.zeros_like(x), rng=rng(), **options)
    assert nothing.cov.value == pytest.approx(1 / 20)  # the one of least pt
    assert nothing.mmd.value == pytest.approx((x[..., 2] * mask).sum(1).mean())
    points = np.array([[[0.0, 0.0, 1.0]], [[0.3, 0.4, 1.0]], [[0.0, 0.0, 0.4]], [[0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(energy_movers_distance(points[:1].repeat(4, 0), points), [0, 0.5, 0.6, 1])


def test_defects_are_rejected_and_the_null_accepted() -> None:
    """COV sees that a mode is missing, MMD that all jets are too wide."""
    real, null, again, collapsed, wide = (jets(200, seed) for seed in range(1, 6))
    for x, _ in (real, null, again):
        x[100:, :, :2] *= 2  # half of the jets have twice the opening angle
    wide[0][..., :2] *= 3
    options: dict[str, Any] = {"size": 40, "batches": 5, "real_mask": real[1]}
    found = [cov_mmd(real[0], x, rng=rng(), fake_mask=m, **options) for x, m in (null, again, collapsed, wide)]

    def significance(a: Measurement, b: Measurement) -> float:
        return abs(a.value - b.value) / np.hypot(a.error, b.error)

    assert significance(found[0].cov, found[2].cov) > 3
    assert significance(found[0].mmd, found[3].mmd) > 3
    assert max(significance(*pair) for pair in zip(found[0], found[1], strict=True)) < 3


def cloud(size: int, seed: int, width: float = 1.0) -> NDArray[np.float64]:
    return np.asarray(jets(size, seed, 5)[0] * [width, width, 1])


SMALL: dict[str, Any] = {"size": 10, "batches": 5}
METRICS: dict[str, tuple[Callable[..., NDArray[np.float64]], Callable[..., Measurement]]] = {
    "cov": (cloud, lambda a, b, r: cov_mmd(a, b, rng=r, **SMALL).cov),
    "mmd": (cloud, lambda a, b, r: cov_mmd(a, b, rng=r, **SMALL).mmd),
}


def test_errors_are_the_spread_of_replicas() -> None:
    """40 replicas: the spread is known to 11 %."""
    found = np.array([cov_mmd(cloud(50, 2 * k), cloud(50, 2 * k + 1, 1.3), rng=rng(k), **SMALL) for k in range(40)])
    ratio = np.sqrt(np.mean(found[..., 1] ** 2, 0)) / found[..., 0].std(0, ddof=1)
    assert ((ratio > 0.6) & (ratio < 1.7)).all()


def test_bad_input() -> None:
    x, mask = jets(20, 1)
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
        cov_mmd(x, x, rng=rng(), real_mask=mask[:, :3], size=5, batches=2)
    with pytest.raises(PartiganError, match="pairs of jets"):
        energy_movers_distance(x, x[:3])
