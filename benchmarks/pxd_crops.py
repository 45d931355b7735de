"""PE-GAN and the five systems it is compared with, on crops of hitmaps: as many steps as fit into equal CPU minutes.

    partigan simulate pxd --events 600 --background 2.0 --seed 11 --out pxd.h5
    python benchmarks/pxd_crops.py --data pxd.h5 [--presets ...] [--minutes 40] [--runs FOLDER]

Every preset gets the steps that fit into ``--minutes`` of CPU time at the time that a step of it took, on one thread,
measured before all trainings in turns; validations come on top. Batches are as large for all. Presets with the paper's
rates of 5e-5 train at `RATE`, since these are a hundredth of its steps. Weights are averaged over 2 % of the run, and
those of the end count.

The sensor classifier (`partigan fit-classifier`) learns from the training split. Generated crops are compared with the
test split, as many. "Simulated again" is the valid split, the null; defects planted into it are charges 10 % larger,
and sensors exchanged at random, which no metric without sensors can see. What ``--runs`` has already is kept, and a
training that was stopped goes on. Writes results/pxd/crops.json and docs/pxd/crops.png.
"""

from __future__ import annotations

import argparse
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
from partigan.data.hitmaps import MAXIMUM
from partigan.data.loader import Loader
from partigan.data.pxd import SENSORS
from partigan.documents import read_json
from partigan.files import write_json
from partigan.kinds import find
from partigan.kinds.hitmaps import sensors
from partigan.kinds.kind import Values
from partigan.metrics.frechet import fpd
from partigan.metrics.inception import inception_score, kid
from partigan.models.classifier import Seen, seen
from partigan.models.model import Model, opened
from partigan.run import Run
from partigan.systems.system import DATA
from partigan.training.players import Feed, Players
from partigan.training.session import Session

ROOT = Path(__file__).parents[1]
KIND = find("pxd-crop")
PRESETS = (
    "pe-gan-crop",
    "pxd-biggan-deep-contrastive-crop",
    "pxd-biggan-deep-projection-crop",
    "pxd-biggan-crop",
    "pxd-sagan-crop",
    "pxd-wgan-gp-crop",
)
BATCH, RATE, CLASSIFIER_STEPS = 16, 2e-4, 400
SHOWN = (0, 1, 5, 16, 17, 30)  # sensors in the figure
LABELS = {
    "fid": "FID",
    "kid": "KID",
    "inception": "Inception score",
    "sensor": "cross-entropy of the sensor, nats",
    "occupancy": "occupancy of a sensor, mean distance",
    "adu_ks": "charge: KS",
    "adu_w1": "charge: W1, ADU",
    "occupancy_1": "occupancy of layer 1",
    "occupancy_2": "occupancy of layer 2",
    "clusters": "number of clusters",
    "size_w1": "size of a cluster: W1, pixels",
    "charge_w1": "charge of a cluster: W1, ADU",
}


def overrides(preset: str, steps: int) -> dict[str, Any]:
    """What is changed of a preset for a training of so many steps."""
    changed: dict[str, Any] = {
        "trainer.batch_size": BATCH,
        "trainer.max_steps": steps,
        "trainer.validations": 1,
    }
    if preset not in ("pxd-sagan-crop", "pxd-wgan-gp-crop"):  # which have the rates of their own papers
        changed |= {f"system.{network}_optimizer.lr": RATE for network in ("generator", "critic")}
    return changed


def session_of(preset: str, real: Batch, folder: str) -> Session:
    """A session with fresh networks."""
    session = Session(Run(Path(folder) / "unused"), config.read(preset, overrides(preset, 1)))
    session.prepare({DATA: real}, KIND.conditions.arguments(real), {})
    return session


def players_of(preset: str, real: Batch) -> Players:
    """The players of a preset, ready to train."""
    with TemporaryDirectory() as folder:
        session = session_of(preset, real, folder)
    loader = Loader(session.transform.held(real), BATCH, session.seed, transform=session.transform)
    return Players(session.trainer.fabric, session.system, Feed({DATA: loader}, session.seed, session.physical), None)


def step_costs(presets: list[str], real: Batch, rounds: int = 2, steps: int = 4) -> dict[str, float]:
    """CPU seconds of a training step of each preset on one thread, the least of several rounds in turns."""
    ready = {preset: players_of(preset, real) for preset in presets}
    least = dict.fromkeys(presets, np.inf)
    for turn in range(rounds + 1):
        for preset, players in ready.items():
            began = time.process_time()
            for step in range(turn * steps, (turn + 1) * steps):
                players.train_step(step, 10_000)
            if turn:  # the first is to warm up
                least[preset] = min(least[preset], (time.process_time() - began) / steps)
    return least


def quality(real: Batch, fake: Batch, look: Any) -> dict[str, list[float]]:
    """Value and error of every metric; an error of 0 where there is none."""
    rng, views = np.random.default_rng(1), [look(sample) for sample in (real, fake)]
    activations = [view.activations for view in views]
    of_sensor = np.log(views[1].probabilities[np.arange(len(fake)), sensors(fake)].clip(min=1e-12))
    found: dict[str, Any] = {
        "fid": fpd(*activations, rng=rng, normalise=False),
        "kid": kid(*activations, rng=rng),
        "inception": inception_score(views[1].probabilities),
        "sensor": (-of_sensor.mean(), of_sensor.std() / len(of_sensor) ** 0.5),
        "occupancy": (KIND.evaluation.validate(real, fake)["occupancy"], 0.0),
    }
    values = [Values(KIND.observables.compute(sample, {})) for sample in (real, fake)]
    for name, one in KIND.evaluation.metrics(*values, {}, len(fake), 1).items():
        found[name] = (np.nan, 0.0) if isinstance(one, str) else (one.value, one.error or 0.0)
    return {name: [float(part) for part in found[name]] for name in LABELS}


