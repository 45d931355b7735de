"""Particle multiplicities of simulated jets beside those of the public JetNet-150 files, and the time of an event.

    python benchmarks/multiplicity.py [--events 4000] [--reference ../shared/reference/jetnet_multiplicity.npz]

Writes, for the simplified detector, ``multiplicity.json``, a markdown table (mean / standard deviation, Wasserstein
distance to JetNet in particles, CPU time of an event over that of Pythia alone, start-up excluded) and a figure.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from partigan.metrics.wasserstein import wasserstein_1d
from partigan.report.style import FAKE, REAL
from partigan.simulate.jets import DETECTORS, PROCESSES, cluster, pythia_settings, seen, silent, start_pythia

ROOT = Path(__file__).parents[1]
PART = 500  # events that are in memory at a time


def simulated(flavour: str, events: int) -> tuple[Any, float]:
    """Multiplicities of the jets of a number of events, and CPU time over that of Pythia."""
    detector, numbers, clock = DETECTORS["simplified"], [], np.zeros(2)
    with silent():
        pythia = start_pythia(pythia_settings(flavour, detector, 1000.0, 0.01), 1)
        for done in range(0, events, PART):
            times = [time.process_time()]
            found = pythia.nextBatch(min(PART, events - done))
            times.append(time.process_time())
            numbers.append(cluster(seen(found, pythia, detector), 1000.0, 150)[1][:, 3])
            times.append(time.process_time())
            clock += np.diff(times)
    return np.concatenate(numbers), float(clock.sum() / clock[0])


def drawn(numbers: Mapping[str, Any], reference: Mapping[str, Any]) -> Figure:
    """One panel for each class."""
    figure = Figure(figsize=(10, 2.6), layout="constrained", dpi=110)
    edges = np.arange(-0.5, 151.5, 5)
    for axis, (flavour, number) in zip(figure.subplots(1, len(numbers), sharey=True), numbers.items(), strict=True):
        if flavour in reference:
            axis.hist(reference[flavour], edges, density=True, color=REAL, alpha=0.4, label="JetNet")
        axis.hist(number, edges, density=True, histtype="step", color=FAKE, lw=1.6, label="partigan")
        axis.set(title=flavour, xlabel="particles of a jet", xlim=(0, 150))
        axis.legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Simulate, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4000, help="events of each class")
    default = ROOT.parent / "shared/reference/jetnet_multiplicity.npz"
    parser.add_argument("--reference", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=ROOT / "results/jets")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/jets/multiplicity.png")
    options = parser.parse_args()
    reference = np.load(options.reference) if options.reference.exists() else {}
    numbers: dict[str, Any] = {}
    found: dict[str, dict[str, float]] = {}
    lines = [
        "| class | simulated | JetNet | mean over JetNet | W1 | time / Pythia alone |",
        "|---|---|---|---|---|---|",
    ]
    for flavour in PROCESSES:
        number, ratio = simulated(flavour, options.events)
        numbers[flavour] = number
        row = {"jets": len(number), "mean": float(number.mean()), "std": float(number.std()), "time": ratio}
        theirs, over, distance = "", "", ""
        if flavour in reference:
            real = reference[flavour]
            row |= {"jetnet_mean": float(real.mean()), "jetnet_std": float(real.std())}
            row["w1"] = wasserstein_1d(number, real)
            theirs, over = f"{real.mean():.1f} / {real.std():.1f}", f"{100 * (row['mean'] / real.mean() - 1):+.1f} %"
            distance = f"{row['w1']:.1f}"
        found[flavour] = row
        lines.append(
            f"| {flavour} | {row['mean']:.1f} / {row['std']:.1f} | {theirs} | {over} | {distance} | {ratio:.2f} |"
        )
        print("\n".join(lines[-1:] if len(found) > 1 else lines), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    (options.out / "multiplicity.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.out / "multiplicity.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    drawn(numbers, reference).savefig(options.figure)


if __name__ == "__main__":
    main()
