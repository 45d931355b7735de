"""Metrics with samples that they must accept and reject: tests of all metrics, and calibrations of their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.metrics.amplification import equivalent_events
from partigan.metrics.binned import chi2, separation_power
from partigan.metrics.classifier import classify
from partigan.metrics.cov_mmd import cov_mmd
from partigan.metrics.critic import held_out_critic
from partigan.metrics.frechet import Moments, fpd, fpnd
from partigan.metrics.inception import kid
from partigan.metrics.kpd import kpd
from partigan.metrics.likelihood import kernel_density_likelihood
from partigan.metrics.manifold import density_coverage, prd, precision_recall
from partigan.metrics.measurement import Measurement
from partigan.metrics.memorisation import birthday, memorisation
from partigan.metrics.modes import cluster_modes
from partigan.metrics.two_sample import (
    TwoSampleTest,
    correlation_difference,
    kolmogorov_smirnov,
    location_and_width,
)
from partigan.metrics.wasserstein import w1
from partigan.metrics.weighted import Weighted
from toy_jets import toy_jets

Floats = NDArray[np.float64]
Rng = np.random.Generator
Measured = tuple[Callable[..., Floats], Callable[..., Measurement]]
"""A sample of a size and seed (and width), and a metric of two samples and a generator."""
ROWS = 1200


def rng(seed: int = 0) -> Rng:
    """A generator of its own for each seed."""
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
class Case:
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
    """Rows that are 1.3 times as wide."""
    return rows(size, seed, width=1.3)


def uncorrelated(size: int, seed: int) -> Floats:
    """Rows without the correlation."""
    return rows(size, seed, correlation=0)


def first(tests: list[TwoSampleTest]) -> float:
    """P-value of the first feature."""
    return tests[0].p_value


def remembers(training: Floats, fake: Floats, r: Rng) -> Any:
    """`memorisation`, with rows of its own as the held-out sample."""
    held_out = np.column_stack([rows(len(training), 77), np.full(len(training), 0.1)])
    return memorisation(training, held_out[:, : training.shape[1]], fake, rng=r)


def near_training(size: int, seed: int) -> Floats:
    """Rows near those of `rows(ROWS, 1)`, the real sample of tests."""
    draw = rng(seed)
    return np.asarray(rows(ROWS, 1)[draw.integers(ROWS, size=size)] + 0.1 * draw.normal(size=(size, 3)))


CASES: dict[str, Case] = {
    "Kolmogorov-Smirnov": Case(lambda a, b, r: kolmogorov_smirnov(a, b, rng=r), wide, p_value=first),
    "chi2": Case(lambda a, b, r: chi2(a, b, bins=20), wide, p_value=first),
    "chi2 with weights": Case(
        lambda a, b, r: chi2(Weighted(a, r.exponential(size=len(a))), Weighted(b, r.normal(1, 1, len(b))), bins=10),
        wide,
        p_value=first,
    ),
    "separation power": Case(lambda a, b, r: separation_power(a, b, bins=20), wide, list),
    "std": Case(lambda a, b, r: location_and_width(a, b, rng=r, replicas=60)["std"], wide, list, identical=0),
    "iqr": Case(lambda a, b, r: location_and_width(a, b, rng=r, replicas=60)["iqr"], wide, list, identical=0),
    "correlations": Case(
        lambda a, b, r: correlation_difference(a, b, rng=r, replicas=60),
        uncorrelated,
        lambda d: [Measurement(d.value[0, 1], d.error[0, 1])],
        lambda d: float(d.p_value),
        identical=0,
    ),
    "classifier": Case(lambda a, b, r: classify(a, b, rng=r), wide, lambda c: [c.auc], lambda c: float(c.p_value)),
    "precision and recall": Case(lambda a, b, r: precision_recall(a, b, rng=r), wide, list, identical=1),
    "density and coverage": Case(lambda a, b, r: density_coverage(a, b, rng=r), wide, list),
    "PRD": Case(lambda a, b, r: prd(a, b, rng=r, runs=3), copies, lambda d: [d.f8, d.f1_8], identical=1),
    "cluster modes": Case(
        lambda a, b, r: cluster_modes(a, b, rng=r, clusters=20), wide, lambda m: [m.different], lambda m: m.p_value
    ),
    "KID": Case(lambda a, b, r: kid(a, b, rng=r), wide, lambda k: [k]),
    "FID": Case(lambda a, b, r: fpd(a, b, rng=r, normalise=False), wide, lambda f: [f]),
    "memorisation": Case(remembers, near_training, lambda m: [m.share], lambda m: m.p_value, accepts_itself=False),
    "birthday": Case(lambda a, b, r: birthday(a, b, rng=r), copies, lambda d: [d.number], lambda d: d.p_value),
    "equivalent events": Case(
        lambda a, b, r: equivalent_events(a, b, bins=20), wide, lambda found: [e.divergence for e in found]
    ),
    "likelihood": Case(
        lambda a, b, r: kernel_density_likelihood(a, b, rng=r), wide, lambda found: [found.log_likelihood]
    ),
    "critic": Case(
        lambda a, b, r: held_out_critic(a, b, rng=r, steps=30, batch_size=128, width=32),
        wide,
        lambda c: [c.distance],
        lambda c: c.p_value,
    ),
}


def particles(size: int, seed: int, width: float = 1.0) -> Floats:
    """Clouds of 6 particles with 2 features that are correlated within a jet."""
    draw = rng(seed)
    common = draw.normal(0, width, (size, 1, 2))
    return np.asarray(common + draw.normal(0, 0.5, (size, 6, 2)))


def table(size: int, seed: int, width: float = 1.0) -> Floats:
    """Rows of four correlated positive features."""
    draw = rng(seed)
    return np.asarray(np.exp(0.15 * width * draw.normal(size=(size, 4)) @ (0.5 + np.eye(4))))


def cloud(size: int, seed: int, width: float = 1.0) -> Floats:
    """Toy jets of 5 particles: eta_rel, phi_rel and pt_rel."""
    return np.asarray(toy_jets(size, 5, seed)[0][..., :3].astype(float) * [width, width, 1])


MOMENTS = Moments.of(table(20_000, 10_000))


MEASUREMENTS: dict[str, Measured] = {
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


CLOUD_MEASUREMENTS: dict[str, Measured] = {
    "cov": (cloud, lambda a, b, r: cov_mmd(a, b, rng=r, size=10, batches=5).cov),
    "mmd": (cloud, lambda a, b, r: cov_mmd(a, b, rng=r, size=10, batches=5).mmd),
}
