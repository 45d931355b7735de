"""The metric functions of the evaluation suite: what all must do, and what each must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import digamma
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity, NearestNeighbors

from partigan.errors import PartiganError
from partigan.metrics.amplification import equivalent_events
from partigan.metrics.classifier import Classification, classify, reliability, roc_auc
from partigan.metrics.critic import held_out_critic
from partigan.metrics.frechet import fpd, frechet_distance
from partigan.metrics.inception import inception_score, kid
from partigan.metrics.likelihood import kernel_density_likelihood
from partigan.metrics.manifold import density_coverage, prd, precision_recall
from partigan.metrics.measurement import Measurement
from partigan.metrics.memorisation import birthday, memorisation
from partigan.metrics.modes import class_modes, cluster_modes
from partigan.metrics.reconstruction import reconstruct
from partigan.metrics.two_sample import (
    TwoSampleTest,
    adjusted,
    chi2,
    correlation_difference,
    kolmogorov_smirnov,
    location_and_width,
    separation_power,
)

Floats = NDArray[np.float64]
Rng = np.random.Generator
ROWS = 1200


def rng(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


def rows(size: int, seed: int, width: float = 1.0, correlation: float = 0.5) -> Floats:
    """Three features, two of them correlated, one of them exponential and far from 0."""
    draw = rng(seed)
    normal = width * draw.normal(size=(size, 2)) @ [[1, correlation], [0, np.sqrt(1 - correlation**2)]]
    return np.column_stack([normal, 50 + width * draw.exponential(2, size)])


def copies(size: int, seed: int) -> Floats:
    """Resampled rows with little noise: of few different ones."""
    draw = rng(seed)
    return np.asarray(rows(60, seed)[draw.integers(60, size=size)] + 1e-4 * draw.normal(size=(size, 3)))


@dataclass(frozen=True)
class Metric:
    """A metric as a function of two samples.

    Attributes:
        call: of real rows, other rows and a generator.
        defect: sample that it must reject.
        numbers: of its answer, values with errors; compared with those of two real samples.
        p_value: of its answer, None where it has none.
        identical: what the numbers must be if both samples are the same, None where that is not plain.
        accepts_itself: whether the real sample itself is accepted as generated.
    """

    call: Callable[[Any, Any, Rng], Any]
    defect: Callable[[int, int], Floats]
    numbers: Callable[[Any], list[Measurement]] = lambda answer: []
    p_value: Callable[[Any], float] | None = None
    identical: float | None = None
    accepts_itself: bool = True


def wide(size: int, seed: int) -> Floats:
    return rows(size, seed, width=1.3)


def uncorrelated(size: int, seed: int) -> Floats:
    return rows(size, seed, correlation=0)


def first(tests: list[TwoSampleTest]) -> float:
    return tests[0].p_value


def remembers(training: Floats, fake: Floats, r: Rng) -> Any:
    held_out = np.column_stack([rows(len(training), 77), np.full(len(training), 0.1)])
    return memorisation(training, held_out[:, : training.shape[1]], fake, rng=r)


def near_training(size: int, seed: int) -> Floats:
    """Rows near those of `rows(ROWS, 1)`, the real sample of the tests."""
    draw = rng(seed)
    return np.asarray(rows(ROWS, 1)[draw.integers(ROWS, size=size)] + 0.1 * draw.normal(size=(size, 3)))


METRICS: dict[str, Metric] = {
    "Kolmogorov-Smirnov": Metric(lambda a, b, r: kolmogorov_smirnov(a, b, rng=r), wide, p_value=first),
    "chi2": Metric(lambda a, b, r: chi2(a, b, bins=20), wide, p_value=first),
    "chi2 with weights": Metric(
        lambda a, b, r: chi2(
            a, b, bins=10, real_weights=r.exponential(size=len(a)), fake_weights=r.normal(1, 1, len(b))
        ),
        wide,
        p_value=first,
    ),
    "separation power": Metric(lambda a, b, r: separation_power(a, b, bins=20), wide, list),
    "std": Metric(lambda a, b, r: location_and_width(a, b, rng=r, replicas=60)["std"], wide, list, identical=0),
    "iqr": Metric(lambda a, b, r: location_and_width(a, b, rng=r, replicas=60)["iqr"], wide, list, identical=0),
    "correlations": Metric(
        lambda a, b, r: correlation_difference(a, b, rng=r, replicas=60),
        uncorrelated,
        lambda d: [Measurement(d.value[0, 1], d.error[0, 1])],
        lambda d: float(d.p_value),
        identical=0,
    ),
    "classifier": Metric(lambda a, b, r: classify(a, b, rng=r), wide, lambda c: [c.auc], lambda c: float(c.p_value)),
    "precision and recall": Metric(lambda a, b, r: precision_recall(a, b, rng=r), wide, list, identical=1),
    "density and coverage": Metric(lambda a, b, r: density_coverage(a, b, rng=r), wide, list),
    "PRD": Metric(lambda a, b, r: prd(a, b, rng=r, runs=3), copies, lambda d: [d.f8, d.f1_8], identical=1),
    "cluster modes": Metric(
        lambda a, b, r: cluster_modes(a, b, rng=r, clusters=20), wide, lambda m: [m.different], lambda m: m.p_value
    ),
    "KID": Metric(lambda a, b, r: kid(a, b, rng=r), wide, lambda k: [k]),
    "FID": Metric(lambda a, b, r: fpd(a, b, rng=r, normalise=False), wide, lambda f: [f]),
    "memorisation": Metric(remembers, near_training, lambda m: [m.share], lambda m: m.p_value, accepts_itself=False),
    "birthday": Metric(lambda a, b, r: birthday(a, b, rng=r), copies, lambda d: [d.number], lambda d: d.p_value),
    "equivalent events": Metric(
        lambda a, b, r: equivalent_events(a, b, bins=20), wide, lambda found: [e.divergence for e in found]
    ),
    "likelihood": Metric(
        lambda a, b, r: kernel_density_likelihood(a, b, rng=r), wide, lambda found: [found.log_likelihood]
    ),
    "critic": Metric(
        lambda a, b, r: held_out_critic(a, b, rng=r, steps=30, batch_size=128, width=32),
        wide,
        lambda c: [c.distance],
        lambda c: c.p_value,
    ),
}
each = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))


@each
def test_a_defect_is_rejected_and_the_null_accepted(metric: Metric) -> None:
    real = rows(ROWS, 1)
    null, defect = metric.call(real, rows(ROWS, 2), rng()), metric.call(real, metric.defect(ROWS, 3), rng())
    if metric.p_value:
        assert metric.p_value(null) > 0.005
        assert metric.p_value(defect) < 0.02
    again = metric.call(real, rows(ROWS, 4), rng())
    pulls = [
        [(b.value - a.value) / max(np.hypot(a.error, b.error), 1e-12) for a, b in zip(*two, strict=True)]
        for two in ((metric.numbers(null), metric.numbers(other)) for other in (again, defect))
    ]
    assert np.max(np.abs(pulls[0]), initial=0) < 3.5
    assert not metric.numbers(null) or np.max(np.abs(pulls[1])) > 3


def leaves(answer: Any) -> list[Floats]:
    """All arrays and numbers of an answer."""
    if isinstance(answer, Classification):
        answer = vars(answer)
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return [leaf for part in answer for leaf in leaves(part)]
    return [np.asarray(answer, dtype=np.float64)]


@each
def test_contract(metric: Metric) -> None:
    """Same seed, same answer, for numpy and torch; bad input is named; constant features and equal samples work."""
    real, fake = rows(ROWS, 1), rows(ROWS, 2)
    answer = metric.call(real, fake, rng(5))
    again = metric.call(torch.from_numpy(real), torch.from_numpy(fake), rng(5))
    for one, other in zip(leaves(answer), leaves(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)

    bad = fake.copy()
    bad[7, 1] = np.nan
    with pytest.raises(PartiganError, match=r"fake sample has NaN or infinite values in 1 of 1200 rows.* row 7"):
        metric.call(real, bad, rng())
    with pytest.raises(PartiganError, match="features"):
        metric.call(real, fake[:, :2], rng())
    with pytest.raises(PartiganError, match=r"rows|batch"):
        metric.call(real[:4], fake[:4], rng())

    flat = [np.column_stack([sample, np.full(ROWS, 0.1)]) for sample in (real, fake)]
    assert all(np.isfinite(leaf).all() for leaf in map(np.asarray, metric.numbers(metric.call(*flat, rng()))))
    same = metric.call(real, real, rng())
    if metric.p_value:
        assert (metric.p_value(same) > 0.01) is metric.accepts_itself
    if metric.identical is not None:
        assert [m.value for m in metric.numbers(same)] == pytest.approx([metric.identical] * len(metric.numbers(same)))


def test_tests_of_observables_are_scipys() -> None:
    a, b = rng(1).normal(size=700), rng(2).normal(0.1, 1, 500)
    (test,) = kolmogorov_smirnov(a, b, rng=rng())
    assert test == pytest.approx(stats.ks_2samp(a, b, method="asymp"))
    classes = rng(3).integers(0, 5, 700).astype(float), rng(4).integers(0, 5, 500).astype(float)
    table = np.stack([np.bincount(c.astype(int)) for c in classes])
    expected = stats.chi2_contingency(table, correction=False)
    (test,) = chi2(*classes)
    assert test == pytest.approx((expected.statistic, expected.pvalue))
    (weighted,) = chi2(*classes, real_weights=np.full(700, 3.0), fake_weights=np.ones(500))
    assert weighted.statistic == pytest.approx(test.statistic, rel=0.05)


def test_ties_do_not_make_kolmogorov_and_smirnov_blind() -> None:
    """The p-value of a multiplicity is that of permutations, here of all orders of two values (Fisher)."""
    a, b = np.repeat([0.0, 1.0], [60, 40]), np.repeat([0.0, 1.0], [45, 55])
    (test,) = kolmogorov_smirnov(a, b, rng=rng())
    exact = stats.fisher_exact([[60, 40], [45, 55]]).pvalue
    assert test.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / 999))
    assert stats.ks_2samp(a, b, method="asymp").pvalue > 3 * exact


def test_separation_power_of_shifted_normal_distributions() -> None:
    a, b = rng(1).normal(0, 1, 50_000), rng(2).normal(1, 1, 50_000)
    x = np.linspace(-10, 11, 20_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, 1)
    (power,) = separation_power(a, b, bins=200)
    assert power.value == pytest.approx(0.5 * np.trapezoid((p - q) ** 2 / (p + q), x), abs=4 * power.error + 1e-3)


def test_adjusted_p_values() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert adjusted(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted(p, "benjamini-hochberg") == pytest.approx(stats.false_discovery_control(p))
    with pytest.raises(PartiganError, match="between 0 and 1"):
        adjusted([0.5, 1.5])


def test_auc_is_scikit_learns_and_the_normal_distributions() -> None:
    a, b = np.round(rng(1).normal(1, 1, 800), 1), np.round(rng(2).normal(size=500), 1)
    area = roc_auc(a, b)
    assert area.value == pytest.approx(roc_auc_score(np.repeat([1, 0], [800, 500]), np.append(a, b)))
    assert abs(area.value - stats.norm.cdf(np.sqrt(0.5))) < 3 * area.error


def test_classifier_on_raw_samples_finds_the_worst_events() -> None:
    """Images whose first pixel is too bright in 1 of 10: the user's classifier sees the raw shape."""
    real, fake = rng(1).normal(size=(2, 1500, 4, 4))
    fake[:150, 0, 0] += 8

    def brightness(x_train: Floats, y_train: Any, x_test: Floats) -> Floats:
        assert x_test.shape[1:] == (4, 4)
        return np.where(x_test[:, 0, 0] > 4, 0.01, 0.5)

    found = classify(real, fake, rng=rng(), fit_predict=brightness)
    assert abs(found.auc.value - 0.55) < 4 * found.auc.error
    assert (found.worst(50) < 150).all()
    assert (found.best(50) >= 150).all()
    assert found.log_weights().min() == pytest.approx(np.log(0.01 / 0.99))


