"""Cherenkov detectors: a generator trained with sWeights, and one that ignores them, against pure signal.

    python benchmarks/cherenkov.py WORK [--steps 4000] [--seed 1]

Makes data and runs below WORK, and results/cherenkov/seed-N.json and seed-N.md. What is there already is kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import partigan
from partigan.commands.generate import generate
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.kinds import find
from partigan.kinds.cherenkov import PAIRS, identification
from partigan.kinds.kind import Values, event_weights
from partigan.metrics.finding import Finding
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.simulate.cherenkov import CONDITIONS, TARGETS, TRUTH, simulate_cherenkov
from partigan.simulate.rich import SPECIES

KIND = find("cherenkov")
CALIBRATION, PURE, MADE = 200_000, 150_000, 100_000  # rows
DESCRIPTION = {"features": TARGETS, "columns": {"conditions": CONDITIONS, "truth": TRUTH}}
RESULTS = Path(__file__).parents[1] / "results" / "cherenkov"
METRICS = ["w1", "swd", "frechet", "auc_k_pi", "auc_p_k", "efficiency_k", "efficiency_p"]


def data(work: Path) -> dict[str, Path]:
    """Calibration samples with sWeights, the same without their weights, and pure signal."""
    paths = {name: work / f"{name}.h5" for name in ("weighted", "ignored", "pure")}
    if not paths["weighted"].exists():
        simulate_cherenkov(CALIBRATION, paths["weighted"], seed=1)
    if not paths["pure"].exists():
        simulate_cherenkov(PURE, paths["pure"], signal=1.0, seed=2)
    if not paths["ignored"].exists():
        sample = replace(KIND.format.read(paths["weighted"], "all"), weight=None)
        columns = {"conditions": CONDITIONS, "truth": TRUTH}
        write_samples(paths["ignored"], "rows", [sample], {"kind": "cherenkov"}, TARGETS, columns)
    return paths


def trained(work: Path, name: str, path: Path, steps: int, seed: int) -> dict[str, float]:
    """Train one generator, unless it is there; the CPU seconds that it took."""
    out, note = work / f"{name}-{seed}", work / f"{name}-{seed}.json"
    if not note.exists():
        begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        changes = {"trainer.max_steps": steps, "trainer.batch_size": 256, "trainer.validations": 4}
        partigan.train("cherenkov-fast", path, out, seed, threads=1, overrides=changes, overwrite=True)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin
        note.write_text(json.dumps({"cpu_seconds": round(used), "steps": steps}), encoding="utf-8")
    return dict(json.loads(note.read_text(encoding="utf-8")))


def made(work: Path, name: str, seed: int, conditions: Path) -> tuple[Batch, float]:
    """Generated rows with the conditions of pure signal, and rows a second."""
    out = work / f"{name}-{seed}.h5"
    begin = time.process_time()
    generate(work / f"{name}-{seed}", MADE, out, seed, conditions=conditions, threads=1, overwrite=True)
    return KIND.format.read(out, "all"), MADE / (time.process_time() - begin)


def values(sample: Batch) -> Values:
    """Observables with weights."""
    return Values(KIND.observables.compute(sample, DESCRIPTION), event_weights(sample))


def _listed(values: np.ndarray) -> list[Any]:
    """Numbers as JSON has them: null in bins without tracks."""
    return np.where(np.isfinite(values), values, None).tolist()


def compared(real: Batch, fake: Batch, seed: int) -> dict[str, Any]:
    """The protocol, W1 of each feature in standard deviations, and areas bin by bin."""
    a, b = values(real), values(fake)
    found = KIND.evaluation.metrics(a, b, {"metrics": METRICS}, min(a.size, b.size), seed)
    numbers: dict[str, Any] = {
        name: [each.value, each.error] for name, each in found.items() if isinstance(each, Finding)
    }
    numbers["w1_of"] = {
        name: wasserstein_1d(a.weighted(a[name]), b.weighted(b[name])) / float(a[name].std()) for name in TARGETS
    }
    for name, pair in PAIRS.items():
        one, two = (identification(sample, pair) for sample in (a, b))
        apart = two.minus(one)
        numbers[f"{name}_bins"] = {
            "real": _listed(one.value), "difference": _listed(apart.value), "error": _listed(apart.error)
        }  # fmt: skip
    return numbers


def main() -> None:
    """Simulate, train, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    paths = data(options.work)
    begin = time.process_time()
    simulate_cherenkov(20_000, options.work / "timed.h5", seed=3, overwrite=True)
    outcome: dict[str, Any] = {"simulated_rows_per_cpu_second": 20_000 / (time.process_time() - begin)}
    pure = KIND.format.read(paths["pure"], "all")
    real, other = pure[len(pure) // 2 :], pure[: len(pure) // 2]
    outcome["in_sample"] = compared(real, other, options.seed)
    outcome["sweighted"] = compared(real, KIND.format.read(paths["weighted"], "all"), options.seed)
    for name in ("weighted", "ignored"):
        used = trained(options.work, name, paths[name], options.steps, options.seed)
        sample, speed = made(options.work, name, options.seed, paths["pure"])
        outcome[name] = {**used, "rows_per_cpu_second": speed, **compared(real, sample, options.seed)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"seed-{options.seed}.json").write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"seed-{options.seed}.md").write_text(table(outcome), encoding="utf-8")


def table(outcome: dict[str, Any]) -> str:
    """The protocol of all samples as Markdown."""
    names = {
        "in_sample": "pure signal",
        "sweighted": "sWeighted data",
        "weighted": "generator",
        "ignored": "generator, weights ignored",
    }
    lines = ["| against pure signal | " + " | ".join(names.values()) + " |", "|---|" + "---|" * len(names)]
    for metric in METRICS:
        entries = [f"{outcome[name][metric][0]:.4f} ± {outcome[name][metric][1]:.4f}" for name in names]
        lines.append(f"| {metric} | " + " | ".join(entries) + " |")
    for feature in TARGETS:
        entries = [f"{outcome[name]['w1_of'][feature]:.4f}" for name in names]
        lines.append(f"| W1 of {feature} (std) | " + " | ".join(entries) + " |")
    inside = []
    for name in names:
        bins = [np.array(outcome[name][f"{pair}_bins"]["difference"], dtype=float) for pair in PAIRS]
        apart = np.abs(np.concatenate([found.ravel() for found in bins]))
        inside.append(f"{int((apart < 0.01).sum())} of {int(np.isfinite(apart).sum())}")
    lines.append("| bins with an AUC within 0.01 | " + " | ".join(inside) + " |")
    return "\n".join(lines) + f"\n\nSpecies: {', '.join(SPECIES)}.\n"


if __name__ == "__main__":
    main()
