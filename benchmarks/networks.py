"""MDMA and MPGAN as they are here against the same networks written down plainly: speed, memory, matmul ceiling.

    python benchmarks/networks.py mdma|mpgan [--threads 2] [--repeats 7] [--json mdma.json]

Both formulations have the same weights and give the same numbers (tests/nets/clouds/test_mdma.py and test_mpgan.py);
they run in turns in one process, and the medians of their times are compared. In training, MDMA's blocks are one
operation in C; "with torch" is the same without it. Peak memory is that of a process of its own for each. Particle
numbers are those of real top jets of JetNet where the reference data is at hand, else normal
with the same mean and standard deviation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from one_batch import players_of
from padded_mpgan import padded
from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.models.model import groups, together
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.mpgan import MPCritic, MPGenerator
from partigan.objectives.losses import LeastSquares
from partigan.objectives.matching import MeanFieldMatching
from partigan.objectives.terms import Term
from partigan.randomness import rng_for
from partigan.systems.gan import GAN
from partigan.systems.terms import ScheduledTerm
from unfolded_mdma import unfold

ROOT = Path(__file__).parents[1]
TORCH = 2  # number of the formulation with torch alone


@dataclass(frozen=True)
class Setup:
    """What is compared.

    Attributes:
        generator: makes the generator for a number of particles.
        critic: makes the critic.
        plain: the plain twin of a network.
        names: of the plain formulation, of ours, and of ours with torch alone where it is trained in C.
        particles: sizes of clouds.
        batch: the paper's batch size.
        jets: generated in one measurement.
        group: particles given to the plain formulation at once, where it is fastest.
        terms: of the losses.
    """

    generator: Callable[..., Any]
    critic: Callable[..., Any]
    plain: Callable[[Any], Any]
    names: tuple[str, ...]
    particles: tuple[int, ...]
    batch: int
    jets: int
    group: int
    terms: tuple[type[Term], ...] = ()


SETUPS = {
    "mdma": Setup(
        MDMAGenerator,
        MDMACritic,
        unfold,
        ("unfolded, padded", "folded, packed", "folded, packed, with torch"),
        (30, 150),
        batch=128,
        jets=4096,
        group=2**14,
        terms=(MeanFieldMatching,),
    ),
    "mpgan": Setup(
        MPGenerator,
        lambda particles: MPCritic(),
        padded,
        ("all pairs joined, padded", "in chunks, packed"),
        (30,),
        batch=256,
        jets=1024,
        group=30 * 32,
    ),
}

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


def networks(setup: Setup, particles: int, form: int) -> tuple[Any, Any]:
    """Generator and critic of one set of weights, in the formulation of this number."""
    torch.manual_seed(1)
    pair = setup.generator(particles=particles), setup.critic(particles=particles)
    if form == TORCH:
        for network in pair:
            network.body.compiled = lambda: None
    return pair if form else (setup.plain(pair[0]), setup.plain(pair[1]))


def generation(setup: Setup, particles: int, form: int) -> Job:
    """Normalised jets from noise; the plain formulation gets groups of the size that suits it."""
    generator = networks(setup, particles, form)[0].deployed()
    mask = sample(particles, setup.jets).mask
    assert mask is not None

    @torch.inference_mode()
    def packed() -> int:
        rng, rows = rng_for("noise", 3), list(groups(setup.jets, mask, setup.jets))
        parts = []
        for group in rows:
            trimmed = mask[group][:, : int(mask[group].sum(1).max())]
            given = None if trimmed.all() else trimmed
            parts.append(generator(generator.noise(len(group), trimmed, rng), mask=given))
        together(parts, rows, setup.jets, particles)
        return setup.jets

    @torch.inference_mode()
    def plain() -> int:
        for rows in mask.split(setup.group // particles):
            generator(generator.noise(len(rows), rows, rng_for("noise", 3)), mask=rows)
        return setup.jets

    return packed if form else plain


def training(setup: Setup, particles: int, form: int) -> Job:
    """A training step (one of the critic, one of the generator) as the trainer makes it, losses and Adam included."""
    system = GAN(
        *networks(setup, particles, form),
        objective=LeastSquares(),
        generator_optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        critic_optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        terms={term.__name__: ScheduledTerm(term()) for term in setup.terms},
    )
    jets = sample(particles, 32 * setup.batch)
    players = players_of(system, Loader(jets, setup.batch, seed=1).batch(0) if form else jets[: setup.batch])

    def run() -> int:
        players.train_step(0, 1)
        return setup.batch

    return run


CASES: dict[str, Callable[[Setup, int, int], Job]] = {"generation": generation, "training": training}


def peak_memory(system: str, case: str, particles: int, form: int, threads: int) -> float:
    """MB that a process of its own needs on top of the imports."""
    torch.set_num_threads(threads)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak of the imports
    before = _memory("VmRSS")
    CASES[case](SETUPS[system], particles, form)()
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """An entry of this process's status in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
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
    parser.add_argument("system", choices=SETUPS)
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
    setup = SETUPS[options.system]
    for case, make in CASES.items():
        for particles in setup.particles:
            forms = range(len(setup.names) if case == "training" else TORCH)
            jobs = {form: make(setup, particles, form) for form in forms}
            work = {form: flops(job) for form, job in jobs.items()}  # a warm-up, too
            work[1] = work[max(forms)]  # what C does is not counted
            times: dict[int, list[float]] = {form: [] for form in forms}
            for _ in range(options.repeats):
                for form, job in jobs.items():
                    began = time.perf_counter()
                    jets = job()
                    times[form].append((time.perf_counter() - began) / jets)
            for form in forms:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    memory = pool.apply(peak_memory, (options.system, case, particles, form, options.threads))
                median = statistics.median(times[form])
                row = {
                    "case": case,
                    "particles": particles,
                    "formulation": setup.names[form],
                    "jets_per_second": 1 / median,
                    "ratio": statistics.median(times[0]) / median,
                    "peak_mb": memory,
                    "kflop": work[form] / 1e3,
                    "of_ceiling": work[form] / median / 1e9 / top,
                }
                rows.append(row)
                print(
                    f"| {case} | {particles} | {row['formulation']} | {1 / median:,.0f} | {1e6 * median:.1f} | "
                    f"{row['ratio']:.1f} | {memory:.0f} | {row['kflop']:.0f} | {row['of_ceiling']:.0%} |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