@pytest.mark.parametrize(("slope", "right"), [(1.0, True), (2.0, False)])
def test_reliability(slope: float, right: bool) -> None:
    z = rng(1).normal(size=6000)
    real = rng(2).random(6000) < 1 / (1 + np.exp(-slope * z))
    p = 1 / (1 + np.exp(-z))
    found = reliability(p[real], p[~real])
    assert (found.p_value > 0.01) is right
    excess = (found.expected_calibration_error.value - found.if_calibrated) / found.expected_calibration_error.error
    assert (excess < 3) is right


def test_fidelity_and_diversity_are_their_definitions() -> None:
    a, b = rows(400, 1), rows(400, 2)[:300]
    options = {"rng": rng(), "normalise": False}
    precision, _ = precision_recall(a, b, **options)
    distances = np.linalg.norm(a[:, None] - b, axis=-1)
    radius = {k: NearestNeighbors(n_neighbors=k).fit(a).kneighbors()[0][:, -1:] for k in (3, 5)}
    assert precision.value == pytest.approx((distances <= radius[3]).any(0).mean())
    density, coverage = density_coverage(a, b, **options)
    assert density.value == pytest.approx((distances <= radius[5]).sum(0).mean() / 5)
    assert coverage.value == pytest.approx((distances <= radius[5]).any(1).mean())
    k = np.arange(1, 6)
    assert abs(coverage.value - (1 - np.prod((400 - k) / (700 - k)))) < 4 * coverage.error


