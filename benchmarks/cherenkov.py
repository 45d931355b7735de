"""Cherenkov detectors: a generator trained with sWeights, and one that ignores them, against pure signal.

    python benchmarks/cherenkov.py WORK [--seeds 1 2 3] [--cases fast ignored raw cramer]

Makes data and runs below WORK, results/cherenkov/CASE-SEED.json, results/cherenkov/table.md of all that is there, and
two pictures in docs/cherenkov.
Data and runs that are there already are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import partigan
from partigan.commands.generate import generate
from partigan.commands.weights import smooth_weights
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.kinds import find
from partigan.kinds.cherenkov import PAIRS, identification
from partigan.kinds.kind import Values, event_weights
from partigan.metrics.finding import Finding
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.simulate.cherenkov import CONDITIONS, TARGETS, TRUTH, simulate_cherenkov

KIND = find("cherenkov")
CALIBRATION, PURE, MADE = 600_000, 150_000, 100_000  # rows
DESCRIPTION = {"features": TARGETS, "columns": {"conditions": CONDITIONS, "truth": TRUTH}}
PICTURES = Path(__file__).parents[1] / "docs" / "cherenkov"
RESULTS = Path(__file__).parents[1] / "results" / "cherenkov"
NEAR = 0.01  # of AUCs
METRICS = ["w1", "swd", "frechet", "auc_k_pi", "auc_p_k", "efficiency_k", "efficiency_p"]


@dataclass(frozen=True)
class Case:
    """A training: its name, what tables call it, its data, its preset, and options that are changed."""

    name: str
    title: str
    data: str
    preset: str = "cherenkov-fast"
    changes: dict[str, Any] = field(default_factory=dict)


BRIEF = {"trainer.max_steps": 100, "trainer.validations": 2}
SHORTER = {"trainer.max_steps": 300, "trainer.validations": 2}
CASES = [
    Case("fast", "cherenkov-fast", "smooth"),
    Case("ignored", "weights ignored", "ignored", changes=SHORTER),
    Case("raw", "sWeights as they are", "weighted"),
    Case(
        "cramer", "cherenkov-cramer, briefly", "cherenkov-cramer", {"trainer.max_steps": 150, "trainer.validations": 3}
    ),
]


def data(work: Path) -> dict[str, Path]:
    """Calibration samples with sWeights, with smoothed ones, and with none, and pure signal."""
    paths = {name: work / f"{name}.h5" for name in ("weighted", "smooth", "ignored", "pure")}
    if not paths["weighted"].exists():
        simulate_cherenkov(CALIBRATION, paths["weighted"], seed=1)
    if not paths["smooth"].exists():
        smooth_weights(paths["weighted"], paths["smooth"], threads=1)
    if not paths["pure"].exists():
        simulate_cherenkov(PURE, paths["pure"], signal=1.0, seed=2)
    if not paths["ignored"].exists():
        sample = replace(KIND.format.read(paths["weighted"], "all"), weight=None)
        columns = {"conditions": CONDITIONS, "truth": TRUTH}
        write_samples(paths["ignored"], "rows", [sample], {"kind": "cherenkov"}, TARGETS, columns)
    return paths


def trained(work: Path, case: Case, path: Path, seed: int) -> dict[str, float]:
    """Train one generator, unless it is there; the CPU seconds that it took, and its steps."""
    out, note = work / f"{case.name}-{seed}", work / f"{case.name}-{seed}.json"
    if not note.exists():
        begin = time.process_time()
        run = partigan.train(case.preset, path, out, seed, threads=1, overrides=case.changes, overwrite=True)
        used = {"cpu_seconds": round(time.process_time() - begin), "steps": run.manifest["plan"]["max_steps"]}
        note.write_text(json.dumps(used), encoding="utf-8")
    return dict(json.loads(note.read_text(encoding="utf-8")))


def made(work: Path, case: Case, seed: int, conditions: Path) -> tuple[Batch, float]:
    """Generated rows with the conditions of pure signal, and rows a CPU second."""
    out = work / f"{case.name}-{seed}.h5"
    begin = time.process_time()
    generate(work / f"{case.name}-{seed}", MADE, out, seed, conditions=conditions, threads=1, overwrite=True)
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES], choices=[c.name for c in CASES])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    paths = data(options.work)
    pure = KIND.format.read(paths["pure"], "all")
    real, other = pure[len(pure) // 2 :], pure[: len(pure) // 2]
    if not (RESULTS / "data.json").exists():
        found = {"in_sample": compared(real, other, 1)}
        for name, file in (("sweighted", "weighted"), ("unweighted", "ignored")):
            found[name] = compared(real, KIND.format.read(paths[file], "all"), 1)
        _write("data.json", found)
    for seed in options.seeds:
        for case in [case for case in CASES if case.name in options.cases]:
            used = trained(options.work, case, paths[case.data], seed)
            sample, speed = made(options.work, case, seed, paths["pure"])
            outcome = {**used, "rows_per_cpu_second": speed, "simulated_rows_per_cpu_second": simulated(options.work)}
            _write(f"{case.name}-{seed}.json", outcome | compared(real, sample, seed))
            if (case.name, seed) == ("fast", 1):
                draw(real, sample)
    (RESULTS / "table.md").write_text(table(), encoding="utf-8")


def draw(real: Batch, fake: Batch) -> None:
    """Two figures of the report for the documentation."""
    figures = KIND.evaluation.figures(values(real), values(fake))
    PICTURES.mkdir(exist_ok=True)
    for name, file in (("K against pi", "auc-k-pi"), ("Taken for K, of K and pi", "efficiency-k")):
        figures[name].savefig(PICTURES / f"{file}.png", dpi=110)


def simulated(work: Path) -> float:
    """Rows that the simulation makes in a CPU second, on this machine and now."""
    begin = time.process_time()
    simulate_cherenkov(20_000, work / "timed.h5", seed=3, overwrite=True)
    return 20_000 / (time.process_time() - begin)


def _write(name: str, found: dict[str, Any]) -> None:
    text = json.dumps(found, allow_nan=False, indent=1, default=float)
    (RESULTS / name).write_text(text + "\n", encoding="utf-8")


def agreeing(found: dict[str, Any]) -> str:
    """Bins whose AUCs agree within `NEAR`, and within that or the error of the difference; of both pairs."""
    apart, error = (
        np.concatenate([np.array(found[f"{pair}_bins"][part], dtype=float).ravel() for pair in PAIRS])
        for part in ("difference", "error")
    )
    near, within = (np.abs(apart) < limit for limit in (NEAR, np.maximum(error, NEAR)))
    return f"{near.sum()} ({within.sum()}) of {np.isfinite(apart).sum()}"


def table() -> str:
    """All that results/cherenkov holds, as Markdown."""
    names = {"pure signal": "data.json in_sample", "sWeighted data": "data.json sweighted"}
    names["data without weights"] = "data.json unweighted"
    for case in CASES:
        for path in sorted(RESULTS.glob(f"{case.name}-[0-9]*.json")):
            names[f"{case.title}, seed {path.stem.rpartition('-')[2]}"] = path.name
    columns = {}
    for name, place in names.items():
        file, _, part = place.partition(" ")
        found = json.loads((RESULTS / file).read_text(encoding="utf-8"))
        columns[name] = found[part] if part else found
    lines = ["| against pure signal | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    rows = {metric: lambda found, m=metric: "{:.4f} ± {:.4f}".format(*found[m]) for metric in METRICS}
    rows |= {f"W1 of {f} (std)": lambda found, f=f: f"{found['w1_of'][f]:.4f}" for f in TARGETS}
    rows["bins with an AUC within 0.01 (or its error)"] = agreeing
    for key in ("cpu_seconds", "steps", "rows_per_cpu_second", "simulated_rows_per_cpu_second"):
        rows[key.replace("_", " ")] = lambda found, key=key: f"{found[key]:,.0f}" if key in found else ""
    lines += [f"| {name} | " + " | ".join(map(entry, columns.values())) + " |" for name, entry in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
