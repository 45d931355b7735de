"""PE-GAN and the systems it is compared with: time, memory and operations of a training step and of an event.

    python benchmarks/pegan.py [PRESET ...] [--threads 1] [--batch 2] [--generation] [--turns 1]

A training step is one turn of the critic and one of the generator of the preset, with all critic steps, all terms and
Adam, on maps (or crops) of random charges; the second of two is timed. Generation makes the 40 maps of an event in
groups of 8 (40 crops at once), as `partigan generate` does: with the network as it was trained (plain), in its
deployed form, and that in bfloat16, after a group of 8; the JSON says by how much an image differs from the plain one.
The gain of attention is 1/2 (0 in a fresh network). With ``--turns`` the three take turns, and the table has medians.
Each case runs in a process of its own, whose peak memory is its largest resident set, torch included. The paper says
16.6 GFLOP an image.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from one_batch import players_of
from partigan import config
from partigan.data.batch import Batch
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.kinds import find
from partigan.kinds.pxd import CROP
from partigan.models.model import Model
from partigan.nets.images.layers import SelfAttention
from partigan.randomness import rng_for
from partigan.systems.options import TrainerOptions
from partigan.systems.system import System

Case = Callable[[str, int], dict[str, float]]


@dataclass(frozen=True)
class Setup:
    """A preset, built with fixed weights.

    Attributes:
        system: networks and phases.
        model: the generator with transform and kind.
        options: of the trainer.
        sample: random charges in ADU, 1 % of the pixels hit.
    """

    system: System
    model: Model
    options: TrainerOptions
    sample: Batch


def made(preset: str, batch: int) -> Setup:
    """What a preset describes, for maps or crops."""
    content = config.read(preset)
    kind, rng = find(content["kind"]), rng_for("charges", 1)
    shape = CROP if kind.name == "pxd-crop" else (COLUMNS, ROWS)
    charges = torch.randint(7, 256, (batch, 1, *shape), generator=rng)
    hit = torch.rand(charges.shape, generator=rng) < 0.01
    condition, _ = kind.conditions.draw({}, batch, rng)
    sample = Batch((charges * hit).half(), condition=condition)
    resolved = config.resolve(content, kind.conditions.arguments(sample))
    torch.manual_seed(1)
    system, transform, options = config.build(resolved)
    transform.fit(sample)
    return Setup(system, Model(system.networks["generator"], transform, kind, {}), options, sample)


def training(preset: str, batch: int) -> dict[str, float]:
    """The second of two training steps; the first allocates."""
    setup = made(preset, batch)
    transform = setup.model.transform
    players = players_of(setup.system, transform.forward(setup.sample), setup.options, transform.inverse)
    players.train_step(0, 2)
    return timed(lambda: players.train_step(1, 2))


def generation(preset: str, batch: int, form: str = "plain") -> dict[str, float]:
    """An event in ADU, and the generator's operations for an image."""
    model = made(preset, batch).model
    for part in model.network.modules():
        if isinstance(part, SelfAttention):
            part.gain.data.fill_(0.5)  # a fresh one gives 0
    plain: Any = model.generator.plain()
    condition, _ = model.kind.conditions.draw({}, 1, rng_for("condition", 1))
    noise = plain.noise(1, None, rng_for("noise", 1))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        wanted = plain(noise, condition)
    if form == "plain":
        plain.deployed = lambda: plain
        model = replace(model, network=plain)
    elif form == "bfloat16":
        model = model.with_precision("bfloat16")
    with torch.no_grad():
        found: Any = model.deployed()(noise, condition)  # type: ignore[operator]
    differences = (found - wanted).abs()
    model.once(8)
    return {
        **timed(lambda: model.sample(len(SENSORS), 1)),
        "gflop": counter.get_total_flops() / 1e9,
        "difference": float(differences.mean()),
        "largest_difference": float(differences.max()),
    }


def timed(job: Callable[[], object]) -> dict[str, float]:
    """Wall-clock and CPU seconds of a job, and this process's peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "cpu": cpu, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


FORMS = ("plain", "deployed", "bfloat16")
CASES: dict[str, Case] = {
    "training": training,
    **{form: partial(generation, form=form) for form in FORMS},
}


def run(case: str, preset: str, batch: int, threads: int) -> dict[str, float]:
    """One case, in whatever process this is."""
    torch.set_num_threads(threads)
    return CASES[case](preset, batch)


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=["pe-gan"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="default: the preset's")
    parser.add_argument("--generation", action="store_true", help="no training steps")
    parser.add_argument("--turns", type=int, default=1, help="of the forms of generation")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    print(f"{options.threads} threads, float32\n")
    print("| preset | | seconds | CPU seconds | peak memory, GiB | GFLOP an image |\n|---|---|---|---|---|---|")
    for preset in options.presets:
        batch = options.batch or config.read(preset)["trainer"]["batch_size"]
        cases = [] if options.generation else ["training"]
        turns: dict[str, list[dict[str, float]]] = {}
        for case in (*cases, *FORMS * options.turns):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                turns.setdefault(case, []).append(pool.apply(run, (case, preset, batch, options.threads)))
        for case, all_turns in turns.items():
            found[f"{preset} {case}"] = one = {
                **{name: statistics.median(turn[name] for turn in all_turns) for name in all_turns[0]},
                "turns": all_turns,
            }
            label = f"step, batch of {batch}" if case == "training" else f"40 images, {case}"
            work = f"{one['gflop']:.2f}" if "gflop" in one else ""
            cost = f"{one['seconds']:.2f} | {one['cpu']:.2f} | {one['peak_gib']:.2f}"
            print(f"| `{preset}` | {label} | {cost} | {work} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