def test_a_dropped_mode_costs_recall_and_is_missing() -> None:
    def peaks(size: int, seed: int, modes: int) -> Floats:
        draw = rng(seed)
        return np.asarray(10 * np.eye(4)[draw.integers(modes, size=size)] + draw.normal(size=(size, 4)))

    real, fake = peaks(2000, 1, 4), peaks(2000, 2, 3)
    found = prd(real, fake, rng=rng(), clusters=4, runs=3, normalise=False)
    # q = (1/3, 1/3, 1/3, 0): precision reaches 1 and recall 3/4
    assert found.f1_8.value == pytest.approx(1, abs=0.02)
    beta = 8**2
    assert found.f8.value == pytest.approx((1 + beta) * 0.75 / (beta + 0.75), abs=5 * found.f8.error + 0.01)
    modes = cluster_modes(real, fake, rng=rng(), clusters=4, normalise=False)
    assert len(modes.missing) == 1
    assert modes.real_share[modes.missing[0]] == pytest.approx(0.25, abs=0.04)
    classes = class_modes(np.arange(200) % 4, np.arange(200) % 3)
    assert classes.missing.tolist() == [3]
    assert classes.p_value < 1e-6


def test_kid_is_its_definition_and_fid_that_of_gaussians() -> None:
    x, y = rng(1).normal(size=(60, 5)), rng(2).normal(0.5, 1, (50, 5))
    k = [(u @ v.T / 5 + 1) ** 3 for u, v in ((x, x), (y, y), (x, y))]
    within = sum((m.sum() - m.trace()) / (len(m) * (len(m) - 1)) for m in k[:2])
    assert kid(x, y, rng=rng()).value == pytest.approx(within - 2 * k[2].mean())
    a, b = rng(3).normal(size=(5000, 3)), rng(4).normal(1, 2, (5000, 3))
    distance = fpd(a, b, rng=rng(), normalise=False)
    assert (
        abs(distance.value - frechet_distance(np.zeros(3), np.eye(3), np.ones(3), 4 * np.eye(3))) < 3 * distance.error
    )


