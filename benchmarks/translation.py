"""pix2pix-small and cyclegan-small on two tasks of the pixel detector, beside the sources as they are.

For each task the simulation makes training pairs, the same number of each side alone for CycleGAN, and test pairs, with
seeds of their own. Systems are trained for a fixed number of steps on one core. What is found is in
``results/translation``: the numbers of each training, and a table.

    python benchmarks/translation.py /tmp/translation
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from partigan import evaluate, train
from partigan.data.samples import read_samples, write_samples
from partigan.files import write_json
from partigan.simulate.pxd_pairs import simulate_pxd_pairs

TASKS = ("digitiser", "resolution")
STEPS = {"pix2pix-small": 600, "cyclegan-small": 500}
SEEDS = (1,)
PAIRS, TEST = 6000, 1500
BACKGROUND = 4.0  # of the design: 2 % of the pixels are hit
OPTIONS: dict[str, Any] = {
    "transform.threshold": 7.0,
    "trainer.max_minutes": None,
    "trainer.validations": 4,
    "trainer.accelerator": "cpu",
}
RESULTS = Path(__file__).parents[1] / "results" / "translation"
METRICS = ("pairs", "cycle", "classifier", "w1")
TABLE = {
    "pairs.error": "error",
    "classifier": "AUC",
    "w1.occupied": "W1 occupied (10⁻⁴)",
    "w1.hit": "W1 mean hit (ADU)",
    "w1.largest": "W1 largest (ADU)",
    "w1.mean": "W1 mean (10⁻³ ADU)",
    "cycle": "there and back",
}
UNITS = {"w1.occupied": 1e-4, "w1.mean": 1e-3}


def files(task: str, folder: Path) -> dict[str, Path]:
    """Training pairs, each side alone, test pairs, and the sources of these as if they were translated."""
    wanted = {
        "pairs": ("pairs", PAIRS, 1),
        "other": ("before", PAIRS, 2),
        "data": ("after", PAIRS, 3),
        "test": ("pairs", TEST, 4),
    }
    found = {name: folder / f"{task}-{name}.h5" for name in (*wanted, "sources")}
    for name, (view, number, seed) in wanted.items():
        if not found[name].exists():
            simulate_pxd_pairs(task, number, found[name], view, background=BACKGROUND, seed=seed)  # type: ignore[arg-type]
    if not found["sources"].exists():
        start = read_samples(found["test"], "all", "images", 4).start
        write_samples(found["sources"], "images", [start], {"kind": "images"})
    return found


def numbers(metrics: dict[str, dict[str, float | None]]) -> dict[str, Any]:
    """Value, error and in-sample value of what was taken."""
    return {name: {key: row[key] for key in ("value", "error", "in_sample")} for name, row in metrics.items()}


def by_hand(given: dict[str, Path]) -> float:
    """Error of the sources without a network: nothing below the threshold, nothing above the largest training value."""
    test, threshold = read_samples(given["test"], "all", "images", 4), OPTIONS["transform.threshold"]
    highest = read_samples(given["pairs"], "train", "images", 4).x.max().item()
    x = test.start.x
    return (torch.where(x < threshold, 0.0, x).clamp(max=highest) - test.x).abs().mean().item()


def measured(task: str, system: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train and compare, or what an earlier call found."""
    given, name = files(task, folder), f"{task}-{system}-{seed}"
    result = folder / f"{name}.json"
    if not result.exists():
        before = time.process_time()
        data = given["pairs"] if system.startswith("pix2pix") else {key: given[key] for key in ("data", "other")}
        options = {**OPTIONS, "trainer.max_steps": STEPS[system]}
        run = train(system, data, folder / name, seed, 1, resume=True, overrides=options)
        seconds = time.process_time() - before
        found = evaluate(
            given["test"],
            folder / f"{name}-report",
            run=run.path,
            split="all",
            metrics=METRICS,
            threads=1,
            overwrite=True,
        )
        row = {"task": task, "system": system, "seed": seed, "cpu_seconds": round(seconds, 1), **numbers(found.metrics)}
        write_json(result, row)
    row = json.loads(result.read_text(encoding="utf-8"))
    return dict(row)


def unchanged(task: str, folder: Path) -> dict[str, Any]:
    """The sources as they are, compared in the same way."""
    given, result = files(task, folder), folder / f"{task}-sources.json"
    if not result.exists():
        chosen = ("classifier", "w1")
        found = evaluate(
            given["test"], folder / f"{task}-report", fake=given["sources"], split="all", metrics=chosen, overwrite=True
        )
        own = {"value": by_hand(given), "error": None, "in_sample": None}
        row = {"task": task, "system": "sources as they are", "pairs.by_hand": own, **numbers(found.metrics)}
        write_json(result, row)
    return dict(json.loads(result.read_text(encoding="utf-8")))


def cell(rows: list[dict[str, Any]], name: str) -> str:
    """Mean over seeds, and the range where there are several."""
    unit = UNITS.get(name, 1.0)
    values = [row[name]["value"] / unit for row in rows if name in row]
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3g} to {max(values):.3g})"


def table(rows: list[dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = ["| task | system | " + " | ".join(TABLE.values()) + " |", "|---|---|" + "---|" * len(TABLE)]
    for task in TASKS:
        mine = [row for row in rows if row["task"] == task]
        first = next(row for row in mine if "pairs.identity" in row)
        for name, label in (("pairs.identity", "sources as they are"), ("pairs.shift", "sources, means shifted")):
            same = {**next(row for row in mine if row["system"] == "sources as they are"), "pairs.error": first[name]}
            shown = [cell([same], key) if key == "pairs.error" or name == "pairs.identity" else "" for key in TABLE]
            lines.append(f"| {task} | {label} | " + " | ".join(shown) + " |")
        own = next(row for row in mine if row["system"] == "sources as they are")["pairs.by_hand"]
        shown = [cell([{"pairs.error": own}], key) for key in TABLE]
        lines.append(f"| {task} | sources, threshold and cut | " + " | ".join(shown) + " |")
        for system in STEPS:
            runs = [row for row in mine if row["system"] == system]
            lines.append(f"| {task} | {system} | " + " | ".join(cell(runs, key) for key in TABLE) + " |")
        in_sample = {name: entry["in_sample"] for name, entry in first.items() if isinstance(entry, dict)}
        reference = {name: {"value": value} for name, value in in_sample.items() if value is not None}
        lines.append(f"| {task} | real against real | " + " | ".join(cell([reference], key) for key in TABLE) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing and write ``results/translation``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where data, runs and reports go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = [unchanged(task, folder) for task in TASKS]
    for seed in SEEDS:
        rows += [measured(task, system, seed, folder) for system in STEPS for task in TASKS]
        RESULTS.mkdir(parents=True, exist_ok=True)
        write_json(RESULTS / "results.json", rows)
        (RESULTS / "table.md").write_text(table(rows), encoding="utf-8")
        print(table(rows))


if __name__ == "__main__":
    main()
