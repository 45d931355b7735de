"""Train the calorimeter presets on simulated showers and compare them with showers that training never saw.

``python benchmarks/calorimeter.py data SAMPLE|train NAME|evaluate NAME|table``, in this order, in a folder for files.
The samples are those of `DATA`, the names those of `CASES`.

- ``data`` simulates each sample twice, for training without the energy that is left out: photons of the CaloChallenge's
  data set 1 without 65,536 MeV, electrons of the test beam without 70 GeV, and electrons of data set 2.
- ``train`` trains for the steps of `CASES`, one thread.
- ``evaluate`` generates showers at the energies of the second file and takes the metrics of protocol ``calochallenge``
  with as many of that file, classifiers by boosted trees only, the response at each energy, and the time of a shower.
  ``evaluate photons`` (or another sample) compares both simulated files instead.
- ``table`` writes ``results/calorimeter/table.md`` from the JSON files there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import partigan
from partigan.data.batch import Batch
from partigan.data.calorimeter_files import write_showers
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.calorimeter_evaluation import CLASSIFIED
from partigan.kinds.kind import Values
from partigan.metrics.calorimeters import energy_edges, response
from partigan.metrics.weighted import Sample
from partigan.models.model import Model
from partigan.simulate.calorimeter import Task, simulate_calorimeter
from partigan.training.log import read_log

RESULTS = Path(__file__).parents[1] / "results" / "calorimeter"
KIND = find("calorimeter")


@dataclass(frozen=True)
class Data:
    """A sample, simulated twice.

    Attributes:
        geometry: of the calorimeter.
        showers: in either file.
        compared: showers of which metrics are taken.
        held_out: energy that training does not see, MeV; 0 = none.
        energies: of the second file, with the one left out, and of the first; empty = those of the geometry.
    """

    geometry: str
    showers: int
    compared: int
    held_out: float = 0.0
    energies: str = ""


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        preset: its name.
        data: name of the sample.
        options: what is changed of the preset.
        compared: showers of which metrics are taken, where fewer than of the sample; 0 = as many.
    """

    preset: str
    data: str
    options: dict[str, Any] = field(default_factory=dict)
    compared: int = 0


DATA = {
    "photons": Data("ds1-photons", 121_000, 60_000, 65_536.0),
    "ds2": Data("ds2", 12_000, 6_000),
    "testbeam": Data("testbeam", 24_000, 12_000, 70_000.0, "fixed, 20000, 32000, 50000, 70000, 80000, 90000"),
    "calogan": Data("calogan", 12_000, 6_000),
}
QUICKER = {  # of the authors' settings, of which these minutes would be 100 iterations
    "trainer.batch_size": 128,
    "system.critic_steps": 4,
    "system.generator_optimizer.lr": 5e-4,
    "system.critic_optimizer.lr": 5e-4,
}
CASES = {
    "calo-fast": Case("calo-fast", "photons", {"trainer.max_steps": 1000}),
    "caloshowergan": Case("caloshowergan", "photons", {"trainer.max_steps": 808, **QUICKER}),
    "calo-mdma": Case("calo-mdma", "photons", {"trainer.max_steps": 400, "trainer.batch_size": 32}),
    "calo-fast-ds2": Case("calo-fast", "ds2", {"trainer.max_steps": 200, "trainer.batch_size": 32}),
    "calo-wgan": Case(
        "calo-wgan",
        "testbeam",
        {  # the authors' 50,000 turns with batches of 256 are 30 hours of a GPU
            "trainer.max_steps": 220,
            "trainer.batch_size": 8,
            "trainer.ema_half_life": 0.02,
            "system.critic_steps": 3,
            "system.phases.energy.optimizer.lr": 1e-3,
            "system.phases.place.optimizer.lr": 1e-3,
            "transform.unit": 20.0,
        },
        compared=4000,
    ),
    "calo-gan": Case(
        "calo-gan",
        "calogan",
        {  # of the authors' rates, with which these minutes would do little
            "trainer.max_steps": 500,
            "trainer.batch_size": 32,
            "system.phases.critic.optimizer.lr": 1e-4,
            "system.phases.generator.optimizer.lr": 1e-3,
        },
    ),
    "calo-fast-testbeam": Case("calo-fast", "testbeam", {"trainer.max_steps": 250, "trainer.batch_size": 64}),
}
VALIDATIONS = {"calo-fast": 8}  # of 2


