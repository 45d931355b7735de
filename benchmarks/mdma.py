"""MDMA folded and packed against the same networks unfolded and padded: speed, memory, share of the matmul ceiling.

    python benchmarks/mdma.py [--threads 2] [--repeats 7] [--json mdma.json]

Both formulations have the same weights and give the same numbers (tests/test_mdma.py); they run in turns in one
process, and the medians of their times are compared. Peak memory is that of a process of its own for each. Particle
numbers are those of real top jets of JetNet where the reference data is at hand, else normal with the same mean and
standard deviation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from partigan.data.batch import Batch  # noqa: E402
from partigan.data.loader import Loader  # noqa: E402
from partigan.data.transforms import LogStandardise  # noqa: E402
from partigan.kinds.jets import Jets  # noqa: E402
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator  # noqa: E402
from partigan.objectives.losses import LeastSquares  # noqa: E402
from partigan.objectives.matching import MeanFieldMatching  # noqa: E402
from partigan.randomness import rng_for  # noqa: E402
from partigan.sampling import Sampler  # noqa: E402
from partigan.training.system import GAN, Tick  # noqa: E402
from unfolded_mdma import unfold  # noqa: E402

BATCH = 128  # the paper's
JETS = 4096  # generated in one measurement
PADDED_PARTICLES = 2**14  # given to the padded formulation at once; larger groups are slower at 150, smaller ones at 30

Job = Callable[[], int]


def multiplicities(particles: int, size: int) -> np.ndarray:
    """Particle numbers of top jets, at most ``particles``."""
    reference = ROOT.parent / "shared/reference/jetnet_multiplicity.npz"
    rng = np.random.default_rng(1)
    numbers = rng.choice(np.load(reference)["t"], size) if reference.exists() else rng.normal(62.9, 17.5, size)
    return np.clip(numbers, 1, particles).astype(int)


def sample(particles: int, size: int) -> Batch:
    """Normalised noise in the place of jets."""
    mask = torch.from_numpy(np.arange(particles) < multiplicities(particles, size)[:, None])
    x = torch.randn(size, particles, 3, generator=rng_for("noise", 2)) * mask[..., None]
    return Batch(x, mask)


def networks(particles: int, folded: bool) -> tuple[MDMAGenerator, MDMACritic]:
    """Generator and critic of one set of weights."""
    torch.manual_seed(1)
    pair = MDMAGenerator(particles=particles), MDMACritic(particles=particles)
    return pair if folded else (unfold(pair[0]), unfold(pair[1]))


def generation(particles: int, folded: bool) -> Job:
    """Normalised jets from noise; the padded formulation gets groups of the size that suits it."""
    generator = networks(particles, folded)[0].eval()
    batch = sample(particles, JETS)
    mask = batch.mask
    assert mask is not None
    sampler = Sampler(generator, LogStandardise(), Jets(), {})

    def packed() -> int:
        sampler.normalised(JETS, None, mask, rng_for("noise", 3))
        return JETS

    @torch.inference_mode()
    def padded() -> int:
        for rows in mask.split(PADDED_PARTICLES // particles):
            generator(generator.noise(len(rows), rows, rng_for("noise", 3)), mask=rows)
        return JETS

    return packed if folded else padded


def training(particles: int, folded: bool) -> Job:
    """Training steps (one of the critic, one of the generator) as the trainer makes them, losses and Adam included."""
    pair = networks(particles, folded)
    system = GAN(
        *pair,
        objective=LeastSquares(),
        generator_optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        critic_optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        terms=[MeanFieldMatching()],
    )
    batches = sample(particles, 32 * BATCH)
    loader = Loader(batches, BATCH, seed=1)
    optimizers = [phase.optimizer(system.networks[phase.update[0]].parameters()) for phase in system.phases]

    def run() -> int:
        for number in range(2):
            for phase, optimizer in zip(system.phases, optimizers, strict=True):
                for name, network in system.networks.items():
                    network.requires_grad_(name in phase.update)
                rows = slice(number * BATCH, (number + 1) * BATCH)
                batch = loader.batch(number) if folded else batches[rows]
                losses = phase.losses(system.networks, batch, Tick(0, rng_for("turn", 4, number)))
                sum(losses.values()).backward()  # type: ignore[union-attr]
                optimizer.step()
                optimizer.zero_grad()
        return 2 * BATCH

    return run


CASES: dict[str, Callable[[int, bool], Job]] = {"generation": generation, "training": training}


def peak_memory(case: str, particles: int, folded: bool, threads: int) -> float:
    """MB that a process of its own needs on top of the imports."""
    torch.set_num_threads(threads)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = _memory("VmRSS")
    CASES[case](particles, folded)()
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """An entry of this process's status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def ceiling() -> float:
    """GFLOP/s of a large float32 matrix product."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * 2048**3 / statistics.median(times) / 1e9


def flops(job: Job) -> float:
    """Floating point operations of matrix products for a jet."""
    with FlopCounterMode(display=False) as counter:
        jets = job()
    return counter.get_total_flops() / jets


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    top = ceiling()
    print(f"{options.threads} threads, float32, matmul ceiling {top:.0f} GFLOP/s, medians of {options.repeats}\n")
    print("| | particles | formulation | jets/s | us a jet | ratio | peak MB | kFLOP a jet | of the ceiling |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for case, make in CASES.items():
        for particles in (30, 150):
            jobs = {folded: make(particles, folded) for folded in (False, True)}
            work = {folded: flops(job) for folded, job in jobs.items()}  # a warm-up, too
            times: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(options.repeats):
                for folded, job in jobs.items():
                    began = time.perf_counter()
                    jets = job()
                    times[folded].append((time.perf_counter() - began) / jets)
            for folded in (False, True):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    memory = pool.apply(peak_memory, (case, particles, folded, options.threads))
                median = statistics.median(times[folded])
                row = {
                    "case": case,
                    "particles": particles,
                    "formulation": "folded, packed" if folded else "unfolded, padded",
                    "jets_per_second": 1 / median,
                    "ratio": statistics.median(times[False]) / median,
                    "peak_mb": memory,
                    "kflop": work[folded] / 1e3,
                    "of_ceiling": work[folded] / median / 1e9 / top,
                }
                rows.append(row)
                print(
                    f"| {case} | {particles} | {row['formulation']} | {1 / median:,.0f} | {1e6 * median:.1f} | "
                    f"{row['ratio']:.1f} | {memory:.0f} | {row['kflop']:.0f} | {row['of_ceiling']:.0%} |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
