"""Air showers: presets trained for minutes of one core, their metrics, conditions that are interpolated, and speed.

    python benchmarks/airshower.py FOLDER    # simulates, trains, evaluates, writes results/airshower/

It goes on where it stopped, and writes the table of what is finished.

Networks are trained on the training split of 60,000 showers whose zenith angles leave out 25 to 35 degrees. 9,000
showers that they make are compared with its test split. The conditional network is also asked for the energies, zenith
angles and masses of other showers, in bins of the zenith angle; one bin is the gap.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import partigan
from partigan import presets
from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.files import read_json, write_json, write_text
from partigan.kinds import find
from partigan.kinds.kind import Values
from partigan.metrics.classifier import classify
from partigan.models.model import Model
from partigan.observables.airshowers import centre, station_positions
from partigan.simulate.airshower import ENERGIES, WORLDS, ZENITHS, Showers, draw_showers, simulate_airshower
from partigan.simulate.traces import MASSES

RESULTS = Path(__file__).parents[1] / "results" / "airshower"
TRAINING, TEST, GENERATED = 60_000, 30_000, 9000
GAP = (25.0, 35.0)
EDGES = (0.0, 15.0, *GAP, 45.0, 60.0)  # edges of the bins, degrees
SHOWN = {"total": 3, "stations": 2, "slope": 2, "zenith": 1, "curvature": 4}
"""Observables whose means are compared in bins, with the decimals of the table."""
SIZES = (1, 100, 10_000)
"""Showers of a batch, for the speed."""
CASES: dict[str, dict[str, Any]] = {
    "airshower-fast": {},
    "airshower-conditional": {"trainer.max_steps": 1800},
    "airshower-wgan-gp": {
        "trainer.max_steps": 2000,
        "trainer.batch_size": 16,
        "trainer.ema_half_life": 0.03,
        "trainer.validations": 5,
        "system.critic_steps": 3,
        "system.generator_optimizer.lr": 3.0e-4,
        "system.critic_optimizer.lr": 3.0e-4,
        "system.schedule": {"systems.schedules.WarmupCosine": {"warmup": 0.02, "final": 0.05}},
    },
}
"""What is trained, and what is changed of each preset so that it fits into minutes of one core."""


def simulated(folder: Path) -> dict[str, Path]:
    """The showers to train on, and others of all zenith angles."""
    files = {"training": folder / "training.h5", "test": folder / "test.h5"}
    if not files["training"].exists():
        simulate_airshower(TRAINING, files["training"], gap=GAP, seed=1, resume=True)
    if not files["test"].exists():
        simulate_airshower(TEST, files["test"], seed=2, resume=True)
    return files


def train(folder: Path, preset: str) -> Path:
    """Train a preset, or go on where it was stopped, and write down what it cost."""
    run, cost = folder / "runs" / preset, folder / f"{preset}.cost.json"
    spent = read_json(cost)["cpu_minutes"] if cost.exists() else 0.0
    if not (run / "manifest.json").exists() or "finished" not in read_json(run / "manifest.json"):
        began = time.process_time()
        try:
            partigan.train(
                preset, simulated(folder)["training"], run, seed=1, threads=1, resume=True, overrides=CASES[preset]
            )
        finally:  # stopped, too
            minutes = spent + (time.process_time() - began) / 60
            write_json(cost, {"cpu_minutes": minutes, "changed": CASES[preset]})
    return run


def evaluate(folder: Path, preset: str) -> None:
    """All numbers of a finished training."""
    files, run = simulated(folder), folder / "runs" / preset
    made = partigan.generate(run, GENERATED, folder / f"{preset}.h5", threads=1, overwrite=True)
    found = partigan.evaluate(
        files["training"],
        folder / "reports" / preset,
        fake=made,
        run=run,
        metrics=("protocol", "classifier"),
        threads=1,
        overwrite=True,
    )
    model = partigan.load(run)
    numbers = {
        "preset": preset,
        **read_json(folder / f"{preset}.cost.json"),
        "steps": read_json(run / "manifest.json")["plan"]["max_steps"],
        "metrics": {row.name: row.numbers() for row in found.rows if row.taken},
        "labels": {row.name: row.heading.partition(" (x 10")[0] for row in found.rows if row.taken},
    }
    if model.kind.name != "airshower-signal":
        numbers["zenith"] = over_zenith(model, files["test"])
    numbers["auc_below_full"] = below_full(files["training"], made)
    write_json(folder / f"{preset}.json", numbers)


def below_full(real: Path, fake: Path) -> float:
    """AUC of boosted trees that do not see what full stations decide: total and largest signal."""
    kind = find("airshower")
    described = kind.format.describe(fake)
    samples = [kind.format.read(real, "test"), kind.format.read(fake, "all")]
    if described["channels"] == ["signal"]:
        samples[0] = replace(samples[0], x=samples[0].x[:, :1])
    seen = [kind.observables.compute(sample, described) for sample in samples]
    names = [name for name in kind.observables.scalars(described) if name not in ("total", "largest")]
    tables = [np.stack([columns[name] for name in names], 1) for columns in seen]
    return float(classify(tables[0], tables[1], rng=np.random.default_rng(1)).auc.value)


def over_zenith(model: Model, test: Path) -> list[dict[str, Any]]:
    """Real, generated and other real showers in bins of the zenith angle that was asked for."""
    kind, described = model.kind, model.kind.format.describe(test)
    everything = kind.format.read(test, "all")
    assert everything.condition is not None
    zenith = np.degrees(everything.condition[:, 1].numpy())
    bins = []
    for low, high in itertools.pairwise(EDGES):
        sample = everything[torch.from_numpy(np.flatnonzero((zenith >= low) & (zenith < high)))]
        half = len(sample) // 2
        asked = replace(model, conditions=kind.conditions.state(sample, described))
        sides = [Values(kind.observables.compute(x, described)) for x in (sample[:half], sample[half:])]
        made = Values(kind.observables.compute(asked.sample(half, seed=1), described))
        entry: dict[str, Any] = {"from": low, "to": high, "showers": half, "gap": (low, high) == GAP}
        for name, values in (("real", sides[0]), ("generated", made), ("other_real", sides[1])):
            entry[name] = {observable: float(values[observable].mean()) for observable in SHOWN if observable in values}
        terms = {"metrics": ["observables"]}
        for name, values in (("w1", made), ("w1_in_sample", sides[1])):
            finding = kind.evaluation.metrics(sides[0], values, terms, half, 1)["observables"]
            assert not isinstance(finding, str)
            entry[name] = finding.value
        bins.append(entry)
    return bins


def speed(folder: Path, trained: list[str]) -> None:
    """CPU milliseconds of a shower in batches of several sizes, simulated and generated, in one run."""
    showers = Showers(WORLDS["simulation"], "cartesian", 9, "sphere", ENERGIES, ZENITHS, None, (*MASSES,), False)
    found = {"simulator": timed(lambda size: draw_showers(size, showers, np.random.default_rng(1)))}
    for preset in trained:
        found[preset] = timed(maker(partigan.load(folder / "runs" / preset)))
    write_json(folder / "speed.json", found)


def maker(model: Model) -> Callable[[int], Batch]:
    """Makes batches of showers in physical units, all at once."""
    network, rng = model.generator.deployed(), torch.Generator().manual_seed(1)

    def make(size: int) -> Batch:
        condition, mask = model.kind.conditions.draw(model.conditions, size, rng)
        with torch.inference_mode():
            x = network(network.noise(size, mask, rng), condition, mask)
        return model.transform.inverse(Batch(x, condition=condition))

    return make


def timed(make: Callable[[int], Any]) -> dict[str, float]:
    """CPU milliseconds of a shower in batches of ``SIZES``, the least of several tries."""
    found = {}
    for size in SIZES:
        tries = []
        for _ in range(2 + 200 // size):
            began = time.process_time()
            make(size)
            tries.append(time.process_time() - began)
        found[str(size)] = 1000 * min(tries) / size
    return found


def turns(folder: Path) -> None:
    """CPU seconds of a turn of each preset: every phase as often as it acts, with its own batches; the less of two."""
    path, found = simulated(folder)["training"], {}
    for preset in (name for name in presets.names() if name.startswith("airshower")):
        config = read(preset)
        kind = find(config["kind"])
        sample = kind.format.read(path, (0, 1000))
        arguments = kind.conditions.arguments(sample) | kind.conditions.of_file(kind.format.describe(path))
        system, transform, options = build(resolve(config, arguments))
        transform.fit(sample)
        data = {"data": transform.forward(sample[: options.batch_size])}
        phases, taken = dict(system.phases), 0.0
        for name, phase in phases.items():
            system.phases, tries = {name: phase}, []
            system.rehearse({"data": data["data"][:4]})
            for _ in range(2):
                began = time.process_time()
                system.rehearse(data)
                tries.append(time.process_time() - began)
            taken += phase.steps * min(tries)
        found[preset] = {"batch": options.batch_size, "cpu_seconds": taken}
    write_json(folder / "turns.json", found)


def resolutions(folder: Path) -> None:
    """How far centre and zenith angle, as observables take them, are from the truth, in the median."""
    kind, test = find("airshower"), simulated(folder)["test"]
    sample, described = kind.format.read(test, (0, 10_000)), kind.format.describe(test)
    assert sample.condition is not None
    assert sample.truth is not None
    positions = station_positions(described["layout"], *sample.x.shape[2:], described["spacing_m"])
    away = (centre(sample.x[:, 0], positions) - sample.truth[:, 1:3]).norm(dim=1)
    zenith = kind.observables.compute(sample, described)["zenith"]
    wrong = np.abs(zenith - np.degrees(sample.condition[:, 1].numpy()))
    write_json(
        folder / "resolutions.json", {"centre_m": float(away.median()), "zenith_degrees": float(np.median(wrong))}
    )


def table(folder: Path) -> str:
    """The tables of results in markdown; all numbers are written as JSON."""
    entries = [read_json(folder / f"{name}.json") for name in CASES if (folder / f"{name}.json").exists()]
    times = read_json(folder / "speed.json")
    for entry in entries:
        write_json(RESULTS / f"{entry['preset']}.json", entry)
    for name in ("speed.json", "resolutions.json", "turns.json"):
        write_json(RESULTS / name, read_json(folder / name))
    names = {name: label for entry in entries for name, label in entry["labels"].items()}
    lines = ["| metric | " + " | ".join(f"`{e['preset']}` | in-sample" for e in entries) + " |"]
    lines.append("|---|" + "---|---|" * len(entries))
    for name, label in names.items():
        cells = []
        for entry in entries:
            row = entry["metrics"].get(name, {})
            cells += [f"{row[key]:.3g}" if row.get(key) is not None else "" for key in ("value", "in_sample")]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    cells = [f"{entry['auc_below_full']:.3g} | " if "auc_below_full" in entry else " | " for entry in entries]
    lines.append("| the same without total and largest signal | " + " | ".join(cells) + " |")
    lines += ["", "| | steps | CPU minutes |", "|---|---|---|"]
    lines += [f"| `{entry['preset']}` | {entry['steps']:,} | {entry['cpu_minutes']:.1f} |" for entry in entries]
    lines += ["", f"| CPU ms a shower, batches of | {' | '.join(f'{size:,}' for size in SIZES)} |"]
    lines.append("|---|" + "---|" * len(SIZES))
    for name, found in times.items():
        title = name if name == "simulator" else f"`{name}`"
        lines.append(f"| {title} | {' | '.join(f'{found[str(size)]:.3g}' for size in SIZES)} |")
    lines += ["", "| a turn of | showers in a batch | CPU s |", "|---|---|---|"]
    for name, taken in read_json(folder / "turns.json").items():
        lines.append(f"| `{name}` | {taken['batch']} | {taken['cpu_seconds']:.2g} |")
    for entry in (entry for entry in entries if "zenith" in entry):
        shown = {name: digits for name, digits in SHOWN.items() if name in entry["zenith"][0]["real"]}
        head = " | ".join(f"{name}, real | generated" for name in shown)
        lines += [
            "",
            f"| zenith angle, `{entry['preset']}` | {head} | W1 | in-sample |",
            "|---|" + "---|---|" * (len(shown) + 1),
        ]
        for part in entry["zenith"]:
            cells = [f"{part[s][n]:.{d}f}" for n, d in shown.items() for s in ("real", "generated")]
            title = f"{part['from']:.0f} to {part['to']:.0f}" + ", left out of training" * part["gap"]
            lines.append(f"| {title} | {' | '.join(cells)} | {part['w1']:.3f} | {part['w1_in_sample']:.3f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="+", default=[*CASES])
    parser.add_argument("--train-only", action="store_true", help="evaluate nothing yet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    for preset in options.cases:
        train(options.folder, preset)
        if not options.train_only and not (options.folder / f"{preset}.json").exists():
            evaluate(options.folder, preset)
    if options.train_only:
        return
    if not (options.folder / "speed.json").exists():
        speed(options.folder, [*CASES])
    if not (options.folder / "turns.json").exists():
        turns(options.folder)
    if not (options.folder / "resolutions.json").exists():
        resolutions(options.folder)
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = table(options.folder)
    write_text(RESULTS / "airshower.md", text)
    print(text)


if __name__ == "__main__":
    main()
