"""Quality of short trainings: presets and seeds at equal CPU time, every metric against CPU time.

    partigan simulate jets --flavour t --n 70000 --particles 30 --seed 1 --workers 2 --out top.h5
    python benchmarks/train_quality.py --data top.h5 [--presets mdma mdma-fast own.yaml]
        [--seeds 1 2 3] [--minutes 10] [--out results/train_quality] [--runs train_quality]

A preset (or YAML file) gets as many steps as fit into the minutes at the CPU time that its own step takes, measured
first, on one thread and in turns with the other presets; warm-up, cosine and averages follow the number of steps. The
steps are the same for all seeds, and stand in the JSON. Validation and evaluation are not counted. The curves are of
the averaged generator against the validation split; the table is of the best checkpoint (by W1-M, vetoed by FPD, on the
validation split) against the test split, which neither training nor choice has seen. In-sample is the same metric with
jets of the other splits in the place of the generated ones, turned the same with these turned and mirrored at random,
untrained the generator with fresh weights. The AUC of observables is that of the evaluation suite, the AUC of particles
is boosted trees on the features of all particles, sorted by pt.

Each preset has a JSON of its own, so that two jobs may share the work. Finished trainings are not repeated and
interrupted ones are resumed; ``table.md`` and ``quality.png`` are made anew from all JSON of the folder after each and
at the end.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import partigan
from partigan import config
from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.documents import read_json
from partigan.files import write_json
from partigan.kinds.jets import JETS, W1_COLUMNS
from partigan.kinds.kind import Values
from partigan.metrics.classifier import classify
from partigan.metrics.clouds import Clouds
from partigan.metrics.frechet import fpd
from partigan.metrics.kpd import kpd
from partigan.metrics.wasserstein import w1, wasserstein_1d
from partigan.models.model import Model
from partigan.nets.clouds.turning import DECISIVE, turned
from partigan.run import Run
from partigan.systems.system import DATA
from partigan.training.players import Feed, Players
from partigan.training.session import Session

ROOT = Path(__file__).parents[1]
GENERATED = 42_000  # jets of a final evaluation
SMALLEST_BIN = 50  # real jets in a bin of multiplicity
REFERENCE = "in_sample.json"
UNITS = {
    "w1m": ("W1-M (x 10^3)", 1e3),
    "w1p": ("W1-P, plain (x 10^3)", 1e3),
    "w1p_weighted": ("W1-P, weighted (x 10^3)", 1e3),
    "w1efp": ("W1-EFP (x 10^5)", 1e5),
    "conditional": ("W1-M at given multiplicity (x 10^3)", 1e3),
    "fpd": ("FPD (x 10^4)", 1e4),
    "kpd": ("KPD (x 10^4)", 1e4),
    "auc": ("AUC, observables", 1.0),
    "auc_particles": ("AUC, particles", 1.0),
}
CURVES = ("w1m", "w1p", "w1p_weighted", "w1efp", "conditional", "fpd")


def conditional_mass(real: Values, fake: Values) -> float:
    """W1 of the relative mass in bins of multiplicity, the mean by the share of real jets."""
    numbers, counts = np.unique(real["multiplicity"], return_counts=True)
    least = max(SMALLEST_BIN, len(real["mass"]) // 200)
    total, weight, first, filled = 0.0, 0, 0, 0
    for number, count in zip(numbers, counts, strict=True):
        filled += int(count)
        if filled >= least:
            chosen = [
                sample["mass"][(sample["multiplicity"] >= first) & (sample["multiplicity"] <= number)]
                for sample in (real, fake)
            ]
            if len(chosen[1]):
                total, weight = total + filled * wasserstein_1d(*chosen), weight + filled
            first, filled = number + 1, 0
    return total / weight


def quality(real: Values, fake: Values, final: bool) -> dict[str, list[float]]:
    """Value and error of every metric; ``final``: with those that take long."""
    rng = np.random.default_rng(1)
    batches = max(1, len(fake["mass"]) // len(real["mass"]))
    clouds = [Clouds(sample["particles"], sample["mask"]) for sample in (real, fake)]
    columns = [sample["efps"][:, W1_COLUMNS] for sample in (real, fake)]
    found: dict[str, Any] = {
        "w1m": w1(real["mass"], fake["mass"], batches=batches, rng=rng),
        "w1p": w1(*clouds, batches=batches, rng=rng),
        "w1p_weighted": w1(*clouds, samples=len(real["mass"]) // 2, batches=8, mean="inverse-variance", rng=rng),
        "w1efp": w1(*columns, batches=batches, rng=rng),
        "conditional": (conditional_mass(real, fake), 0.0),
        "fpd": fpd(real["efps"], fake["efps"], rng=rng),
    }
    if final:
        found["kpd"] = kpd(real["efps"], fake["efps"], rng=rng)
        rows = slice(None, len(real["mass"]))
        tables = [np.stack([sample[name] for name in JETS.observables.scalars({})], 1)[rows] for sample in (real, fake)]
        found["auc"] = classify(*tables, rng=rng).auc
        found["auc_particles"] = classify(*(_sorted(sample)[rows] for sample in (real, fake)), rng=rng).auc
    return {name: [float(part) for part in value] for name, value in found.items()}


def observed(jets: Batch) -> Values:
    """The observables of jets."""
    return JETS.observables.compute(jets, {})


def _sorted(sample: Values) -> Any:
    """Features of the particles of a jet in a row, those of highest pt first."""
    order = np.argsort(-sample["particles"][..., 2], axis=1, kind="stable")
    return np.take_along_axis(sample["particles"], order[..., None], axis=1).reshape(len(order), -1)


def players_of(preset: str, real: Batch) -> Players:
    """The players of a preset, ready to train on jets."""
    with TemporaryDirectory() as folder:
        session = Session(Run(Path(folder) / "unused"), config.read(preset))
    session.prepare({DATA: real}, JETS.conditions.arguments(real), {})
    options = session.trainer.options
    loader = Loader(session.transform.held(real), options.batch_size, session.seed, transform=session.transform)
    feed = Feed({DATA: loader}, session.seed, session.physical)
    return Players(session.trainer.fabric, session.system, feed, options.gradient_clip)


def step_costs(presets: dict[str, str], data: Path, rounds: int = 3, seconds: float = 4.0) -> dict[str, float]:
    """CPU seconds of a training step of each preset on one thread, the least of several rounds in turns."""
    real = JETS.format.read(data, "train")
    ready = {name: players_of(preset, real) for name, preset in presets.items()}
    least = dict.fromkeys(presets, np.inf)
    for turn in range(rounds + 1):
        for name, players in ready.items():
            began, steps = time.process_time(), 0
            while time.process_time() - began < seconds:
                players.train_step(steps, 10_000)
                steps += 1
            if turn:  # the first is to warm up
                least[name] = min(least[name], (time.process_time() - began) / steps)
    return least


def trained(name: str, preset: str, seed: int, steps: int, options: argparse.Namespace) -> Run:
    """The run of a preset and a seed, trained to its end."""
    valid = len(JETS.format.read(options.data, "valid"))
    overrides = {
        "trainer.max_steps": steps,
        "trainer.max_minutes": None,
        "trainer.validations": options.validations,
        "trainer.snapshots": valid,
    }
    return partigan.train(
        preset, options.data, options.runs / f"{name}-{seed}", seed=seed, threads=1, resume=True, overrides=overrides
    )


def measured(run: Run, seed: int, per_step: float, data: Path) -> dict[str, Any]:
    """The curves of a finished run on the validation split, and its final metrics on the test split."""
    valid = observed(JETS.format.read(data, "valid"))
    curve = []
    for path in sorted((run.path / "samples").glob("*.h5")):
        found = quality(valid, observed(JETS.format.read(path, "all", finite=False)), final=False)
        curve.append({"minutes": int(path.stem) * per_step / 60, **{name: found[name][0] for name in CURVES}})
    test = observed(JETS.format.read(data, "test"))
    fake = observed(partigan.load(run.path).sample(GENERATED, seed))
    finished = run.manifest["finished"]
    return {"curve": curve, "final": quality(test, fake, final=True), "best_step": finished["selection"]["step"]}


def untrained(run: Run, data: Path) -> dict[str, Any]:
    """Every metric of the test split for a generator with fresh weights in the place of the run's own."""
    system, transform, _ = config.build(run.config)
    transform.load_state(run.transform["state"])
    model = Model(system.networks["generator"], transform, JETS, run.transform["conditions"])
    return quality(observed(JETS.format.read(data, "test")), observed(model.sample(GENERATED, 1)), final=True)


