"""Background on demand: time to the first event of `partigan.PXDBackground`, and of the next ones, on one core.

    python benchmarks/pxd_background.py [RUN] [--events 10] [--turns 3] [--json background.json]

Every turn is a process of its own, which imports torch and partigan before the clock starts. `first` is opening the
run and making event 0 as maps; `maps` and `hits` are seconds an event afterwards; `peak_gib` is the largest resident
set. The table has medians of the turns, the JSON all of them, and whether all turns made the same events.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from partigan import PXDBackground


def turn(run: str, events: int) -> dict[str, Any]:
    """One process: wall-clock and CPU seconds."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}

    def clocks() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def note(name: str, start: tuple[float, float], number: int = 1) -> None:
        found[name], found[f"{name}_cpu"] = ((b - a) / number for a, b in zip(start, clocks(), strict=True))

    start = clocks()
    background = PXDBackground(run)
    digest = hashlib.sha256(background.maps(0).tobytes())
    note("first", start)
    start = clocks()
    for number in range(1, events):
        digest.update(background.maps(number).tobytes())
    note("maps", start, events - 1)
    start = clocks()
    for number in range(1, events):
        background.hits(number)
    note("hits", start, events - 1)
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**found, "sha256": digest.hexdigest()}


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="pxd-fast")
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    turns = []
    for _ in range(options.turns):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            turns.append(pool.apply(turn, (options.run, options.events)))
    same = len({one.pop("sha256") for one in turns}) == 1
    medians = {name: statistics.median(one[name] for one in turns) for name in turns[0]}
    print(f"`{options.run}`, {options.turns} processes, the same events: {same}\n")
    print("| | seconds | CPU seconds |\n|---|---|---|")
    for name, label in (("first", "open, first event"), ("maps", "an event as maps"), ("hits", "an event as hits")):
        print(f"| {label} | {medians[name]:.2f} | {medians[f'{name}_cpu']:.2f} |")
    print(f"\npeak memory {medians['peak_gib']:.2f} GiB")
    if options.json:
        content = {"run": options.run, "same_events": same, "medians": medians, "turns": turns}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
