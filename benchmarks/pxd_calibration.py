"""Rates of the PXD simulator, matched to the published statistics of the Geant4 sample of Belle II.

    python benchmarks/pxd_calibration.py --reference ../shared/reference/pxd_geant4.json

First the shares of the four sources are fitted to the spectrum of the charge, with lower limits that keep every source;
then the number of clusters on each sensor is scaled until the 40 occupancies are those of the reference. Both are thus
matched by construction, and are no test of the simulator. Writes src/partigan/simulate/pxd_rates.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import LAYER_OF, NAMES, PIXELS, SENSORS
from partigan.simulate import pxd_sources
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import CALIBRATED_AT, SOURCES, Parameters, Rates
from partigan.simulate.pxd_silicon import Tracks, collect, digitise, lose

OUT = Path(__file__).parents[1] / "src/partigan/simulate/pxd_rates.json"
LEAST = {"two_photon": 0.45, "beam_gas": 0.05, "synchrotron": 0.02, "compton": 0.02}  # of the pixels; a choice


def spectrum(source: str, layer: int, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Pixels of each charge that one cluster gives on average, ``(249,)``; few at a time overlap little."""
    p, counts = Parameters(), np.zeros(MAXIMUM + 1)
    sensors = np.repeat(np.flatnonzero(layer == LAYER_OF), 20)
    rounds = -(-clusters // len(sensors))
    for _ in range(rounds):
        made = getattr(pxd_sources, source)(sensors, p, rng)
        deposits = lose(made, p, rng) if isinstance(made, Tracks) else made
        counts += np.bincount(digitise(*collect(deposits, p), p, rng)[1], minlength=MAXIMUM + 1)
    return np.asarray(counts[THRESHOLD:] / (rounds * len(sensors)))


def shares(adu: np.ndarray, occupancy: np.ndarray, clusters: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Share of each source in the clusters of both layers; that in the pixels is the same in both."""
    target = adu / adu.sum()
    charge = np.arange(THRESHOLD, MAXIMUM + 1)
    made = np.array([[spectrum(source, layer, clusters, rng) for layer in (1, 2)] for source in SOURCES])
    pixels = made.sum(-1)
    weight = np.array([occupancy[layer == LAYER_OF].sum() for layer in (1, 2)]) / occupancy.sum()
    mixed = np.einsum("l,slq->qs", weight, made / pixels[..., None])
    rows = (np.cumsum(mixed, axis=0), 100 * mixed.sum(0, keepdims=True), 0.5 * charge[None] @ mixed)
    goal = (np.cumsum(target), [100.0], [0.5 * charge @ target])
    of_pixels = lsq_linear(np.vstack(rows), np.concatenate(goal), bounds=(list(LEAST.values()), 1.0)).x
    of_clusters = of_pixels[:, None] / pixels
    of_clusters /= of_clusters.sum(0)
    return {source: row.round(4).tolist() for source, row in zip(SOURCES, of_clusters, strict=True)}


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--clusters", type=int, default=40_000, help="for each source and layer")
    parser.add_argument("--events", type=int, default=400, help="in the last iteration of the occupancies")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reference = json.loads(options.reference.read_text(encoding="utf-8"))["geant4"]
    occupancy = np.array([reference["occupancy"][name] for name in NAMES])
    rng = np.random.default_rng(options.seed)
    found = shares(np.array(reference["adu_counts"], float), occupancy, options.clusters, rng)
    clusters = occupancy * PIXELS / 5
    for iteration in range(3):
        rates = Rates(tuple(clusters), {source: (one, two) for source, (one, two) in found.items()})
        events = (10, options.events // 2, options.events)[iteration]
        pixels = np.zeros(len(SENSORS))
        for _ in range(events):
            pixels += simulate_event(CALIBRATED_AT, Parameters(), rates, rng).counts[0]
        ratio = pixels / events / PIXELS / occupancy
        print(f"iteration {iteration}: simulated / reference from {ratio.min():.3f} to {ratio.max():.3f}")
        clusters = clusters / ratio
    result = {"shares": found, "clusters": dict(zip(NAMES, clusters.round(2).tolist(), strict=True))}
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