def in_sample(data: Path) -> dict[str, Any]:
    """Every metric of the test split, and of the validation split, with real jets in the place of the generated.

    ``turned``: these jets in new orientations, which shows how far jets have none.
    """
    splits = {name: JETS.format.read(data, name) for name in ("train", "valid", "test")}
    others = Batch.joined([splits["valid"], splits["train"]])[:GENERATED]
    seen = {name: observed(sample) for name, sample in splits.items() if name != "train"}
    orientations = torch.randn(len(others), DECISIVE, generator=torch.Generator().manual_seed(1))
    again = replace(others, x=turned(others.x, orientations))
    return {
        "final": quality(seen["test"], observed(others), final=True),
        "turned": quality(seen["test"], observed(again), final=True),
        "curve": quality(seen["valid"], observed(splits["train"][: len(splits["valid"])]), final=False),
    }


def shown(out: Path) -> None:
    """Table and figure of what is finished of all presets of a folder."""
    presets = {file.stem: read_json(file) for file in sorted(out.glob("*.json")) if file.name != REFERENCE}
    finished = {name: entry for name, entry in presets.items() if entry["seeds"]}
    if finished:
        found = {"in_sample": read_json(out / REFERENCE), "presets": finished}
        (out / "table.md").write_text(table(found), encoding="utf-8")
        drawn(found).savefig(out / "quality.png")
        print(table(found), flush=True)


