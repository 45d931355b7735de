"""Event weights: values of weighted metrics against independent computations, and verdicts with and without weights.

    python benchmarks/weights.py [--rows 3000] [--out results/weights]

Two real samples of one target distribution: "positive", rows of a first feature twice as wide with likelihood ratios as
weights, and "signed", rows of the target and a background that weights of either sign take away, like sWeights.

First part: values of the positive and the signed sample against a generated one, by partigan and by a few lines of
numpy, scipy or scikit-learn that share no code with it, and what the same metric says of the rows without weights.
Second part: verdicts of the suite on a generator that makes the target ("perfect") and on one that makes the rows
("ignores weights"), with the weights and without them. Writes <out>.json and <out>.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from partigan.evaluation.samples import Samples
from partigan.evaluation.suite import OF_CLASSIFIER, SUITE, run_suite
from partigan.evaluation.verdicts import Judged
from partigan.metrics.classifier import roc_auc
from partigan.metrics.frechet import Moments
from partigan.metrics.inception import inception_score, kid
from partigan.metrics.kpd import kpd
from partigan.metrics.sliced import directions, sliced_w1
from partigan.metrics.spectra import spectrum_distances
from partigan.metrics.two_sample import correlation_difference, kolmogorov_smirnov, location_and_width
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.metrics.weighted import Weighted, effective_size, rows_worth

Floats = NDArray[np.float64]
NAMES = {"x": ("x", ""), "y": ("y", "")}
LEFT_OUT = {"network", "reconstruction", "critic", *OF_CLASSIFIER}  # which need more than rows, or minutes


def rng(seed: int = 0) -> np.random.Generator:
    """A generator of its own for each seed."""
    return np.random.default_rng(seed)


def target(size: int, seed: int) -> Floats:
    """Two correlated features of width 1."""
    first, second = rng(seed).normal(size=(2, size))
    return np.column_stack([first, 0.5 * first + np.sqrt(0.75) * second])


def positive(size: int, seed: int) -> Weighted:
    """Rows whose first feature is twice as wide, with the weights that make them the target."""
    first, second = rng(seed).normal(size=(2, size))
    first *= 2
    weight = stats.norm.pdf(first) / stats.norm.pdf(first, scale=2)
    return Weighted(np.column_stack([first, 0.5 * first + np.sqrt(0.75) * second]), weight)


def signed(size: int, seed: int) -> Weighted:
    """Rows of the target and a background of half as many, whose weights of either sign cancel."""
    draw, number = rng(seed + 10**6), size // 3
    background = target(number, seed + 10**7) * [1, -1] + np.array([1.5, 0])
    weight = np.append(np.ones(size - number), draw.choice([-1.0, 1.0], number))
    order = draw.permutation(size)
    return Weighted(np.concatenate([target(size - number, seed), background])[order], weight[order])


@dataclass(frozen=True)
class Value:
    """A number of a metric, and the same by other means.

    Attributes:
        ours: of a weighted real sample and a generated one.
        other: the same of rows, their weights, and generated rows.
    """

    ours: Callable[[Weighted, Floats], float]
    other: Callable[[Floats, Floats, Floats], float]


def area(x: Floats, w: Floats, y: Floats) -> float:
    """Area between weighted distribution functions, from matrices of comparisons."""
    points = np.sort(np.concatenate([x, y]))
    f, g = (x[None] <= points[:, None]) @ w / w.sum(), (y[None] <= points[:, None]).mean(1)
    return float(np.abs(f - g)[:-1] @ np.diff(points))


def covariance(x: Floats, w: Floats) -> Floats:
    """Weighted covariance, unbiased for reliability weights (numpy's refuses negative ones)."""
    centred = x - w @ x / w.sum()
    return np.einsum("n,ni,nj->ij", w, centred, centred) / (w.sum() - (w**2).sum() / w.sum())


def quantile(x: Floats, w: Floats, level: float) -> float:
    """First value at which the distribution function reaches a level."""
    order = np.argsort(x)
    return float(x[order][np.argmax(np.cumsum(w[order]) / w.sum() >= level)])


def mmd2(k: Callable[[Floats, Floats], Floats], x: Floats, w: Floats, y: Floats) -> float:
    """Unbiased squared mean discrepancy of a kernel."""
    both = np.outer(w, w)
    np.fill_diagonal(both, 0)
    rest = 1 - np.eye(len(y))
    between = w @ k(x, y).mean(1) / w.sum()
    return float((both * k(x, x)).sum() / both.sum() + (rest * k(y, y)).sum() / rest.sum() - 2 * between)


def shares(x: Floats) -> Floats:
    """Probabilities of three classes."""
    odds = np.exp(np.column_stack([x[:, 0], x[:, 1], np.zeros(len(x))]))
    return odds / odds.sum(1, keepdims=True)


def score(x: Floats, w: Floats) -> float:
    """Inception score, with the correction of its bias."""
    p, w = shares(x), w / w.sum()
    mean = w @ p
    size = 1 / (w**2).sum()
    bias = -0.5 * ((w**2) @ (p - mean) ** 2 / mean).sum() * size / (size - 1)
    return float(np.exp(w @ (p * np.log(p / mean)).sum(1) - bias))


def spectrum(x: Floats) -> Floats:
    """Counts of a few values in each row."""
    return np.stack([np.clip(np.round(np.abs(x[:, 0]) * scale), 0, 20) for scale in (1, 2, 3, 4)], 1)


def spectral(x: Floats, w: Floats, y: Floats) -> float:
    """Area between two spectra."""
    a, b = w @ spectrum(x), spectrum(y).sum(0)
    return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).sum())


