"""PE-GAN and the systems it is compared with: time, memory and operations of a training step and of an event.

    python benchmarks/pegan.py [PRESET ...] [--threads 1] [--batch 2] [--json pegan.json]

A training step is one turn of the critic and one of the generator of the preset, with all critic steps, all terms and
Adam, on maps (or crops) of random charges; the second of two is timed. Generation makes the 40 maps of an event in
groups of 8 (40 crops at once), as `partigan generate` does. Each case runs in a process of its own, whose peak memory
is its largest resident set, torch included. The paper says 16.6 GFLOP an image.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from partigan.config import build, parse_training
from partigan.data.batch import Batch
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.kinds import find
from partigan.kinds.pxd import CROP
from partigan.randomness import rng_for
from partigan.sampling import Sampler
from partigan.training.system import System, Tick
from partigan.training.train import _fill

Case = Callable[[dict[str, Any], int], dict[str, float]]


def made(config: dict[str, Any]) -> tuple[System, Any]:
    """System and transform of a preset, with fixed weights."""
    _fill(config["system"], {"classes": len(SENSORS)})
    torch.manual_seed(1)
    system, transform, _ = build(config)
    transform.load_state({"height": shape(config)[0]})
    return system, transform


def shape(config: dict[str, Any]) -> tuple[int, int]:
    """Columns and rows of a map or crop."""
    return CROP if config["kind"] == "pxd-crop" else (COLUMNS, ROWS)


def training(config: dict[str, Any], batch: int) -> dict[str, float]:
    """The second of two training steps; the first allocates."""
    system, transform = made(config)
    rng = rng_for("charges", 1)
    charges = torch.randint(7, 256, (batch, 1, *shape(config)), generator=rng)
    hit = torch.rand(charges.shape, generator=rng) < 0.01
    condition, _ = find(config["kind"]).conditions.draw({}, batch, rng)
    sample = transform.forward(Batch((charges * hit).half(), condition=condition))
    optimizers = [phase.optimizer(system.networks[phase.update[0]].parameters()) for phase in system.phases]

    def step(number: int) -> None:
        for phase, optimizer in zip(system.phases, optimizers, strict=True):
            for name, network in system.networks.items():
                network.requires_grad_(name in phase.update)
            for turn in range(phase.steps):
                tick = Tick(number, rng_for("turn", number, turn))
                losses = phase.losses(dict(system.networks.items()), sample, tick)
                torch.stack(list(losses.values())).sum().backward()
                optimizer.step()
                optimizer.zero_grad()

    step(0)
    return timed(lambda: step(1))


def generation(config: dict[str, Any], batch: int) -> dict[str, float]:
    """An event in ADU, and the generator's operations for an image."""
    system, transform = made(config)
    generator: Any = system.networks["generator"].eval()
    kind = find(config["kind"])
    condition, _ = kind.conditions.draw({}, 1, rng_for("condition", 1))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(generator.noise(1, None, rng_for("noise", 1)), condition)
    sampler = Sampler(generator, transform, kind, {})
    return {**timed(lambda: sampler.sample(len(SENSORS), 1)), "gflop": counter.get_total_flops() / 1e9}


def timed(job: Callable[[], object]) -> dict[str, float]:
    """Wall-clock and CPU seconds of a job, and this process's peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "cpu": cpu, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


CASES: dict[str, Case] = {"training": training, "generation": generation}


def run(case: str, config: dict[str, Any], batch: int, threads: int) -> dict[str, float]:
    """One case, in whatever process this is."""
    torch.set_num_threads(threads)
    return CASES[case](config, batch)


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=["pe-gan"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="default: the preset's")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    print(f"{options.threads} threads, float32\n")
    print("| preset | | seconds | CPU seconds | peak memory, GiB | GFLOP an image |\n|---|---|---|---|---|---|")
    for preset in options.presets:
        config = parse_training(preset)
        batch = options.batch or config["trainer"]["batch_size"]
        for case, label in (("training", f"step, batch of {batch}"), ("generation", "40 images")):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[f"{preset} {case}"] = one = pool.apply(run, (case, config, batch, options.threads))
            work = f"{one['gflop']:.2f}" if "gflop" in one else ""
            cost = f"{one['seconds']:.2f} | {one['cpu']:.2f} | {one['peak_gib']:.2f}"
            print(f"| `{preset}` | {label} | {cost} | {work} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
