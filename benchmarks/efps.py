"""Time and memory of the 36 Energy Flow Polynomials of 25,000 jets.

    python benchmarks/efps.py [--threads 2] [--repeats 5]

Multiplicities are those of real top jets of JetNet where the reference data is at hand. The reference library
(energyflow 1.4, 2 cores) took 14 s at 30 particles and 46 s at 150; these two figures are quoted, not measured here.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch

from mdma import sample
from partigan.observables.jets import FPD_GRAPHS, efps

JETS = 25_000
QUOTED = {30: 14.0, 150: 46.0}


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"36 EFPs of {JETS:,} jets, {options.threads} threads, median of {options.repeats}\n")
    print("| particles | seconds | energyflow, quoted | quoted / measured | peak memory of the process, MB |")
    print("|---|---|---|---|---|")
    for particles, quoted in QUOTED.items():
        jets = sample(particles, JETS)
        x = torch.cat((0.2 * jets.x[..., :2], jets.x[..., 2:].abs()), dim=-1)
        times = []
        with torch.inference_mode():
            for _ in range(options.repeats + 1):
                began = time.perf_counter()
                efps(x, jets.mask, FPD_GRAPHS)
                times.append(time.perf_counter() - began)
        seconds = statistics.median(times[1:])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"| {particles} | {seconds:.2f} | {quoted:.0f} | {quoted / seconds:.0f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
