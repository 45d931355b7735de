"""PE-GAN's networks at full size: time, memory and floating point operations of a training step and of an event.

    python benchmarks/pegan.py [--threads 2] [--batch 2] [--preset pe-gan] [--json pegan.json]

A training step is one turn of the critic and one of the generator of the preset, with all terms and Adam, on maps of
random charges. Generation makes the 40 maps of an event in groups of 8, as `partigan generate` does. Each case runs in
a process of its own, whose peak memory is its largest resident set, torch included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from partigan.config import build, parse_training
from partigan.data.batch import Batch
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.kinds import kind_named
from partigan.randomness import rng_for
from partigan.sampling import Sampler
from partigan.training.system import System, Tick

PAPER_GFLOP = 16.6  # of the generator, for an image


def made(preset: str) -> tuple[System, Any]:
    """System and transform of a preset, with fixed weights."""
    torch.manual_seed(1)
    system, transform, _ = build(parse_training(preset))
    transform.load_state({"height": COLUMNS})
    return system, transform


def training(preset: str, batch: int) -> dict[str, float]:
    """The second of two training steps; the first allocates."""
    system, transform = made(preset)
    rng = rng_for("charges", 1)
    charges = torch.randint(7, 256, (batch, 1, COLUMNS, ROWS), generator=rng)
    hit = torch.rand(charges.shape, generator=rng) < 0.01
    sample = transform.forward(Batch((charges * hit).half(), condition=torch.arange(batch) % len(SENSORS)))
    optimizers = [phase.optimizer(system.networks[phase.update[0]].parameters()) for phase in system.phases]

    def step(number: int) -> None:
        for phase, optimizer in zip(system.phases, optimizers, strict=True):
            for name, network in system.networks.items():
                network.requires_grad_(name in phase.update)
            losses = phase.losses(dict(system.networks.items()), sample, Tick(number, rng_for("turn", number)))
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    step(0)
    return timed(lambda: step(1))


def generation(preset: str, batch: int) -> dict[str, float]:
    """An event of 40 maps in ADU, and the generator's operations for an image."""
    system, transform = made(preset)
    generator: Any = system.networks["generator"].eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(generator.noise(1, None, rng_for("noise", 1)), torch.zeros(1, dtype=torch.long))
    sampler = Sampler(generator, transform, kind_named("pxd"), {})
    return {**timed(lambda: sampler.sample(len(SENSORS), 1)), "gflop": counter.get_total_flops() / 1e9}


def timed(job: Any) -> dict[str, float]:
    """Wall-clock and CPU seconds of a job, and this process's peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "cpu": cpu, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


CASES = {"training": training, "generation": generation}


def run(case: str, preset: str, batch: int, threads: int) -> dict[str, float]:
    """One case, in whatever process this is."""
    torch.set_num_threads(threads)
    return CASES[case](preset, batch)


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--preset", default="pe-gan")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    labels = {"training": f"training step, batch of {options.batch}", "generation": "event of 40 maps"}
    found = {}
    print(f"{options.preset}, {options.threads} threads, float32\n")
    print("| | seconds | CPU seconds | peak memory, GiB | GFLOP an image | paper |\n|---|---|---|---|---|---|")
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[case] = one = pool.apply(run, (case, options.preset, options.batch, options.threads))
        work = f"{one['gflop']:.1f} | {PAPER_GFLOP}" if "gflop" in one else " | "
        print(
            f"| {labels[case]} | {one['seconds']:.1f} | {one['cpu']:.1f} | {one['peak_gib']:.1f} | {work} |", flush=True
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
