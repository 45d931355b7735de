"""Rows of `speed.py`: metrics of jets beside the same written down plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from string import ascii_letters
from typing import Any

import numpy as np
from scipy import linalg, optimize, stats

from metrics import made
from partigan.data.batch import Batch
from partigan.metrics.clouds import Clouds
from partigan.metrics.cov_mmd import cov_mmd
from partigan.metrics.frechet import fpd
from partigan.metrics.kpd import kpd
from partigan.metrics.measurement import Floats
from partigan.metrics.wasserstein import w1
from partigan.observables.jets import FPD_GRAPHS, efps
from side_by_side import turns

JETS = 20_000  # of each sample
FEW = 200  # whose EFPs the plain form sums
BATCHES, OF = 5, 10_000  # of the MPGAN protocol


def plain_w1(real: Batch, fake: Batch, rng: np.random.Generator) -> float:
    """Mean W1 of the features of particles, as in arXiv:2106.11535, section 5; without an error."""
    found = []
    for _ in range(BATCHES):
        some = [sample[rng.choice(len(sample), OF, replace=False)] for sample in (real, fake)]
        for feature in range(3):
            columns = [part.x[..., feature][part.mask].numpy() for part in some]
            found.append(stats.wasserstein_distance(*columns))
    return float(np.mean(found))


def plain_fpd(real: Floats, fake: Floats, rng: np.random.Generator) -> float:
    """Fréchet distances of 20 subsamples of 10 sizes, extrapolated to infinite size, as in arXiv:2211.10295."""
    scale = np.abs(real).max(0)
    real, fake = real / scale, fake / scale
    sizes = (1 / np.linspace(1 / 5000, 1 / len(real), 10)).astype(int)
    found = []
    for size in sizes:
        distances = []
        for _ in range(20):
            a, b = (sample[rng.choice(len(sample), size)] for sample in (real, fake))
            one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
            root = linalg.sqrtm(one @ two).real
            distances.append(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + two - 2 * root))
        found.append(np.mean(distances))
    fit, _ = optimize.curve_fit(lambda x, slope, start: start + slope * x, 1 / sizes, found)
    return float(fit[1])


def plain_efps(jets: Batch) -> Floats:
    """Sums over all tuples of particles by einsum, jet by jet, with the best order of products."""
    found = []
    for x, mask in zip(jets.x.double(), jets.mask, strict=True):
        eta, phi, z = x[mask].T.numpy()
        theta = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
        row = []
        for graph in FPD_GRAPHS:
            vertices = sorted({vertex for edge in graph for vertex in edge}) or [0]
            letters = [ascii_letters[i] + ascii_letters[j] for i, j in graph]
            terms = ",".join([*letters, *(ascii_letters[vertex] for vertex in vertices)])
            row.append(np.einsum(terms + "->", *[theta] * len(graph), *[z] * len(vertices), optimize="greedy"))
        found.append(row)
    return np.array(found)


def metrics(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Times of one evaluation of each metric; of EFPs, for a jet."""
    sample = made(30, 2 * JETS)
    real, fake = sample[:JETS], sample[JETS:]
    clouds = [Clouds(part.x, part.mask) for part in (real, fake)]
    few = [Clouds(part.x[:1000], part.mask[:1000]) for part in (real, fake)]
    columns = [efps(part.x, part.mask).double().numpy() for part in (real, fake)]

    def rng() -> np.random.Generator:
        return np.random.default_rng(1)

    def once(call: Callable[[], object], times: int = 1) -> Callable[[], int]:
        def job() -> int:
            call()
            return times

        return job

    jobs: dict[str, dict[str, Callable[[], int]]] = {
        "36 EFPs, a jet of 30": {
            "plain": once(lambda: plain_efps(real[:FEW]), FEW),
            "partigan": once(lambda: efps(real.x[:2000], real.mask[:2000]), 2000),
        },
        f"W1-P, {BATCHES} batches of {OF:,} jets": {
            "plain": once(lambda: plain_w1(real, fake, rng())),
            "partigan": once(lambda: w1(*clouds, rng=rng(), samples=OF, batches=BATCHES)),
        },
        f"FPD, {JETS:,} jets": {
            "plain": once(lambda: plain_fpd(*columns, rng())),
            "partigan": once(lambda: fpd(*columns, rng=rng())),
        },
        f"KPD, {JETS:,} jets": {"partigan": once(lambda: kpd(*columns, rng=rng()))},
        "COV and MMD, 10 batches of 100 jets": {"partigan": once(lambda: cov_mmd(*few, rng=rng(), batches=10))},
    }
    for name, pair in jobs.items():
        yield name, turns(pair, max(number // 2, 1))
