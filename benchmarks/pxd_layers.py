"""Layer 2 in sequence after layer 1: pairs of clusters on one helix, simulated and generated, with partners or without.

    partigan simulate pxd --recrossing 1 --events 60 --background 2.0 --seed 21 --out train.h5
    partigan simulate pxd --recrossing 1 --events 40 --background 2.0 --seed 22 --out heldout.h5
    partigan simulate pxd --recrossing 1 --events 40 --background 2.0 --seed 23 --out again.h5
    partigan simulate pxd --events 40 --background 2.0 --seed 24 --out independent.h5
    python benchmarks/pxd_layers.py --train train.h5 --real heldout.h5 --again again.h5 --independent independent.h5

All of ``train.h5`` is counted as ``pxd-layers`` does it; what clusters look like comes from the networks of `pxd-fast`,
which saw curlers that cross once. "In sequence" has partners; "without partners" are the same clusters, not moved: the
independent version, which the excess must reject. "Simulated again" is the null. The excess is the number of pairs
within 0.2 mm of a helix, beyond those of mixed events, for each cluster of layer 1, clusters of several pixels alone;
the error is that of the mean over events. Writes results/pxd/layers.json and docs/pxd/layers.png.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import partigan
from partigan.data.cluster_partners import RADII
from partigan.data.clusters import found
from partigan.data.hitmap_files import read_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import LAYER_OF, SENSORS, cylindrical
from partigan.files import write_json
from partigan.kinds import find
from partigan.kinds.pxd_clusters import EVENTS_AT_ONCE, hitmaps_of, tables_of
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.observables.hitmaps import Clusters, Points, clusters, layer_excess

ROOT = Path(__file__).parents[1]
EDGES = np.linspace(-2, 2, 41)
NEAR = 0.2  # mm
Floats = NDArray[np.float64]


def points(groups: Clusters) -> list[Points]:
    """Clusters of several pixels in layers 1 and 2."""
    event, sensor = np.divmod(groups.image, len(SENSORS))
    phi, z = cylindrical(sensor, groups.u, groups.v)
    chosen = [(LAYER_OF[sensor] == layer) & (groups.size > 1) for layer in (1, 2)]
    return [Points(event[some], phi[some], z[some]) for some in chosen]


def generated(state: dict[str, Any], events: int) -> tuple[Hitmaps, float]:
    """Events of `pxd-fast` with other tables, and their CPU time."""
    model = replace(partigan.load("pxd-fast"), kind=find("pxd-layers"), conditions=state)
    model.once(len(SENSORS))
    began = time.process_time()
    made = Hitmaps.joined([hitmaps_of(event) for event in model.packed(events * len(SENSORS), 1)])
    return made, (time.process_time() - began) / events


def main() -> None:
    """Count, generate, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "real", "again", "independent"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--events", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sample, began = read_hitmaps(options.train), time.process_time()
    blocks = [sample.events(first, first + EVENTS_AT_ONCE) for first in range(0, len(sample), EVENTS_AT_ONCE)]
    state = tables_of(((found(block), len(block)) for block in blocks), layers=True)
    written: dict[str, Any] = {"partners": state["partners"], "count_cpu_seconds": time.process_time() - began}
    in_sequence, seconds = generated(state, options.events)
    without, before = generated({**state, "partners": None}, options.events)
    written |= {"cpu_seconds_an_event": {"in sequence": seconds, "without partners": before}, "samples": {}}
    samples = {
        "held-out": read_hitmaps(options.real),
        "simulated again": read_hitmaps(options.again),
        "simulated, crossing once": read_hitmaps(options.independent),
        "generated in sequence": in_sequence,
        "generated without partners": without,
    }
    curves, real = {}, (0.0, 0.0)
    places: list[Floats] = []
    print(
        "| | pairs a cluster | from held-out, sigma | occupancy of layer 2 | z in layer 2: W1, mm |\n"
        "|---|---|---|---|---|"
    )
    for name, hitmaps in samples.items():
        some = hitmaps.events(0, options.events)
        inner, outer = points(clusters(some.map, some.u, some.v, some.charge))
        each = layer_excess(inner, outer, len(some), RADII, EDGES) / (len(inner.z) / len(some))
        near = each[:, np.abs(EDGES[1:] + EDGES[:-1]) / 2 < NEAR].sum(1)
        value = (float(near.mean()), float(near.std(ddof=1) / len(near) ** 0.5))
        real, places = (real, places) if places else (value, [outer.z])
        sigma = (value[0] - real[0]) / np.hypot(value[1], real[1])
        occupancy = some.occupancy[:, LAYER_OF == 2].mean()
        off = wasserstein_1d(places[0], outer.z)
        curves[name] = (each.mean(0), each.std(0, ddof=1) / len(each) ** 0.5)
        written["samples"][name] = {
            "pairs": value,
            "sigma": float(sigma),
            "occupancy_2": float(occupancy),
            "z_w1_mm": float(off),
            "curve": [part.tolist() for part in curves[name]],
        }
        print(
            f"| {name} | {value[0]:.4f} ± {value[1]:.4f} | {sigma:.1f} | {100 * occupancy:.3f} % | {off:.3f} |",
            flush=True,
        )
    write_json(ROOT / "results/pxd/layers.json", written)
    figure = Figure(figsize=(7, 4), layout="constrained", dpi=110)
    axis = figure.subplots()
    for name, (value, error) in curves.items():
        axis.errorbar((EDGES[1:] + EDGES[:-1]) / 2, value, error, fmt="o-", ms=3, lw=1, capsize=0, label=name)
    axis.set(
        xlabel="distance of a cluster of layer 2 from the helix, mm", ylabel="excess of pairs a cluster of layer 1"
    )
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(ROOT / "docs/pxd/layers.png")


if __name__ == "__main__":
    main()