def along(x: Floats, w: Floats, y: Floats) -> float:
    """Mean area over the directions of the sliced distance."""
    lines = directions(2, 8, rng())
    return float(np.mean([area(x @ line, w, y @ line) for line in lines.T]))


def one_batch(a: Weighted) -> tuple[Weighted, int]:
    """As many rows as fill one batch of a whole effective size, and that size."""
    weight = np.asarray(a.weight) if a.weight is not None else np.ones(len(a.x))
    for rows in range(len(a.x), 0, -1):
        size = int(effective_size(weight[:rows], rows))
        if rows_worth(size, weight[:rows], rows) == rows:
            break
    return Weighted(a.x[:rows], weight[:rows]), size


def other_kpd(x: Floats, w: Floats, y: Floats) -> float:
    """KPD of one batch."""
    a, size = one_batch(Weighted(x, w))
    large = np.abs(a.x).max(0)
    return mmd2(lambda u, v: (u @ v.T / 2 + 1) ** 4, a.x / large, np.asarray(a.weight), y[:size] / large)


def our_kpd(a: Weighted, b: Floats) -> float:
    """The same by partigan."""
    real, size = one_batch(a)
    return kpd(real, b[:size], rng=rng(), batches=1, batch_size=size).value


def first(a: Weighted) -> Weighted:
    """Its first feature."""
    return Weighted(a.x[:, 0], a.weight)


