"""Time of the metrics of jets, beside what the reference libraries need.

    python benchmarks/metrics.py [--jets 30.h5 150.h5] [--threads 2] [--repeats 3] [--json metrics.json]

Jets are those of the files, or made here: three prongs with the multiplicities of real top jets of JetNet where the
reference data is at hand. The figures of the reference (jetnet 0.2.5, energyflow 1.4, 2 cores) are quoted, not measured
here. How many linear programs COV and MMD can leave out depends on the jets.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from networks import multiplicities
from partigan.data.batch import Batch
from partigan.data.jets import read_jets
from partigan.metrics.clouds import Clouds
from partigan.metrics.cov_mmd import cov_mmd
from partigan.metrics.wasserstein import w1
from partigan.nets.clouds.particlenet import ParticleNet
from partigan.observables.jets import FPD_GRAPHS, efps

JETS = 25_000
COV_JETS = 1000  # 10 batches of 100
FPND_JETS = 1000
QUOTED = {  # seconds
    ("36 EFPs", 30): 14.0,
    ("36 EFPs", 150): 46.0,
    ("W1-P", 30): 14.0,
    ("FPND, a jet", 30): 0.004,
    ("COV and MMD", 30): 3.4,
    ("COV and MMD", 150): 47.0,
}


def made(particles: int, size: int = 2 * JETS) -> Batch:
    """Jets of three prongs, of pt 1."""
    rng = np.random.default_rng(1)
    mask = np.arange(particles) < multiplicities(particles, size)[:, None]
    prongs = rng.normal(0, 0.2, (size, 3, 2))
    angles = np.take_along_axis(prongs, rng.integers(0, 3, (size, particles, 1)), 1)
    angles += rng.normal(0, 0.05, angles.shape)
    pt = rng.exponential(1, (size, particles)) ** 3 * mask
    x = np.concatenate([angles * mask[..., None], (pt / pt.sum(1, keepdims=True))[..., None]], -1)
    return Batch(torch.from_numpy(x).float(), torch.from_numpy(mask))


def cases(jets: Batch) -> dict[str, Callable[[], object]]:
    """What is measured."""
    assert jets.mask is not None
    half = len(jets) // 2
    one, two = jets[:half], jets[half : 2 * half]
    network = ParticleNet().eval()
    assert one.mask is not None
    assert two.mask is not None
    clouds = [Clouds(sample.x[:JETS], sample.mask[:JETS]) for sample in (one, two)]
    few = [Clouds(sample.x[:COV_JETS], sample.mask[:COV_JETS]) for sample in (one, two)]
    batches = max(2, min(10, half // 100))

    return {
        "36 EFPs": lambda: efps(one.x[:JETS], one.mask[:JETS], FPD_GRAPHS),
        "W1-P": lambda: w1(*clouds, rng=np.random.default_rng(1)),
        "FPND, a jet": lambda: [network(jets.x[i : i + 250]) for i in range(0, FPND_JETS, 250)],
        "COV and MMD": lambda: cov_mmd(*few, rng=np.random.default_rng(1), batches=batches),
    }


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    samples = [read_jets(path).batch() for path in options.jets] or [made(particles) for particles in (30, 150)]
    print(f"{options.threads} threads, medians of {options.repeats}\n")
    print("| metric | particles | seconds | quoted | quoted / measured | peak memory of the process, MB |")
    print("|---|---|---|---|---|---|")
    rows = []
    for jets in samples:
        particles = jets.x.shape[1]
        for name, job in cases(jets).items():
            times = []
            with torch.inference_mode():
                for _ in range(options.repeats + 1):
                    began = time.perf_counter()
                    job()
                    times.append(time.perf_counter() - began)
            seconds = statistics.median(times[1:]) / (FPND_JETS if name.startswith("FPND") else 1)
            quoted = QUOTED.get((name, particles))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rows.append({"metric": name, "particles": particles, "seconds": seconds, "quoted": quoted, "peak_mb": peak})
            beside = ("", "") if quoted is None else (f"{quoted:.3g}", f"{quoted / seconds:.1f}")
            print(f"| {name} | {particles} | {seconds:.3g} | {' | '.join(beside)} | {peak} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
