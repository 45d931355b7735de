"""Do the errors and p-values of the evaluation suite mean what they say, and which metric catches which defect?

    python benchmarks/calibration_suite.py [--replicas 200] [--rows 20000] [--out suite]

First part: the metrics and samples of benchmarks/metric_cases.py, 1,000 rows of three features, equal to the reference
("null") or 1.3 times as wide (half the replicas): stated error over actual spread of replicas of both samples (1 is
right; with 200 replicas the spread is known to 5 %), and the p-value of a Kolmogorov-Smirnov test that the p-values of
the null are uniform. P-values of counts cannot be uniform; for these the test is that they are not too small.

Second part: defects that are known, in events of five observables. The number is the smallest p-value that the metric
gives, adjusted for the number of its answers (Holm); for metrics without p-value it is that of the difference
from 0 or, where that is not the null, from the metric's answer to another real sample. Writes <out>.json and <out>.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from metric_cases import CASES, Case, Floats, Rng, rng, rows, wide
from partigan.metrics.memorisation import memorisation
from partigan.metrics.two_sample import TwoSampleTest, adjusted

DISCRETE = {"birthday", "memorisation"}  # whose p-values are of counts
DISTANCES = {"separation power", "KID", "FID", "equivalent events"}  # without bias: about 0 in the null, above 0 else
DIFFERENCES = {"std", "iqr"}  # about 0 in the null
CAUGHT = 0.01


def calibration(metric: Case, name: str, replicas: int) -> dict[str, Any]:
    """Ratios of stated error and actual spread, and whether p-values are uniform."""
    found: dict[str, Any] = {}
    for condition, other, number in (("null", rows, replicas), ("wide", wide, replicas // 2)):
        seeds = range(10**6, 10**6 + 2 * number, 2)
        answers = [metric.call(rows(1000, seed), other(1000, seed + 1), rng(seed)) for seed in seeds]
        numbers = np.array([metric.numbers(answer) for answer in answers])
        if numbers.size:
            spread = numbers[..., 0].std(0, ddof=1)
            found[condition] = (np.sqrt(np.square(numbers[..., 1]).mean(0)) / spread).tolist()
        if metric.p_value and condition == "null":
            side = "greater" if name in DISCRETE else "two-sided"
            found["p"] = float(stats.kstest([metric.p_value(a) for a in answers], "uniform", alternative=side).pvalue)
    return found


def events(size: int, seed: int, **defect: float) -> Floats:
    """Mass (a peak), multiplicity, pt sum, an angle that goes with it, and a quantity with three modes."""
    draw = rng(seed)
    angle, other = draw.normal(size=(2, size))
    correlation = defect.get("correlation", 0.5)
    share = defect.get("mode", 0.1)
    mode = draw.choice(3, size, p=[0.5, 0.5 - share, share])
    return np.column_stack(
        [
            draw.normal(0.16, 0.02 * defect.get("width", 1), size),
            draw.poisson(defect.get("multiplicity", 30.0), size),
            1 + 0.1 * (correlation * angle + np.sqrt(1 - correlation**2) * other),
            angle,
            4 * mode + draw.normal(size=size),
        ]
    )


def copied(training: Floats, size: int, seed: int) -> Floats:
    """Training rows, drawn with repetition."""
    return np.asarray(training[rng(seed).integers(len(training), size=size)])


def smallest_p(name: str, answer: Any, reference: Any) -> float:
    """The smallest p-value that a metric gives, adjusted for their number."""
    metric = CASES[name]
    if isinstance(answer, list) and isinstance(answer[0], TwoSampleTest):
        return float(adjusted([test.p_value for test in answer]).min())
    if metric.p_value:
        return metric.p_value(answer)
    (value, error), (other, other_error) = (np.array(metric.numbers(a)).T for a in (answer, reference))
    if name in DISTANCES | DIFFERENCES:
        other = other_error = np.zeros_like(other)
    pulls = (value - other) / np.maximum(np.hypot(error, other_error), 1e-12)
    if name in DISTANCES:
        return float(adjusted(stats.norm.sf(pulls)).min())
    return float(adjusted(2 * stats.norm.sf(np.abs(pulls))).min())


def main() -> None:
    """Calibrate, plant the defects, print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("suite"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines, result = [], {"calibration": {}, "defects": {}}

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    say("| metric | null | 1.3 times as wide | p-values uniform |\n|---|---|---|---|")
    for name, metric in CASES.items():
        found = result["calibration"][name] = calibration(metric, name, options.replicas)
        ratios = [", ".join(f"{ratio:.2f}" for ratio in found.get(key, [])) for key in ("null", "wide")]
        say(f"| {name} | {ratios[0]} | {ratios[1]} | {format(found['p'], '.2f') if 'p' in found else ''} |")

    size = options.rows
    training, held_out, another = (events(size, seed) for seed in (1, 2, 3))
    samples = {
        "none": events(size, 4),
        "5 % wider mass": events(size, 4, width=1.05),
        "dropped mode (10 %)": events(size, 4, mode=0),
        "training sample copied": copied(training, size, 4),
        "correlation 0.45, not 0.5": events(size, 4, correlation=0.45),
        "multiplicity 30.5, not 30": events(size, 4, multiplicity=30.5),
    }

    def remembers(real: Floats, fake: Floats, r: Rng) -> Any:
        return memorisation(training, real, fake, rng=r)

    calls: dict[str, Callable[..., Any]] = {name: metric.call for name, metric in CASES.items()}
    say(f"\n| metric | {' | '.join(samples)} | s |\n|---|{'---|' * (len(samples) + 1)}")
    for name, call in (calls | {"memorisation": remembers}).items():
        start = time.perf_counter()
        reference = call(held_out, another, rng(1))
        p = [smallest_p(name, call(held_out, fake, rng(1)), reference) for fake in samples.values()]
        seconds = (time.perf_counter() - start) / (1 + len(samples))
        result["defects"][name] = {**dict(zip(samples, p, strict=True)), "seconds": seconds}
        cells = [f"**{value:.0e}**" if value < CAUGHT else f"{value:.2f}" for value in p]
        say(f"| {name} | {' | '.join(cells)} | {seconds:.1f} |")
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    options.out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
