"""Train calo-fast and caloshowergan on simulated photons and compare both with showers that training never saw.

``python benchmarks/calorimeter.py data|train PRESET|evaluate PRESET|table``, in this order, in a folder for files:

- ``data`` simulates 121,000 photons twice, as many at each energy as the CaloChallenge's data set 1 has, and writes the
  first again without those of 65,536 MeV: what both presets are trained on.
- ``train`` trains a preset for the minutes of ``MINUTES``, one thread.
- ``evaluate`` generates 60,000 showers at the energies of the second file and takes the metrics of protocol
  ``calochallenge``, but three classifiers, with as many of that file, the response at each energy and the time a shower
  takes. ``evaluate in_sample`` puts the first simulated file in the place of the generated one.
- ``table`` writes ``results/calorimeter/table.md`` from the JSON files there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import partigan
from partigan.data.calorimeter_files import write_showers
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.calorimeter_evaluation import CLASSIFIED
from partigan.kinds.kind import Values
from partigan.metrics.calorimeters import energy_edges, response
from partigan.metrics.weighted import Sample
from partigan.simulate.calorimeter import simulate_calorimeter
from partigan.training.log import read_log

RESULTS = Path(__file__).parents[1] / "results" / "calorimeter"
SHOWERS, COMPARED, HELD_OUT = 121_000, 60_000, 65_536.0
LEFT_OUT = ("auc_low", "auc_low_network", "auc_high_network")  # which take minutes
MINUTES = {"calo-fast": 14.0, "caloshowergan": 7.0}
SHORTER: dict[str, dict[str, Any]] = {  # of the authors' settings, 100 iterations of which these minutes would be
    "caloshowergan": {
        "trainer.batch_size": 128,
        "system.critic_steps": 4,
        "system.generator_optimizer.lr": 5e-4,
        "system.critic_optimizer.lr": 5e-4,
    }
}
DESCRIBED = {"geometry": "ds1-photons"}
PUBLISHED = {  # CaloShower3GAN on Geant4's photons, arXiv:2410.21611
    "sep_layer": 2.7e-3,
    "sep_total": 4.0e-3,
    "sep_voxel": 4.5e-3,
    "sep_ec_eta": 9.7e-4,
    "sep_ec_r": 3.1e-3,
    "sep_width_eta": 2.6e-2,
    "sep_sparsity": 2.6e-2,
    "fpd": 20.5e-3,
    "kpd": 1.16e-3,
    "auc_low_network": 0.928,
    "auc_high_network": 0.947,
}
KIND = find("calorimeter")


def data(folder: Path) -> None:
    """Simulate both files, and the first without the energy that is left out."""
    for seed in (1, 2):
        simulate_calorimeter(SHOWERS, folder / f"photons{seed}.hdf5", seed=seed, resume=True)
    sample = KIND.format.read(folder / "photons1.hdf5", "all")
    assert sample.condition is not None
    kept = sample[sample.condition[:, 0] != HELD_OUT]
    write_showers(folder / "train.hdf5", [kept], {"kind": "calorimeter"}, "ds1-photons")


def train(folder: Path, preset: str) -> None:
    """Train a preset."""
    short = {"trainer.max_minutes": MINUTES[preset], "trainer.validations": 14, "trainer.accelerator": "cpu"}
    short |= SHORTER.get(preset, {})
    partigan.train(
        preset,
        folder / "train.hdf5",
        folder / preset,
        threads=1,
        overwrite=True,
        overrides=short | SHORTER.get(preset, {}),
    )


def evaluate(folder: Path, name: str) -> None:
    """Metrics, response and speed of generated showers, or of other simulated ones."""
    other, seconds, about = folder / "photons1.hdf5", None, {}
    if name != "in_sample":
        other = folder / f"{name}.hdf5"
        test = folder / "photons2.hdf5"
        partigan.generate(folder / name, COMPARED, other, conditions=test, threads=1, overwrite=True)
        model = partigan.load(folder / name)
        model.sample(1024, 1)
        began = time.process_time()
        model.sample(10_240, 2)
        seconds = (time.process_time() - began) / 10_240
        manifest = model.manifest
        about = {key: manifest[key] for key in ("plan", "parameters")} | {
            "log": [line for line in read_log(folder / name / "metrics.jsonl") if "frechet" in line],
        }
    torch.set_num_threads(1)
    real, fake = (
        Values(KIND.observables.compute(KIND.format.read(path, (0, COMPARED)), DESCRIBED))
        for path in (folder / "photons2.hdf5", other)
    )
    terms = protocols.protocol("calorimeter", "calochallenge", KIND.evaluation.names)
    terms = {**terms, "metrics": [one for one in terms["metrics"] if one not in LEFT_OUT]}
    found = KIND.evaluation.metrics(real, fake, terms, COMPARED, 1)
    edges = energy_edges(real["incident"])
    both = [response(Sample(sample["response"]), sample["incident"], edges) for sample in (real, fake)]
    rows = [
        {"energy_mev": round(float(energy)), "mean": [*map(float, means)], "width": [*map(float, widths)]}
        for energy, means, widths in zip(
            both[0].energy,
            zip(both[0].mean, both[1].mean, both[0].mean_error, both[1].mean_error, strict=True),
            zip(both[0].width, both[1].width, both[0].width_error, both[1].width_error, strict=True),
            strict=True,
        )
    ]
    held = [sample["incident"] == HELD_OUT for sample in (real, fake)]
    between = {}
    if name != "in_sample":
        parts = [
            Values({key: part if key == "geometry" else part[rows] for key, part in sample.items()})
            for sample, rows in zip((real, fake), held, strict=True)
        ]
        quick = {**terms, "metrics": [n for n in terms["metrics"] if n.startswith(("sep", "auc_high"))]}
        size = int(min(held[0].sum(), held[1].sum()))
        between = {key: [*map(float, one[1:3])] for key, one in KIND.evaluation.metrics(*parts, quick, size, 1).items()}  # type: ignore[index]
    written: dict[str, Any] = {
        "about": about,
        "cpu_ms_a_shower": None if seconds is None else round(1000 * seconds, 4),
        "showers": [len(real["incident"]), len(fake["incident"]), CLASSIFIED],
        "metrics": {key: [float(one.value), float(one.error or 0)] for key, one in found.items()},  # type: ignore[union-attr]
        "held_out_65536_mev": between,
        "response": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(name, {key: f"{value[0]:.3g}" for key, value in written["metrics"].items()})


def table() -> None:
    """The table of docs/calorimeters.md."""
    names = [name for name in ("calo-fast", "caloshowergan", "in_sample") if (RESULTS / f"{name}.json").exists()]
    read = {name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    lines = [f"| metric | {' | '.join(names)} | CaloShower3GAN, published |", "|---" * (len(names) + 2) + "|"]
    for key in read[names[0]]["metrics"]:
        cells = [_cell(*read[name]["metrics"][key]) if key in read[name]["metrics"] else "" for name in names]
        lines.append(f"| {key} | {' | '.join(cells)} | {PUBLISHED.get(key, '')} |")
    speed = [f"{read[name]['cpu_ms_a_shower'] or ''}" for name in names]
    lines.append(f"| CPU ms a shower | {' | '.join(speed)} | 1.2 |")
    (RESULTS / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _cell(value: float, error: float) -> str:
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("data", "train", "evaluate", "table"))
    parser.add_argument("name", nargs="?", default="calo-fast")
    parser.add_argument("--folder", type=Path, default=Path("runs/calorimeter"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.job == "data":
        data(given.folder)
    elif given.job == "train":
        train(given.folder, given.name)
    elif given.job == "evaluate":
        evaluate(given.folder, given.name)
    else:
        table()