def test_inception_score() -> None:
    assert inception_score(np.eye(5)[np.arange(200) % 5]).value == pytest.approx(5, rel=0.02)
    assert inception_score(np.full((100, 4), 0.25)) == pytest.approx((1, 0), abs=1e-9)
    alpha = np.array([0.1, 0.3, 0.2])
    draw = inception_score(rng().dirichlet(alpha, 20_000))
    mean, total = alpha / alpha.sum(), alpha.sum()
    expected = np.exp((mean * (digamma(alpha + 1) - digamma(total + 1) - np.log(mean))).sum())
    assert abs(draw.value - expected) < 4 * draw.error
    with pytest.raises(PartiganError, match="row 0 of the class probability"):
        inception_score(np.full((100, 4), 0.5))


def test_nearest_neighbours_are_those_of_all_distances() -> None:
    training, other, fake = rows(300, 1), rows(300, 2), rows(100, 3)
    found = memorisation(training, other, fake, rng=rng(), normalise=False)
    to_training, to_other = (cdist(fake, sample) for sample in (training, other))
    np.testing.assert_allclose(found.ratio, to_training.min(1) / to_other.min(1))
    assert (found.training_rows == to_training.argmin(1)).all()
    assert found.share.value == pytest.approx((to_training.min(1) < to_other.min(1)).mean())


