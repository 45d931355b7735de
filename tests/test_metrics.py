from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from helpers import rng
from partigan.errors import PartiganError
from partigan.metrics.frechet import Moments, fpd, fpnd, frechet_distance
from partigan.metrics.measurement import Measurement
from partigan.metrics.mmd import kpd
from partigan.metrics.wasserstein import w1, wasserstein_1d


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))
def test_wasserstein_is_scipys_and_symmetric(n: int, m: int, seed: int) -> None:
    a, b = rng(seed).normal(0, 1, n), rng(seed + 1).normal(0.3, 2, m)
    assert wasserstein_1d(a, b) == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-12)
    assert wasserstein_1d(b, a) == pytest.approx(wasserstein_1d(a, b), rel=1e-12, abs=1e-12)
    assert wasserstein_1d(a, a) == 0
    assert wasserstein_1d(a, a + 0.7) == pytest.approx(0.7)


def test_wasserstein_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    assert wasserstein_1d(oracle["a_mass"], oracle["b_mass"]) == pytest.approx(float(oracle["w1m"]), rel=1e-5)
    for feature in range(3):
        a, b = (oracle[name][..., feature][oracle[name][..., 3] > 0.5] for name in "ab")
        assert wasserstein_1d(a, b) == pytest.approx(float(oracle["w1p"][feature]), rel=1e-5)


def test_frechet_and_kernel_distance_of_the_oracle(oracle: dict[str, np.ndarray]) -> None:
    """Within two errors: the reference draws with repetition, which keeps the bias of the whole sample in its FPD."""
    a, b = oracle["a_fpd_features"], oracle["b_fpd_features"]
    value, error = oracle["fpd"]
    ours = fpd(a, b, rng=rng(), min_samples=1000, max_samples=3000)
    assert abs(ours.value - value) < 2 * np.hypot(error, ours.error)
    value, error = oracle["kpd"]
    ours = kpd(a, b, rng=rng(), batches=10, batch_size=1000)
    assert abs(ours.value - value) < 2 * np.hypot(error, ours.error)


def test_kpd_is_its_definition() -> None:
    """Unbiased MMD^2 of (x.y / d + 1)^4, all terms written out; one batch of all rows."""
    a, b = table(60, 1), table(60, 2)
    x, y = (sample / np.abs(a).max(0) for sample in (a, b))
    kernels = [(u @ v.T / 4 + 1) ** 4 for u, v in ((x, x), (y, y), (x, y))]
    within = sum((k.sum() - np.trace(k)) / (60 * 59) for k in kernels[:2])
    found = kpd(a, b, rng=rng(), batches=1, batch_size=60)
    assert found.value == pytest.approx(within - 2 * kernels[2].mean(), rel=1e-9)


def test_fpnd_is_scipys_square_root() -> None:
    a, b = table(2000, 1), table(2000, 2, 1.3)
    reference, other = Moments.of(a), Moments.of(b)
    root = np.trace(sqrtm(reference.cov @ other.cov).real)
    expected = np.square(reference.mean - other.mean).sum() + np.trace(reference.cov + other.cov) - 2 * root
    assert fpnd(reference, b, rng=rng()).value == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_two_gaussians() -> None:
    one, two = np.diag([1.0, 4.0]), np.diag([9.0, 4.0])
    assert frechet_distance([0, 0], one, [3, 4], two) == pytest.approx(25 + (1 - 3) ** 2)
    turn = np.linalg.qr(rng().normal(size=(2, 2)))[0]
    turned = frechet_distance(turn @ [0, 0], turn @ one @ turn.T, turn @ [3, 4], turn @ two @ turn.T)
    assert turned == pytest.approx(29)
    assert frechet_distance([1, 2], one, [1, 2], one) == pytest.approx(0, abs=1e-12)
    flat = np.diag([1.0, 0.0])
    assert frechet_distance([0, 0], flat, [0, 0], flat) == pytest.approx(0, abs=1e-12)


def particles(size: int, seed: int, width: float = 1.0) -> NDArray[np.float64]:
    """Clouds of 6 particles with 2 features that are correlated within a jet."""
    draw = rng(seed)
    common = draw.normal(0, width, (size, 1, 2))
    return np.asarray(common + draw.normal(0, 0.5, (size, 6, 2)))


def table(size: int, seed: int, width: float = 1.0) -> NDArray[np.float64]:
    """Rows of four correlated positive features."""
    draw = rng(seed)
    return np.asarray(np.exp(0.15 * width * draw.normal(size=(size, 4)) @ (0.5 + np.eye(4))))


MOMENTS = Moments.of(table(20_000, 10_000))