def data(folder: Path, name: str) -> None:
    """Simulate both files, and write the first without the energy that is left out."""
    about = DATA[name]
    for seed in (1, 2):
        out = folder / f"{name}{seed}.hdf5"
        simulate_calorimeter(about.showers, out, about.geometry, energies=about.energies, seed=seed, resume=True)
    sample = KIND.format.read(folder / f"{name}1.hdf5", "all")
    assert sample.condition is not None
    kept = sample[sample.condition[:, 0] != about.held_out]
    write_showers(folder / f"{name}-train.hdf5", [kept], {"kind": "calorimeter"}, about.geometry)


def train(folder: Path, name: str) -> None:
    """Train a case, or go on where it was stopped."""
    case, cost, began = CASES[name], folder / f"{name}.seconds", time.process_time()
    spent = float(cost.read_text(encoding="utf-8")) if cost.exists() else 0.0
    short = {"trainer.max_minutes": None, "trainer.validations": VALIDATIONS.get(name, 2)}
    short |= {"trainer.accelerator": "cpu"} | case.options
    try:
        partigan.train(
            case.preset, folder / f"{case.data}-train.hdf5", folder / name, threads=1, resume=True, overrides=short
        )
    finally:  # stopped, too
        cost.write_text(f"{spent + time.process_time() - began:.0f}\n", encoding="utf-8")


def evaluate(folder: Path, name: str) -> None:
    """Metrics, response and speed of generated showers, or of other simulated ones."""
    sample_name = name if name in DATA else CASES[name].data
    about, test = DATA[sample_name], folder / f"{sample_name}2.hdf5"
    other, written = folder / f"{sample_name}1.hdf5", {}
    torch.set_num_threads(1)
    if name in CASES:
        about = replace(about, compared=CASES[name].compared or about.compared)
        other = folder / f"{name}.hdf5"
        partigan.generate(folder / name, about.compared, other, conditions=test, threads=1, overwrite=True)
        model = partigan.load(folder / name)
        written = {
            "steps": max(line["step"] for line in read_log(folder / name / "metrics.jsonl")),
            "cpu_seconds": float((folder / f"{name}.seconds").read_text(encoding="utf-8")),
            "parameters": model.manifest["parameters"],
            "log": [
                {key: line[key] for key in ("step", "frechet", "chi2")}
                for line in read_log(folder / name / "metrics.jsonl")
                if "frechet" in line
            ],
            "cpu_ms_a_shower": {str(size): _milliseconds(model, size) for size in (1, 100, 10_000)},
            "simulation_cpu_ms_a_shower": _simulated(about),
        }
    described = {"geometry": about.geometry}
    real, fake = (
        Values(KIND.observables.compute(KIND.format.read(path, (0, about.compared)), described))
        for path in (test, other)
    )
    terms = protocols.protocol("calorimeter", "calochallenge", KIND.evaluation.names)
    terms = {**terms, "metrics": [one for one in terms["metrics"] if not one.endswith("network")]}
    written["showers"] = [about.compared, CLASSIFIED]
    written["metrics"] = _taken(real, fake, terms)
    written["response"] = _responses(real, fake)
    if about.held_out:
        parts = [_at(sample, about.held_out) for sample in (real, fake)]
        quick = [n for n in terms["metrics"] if n.startswith(("sep", "auc_high"))]
        written["held_out"] = {"energy_mev": about.held_out} | _taken(*parts, {**terms, "metrics": quick})
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(name, {key: f"{value[0]:.3g}" for key, value in written["metrics"].items()})


def _taken(real: Values, fake: Values, terms: dict[str, Any]) -> dict[str, list[float]]:
    """Values and errors of metrics."""
    size = min(len(real["incident"]), len(fake["incident"]))
    found = KIND.evaluation.metrics(real, fake, terms, size, 1)
    return {key: [float(one.value), float(one.error or 0)] for key, one in found.items() if not isinstance(one, str)}


def _at(sample: Values, energy: float) -> Values:
    """The showers of one energy."""
    rows = sample["incident"] == energy
    return Values({key: part if key == "geometry" else part[rows] for key, part in sample.items()})


def _responses(real: Values, fake: Values) -> list[dict[str, Any]]:
    """Mean and width of the response, simulated and generated, at each energy."""
    edges = energy_edges(real["incident"])
    both = [response(Sample(sample["response"]), sample["incident"], edges) for sample in (real, fake)]
    return [
        {
            "energy_mev": round(float(energy)),
            **{of: [float(getattr(each, of)[row]) for each in both] for of in ("mean", "width")},
            **{f"{of}_error": [float(getattr(each, f"{of}_error")[row]) for each in both] for of in ("mean", "width")},
        }
        for row, energy in enumerate(both[0].energy)
    ]