def test_a_few_copies_are_found() -> None:
    training, other, fake = rows(800, 1), rows(1000, 2), rows(500, 3)
    fake[40:60] = training[100:120]
    found = memorisation(training, other, fake, rng=rng())
    assert set(found.copies[:20]) == set(range(40, 60))
    assert (found.training_rows[40:60] == np.arange(100, 120)).all()
    assert found.copies_p_value < 1e-4
    assert found.p_value > 0.01  # 20 of 500 are too few for the share


def test_birthday_paradox_finds_the_size_of_the_support() -> None:
    support = rng(1).normal(size=(5000, 8))
    found = birthday(rng(2).normal(size=(3000, 8)), support[rng(3).integers(5000, size=3000)], rng=rng())
    assert abs(found.support.value - 5000) < 3 * found.support.error
    assert found.support_limit < 5000
    assert found.p_value < 1e-6


@pytest.mark.parametrize(
    ("fake", "events"),
    [
        (lambda r: r.normal(size=5000), 5000),
        (lambda r: r.choice(r.normal(size=1000), 200_000), 1000),
        (lambda r: 1.3 * r.normal(size=200_000), 0.5 * 49 / (np.log(1.3) + 0.5 / 1.69 - 0.5)),
    ],
    ids=["true", "resampled", "wrong"],
)
def test_what_a_sample_is_worth(fake: Callable[[Rng], Floats], events: float) -> None:
    """n events of the true density n, resampled training events their number, a wrong density a finite number."""
    found = [equivalent_events(rng(s).normal(size=50_000), fake(rng(100 + s)))[0] for s in range(10)]
    assert np.median([e.events for e in found]) == pytest.approx(events, rel=0.15)


def test_likelihood_is_scikit_learns_and_knows_its_units() -> None:
    x, y = rows(500, 1), rows(600, 2)
    found = kernel_density_likelihood(x, y, rng=rng())
    scale = y.std(0)
    tree = KernelDensity(bandwidth=found.bandwidth).fit(y / scale)
    expected = tree.score_samples(x / scale).mean() - np.log(scale).sum()
    assert found.log_likelihood.value == pytest.approx(expected, rel=1e-6)


def test_critic_estimates_a_shift_from_below() -> None:
    shift = np.array([0.8, 0.0])
    a, b = rng(1).normal(size=(3000, 2)), rng(2).normal(size=(3000, 2)) + shift
    distance, _ = held_out_critic(a, b, rng=rng(), steps=100, batch_size=128, width=32)
    assert 0.6 * 0.8 < distance.value < 0.8 + 3 * distance.error


def test_latent_reconstruction_finds_what_can_be_made() -> None:
    """A generator of the unit circle: the distance of a point is that from the circle."""
    targets = np.array([[1.0, 0.0], [0.0, 2.0], [0.3, 0.4], [0.0, -1.0]])
    options = {"latent": (1,), "steps": 100}

    def circle(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z.cos(), z.sin()], 1)

    found = reconstruct(circle, targets, rng=torch.Generator().manual_seed(1), **options)
    assert found.distance == pytest.approx([0, 1, 0.5, 0], abs=1e-3)
    assert found.quantile(0.5).value == pytest.approx(0.25, abs=1e-3)
    assert torch.equal(found.z, reconstruct(circle, targets, rng=torch.Generator().manual_seed(1), **options).z)
    with pytest.raises(PartiganError, match="row 2"):
        reconstruct(circle, np.where(targets == 0.3, np.nan, targets), rng=torch.Generator(), **options)