def references(splits: dict[str, Batch], look: Any) -> dict[str, Any]:
    """The null, planted defects, and a generator with fresh weights."""
    again, rng = splits["valid"], torch.Generator().manual_seed(1)
    assert again.condition is not None
    louder = replace(again, x=(again.x * 1.1).round().clamp(max=MAXIMUM))
    exchanged = replace(again, condition=again.condition[torch.randperm(len(again), generator=rng)])
    with TemporaryDirectory() as folder:
        session = session_of(PRESETS[0], splits["train"], folder)
    fresh = Model(session.system.networks["generator"], session.transform, KIND, {})
    cases = {
        "simulated again": again,
        "charges 10 % larger": louder,
        "sensors exchanged": exchanged,
        f"{PRESETS[0]}, untrained": fresh.sample(len(again), 1),
    }
    return {name: quality(splits["test"], sample, look) for name, sample in cases.items()}


def table(found: dict[str, Any]) -> str:
    """Markdown: a column for each metric, a row for each sample."""
    rows = {
        **found["references"],
        **{name: one["quality"] for name, one in found["presets"].items() if "quality" in one},
    }
    lines = [f"| | steps | {' | '.join(LABELS.values())} |", "|---" * (len(LABELS) + 2) + "|"]
    for name, values in rows.items():
        steps = found["presets"].get(name, {}).get("steps", "")
        lines.append(f"| {name} | {steps} | {' | '.join(_cell(*values[key]) for key in LABELS)} |")
    return "\n".join(lines)


def _cell(value: float, error: float) -> str:
    digits = min(max(0, 1 - int(np.floor(np.log10(error or max(abs(value), 1e-3) / 10)))), 4)
    return f"{value:.{digits}f} ± {error:.{digits}f}" if error else f"{value:.{digits}f}"


def drawn(samples: dict[str, Batch]) -> Figure:
    """Crops side by side, a row for each sample, a column for each of some sensors."""
    figure = Figure(figsize=(12, 1.35 * len(samples)), layout="constrained", dpi=110)
    for axes, (name, sample) in zip(figure.subplots(len(samples), len(SHOWN)), samples.items(), strict=True):
        for axis, sensor in zip(axes, SHOWN, strict=True):
            crop = sample.x[int(np.flatnonzero(sensors(sample) == sensor)[0]), 0].float()
            axis.imshow(torch.log1p(crop), cmap="Greys", vmin=0, vmax=np.log1p(MAXIMUM), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if name == next(iter(samples)):
                axis.set_title(SENSORS[sensor].name, fontsize=9)
        axes[0].set_ylabel(name.removesuffix("-crop").removeprefix("pxd-").replace("-deep-", "-deep\n"), fontsize=8)
    return figure


def main() -> None:
    """Train, measure and write, preset by preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), help="none: references alone")
    parser.add_argument("--minutes", type=float, default=40.0, help="CPU minutes of each training")
    parser.add_argument("--out", type=Path, default=ROOT / "results/pxd/crops.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/pxd/crops.png")
    parser.add_argument("--runs", type=Path, default=Path("runs/crops"), help="where the trainings are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    splits = {name: KIND.format.read(options.data, name) for name in ("train", "valid", "test")}
    start = {"minutes": options.minutes, "crops": {n: len(s) for n, s in splits.items()}, "presets": {}}
    kept = options.runs / "crops.json"
    found = read_json(kept) if kept.exists() else start
    if found["minutes"] != options.minutes:
        parser.error(f"{kept} is of trainings of {found['minutes']} minutes; give another --runs")

    def write() -> None:
        for path in (kept, options.out):
            write_json(path, found)

    new = [preset for preset in options.presets if preset not in found["presets"]]
    for preset, cost in step_costs(new, splits["train"]).items():
        found["presets"][preset] = {"cpu_seconds_per_step": cost, "steps": int(60 * options.minutes / cost)}
    write()
    judge = options.runs / "sensors"
    shorter = {"trainer.max_steps": CLASSIFIER_STEPS}
    partigan.fit_classifier(options.data, judge, kind=KIND.name, threads=1, resume=True, overrides=shorter)
    run = Run(judge, "classifier")
    network, transform = opened(run)

    def look(sample: Batch) -> Seen:
        return seen(network, transform.forward, sample)

    if "references" not in found:
        found["references"] = references(splits, look)
        write()
    made = {"simulated": splits["test"]}
    for preset in options.presets:
        one = found["presets"][preset]
        changed = overrides(preset, one["steps"])
        run = partigan.train(preset, options.data, options.runs / preset, threads=1, resume=True, overrides=changed)
        made[preset] = partigan.load(run.path).sample(len(splits["test"]), 1)
        if "quality" not in one:
            one["quality"] = quality(splits["test"], made[preset], look)
            write()
        drawn(made).savefig(options.picture)
    print(table(found), flush=True)


if __name__ == "__main__":
    main()
