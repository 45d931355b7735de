"""Event weights: every metric takes them, as copies of rows where they are whole numbers, or says that it does not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from metric_cases import Floats, Rng, rng
from partigan import metrics
from partigan.errors import PartiganError
from partigan.metrics.binned import chi2, separation_power
from partigan.metrics.classifier import classify, roc_auc
from partigan.metrics.critic import held_out_critic
from partigan.metrics.frechet import Moments, fpd, fpnd
from partigan.metrics.inception import inception_score, kid
from partigan.metrics.kpd import kpd
from partigan.metrics.measurement import Measurement
from partigan.metrics.modes import class_modes, cluster_modes
from partigan.metrics.sliced import sliced_w1
from partigan.metrics.spectra import spectrum_distances
from partigan.metrics.two_sample import correlation_difference, kolmogorov_smirnov, location_and_width
from partigan.metrics.wasserstein import w1, wasserstein_1d
from partigan.metrics.weighted import Weighted, accepted, effective_size, refuse_weights, rows_worth

ROWS = 1500


def target(size: int, seed: int) -> Floats:
    """Two correlated features of width 1, and one that is far from 0."""
    draw = rng(seed)
    first = draw.normal(size=size)
    return np.column_stack([first, 0.5 * first + np.sqrt(0.75) * draw.normal(size=size), draw.normal(5, 1, size)])


def positive(size: int, seed: int) -> Weighted:
    """Rows whose first feature is 1.6 times as wide, with the weights that make them rows of `target`."""
    draw = rng(seed)
    first = draw.normal(0, 1.6, size)
    x = np.column_stack([first, 0.5 * first + np.sqrt(0.75) * draw.normal(size=size), draw.normal(5, 1, size)])
    return Weighted(x, stats.norm.pdf(first) / stats.norm.pdf(first, scale=1.6))


def signed(size: int, seed: int) -> Weighted:
    """Rows of `target` and half as many of a background, which weights of either sign take away, like sWeights."""
    draw = rng(seed + 10**6)
    background = target(size // 3, seed + 7) * np.array([1, -1, 1]) + np.array([1, 0, 0])
    x = np.concatenate([target(size - len(background), seed), background])
    sign = np.append(np.ones(size - len(background)), draw.choice([-1.0, 1.0], len(background)))
    order = draw.permutation(size)
    return Weighted(x[order], sign[order])


SAMPLES: dict[str, Callable[[int, int], Weighted]] = {"positive": positive, "signed": signed}


def first_p(tests: Any) -> float:
    return float(tests[0].p_value)


def above(found: Measurement) -> float:
    """P-value of a distance without bias."""
    return float(stats.norm.sf(found.value / found.error))


def moments(found: dict[str, list[Measurement]]) -> float:
    """P-value of mean and width of the first feature."""
    return float(2 * min(2 * stats.norm.sf(abs(found[name][0].value) / found[name][0].error) for name in found))


def fitted(a: Any, b: Any, r: Rng) -> float:
    return held_out_critic(a, b, rng=r, steps=20, batch_size=128, width=32).p_value


P_VALUES: dict[str, Callable[[Any, Any, Rng], float]] = {
    "kolmogorov_smirnov": lambda a, b, r: first_p(kolmogorov_smirnov(a, b, rng=r)),
    "chi2": lambda a, b, r: first_p(chi2(a, b, bins=20)),
    "separation_power": lambda a, b, r: above(separation_power(a, b, bins=20)[0]),
    "location_and_width": lambda a, b, r: moments(location_and_width(a, b, rng=r, replicas=60)),
    "correlation_difference": lambda a, b, r: correlation_difference(a, b, rng=r, replicas=60).p_value,
    "classify": lambda a, b, r: classify(a, b, rng=r, folds=2).p_value,
    "held_out_critic": fitted,
    "cluster_modes": lambda a, b, r: cluster_modes(a, b, rng=r, clusters=10).p_value,
    "fpd": lambda a, b, r: above(fpd(a, b, rng=r, normalise=False)),
    "kid": lambda a, b, r: above(kid(a, b, rng=r)),
    "kpd": lambda a, b, r: above(kpd(a, b, rng=r, batches=2, batch_size=400)),
}
"""Metrics that tell their null from 0; p-values of those that have none are of the value in units of its error."""
BLUNT = {"correlation_difference", "kpd", "kid", "classify"}  # for which the defects are small


@pytest.mark.parametrize("sign", SAMPLES)
@pytest.mark.parametrize("name", P_VALUES)
def test_weights_make_samples_agree_and_without_them_they_differ(name: str, sign: str) -> None:
    real, metric = SAMPLES[sign](ROWS, 1), P_VALUES[name]
    perfect, ignorant = target(ROWS, 2), SAMPLES[sign](ROWS, 3).x
    if (name, sign) == ("separation_power", "signed"):
        with pytest.raises(
            PartiganError, match=r"no negative event weights; there are 2\d\d, the first of them in row \d"
        ):
            metric(real, perfect, rng())
        return
    assert metric(real, perfect, rng()) > 0.005
    assert metric(SAMPLES[sign](ROWS, 4), real, rng()) > 0.005
    assert metric(real, ignorant, rng()) < (0.05 if name in BLUNT else 0.005)


@pytest.mark.parametrize("sign", SAMPLES)
@pytest.mark.parametrize("name", ["w1", "w1 of particles", "mean", "median", "auc", "fpd", "kid", "modes", "chi2"])
def test_errors_are_the_spread_of_replicas(name: str, sign: str) -> None:
    """40 replicas: the spread is known to 11 %. For modes and chi2, p-values are uniform."""
    call: Callable[[Weighted, Floats, Rng], Any] = {
        "w1": lambda a, b, r: w1(Weighted(a.x[:, 0], a.weight), b[:, 0], rng=r),
        "w1 of particles": lambda a, b, r: w1(Weighted(a.x[..., None], a.weight), b[..., None], rng=r, batches=2),
        "mean": lambda a, b, r: location_and_width(a, b, rng=r, replicas=30)["mean"][0],
        "median": lambda a, b, r: location_and_width(a, b, rng=r, replicas=30)["median"][0],
        "auc": lambda a, b, r: roc_auc(Weighted(a.x[:, 0], a.weight), b[:, 0]),
        "fpd": lambda a, b, r: fpd(a, b, rng=r, normalise=False),
        "kid": lambda a, b, r: kid(a, b, rng=r),
        "modes": lambda a, b, r: cluster_modes(a, b, rng=r, clusters=10).p_value,
        "chi2": lambda a, b, r: first_p(chi2(a, b)),
    }[name]
    found = [call(SAMPLES[sign](400, 2 * k), target(400, 2 * k + 1), rng(k)) for k in range(40)]
    if isinstance(found[0], float):
        assert stats.kstest(found, "uniform").pvalue > 0.005
    else:
        values, errors = np.array(found).T
        assert 0.6 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.7


def whole(size: int = 300, seed: int = 1) -> tuple[Weighted, Floats]:
    """Rows with weights 0 to 3, and the same rows repeated."""
    x, weight = rng(seed).normal(size=(size, 3)).round(1), rng(seed + 1).integers(0, 4, size)
    return Weighted(x, weight), np.repeat(x, weight, axis=0)


COPIES: dict[str, Callable[[Any, Any], Any]] = {
    "kolmogorov_smirnov": lambda a, b: [t.statistic for t in kolmogorov_smirnov(a, b, rng=rng())],
    "location_and_width": lambda a, b: [
        m.value for name in ("mean", "median", "iqr") for m in location_and_width(a, b, rng=rng())[name]
    ],
    "correlation_difference": lambda a, b: correlation_difference(a, b, rng=rng()).value,
    "sliced_w1": lambda a, b: sliced_w1(a, b, rng()),
    "spectrum_distances": lambda a, b: [m.value for m in spectrum_distances(*map(_shifted, (a, b)), rng=rng())],
    "class_modes": lambda a, b: class_modes(*map(_classes, (a, b)))[:2],
    "moments": lambda a, b: Moments.of(a).mean - Moments.of(b).mean,
}


def _changed(sample: Any, change: Callable[[Floats], Floats]) -> Any:
    return Weighted(change(sample.x), sample.weight) if isinstance(sample, Weighted) else change(sample)


def _shifted(sample: Any) -> Any:
    return _changed(sample, lambda x: x.round() + 9)


def _classes(sample: Any) -> Any:
    return _changed(sample, lambda x: (x[:, 0].round() + 9).clip(0))


@pytest.mark.parametrize("name", COPIES)
def test_whole_weights_are_copies_of_rows(name: str) -> None:
    (a, copies_a), (b, copies_b) = whole(), whole(400, 5)
    for pair, copies in (((a, b), (copies_a, copies_b)), ((a, copies_b), (copies_a, copies_b))):
        np.testing.assert_allclose(COPIES[name](*pair), COPIES[name](*copies), rtol=1e-9, atol=1e-12)


def test_values_are_those_of_scipy_numpy_and_scikit_learn() -> None:
    (a, _), (b, _) = whole(), whole(400, 5)
    x, y = a.x[:, 0], b.x[:, 0]
    weighted = Weighted(x, a.weight), Weighted(y, b.weight)
    assert wasserstein_1d(*weighted) == pytest.approx(stats.wasserstein_distance(x, y, a.weight, b.weight))
    label, weight = np.repeat([1, 0], [len(x), len(y)]), np.append(a.weight, b.weight)
    assert roc_auc(*weighted).value == pytest.approx(roc_auc_score(label, np.append(x, y), sample_weight=weight))
    moments = Moments.of(a)
    np.testing.assert_allclose(moments.mean, np.average(a.x, axis=0, weights=a.weight))
    np.testing.assert_allclose(moments.cov, np.cov(a.x.T, aweights=a.weight))
    assert effective_size(a.weight, 300) == pytest.approx(sum(a.weight) ** 2 / sum(a.weight**2))
    p = rng(3).dirichlet(np.ones(3), 50)
    assert inception_score(Weighted(p, np.full(50, 2.0))) == pytest.approx(inception_score(p))


@pytest.mark.parametrize("name", ["kpd", "kid", "fpd", "fpnd", "chi2", "separation_power", "roc_auc", "w1"])
def test_equal_weights_are_none(name: str) -> None:
    a, b = target(600, 1), target(500, 2)
    call: Callable[[Any, Any], Any] = {
        "kpd": lambda a, b: kpd(a, b, rng=rng(), batches=2, batch_size=200),
        "kid": lambda a, b: kid(a, b, rng=rng()),
        "fpd": lambda a, b: fpd(a, b, rng=rng()),
        "fpnd": lambda a, b: fpnd(Moments.of(a), b, rng=rng()),
        "chi2": lambda a, b: chi2(a, b, bins=5),
        "separation_power": lambda a, b: separation_power(a, b, bins=5),
        "roc_auc": lambda a, b: roc_auc(_changed(a, lambda x: x[:, 0]), _changed(b, lambda x: x[:, 0])),
        "w1": lambda a, b: w1(a, b, rng=rng(), samples=200, batches=2, mean="inverse-variance"),
    }[name]
    plain, same = call(a, b), call(Weighted(a, np.full(600, 3.0)), Weighted(b, np.full(500, 0.2)))
    rough = 0.02 if name == "chi2" else 1e-6  # which without weights is about the shares of both samples together
    np.testing.assert_allclose(np.array(same, float), np.array(plain, float), rtol=rough, atol=rough)


def test_every_metric_takes_weights_or_refuses_them() -> None:
    """A metric is a function of ``fake``, or of two samples; each is tested above, or refuses `Weighted`."""
    tested = {*P_VALUES, *COPIES, "separation_in_bins", "roc_auc", "wasserstein_1d", "w1", "fpnd", "inception_score"}
    parts = {"emd", "lower_bounds", "energy_movers_distance", "comparable", "shares", "homogeneity"}  # of metrics
    parts |= {"dependence", "largest_deviation", "response_chi2"}  # weights in pairs; their own tests have them
    names = {"real", "fake", "held_out", "training", "a", "b", "probabilities", "activations"}
    for module in pkgutil.iter_modules(metrics.__path__, "partigan.metrics."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if not inspect.isfunction(function) or function.__module__ != module.name or name.startswith("_"):
                continue
            given = [p for p in inspect.signature(function).parameters if p in names]
            if not given or name in tested | parts:
                continue
            rest = {"rng": rng()} if "rng" in inspect.signature(function).parameters else {}
            with pytest.raises(PartiganError, match="takes no event weights"):
                function(**{p: Weighted(np.full((600, 3), 0.5), np.ones(600)) for p in given}, **rest)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(100), "the weights of the real sample are all 0"),
        (-np.ones(100), "the weights of the real sample have the sum -100, which must be above 0"),
        (
            np.append(np.ones(99), np.nan),
            "real sample are NaN or infinite in 1 of 100 rows, the first of them row 99",
        ),
        (np.ones(99), r"the weights of the real sample have the shape \(99,\); it has 100 rows"),
        (np.append(np.zeros(95), np.ones(5)), "the real sample has weights worth 5 rows; at least 20 are needed"),
    ],
)
def test_weights_that_cannot_be(weight: Floats, message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        kolmogorov_smirnov(Weighted(target(100, 1), weight), target(100, 2), rng=rng())


def test_hit_or_miss_makes_an_unweighted_sample() -> None:
    sample = positive(4000, 1)
    rows = accepted(sample.weight, 4000, rng())
    assert stats.kstest(sample.x[rows, 0], "norm").pvalue > 0.01
    assert stats.kstest(sample.x[:, 0], "norm").pvalue < 1e-10
    assert len(rows) == pytest.approx(4000 * np.mean(sample.weight) / np.max(sample.weight), rel=0.1)
    assert accepted(None, 3, rng()).tolist() == [0, 1, 2]
    assert rows_worth(100, sample.weight, 4000) > 100
    with pytest.raises(PartiganError, match="no negative event weights; there are 1, the first of them in row 2"):
        accepted([1, 1, -1], 3, rng())
    with pytest.raises(PartiganError, match="row 12"):
        refuse_weights([1, 1, np.inf], "of x", first=10)
