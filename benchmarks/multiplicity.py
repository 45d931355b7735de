"""Particle multiplicities of simulated jets beside those of the public JetNet-150 files, and the time of an event.

    python benchmarks/multiplicity.py [--n 4000] [--reference ../shared/reference/jetnet_multiplicity.npz]

Prints a markdown table for the simplified detector: mean / standard deviation, Wasserstein distance to JetNet in
particles, and the time of an event relative to that of Pythia alone, which runs in turns with it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from partigan.data.jets import read_jets
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.simulate.jets import DETECTORS, PROCESSES, _pythia, _silent, pythia_settings, simulate_jets


def pythia_alone(flavour: str, events: int) -> float:
    """Seconds that Pythia needs for events, start-up included as in a chunk."""
    began = time.perf_counter()
    with _silent():
        _pythia(pythia_settings(flavour, DETECTORS["simplified"], 1000.0, 0.01), 1).nextBatch(events)
    return time.perf_counter() - began


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4000, help="jets of each class")
    default = Path(__file__).parents[2] / "shared/reference/jetnet_multiplicity.npz"
    parser.add_argument("--reference", type=Path, default=default)
    options = parser.parse_args()
    reference = np.load(options.reference) if options.reference.exists() else {}
    print("| class | simulated | JetNet | W1 | time of an event / Pythia alone |\n|---|---|---|---|---|")
    for flavour in PROCESSES:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            path = simulate_jets(flavour, options.n, Path(folder) / "jets.h5", particles=150)  # type: ignore[arg-type]
            taken = time.perf_counter() - began
            number = read_jets(path).jets[:, 3]
        ratio = taken / pythia_alone(flavour, options.n // 2)
        theirs, distance = "", ""
        if flavour in reference:
            theirs = f"{reference[flavour].mean():.1f} / {reference[flavour].std():.1f}"
            distance = f"{wasserstein_1d(number, reference[flavour]):.1f}"
        print(
            f"| {flavour} | {number.mean():.1f} / {number.std():.1f} | {theirs} | {distance} | {ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