def _milliseconds(model: Model, size: int) -> float:
    """CPU time a shower when so many are asked for at once, noise and way back to energies included."""
    network, rng = model.deployed(), torch.Generator().manual_seed(1)
    condition, _ = model.kind.conditions.draw(model.conditions, size, rng)
    assert condition is not None

    def once() -> None:
        with torch.inference_mode():
            for rows in condition.split(1000):
                made = network(network.noise(len(rows), None, rng), rows)  # type: ignore[operator]
                model.transform.inverse(Batch(made, condition=rows))

    once()
    times = max(1, 200 // size)
    began = time.process_time()
    for _ in range(times):
        once()
    return round(1000 * (time.process_time() - began) / (times * size), 4)


def _simulated(about: Data) -> float:
    """CPU time a shower of the simulation, ms."""
    task, rng = Task.of(about.geometry, None, about.energies), np.random.default_rng(1)
    task.showers(20, rng)
    began = time.process_time()
    task.showers(1000, rng)
    return round(time.process_time() - began, 4)


PUBLISHED = {  # arXiv:2410.21611, on Geant4's showers
    "photons": (
        "CaloShower3GAN, published",
        {
            "sep_layer": 2.7e-3,
            "sep_total": 4.0e-3,
            "sep_voxel": 4.5e-3,
            "sep_ec_eta": 9.7e-4,
            "sep_ec_r": 3.1e-3,
            "sep_width_eta": 2.6e-2,
            "sep_sparsity": 2.6e-2,
            "fpd": 20.5e-3,
            "kpd": 1.16e-3,
            "auc_high": 0.947,
            "auc_low": 0.928,
            "ms a shower, batch 1": 480,
            "ms a shower, batch 100": 55.5,
            "ms a shower, batch 10000": 1.20,
        },
    ),
    "ds2": (
        "MDMA, published",
        {
            "sep_layer": 2.9e-3,
            "sep_total": 8.6e-3,
            "sep_voxel": 4.2e-3,
            "sep_ec_eta": 2.9e-3,
            "sep_ec_r": 6.1e-3,
            "sep_width_eta": 3.3e-3,
            "sep_sparsity": 8.9e-2,
            "fpd": 0.865,
            "kpd": 4.96e-3,
            "auc_high": 0.987,
            "auc_low": 0.942,
            "ms a shower, batch 1": 14.3,
            "ms a shower, batch 100": 19.9,
            "ms a shower, batch 10000": 32.4,
        },
    ),
    "testbeam": ("", {}),
    "calogan": ("", {}),
}


def table() -> None:
    """A table for each sample, as in docs/calorimeters.md."""
    lines: list[str] = []
    for sample, (title, published) in PUBLISHED.items():
        names = [name for name, case in CASES.items() if case.data == sample] + [sample]
        found = {name: RESULTS / f"{name}.json" for name in names}
        read = {n: json.loads(path.read_text(encoding="utf-8")) for n, path in found.items() if path.exists()}
        if sample not in read:
            continue
        titles = ["in-sample" if name == sample else name for name in read] + ([title] if title else [])
        lines += [f"### {sample}", "", f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
        rows = [("steps", [f"{one.get('steps', '')}" for one in read.values()])]
        rows.append(
            ("CPU minutes", [f"{one['cpu_seconds'] / 60:.0f}" if "steps" in one else "" for one in read.values()])
        )
        for key in read[sample]["metrics"]:
            rows.append((key, [_cell(*one["metrics"][key]) if key in one["metrics"] else "" for one in read.values()]))
        for size in ("1", "100", "10000"):
            known = [one.get("cpu_ms_a_shower", {}) for one in read.values()]
            times = [f"{taken[size]:.3g}" if size in taken else "" for taken in known]
            rows.append((f"ms a shower, batch {size}", times))
        for key, cells in rows:
            lines.append(f"| {key} | {' | '.join(cells + [str(published.get(key, ''))] * bool(title))} |")
        lines.append("")
    (RESULTS / "table.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _cell(value: float, error: float) -> str:
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("data", "train", "evaluate", "table"))
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--folder", type=Path, default=Path("runs/calorimeter"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.job == "table":
        table()
    else:
        {"data": data, "train": train, "evaluate": evaluate}[given.job](given.folder, given.name)
