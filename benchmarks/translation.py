"""pix2pix-small and cyclegan-small on four tasks, beside translations without a network.

For each task the simulation makes pairs to train on, the same number of each side alone for CycleGAN, and test pairs,
with seeds of their own. Systems are trained for a fixed number of steps on one core, with several seeds of the
networks. Translated test images are held against their truth, and their distributions against images of other events.
``--tune`` does the same with the validation pairs of the training files, which no network is trained on: rates,
weights and numbers of steps were chosen with it. What is found is in ``results/translation``, numbers of each training
and a table; pictures are in ``docs/refinement``.

    python benchmarks/translation.py /tmp/translation [--only TASK ...] [--tune]  # trains; goes on where it stopped
    python benchmarks/translation.py /tmp/translation --table [--tune]  # writes results/translation from what is there
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from partigan import load, train
from partigan.data.batch import Batch
from partigan.data.samples import read_samples
from partigan.files import write_json
from partigan.kinds.images import IMAGES
from partigan.metrics.classifier import classify
from partigan.metrics.translation import cycle_error, translation_error
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.nets.translation import BothWays
from partigan.report.samples import translations
from partigan.simulate.pxd_pairs import simulate_pxd_pairs
from partigan.simulate.shower_pairs import simulate_shower_pairs


class Task(NamedTuple):
    """A change of images.

    Attributes:
        background: of the pixel detector, in units of the design; None = showers in a calorimeter.
        steps: of each system.
        options: of each system.
        seeds: of the networks.
    """

    background: float | None
    steps: dict[str, int]
    options: dict[str, dict[str, Any]]
    seeds: tuple[int, ...]


PAIRED, UNPAIRED = SYSTEMS = ("pix2pix-small", "cyclegan-small")
PIXELS, SUMS = "system.terms.pixels.weight", "system.terms.sums.weight"
TASKS = {
    "resolution": Task(4.0, {PAIRED: 1300, UNPAIRED: 500}, {PAIRED: {PIXELS: 3.0}}, (1, 2, 3)),
    "showers": Task(None, {PAIRED: 1000, UNPAIRED: 300}, {PAIRED: {PIXELS: 3.0}}, (1, 2, 3)),
    "digitiser": Task(4.0, {PAIRED: 600, UNPAIRED: 300}, {}, (1, 2, 3)),  # 2 % of the pixels are hit
    "background": Task(1.0, {PAIRED: 2000, UNPAIRED: 450}, {PAIRED: {PIXELS: 0.3, SUMS: 0.3}}, (1,)),
}
PAIRS, TEST = 6000, 1000
OPTIONS: dict[str, Any] = {"trainer.max_minutes": None, "trainer.validations": 1, "trainer.accelerator": "cpu"}
RESULTS = Path(__file__).parents[1] / "results" / "translation"
PICTURES = Path(__file__).parents[1] / "docs" / "refinement"
OBSERVABLES = ("mean", "spread", "largest", "bright", "occupied", "hit", "row", "column")
TABLE = {
    "error": ("error", 1.0),
    "auc": ("AUC", 1.0),
    "w1.occupied": ("W1 occupied (10⁻⁴)", 1e-4),
    "w1.hit": ("W1 mean hit", 1.0),
    "w1.largest": ("W1 largest", 1.0),
    "w1.mean": ("W1 mean (10⁻³)", 1e-3),
    "cycle": ("there and back", 1.0),
}
SOURCES, SHIFTED, REAL = "sources as they are", "sources, means shifted", "real ones"
BY_HAND, MEDIAN = "threshold and cut", "median of the truth at the same charge"
LARGE = 100  # numbers of the table that are shown as integers
BINS = 300  # of the charge, for medians


def files(name: str, folder: Path) -> dict[str, Path]:
    """Training pairs, each side alone, and test pairs."""
    task, found = TASKS[name], {}
    wanted = {"pairs": ("pairs", PAIRS), "other": ("before", PAIRS), "data": ("after", PAIRS), "test": ("pairs", TEST)}
    for seed, (part, (view, number)) in enumerate(wanted.items(), 1):
        found[part] = folder / f"{name}-{part}.h5"
        if found[part].exists():
            continue
        if task.background is None:
            simulate_shower_pairs(number, found[part], view, seed=seed)  # type: ignore[arg-type]
        else:
            simulate_pxd_pairs(name, number, found[part], view, background=task.background, seed=seed)  # type: ignore[arg-type]
    return found


def given(name: str, folder: Path, tune: bool) -> tuple[Batch, Batch]:
    """Test pairs, and as many images of other events like their truth; or the validation samples of training."""
    found = files(name, folder)
    if tune:
        return read_samples(found["pairs"], "valid", "images", 4), read_samples(found["data"], "valid", "images", 4)
    return read_samples(found["test"], "all", "images", 4), read_samples(found["data"], (0, TEST), "images", 4)


def distances(made: Batch, other: Batch) -> dict[str, float]:
    """W1 of observables, AUC of boosted trees that see them, and how often one and the same pixel is hit."""
    seen = [IMAGES.observables.compute(sample, {}) for sample in (other, made)]
    rows = [np.stack([columns[name] for name in OBSERVABLES], axis=1) for columns in seen]
    found = {f"w1.{name}": wasserstein_1d(*(columns[name] for columns in seen)) for name in OBSERVABLES}
    found["same_place"] = (made.x > 0).float().mean(0).max().item()
    return found | {"auc": classify(*rows, rng=np.random.default_rng(0)).auc.value}


def compared(made: Batch, pairs: Batch, other: Batch) -> dict[str, float]:
    """Error against the truth, and distances from other real images."""
    found = translation_error(pairs.start.x.numpy(), made.x.numpy(), pairs.x.numpy())
    return {"error": found.error.value, "shifted": found.shift.value, **distances(made, other)}


def result_of(name: str, system: str, seed: int, folder: Path, tune: bool) -> Path:
    """The file of what a training gave."""
    return folder / f"{name}-{system}-{seed}{'-tune' if tune else ''}.json"


def trained(name: str, system: str, seed: int, folder: Path, tune: bool) -> dict[str, Any]:
    """Train and compare, or what an earlier call found."""
    task, data, result = TASKS[name], files(name, folder), result_of(name, system, seed, folder, tune)
    if not result.exists():
        before, training = time.process_time(), {key: data[key] for key in ("data", "other")}
        options = {**OPTIONS, "trainer.max_steps": task.steps[system], **task.options.get(system, {})}
        run = train(
            system,
            data["pairs"] if system == PAIRED else training,
            folder / f"{name}-{system}-{seed}",
            seed=seed,
            threads=1,
            resume=True,
            overrides=options,
        )
        seconds, (pairs, other), model = time.process_time() - before, given(name, folder, tune), load(run.path)
        made = model.refine(pairs.start)
        row = {"task": name, "system": system, "seed": seed, "steps": task.steps[system]}
        row["cpu_seconds"] = round(seconds, 1)
        row |= compared(made, pairs, other)
        if isinstance(model.network, BothWays):
            back = model.backward().refine(Batch(made.x))
            row["cycle"] = cycle_error(pairs.start.x.numpy(), back.x.numpy()).value
        if seed == task.seeds[0] and not tune:
            shown = {"input": pairs.start.x, "translated": made.x, "target": pairs.x}
            figure = translations(shown, np.random.default_rng(5))
            figure.savefig(PICTURES / f"{name}-{system.partition('-')[0]}.png", dpi=80)
        write_json(result, row)
    return dict(json.loads(result.read_text(encoding="utf-8")))


def plain(name: str, system: str, folder: Path, tune: bool) -> dict[str, Any]:
    """A translation without a network, or the truth itself, compared in the same way."""
    (pairs, other), row = given(name, folder, tune), {"task": name, "system": system}
    training = read_samples(files(name, folder)["pairs"], "train", "images", 4)
    x = pairs.start.x
    if system == REAL:
        return row | distances(Batch(pairs.x), other)
    if system == BY_HAND:
        threshold, highest = training.x[training.x > 0].min(), training.x.max()
        x = torch.where(x < threshold, 0.0, x).clamp(max=highest)
    if system == MEDIAN:
        x = medians(training, x)
    return row | compared(Batch(x), pairs, other)


def medians(training: Batch, x: torch.Tensor) -> torch.Tensor:
    """What has the least error of all that sees a single pixel: the median of the truth at its charge; 0 stays 0."""
    start, truth = (values[training.start.x > 0].numpy() for values in (training.start.x, training.x))
    edges = np.geomspace(start.min(), start.max(), BINS + 1)
    found, seen = (np.digitize(values, edges[1:-1]) for values in (start, x.numpy()))
    filled = np.unique(found)
    centres, goals = (np.array([np.median(v[found == i]) for i in filled]) for v in (start, truth))
    made = np.where(np.isin(seen, filled), np.interp(x.numpy(), centres, goals), 0) * (x.numpy() > 0)
    return torch.from_numpy(made.astype(np.float32))


def cell(rows: list[dict[str, Any]], name: str) -> str:
    """Mean over seeds, and their standard deviation where there are several."""
    values = [row[name] / TABLE[name][1] for row in rows if name in row]
    if not values:
        return ""
    several = len(values) > 1
    mean, spread = np.mean(values), np.std(values, ddof=int(several))
    shown = [f"{x:.0f}" if x >= LARGE else f"{x:.{digits}g}" for x, digits in ((mean, 3), (spread, 2))]
    return " ± ".join(shown[: 1 + several])


def table(rows: list[dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = ["| task | system | seeds | " + " | ".join(head for head, _ in TABLE.values()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(TABLE))
    for task in TASKS:
        mine = [row for row in rows if row["task"] == task]
        shifted = [{"system": SHIFTED, "error": row["shifted"]} for row in mine if row["system"] == SOURCES]
        for system in (SOURCES, SHIFTED, BY_HAND, MEDIAN, *SYSTEMS, REAL):
            if same := [row for row in (*mine, *shifted) if row["system"] == system]:
                shown = " | ".join(cell(same, name) for name in TABLE)
                lines.append(f"| {task} | {system} | {len(same) if system in SYSTEMS else ''} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing and write ``results/translation``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where data and runs go")
    parser.add_argument("--only", nargs="+", choices=[*TASKS], default=[*TASKS], help="tasks to train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the networks")
    parser.add_argument("--tune", action="store_true", help="compare with validation pairs, and write nothing")
    parser.add_argument("--table", action="store_true", help="train nothing")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    for seed in () if asked.table else asked.seeds:
        for name in asked.only:
            for system in SYSTEMS if seed in TASKS[name].seeds else ():
                print(trained(name, system, seed, folder, asked.tune), flush=True)
    if not asked.table:
        return
    rows = [plain(name, system, folder, asked.tune) for name in TASKS for system in (SOURCES, BY_HAND, MEDIAN, REAL)]
    for name, task in TASKS.items():
        results = [result_of(name, system, seed, folder, asked.tune) for system in SYSTEMS for seed in task.seeds]
        rows += [json.loads(path.read_text(encoding="utf-8")) for path in results if path.exists()]
    if not asked.tune:
        write_json(RESULTS / "results.json", rows)
        (RESULTS / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
