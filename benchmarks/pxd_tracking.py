"""Tracks with no, simulated and other background in the PXD: the physics test of generated hitmaps.

    python benchmarks/pxd_tracking.py [--events 60] [--tracks 30000] [--generated generated.h5] [--json out.json]

Each row compares the same tracks in two scenarios. "Simulated again" is the null: another sample of the same simulator.
"Thinned" is the null's sample without 20 % of its clusters, a defect that has to be found at 3 standard deviations.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from partigan.data.hitmap_files import read_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.physics.scenarios import compare, summary, thinned
from partigan.physics.tracking import reconstruct, signal
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates

SHOWN = (
    "frechet",
    "d0_w1",
    "z0_w1",
    "d0_q95",
    "d0_q99",
    "z0_q99",
    "wrong_hits",
    "efficiency",
    "fake_rate",
    "ghost_hits",
)


def simulated(events: int, seed: int) -> Hitmaps:
    """Events at twice the design background."""
    rngs = (np.random.default_rng((seed, event)) for event in range(events))
    return Hitmaps.joined(simulate_event(CALIBRATED_AT, Parameters(), Rates.calibrated(), rng) for rng in rngs)


def main() -> None:
    """Reconstruct, compare and print markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--tracks", type=int, default=30_000)
    parser.add_argument("--generated", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    tracks = signal(options.tracks, np.random.default_rng(options.seed))
    again = simulated(options.events, options.seed + 1)
    scenarios: dict[str, Hitmaps | None] = {
        "none": None,
        "simulated": simulated(options.events, options.seed),
        "simulated again": again,
        "thinned": thinned(again, 0.2, np.random.default_rng(options.seed)),
    }
    if options.generated is not None:
        made = read_hitmaps(options.generated)
        scenarios["generated"] = made.events(0, min(len(made), options.events))
    found = {name: reconstruct(tracks, background) for name, background in scenarios.items()}
    summaries = {name: summary(each) for name, each in found.items()}
    print(f"{options.tracks} seeds, half of them no tracks, {options.events} events; mm\n")
    names = list(summaries["none"])
    print(f"| scenario | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for scenario, values in summaries.items():
        print(f"| {scenario} | {' | '.join(f'{values[name]:.4f}' for name in names)} |")
    print(f"\n| against simulated | {' | '.join(SHOWN)} |\n|{'---|' * (len(SHOWN) + 1)}")
    compared = {}
    for scenario in scenarios:
        if scenario != "simulated":
            values = compare(found["simulated"], found[scenario], np.random.default_rng(options.seed))
            compared[scenario] = {name: list(values[name]) for name in SHOWN}
            print(f"| {scenario} | {' | '.join(f'{values[n].value:.2e} ± {values[n].error:.1e}' for n in SHOWN)} |")
    if options.json:
        options.json.write_text(
            json.dumps({"summaries": summaries, "compared": compared}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
