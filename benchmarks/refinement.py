"""Refined simulation on data: refiner, autoencoder with a shared encoder, and two worlds that are alike.

    python benchmarks/refinement.py FOLDER            # simulates, trains, refines, evaluates; goes on where it stopped
    python benchmarks/refinement.py FOLDER --table    # writes results/refinement/ from what is finished

Each of three seeds has its own simulation, data and networks. Networks are trained on the training splits of 20,000
simulated and 30,000 measured traces. Another 10,000 simulated traces are refined and compared with the test split of
the data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import partigan
from partigan.files import read_json, write_json, write_text

RESULTS = Path(__file__).parents[1] / "results" / "refinement"
SEEDS = (1, 2, 3)
METRICS = ("downstream", "labels", "unrefined", "classifier")
CASES = {"refiner": ("refiner", "data"), "shared-encoder": ("shared-encoder", "data"), "null": ("refiner", "null")}
"""Preset, and the sample that it is trained towards; ``null`` is a second simulation of the same world."""
PERCENT = 100 * np.log(10)  # of an energy, per unit of its decimal logarithm


def simulated(folder: Path, seed: int) -> dict[str, Path]:
    """The files of a seed."""
    files = {}
    for number, (name, world, size) in enumerate(
        (
            ("simulation", "simulation", 20_000),
            ("test", "simulation", 10_000),
            ("data", "data", 30_000),
            ("null", "simulation", 30_000),
        )
    ):
        files[name] = folder / f"{name}-{seed}.h5"
        if not files[name].exists():
            partigan.simulate_traces(size, files[name], world, seed=10 * seed + number, resume=True)
    return files


def run(folder: Path, case: str, seed: int) -> None:
    """Train, refine and evaluate one case."""
    preset, target = CASES[case]
    files, name = simulated(folder, seed), f"{case}-{seed}"
    interrupted, began = (folder / "runs" / name).exists(), time.process_time()
    trained = partigan.train(
        preset,
        {"simulation": files["simulation"], "data": files[target]},
        folder / "runs" / name,
        seed=seed,
        threads=1,
        resume=True,
    )
    training = None if interrupted else time.process_time() - began
    refined = partigan.refine(trained.path, files["test"], folder / f"refined-{name}.h5", overwrite=True)
    began = time.process_time()
    found = partigan.evaluate(
        files[target], folder / "reports" / name, fake=refined, split="test", metrics=METRICS, threads=1, overwrite=True
    )
    numbers = {row: (entry["value"], entry["error"]) for row, entry in found.metrics.items()}
    cpu = {"training": training, "evaluation": time.process_time() - began}
    write_json(folder / f"{name}.json", {"case": case, "seed": seed, "cpu_seconds": cpu, "metrics": numbers})


ROWS = (
    ("raw simulation", "refiner", "raw", "unrefined", ""),
    ("refined by `refiner`", "refiner", "refined", "classifier", "labels.log_energy.bias"),
    ("refined by `shared-encoder`", "shared-encoder", "refined", "classifier", "labels.log_energy.bias"),
    ("data", "refiner", "data", "", ""),
    ("null: raw simulation", "null", "raw", "unrefined", ""),
    ("null: refined by `refiner`", "null", "refined", "classifier", "labels.log_energy.bias"),
    ("null: more of the same", "null", "data", "", ""),
)
"""Title, case, what a reconstruction learned on, and the metrics of its difference from data and of its labels."""


def cell(entries: list[dict[str, Any]], name: str, factor: float = 1.0) -> str:
    """Mean and standard deviation over the seeds."""
    values = [factor * entry["metrics"][name][0] for entry in entries if name in entry["metrics"]]
    if not values:
        return ""
    digits = 1 if factor > 1 else 3
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def table(folder: Path) -> str:
    """The table of results in markdown; the numbers of all seeds are written as JSON."""
    entries = [read_json(path) for path in sorted(folder.glob("*-[0-9].json"))]
    write_json(RESULTS / "refinement.json", entries)
    head = "| learned on | seeds | bias (%) | resolution (%) | AUC of mass | AUC against data | shift of labels (%) |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for title, case, sample, area, labels in ROWS:
        of = [entry for entry in entries if entry["case"] == case]
        cells = (
            str(len(of)),
            cell(of, f"downstream.log_energy.bias.{sample}", PERCENT),
            cell(of, f"downstream.log_energy.resolution.{sample}", PERCENT),
            cell(of, f"downstream.mass.auc.{sample}"),
            cell(of, area),
            cell(of, labels, PERCENT),
        )
        lines.append(f"| {title} | {' | '.join(cells)} |")
    cpu = [seconds / 60 for entry in entries for seconds in entry["cpu_seconds"].values() if seconds is not None]
    return "\n".join(
        [
            *lines,
            "",
            f"{len(entries)} trainings and evaluations, {sum(cpu):.0f} CPU minutes without interrupted trainings.",
            "",
        ]
    )


def main() -> None:
    """Run what is missing, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    options = parser.parse_args()
    if options.table:
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = table(options.folder)
        write_text(RESULTS / "refinement.md", text)
        print(text)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for case in options.cases:
            if not (options.folder / f"{case}-{seed}.json").exists():
                run(options.folder, case, seed)


if __name__ == "__main__":
    main()