METRICS: dict[str, tuple[Callable[..., NDArray[np.float64]], Callable[..., Measurement]]] = {
    "w1 of a jet feature": (lambda *a: table(*a)[:, 0], lambda a, b, r: w1(a, b, rng=r, samples=400, batches=5)),
    "w1 of particles": (particles, lambda a, b, r: w1(a, b, rng=r, samples=400, batches=5)),
    "w1 with the inverse-variance mean": (
        particles,
        lambda a, b, r: w1(a, b, rng=r, samples=400, batches=5, mean="inverse-variance"),
    ),
    "fpd": (table, lambda a, b, r: fpd(a, b, rng=r, min_samples=800, max_samples=2000)),
    "kpd": (table, lambda a, b, r: kpd(a, b, rng=r, batches=5, batch_size=400)),
    "fpnd": (table, lambda a, b, r: fpnd(MOMENTS, b, rng=r)),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_defect_is_rejected_and_the_null_accepted(name: str) -> None:
    sample, metric = METRICS[name]
    real, other, wide = sample(2000, 1), sample(2000, 2), 1.3 * sample(2000, 3)
    null, defect = metric(real, other, rng()), metric(real, wide, rng())
    # W1 and FPND are biased, so their null is the in-sample value and not zero
    reference = null.value if name.startswith(("w1", "fpnd")) else 0.0
    assert (defect.value - reference) / np.hypot(defect.error, null.error) > 3
    again = metric(real, sample(2000, 4), rng())
    assert abs(again.value - reference) / np.hypot(again.error, null.error) < 3


def test_a_mass_peak_that_is_5_percent_too_wide_is_rejected() -> None:
    def peak(seed: int, width: float = 0.02) -> NDArray[np.float64]:
        return rng(seed).normal(0.16, width, 20_000)

    options = {"samples": 10_000, "batches": 5}
    null = w1(peak(1), peak(2), rng=rng(), **options)
    defect = w1(peak(1), peak(3, 0.021), rng=rng(), **options)
    assert (defect.value - null.value) / np.hypot(defect.error, null.error) > 3


@pytest.mark.parametrize("width", [1.0, 1.3])
@pytest.mark.parametrize("name", METRICS)
def test_errors_are_the_spread_of_replicas(name: str, width: float) -> None:
    """60 replicas of both samples: the spread is known to 9 %, the margin is 3 sigma beyond 0.75 to 1.33."""
    sample, metric = METRICS[name]
    found = [metric(sample(1000, 2 * k), sample(1000, 2 * k + 1, width), rng(k)) for k in range(60)]
    values, errors = np.array(found).T
    ratio = np.sqrt(np.mean(errors**2)) / values.std(ddof=1)
    assert 0.6 < ratio < 1.7


@pytest.mark.parametrize("name", METRICS)
def test_same_seed_same_value_for_numpy_and_torch(name: str) -> None:
    sample, metric = METRICS[name]
    a, b = sample(1000, 1), sample(1000, 2)
    first, second = metric(a, b, rng(3)), metric(torch.from_numpy(a), torch.from_numpy(b), rng(3))
    assert first == pytest.approx(second, rel=1e-9)


def test_padding_of_particles_is_ignored() -> None:
    a, b = particles(500, 1), particles(500, 2)
    mask = np.arange(6) < rng().integers(1, 7, (500, 1))
    padded = np.where(mask[..., None], a, np.nan)
    plain = w1(a, b, real_mask=mask, rng=rng(), samples=200, batches=2)
    assert w1(padded, b, real_mask=mask, rng=rng(), samples=200, batches=2) == plain


def test_a_constant_feature_changes_nothing_and_identical_samples_are_at_no_distance() -> None:
    a, b = table(1000, 1), table(1000, 2)
    constant = [np.column_stack([x, np.full(1000, 0.5)]) for x in (a, b)]
    assert fpd(*constant, rng=rng()).value == pytest.approx(fpd(a, b, rng=rng()).value, rel=1e-6, abs=1e-9)
    assert abs(fpd(a, a, rng=rng()).value) < 0.01 * fpd(a, 1.3 * b, rng=rng()).value
    assert w1(a, a, rng=rng()).value == 0


@pytest.mark.parametrize("name", METRICS)
def test_bad_input(name: str) -> None:
    sample, metric = METRICS[name]
    good, bad = sample(1000, 1), sample(1000, 2)
    bad[7] = np.nan
    with pytest.raises(PartiganError, match=r"fake sample has NaN or infinite values in 1 of 1000 rows.* row 7"):
        metric(good, bad, rng())
    with pytest.raises(PartiganError):
        metric(good, sample(5, 2), rng())
    if good.ndim > 1:
        with pytest.raises(PartiganError, match="features"):
            metric(good, good[..., :1], rng())