def table(found: dict[str, Any]) -> str:
    """Markdown: mean over the seeds, and their lowest and highest value."""
    lines = ["| preset | seeds | steps | " + " | ".join(label for label, _ in UNITS.values()) + " |"]
    lines.append("|" + "---|" * (len(UNITS) + 3))
    for label, kind in (("in-sample", "final"), ("the same, turned", "turned")):
        reference = found["in_sample"][kind]
        cells = [_number(unit * reference[n][0]) for n, (_, unit) in UNITS.items()]
        lines.append(f"| {label} | | | " + " | ".join(cells) + " |")
    for name, entry in found["presets"].items():
        cells = []
        for metric, (_, unit) in UNITS.items():
            values = [unit * seed["final"][metric][0] for seed in entry["seeds"].values()]
            spread = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
            cells.append(_number(float(np.mean(values))) + spread)
        lines.append(f"| `{name}` | {len(entry['seeds'])} | {entry['steps']:,} | " + " | ".join(cells) + " |")
        start = " | ".join(_number(unit * entry["untrained"][n][0]) for n, (_, unit) in UNITS.items())
        lines.append(f"| the same, untrained | | 0 | {start} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def drawn(found: dict[str, Any]) -> Figure:
    """One panel a metric: the mean over seeds against CPU minutes, and the range of the seeds."""
    figure = Figure(figsize=(13, 6), layout="constrained", dpi=110)
    for axis, metric in zip(figure.subplots(2, 3).flat, CURVES, strict=True):
        label, unit = UNITS[metric]
        for name, entry in found["presets"].items():
            curves = [seed["curve"] for seed in entry["seeds"].values()]
            minutes = [point["minutes"] for point in curves[0]]
            values = unit * np.array([[point[metric] for point in curve] for curve in curves])
            (line,) = axis.plot(minutes, values.mean(0), label=name)
            axis.fill_between(minutes, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0)
        axis.axhline(unit * found["in_sample"]["curve"][metric][0], color="black", ls="--", lw=1, label="in-sample")
        axis.set(xlabel="CPU minutes", title=label)
        axis.set_yscale("symlog" if metric == "fpd" else "log")  # FPD may be negative
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Train, measure and write, job by job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a file of jets with a train, valid and test split")
    parser.add_argument("--presets", nargs="+", default=["mdma", "mdma-fast", "mdma-short"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of each training")
    parser.add_argument("--validations", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "results/train_quality")
    parser.add_argument("--runs", type=Path, default=Path("train_quality"), help="where the trainings are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / REFERENCE).exists():
        write_json(options.out / REFERENCE, in_sample(options.data))
    presets = {Path(preset).stem: preset for preset in options.presets}
    new = {name: preset for name, preset in presets.items() if not (options.out / f"{name}.json").exists()}
    for name, cost in step_costs(new, options.data).items():
        steps = max(int(60 * options.minutes / cost), options.validations)
        entry = {"minutes": options.minutes, "cpu_seconds_per_step": cost, "steps": steps, "seeds": {}}
        write_json(options.out / f"{name}.json", entry)
    for seed, (name, preset) in itertools.product(options.seeds, presets.items()):
        file = options.out / f"{name}.json"
        entry = read_json(file)
        if entry["minutes"] != options.minutes:
            parser.error(f"{file} holds trainings of {entry['minutes']} minutes; give another --out")
        if str(seed) in entry["seeds"]:
            continue
        run = trained(name, preset, seed, entry["steps"], options)
        entry["seeds"][str(seed)] = measured(run, seed, entry["cpu_seconds_per_step"], options.data)
        if "untrained" not in entry:
            entry["untrained"] = untrained(run, options.data)
        write_json(file, entry)
        shown(options.out)
    shown(options.out)


if __name__ == "__main__":
    main()