VALUES: dict[str, Value] = {
    "W1": Value(lambda a, b: wasserstein_1d(first(a), b[:, 0]), lambda x, w, y: area(x[:, 0], w, y[:, 0])),
    "sliced W1": Value(lambda a, b: sliced_w1(a, b, rng(), 8), along),
    "KS": Value(
        lambda a, b: kolmogorov_smirnov(first(a), b[:, 0], rng=rng())[0].statistic,
        lambda x, w, y: float(
            np.abs([w[x[:, 0] <= t].sum() / w.sum() - (y[:, 0] <= t).mean() for t in np.append(x[:, 0], y[:, 0])]).max()
        ),
    ),
    "difference of means": Value(
        lambda a, b: location_and_width(a, b, rng=rng(), replicas=2)["mean"][0].value,
        lambda x, w, y: float(y[:, 0].mean() - w @ x[:, 0] / w.sum()),
    ),
    "difference of standard deviations": Value(
        lambda a, b: location_and_width(a, b, rng=rng(), replicas=2)["std"][0].value,
        lambda x, w, y: float(y[:, 0].std(ddof=1) - np.sqrt(covariance(x, w)[0, 0])),
    ),
    "difference of quartile ranges": Value(
        lambda a, b: location_and_width(a, b, rng=rng(), replicas=2)["iqr"][0].value,
        lambda x, w, y: float(
            np.subtract(*[quantile(y[:, 0], np.ones(len(y)), q) - quantile(x[:, 0], w, q) for q in (0.75, 0.25)])
        ),
    ),
    "difference of correlations": Value(
        lambda a, b: float(correlation_difference(a, b, rng=rng(), replicas=2).value[0, 1]),
        lambda x, w, y: float(
            np.corrcoef(y.T)[0, 1] - covariance(x, w)[0, 1] / np.sqrt(np.prod(np.diag(covariance(x, w))))
        ),
    ),
    "ROC AUC": Value(
        lambda a, b: roc_auc(Weighted(np.abs(a.x[:, 0]), a.weight), np.abs(b[:, 0])).value,
        lambda x, w, y: float(
            w @ (np.abs(x[:, None, 0]) > np.abs(y[None, :, 0])).mean(1) / w.sum()
            if (w < 0).any()
            else roc_auc_score(
                np.repeat([1, 0], [len(x), len(y)]),
                np.abs(np.append(x[:, 0], y[:, 0])),
                sample_weight=np.append(w, np.full(len(y), w.mean())),
            )
        ),
    ),
    "mean and covariance (FID, FPD, FPND)": Value(
        lambda a, b: float(np.append(Moments.of(a).mean, Moments.of(a).cov).sum()),
        lambda x, w, y: float(np.append(w @ x / w.sum(), covariance(x, w)).sum()),
    ),
    "KID": Value(
        lambda a, b: kid(a, b, rng=rng()).value,
        lambda x, w, y: mmd2(lambda u, v: (u @ v.T / 2 + 1) ** 3, x, w, y),
    ),
    "KPD": Value(our_kpd, other_kpd),
    "inception score": Value(
        lambda a, b: inception_score(Weighted(shares(a.x), a.weight)).value, lambda x, w, y: score(x, w)
    ),
    "W1 of spectra": Value(
        lambda a, b: spectrum_distances(Weighted(spectrum(a.x), a.weight), spectrum(b), rng=rng())[1].value, spectral
    ),
}


def values(size: int) -> list[dict[str, Any]]:
    """The first part."""
    found = []
    for name, value in VALUES.items():
        for sign, sample in (("positive", positive), ("signed", signed)):
            real, fake = sample(size, 1), target(size, 2)
            ours, other = value.ours(real, fake), value.other(real.x, np.asarray(real.weight), fake)
            found.append(
                {
                    "metric": name,
                    "weights": sign,
                    "partigan": ours,
                    "independent": other,
                    "without": value.ours(Weighted(real.x), fake),
                }
            )
    return found


def verdicts(size: int) -> dict[str, dict[str, str]]:
    """The second part: worst verdict of each metric's rows, or why there is none, by column."""
    found: dict[str, dict[str, str]] = {}
    for sign, sample in (("positive", positive), ("signed", signed)):
        real, other, rows = sample(size, 1), sample(size, 3), sample(size, 5).x
        for generator, fake in (("perfect", target(size, 4)), ("ignores weights", rows)):
            for how in ("weights", "no weights"):
                weights = (real.weight, other.weight) if how == "weights" else (None, None)
                compared = Samples(NAMES, real.x, fake, sample(size, 7).x, weights=(weights[0], None))
                beside = Samples(NAMES, real.x, other.x, weights=weights)
                rows_of = run_suite(SUITE.keys() - LEFT_OUT, compared, beside, 1)
                judged = Judged(rows_of.rows, 0, size, {})
                column = f"{sign}: {generator}, {how}"
                for metric in SUITE.keys() - LEFT_OUT:
                    mine = {judged.verdicts[n] for n in judged.taken if n.split(".")[0] == metric}
                    worst = next((v for v in ("differs", "near", "agrees") if v in mine), "refused")
                    found.setdefault(metric, {})[column] = worst
    return found


def main() -> None:
    """Compute, print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("results/weights"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| metric | weights | partigan | independent | difference | without weights |",
        "|---|---|---|---|---|---|",
    ]
    numbers = values(min(options.rows, 1500))
    for row in numbers:
        off = abs(row["partigan"] - row["independent"])
        cells = f"{row['partigan']:.6f} | {row['independent']:.6f} | {off:.0e} | {row['without']:.6f}"
        lines.append(f"| {row['metric']} | {row['weights']} | {cells} |")
    judged = verdicts(options.rows)
    columns = list(next(iter(judged.values())))
    lines += ["", f"| metric | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {name} | {' | '.join(judged[name].values())} |" for name in SUITE if name in judged]
    print("\n".join(lines))
    options.out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps({"rows": options.rows, "values": numbers, "verdicts": judged}, indent=1)
    options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
