"""pix2pix-small and cyclegan-small on four tasks, beside translations without a network.

For each task the simulation makes training pairs, the same number of each side alone for CycleGAN, and test pairs,
with seeds of their own. Systems are trained for a fixed number of steps on one core, with several seeds of the
networks. Translated test images are held against their truth, and their distributions against images of other events.
What is found is in ``results/translation``, numbers of each training and a table; pictures are in ``docs/refinement``.

    python benchmarks/translation.py /tmp/translation
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
        threshold: of the read-out.
        background: of the pixel detector, in units of the design; None = showers in a calorimeter.
        options: of pix2pix and of CycleGAN.
    """

    threshold: float
    background: float | None
    options: dict[str, dict[str, Any]] = {}  # noqa: RUF012


RANDOM: dict[str, dict[str, Any]] = {  # the truth of a pair is, in part, and no way leads there and back
    "pix2pix-small": {"system.terms.pixels.weight": 0.3},
    "cyclegan-small": {
        f"system.phases.translators.loss.losses.{way}.terms.cycle.weight": 0.5 for way in ("there", "back")
    },
}
TASKS = {
    "digitiser": Task(7.0, 4.0),  # 2 % of the pixels are hit
    "resolution": Task(7.0, 4.0, RANDOM),
    "background": Task(
        7.0, 1.0, {**RANDOM, "pix2pix-small": {**RANDOM["pix2pix-small"], "system.terms.sums.weight": 0.3}}
    ),
    "showers": Task(0.1, None, RANDOM),
}
STEPS = {"pix2pix-small": 300, "cyclegan-small": 120}
SEEDS = (1, 2, 3)
PAIRS, TEST = 3000, 1000
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
SOURCES, SHIFTED, BY_HAND, REAL = "sources as they are", "sources, means shifted", "threshold and cut", "real ones"


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


def given(name: str, folder: Path) -> tuple[Batch, Batch]:
    """Test pairs, and as many images of other events like their truth."""
    found = files(name, folder)
    return read_samples(found["test"], "all", "images", 4), read_samples(found["data"], (0, TEST), "images", 4)


def distances(made: Batch, other: Batch) -> dict[str, float]:
    """W1 of observables, and the AUC of boosted trees that see all of them."""
    seen = [IMAGES.observables.compute(sample, {}) for sample in (other, made)]
    rows = [np.stack([columns[name] for name in OBSERVABLES], axis=1) for columns in seen]
    found = {f"w1.{name}": wasserstein_1d(*(columns[name] for columns in seen)) for name in OBSERVABLES}
    return found | {"auc": classify(*rows, rng=np.random.default_rng(0)).auc.value}


def compared(made: Batch, pairs: Batch, other: Batch) -> dict[str, float]:
    """Error against the truth, and distances from other real images."""
    found = translation_error(pairs.start.x.numpy(), made.x.numpy(), pairs.x.numpy())
    return {"error": found.error.value, "shifted": found.shift.value, **distances(made, other)}


def trained(name: str, system: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train and compare, or what an earlier call found."""
    label = f"{name}-{system}-{seed}"
    result = folder / f"{label}.json"
    if not result.exists():
        before, data = time.process_time(), files(name, folder)
        training = data["pairs"] if system.startswith("pix2pix") else {key: data[key] for key in ("data", "other")}
        options = {**OPTIONS, "transform.threshold": TASKS[name].threshold, "trainer.max_steps": STEPS[system]}
        options |= TASKS[name].options.get(system, {})
        run = train(system, training, folder / label, seed, 1, resume=True, overrides=options)
        seconds, (pairs, other), model = time.process_time() - before, given(name, folder), load(run.path)
        made = model.refine(pairs.start)
        row = {"task": name, "system": system, "seed": seed, "steps": STEPS[system], "cpu_seconds": round(seconds, 1)}
        row |= compared(made, pairs, other)
        if isinstance(model.network, BothWays):
            back = model.backward().refine(Batch(made.x))
            row["cycle"] = cycle_error(pairs.start.x.numpy(), back.x.numpy()).value
        if seed == SEEDS[0]:
            shown = {"input": pairs.start.x, "translated": made.x, "target": pairs.x}
            figure = translations(shown, np.random.default_rng(5))
            figure.savefig(PICTURES / f"{name}-{system.partition('-')[0]}.png", dpi=80)
        write_json(result, row)
    return dict(json.loads(result.read_text(encoding="utf-8")))


def plain(name: str, system: str, folder: Path) -> dict[str, Any]:
    """A translation without a network, or the truth itself, compared in the same way."""
    pairs, other = given(name, folder)
    x, row = pairs.start.x, {"task": name, "system": system}
    if system == REAL:
        return row | distances(Batch(pairs.x), other)
    if system == BY_HAND:
        highest = read_samples(files(name, folder)["pairs"], "train", "images", 4).x.max().item()
        x = torch.where(x < TASKS[name].threshold, 0.0, x).clamp(max=highest)
    return row | compared(Batch(x), pairs, other)


def cell(rows: list[dict[str, Any]], name: str) -> str:
    """Mean over seeds, and the range where there are several."""
    values = [row[name] / TABLE[name][1] for row in rows if name in row]
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3g} to {max(values):.3g})"


def table(rows: list[dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = ["| task | system | seeds | " + " | ".join(head for head, _ in TABLE.values()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(TABLE))
    for task in TASKS:
        mine = [row for row in rows if row["task"] == task]
        shifted = [{"system": SHIFTED, "error": row["shifted"]} for row in mine if row["system"] == SOURCES]
        for system in (SOURCES, SHIFTED, BY_HAND, *STEPS, REAL):
            same = [row for row in (*mine, *shifted) if row["system"] == system]
            shown = [cell(same, name) for name in TABLE]
            lines.append(f"| {task} | {system} | {len(same) if system in STEPS else ''} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing and write ``results/translation``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where data, runs and reports go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [plain(task, system, folder) for task in TASKS for system in (SOURCES, BY_HAND, REAL)]
    for seed in SEEDS:
        for task in TASKS:
            for system in STEPS:
                rows.append(trained(task, system, seed, folder))
                write_json(RESULTS / "results.json", rows)
                (RESULTS / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
