"""The PXD simulator against the published statistics of the Geant4 sample of Belle II, and its speed.

    python benchmarks/pxd_simulator.py --reference ../shared/reference/pxd_geant4.json [--events 300] [--json out.json]

Occupancies and the shares of the sources, hence most of the spectrum, were calibrated (benchmarks/pxd_calibration.py);
the event-to-event spread was not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from partigan.data.hitmaps import MAXIMUM, THRESHOLD, Hitmaps
from partigan.data.pxd import LAYER_OF, NAMES
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates


def main() -> None:
    """Simulate, compare and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    reference = json.loads(options.reference.read_text(encoding="utf-8"))
    geant4 = reference["geant4"]

    made, seconds = [], []
    for event in range(options.events):
        began = time.process_time()
        rng = np.random.default_rng((options.seed, event))
        made.append(simulate_event(CALIBRATED_AT, Parameters(), Rates.calibrated(), rng))
        seconds.append(time.process_time() - began)
    sample = Hitmaps.joined(made)

    ratio = sample.occupancy.mean(0) / [geant4["occupancy"][name] for name in NAMES]
    charge = np.arange(THRESHOLD, MAXIMUM + 1)
    spectra = np.stack([np.bincount(sample.charge, minlength=MAXIMUM + 1)[THRESHOLD:], geant4["adu_counts"]])
    spectra = spectra / spectra.sum(1, keepdims=True)
    gap = np.abs(np.diff(np.cumsum(spectra, axis=1), axis=0))
    means = spectra @ charge
    relative = sample.occupancy.std(0, ddof=1) / sample.occupancy.mean(0)
    spread = [float(relative[layer == LAYER_OF].mean()) for layer in (1, 2)]
    published = [reference["event_to_event_relative_sigma"][f"layer{layer}"] for layer in (1, 2)]
    found = {
        "events": options.events,
        "occupancy_ratio_min": float(ratio.min()),
        "occupancy_ratio_max": float(ratio.max()),
        "adu_ks": float(gap.max()),
        "adu_w1": float(gap.sum()),
        "adu_mean": float(means[0]),
        "adu_mean_reference": float(means[1]),
        "spread": spread,
        "spread_reference": published,
        "cpu_seconds_an_event": statistics.median(seconds),
    }
    print(f"{options.events} events, seed {options.seed}, one thread\n")
    print("| quantity | simulated | Geant4 | goal |\n|---|---|---|---|")
    print(f"| occupancy of each sensor, simulated / Geant4 | {ratio.min():.3f} to {ratio.max():.3f} | 1 | within 3 % |")
    print(f"| charge: mean, ADU | {means[0]:.2f} | {means[1]:.2f} | within 1 % |")
    print(f"| charge: KS distance | {gap.max():.4f} | 0 | below 0.05 |")
    print(f"| charge: W1, ADU | {gap.sum():.3f} | 0 | |")
    for layer, (ours, theirs) in enumerate(zip(spread, published, strict=True), 1):
        print(f"| event-to-event spread of a sensor, layer {layer} | {ours:.3f} | {theirs:.3f} | within 20 % |")
    print(f"| CPU time of an event, s | {statistics.median(seconds):.2f} | | at most 0.5 |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
