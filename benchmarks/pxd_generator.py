"""Generated hitmaps of the PXD against simulated ones that no training saw, beside another simulated sample.

    partigan simulate pxd --events 200 --seed 12 --out heldout.h5
    partigan generate pxd-fast --n 4000 --out generated.h5
    python benchmarks/pxd_generator.py --real heldout.h5 --again pxd.h5 --generated generated.h5 [--run pxd-fast]
        [--figures docs/pxd] [--json out.json]

"Simulated again" is the null: the training sample of the generator, of the same simulator. With ``--run`` time and
memory of an event are measured, too, on one thread, beside the simulator.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmap_files import read_hitmaps
from partigan.data.hitmaps import MAXIMUM, THRESHOLD, Hitmaps
from partigan.data.pxd import COLUMNS, LAYER_OF, ROWS, SENSORS
from partigan.observables.hitmaps import CLASSES, SEGMENTS, clusters, spectrum
from partigan.simulate.pxd import simulate_event
from partigan.simulate.pxd_parameters import CALIBRATED_AT, Parameters, Rates

DISTANCES = (1, 2, 4, 8, 16, 32, 64, 128)  # pixels: edges of what pairs are counted in
CORRELATED = 400  # maps whose pairs are counted

Floats = NDArray[np.float64]


def statistics(sample: Hitmaps) -> dict[str, Any]:
    """What is compared.

    Returns:
        ``spectrum`` (256,); ``occupancy`` (events, 40); ``number``, ``size`` and ``charge`` (3, 6): clusters an event,
        their mean size in pixels and charge in ADU, by class and segment; ``sizes``, ``charges``: histograms of
        clusters; ``regions`` (6,): correlation between the hits of segments of a map 0 to 5 segments apart;
        ``sensors``: mean correlation between two sensors of an event; ``pairs``: pairs of hits over independent ones.
    """
    found = clusters(sample.map, sample.u, sample.v, sample.charge)
    box = (found.kind + 1) * SEGMENTS + found.segment(ROWS)
    number, size, charge = (
        np.bincount(box, weight, minlength=(len(CLASSES) + 1) * SEGMENTS).reshape(-1, SEGMENTS)[1:]
        for weight in (np.ones(len(box)), found.size, found.charge)
    )
    relative = sample.occupancy / sample.occupancy.mean(0) - 1
    matrix = np.corrcoef(relative.T)
    return {
        "spectrum": spectrum(sample.charge),
        "occupancy": sample.occupancy,
        "number": number / len(sample),
        "size": size / number,
        "charge": charge / number,
        "sizes": np.bincount(np.minimum(found.size, 64), minlength=65),
        "charges": np.bincount(np.minimum(found.charge, 2047), minlength=2048),
        "regions": regions(sample),
        "sensors": float(matrix[~np.eye(len(matrix), dtype=bool)].mean()),
        "pairs": pairs(sample),
    }


def regions(sample: Hitmaps) -> Floats:
    """``(6,)``: mean correlation, over events, of the hits in two segments of a sensor by their distance."""
    address = sample.map * SEGMENTS + sample.v.astype(np.int64) * SEGMENTS // ROWS
    hits = np.bincount(address, minlength=sample.counts.size * SEGMENTS).reshape(len(sample), len(SENSORS), SEGMENTS)
    matrices = [np.corrcoef(hits[:, sensor].T) for sensor in range(len(SENSORS))]
    mean = np.mean(matrices, axis=0)
    return np.array([np.diagonal(mean, distance).mean() for distance in range(SEGMENTS)])


def pairs(sample: Hitmaps) -> Floats:
    """Pairs of hits by their distance, over those of hits that are spread as on average over the maps."""
    maps = np.linspace(0, sample.counts.size - 1, min(CORRELATED, sample.counts.size)).astype(int)
    shape = (2 * COLUMNS, 2 * ROWS)
    found, expected = (np.zeros(shape) for _ in range(2))
    flat = np.abs(np.fft.rfft2(np.ones((COLUMNS, ROWS)), shape)) ** 2
    for number in maps:
        image = (sample.dense([number])[0] > 0).astype(float)
        found += np.fft.irfft2(np.abs(np.fft.rfft2(image, shape)) ** 2, shape)
        expected += np.fft.irfft2(flat, shape) * image.mean() ** 2
    du, dv = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    distance = np.hypot(du[:, None], dv)
    bins = [(distance >= low) & (distance < high) for low, high in itertools.pairwise(DISTANCES)]
    return np.array([found[one].sum() / expected[one].sum() for one in bins])


def against(real: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Distances and ratios of a sample from the real one."""
    found = {}
    for name, label in (("spectrum", "adu"), ("sizes", "size"), ("charges", "charge")):
        gap = np.abs(np.subtract(*(np.cumsum(x[name]) / x[name].sum() for x in (real, other))))
        found |= {f"{label}_ks": float(gap.max()), f"{label}_w1": float(gap.sum())}
    ratio = other["occupancy"].mean(0) / real["occupancy"].mean(0)
    for layer in (1, 2):
        mean = [x["occupancy"][:, layer == LAYER_OF].mean() for x in (real, other)]
        found[f"occupancy_{layer}"] = float(mean[1] / mean[0])
        found[f"spread_{layer}"] = spread(other["occupancy"], layer) / spread(real["occupancy"], layer)
    means = [x["spectrum"] @ np.arange(MAXIMUM + 1) / x["spectrum"].sum() for x in (real, other)]
    found["adu_mean"] = float(means[1] / means[0])
    found |= {"occupancy_min": float(ratio.min()), "occupancy_max": float(ratio.max())}
    return found


def spread(occupancy: Floats, layer: int) -> float:
    """Mean relative standard deviation, from event to event, of the occupancy of a sensor."""
    return float((occupancy.std(0, ddof=1) / occupancy.mean(0))[layer == LAYER_OF].mean())


TIMED = 10  # events
SCRIPT = """
import json, re, sys, time
def memory(): return int(re.search("VmHWM:[^0-9]*([0-9]+)", open("/proc/self/status").read())[1]) / 1024
began = time.monotonic()
import torch
import partigan
torch.set_num_threads(1)
model = partigan.load(sys.argv[1])
next(model.packed(40, 0))
first, first_cpu = time.monotonic() - began, time.process_time()
times = {}
began = time.process_time()
for _ in model.packed(40 * int(sys.argv[2]), 1): pass
times["hits"] = (time.process_time() - began) / int(sys.argv[2])
sparse = memory()
began = time.process_time()
for number in range(int(sys.argv[2])): model.sample(40, 1, 40 * number)
times["maps"] = (time.process_time() - began) / int(sys.argv[2])
dense = memory()
print(json.dumps(times | {"first": first, "first, CPU": first_cpu, "MB, hits": sparse, "MB, maps": dense}))
"""


def costs(run: str) -> dict[str, float]:
    """CPU seconds of an event as hits and as whole maps on one thread, and of a simulated one in the same minute.

    Beside them seconds from the start of python to the first event, and largest memory.
    """
    command = [sys.executable, "-c", SCRIPT, run, str(TIMED)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    rngs = [np.random.default_rng((0, event)) for event in range(TIMED + 1)]
    for number, rng in enumerate(rngs):
        if number == 1:  # tables are made in the first
            began = time.process_time()
        simulate_event(CALIBRATED_AT, Parameters(), Rates.calibrated(), rng)
    return {**found, "simulated": (time.process_time() - began) / TIMED}


def figures(real: Hitmaps, generated: Hitmaps, folder: Path) -> None:
    """A real and a generated map of the same sensor, and the spectra of charge."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(2, 1, figsize=(9, 6.6), layout="constrained", sharex=True)
    for axis, sample, title in zip(axes, (real, generated), ("simulated", "generated"), strict=True):
        image = sample.dense([0])[0].astype(float)
        shown = axis.imshow(
            np.where(image > 0, image, np.nan), cmap="viridis", norm=LogNorm(THRESHOLD, 200), interpolation="nearest"
        )
        axis.set(title=f"{SENSORS[0].name}, {title}: {int((image > 0).sum())} hits", ylabel="u, column")
    axes[1].set_xlabel("v, row")
    figure.colorbar(shown, ax=axes, label="charge, ADU", shrink=0.8)
    figure.savefig(folder / "maps.png", dpi=110)
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 5.2), layout="constrained", sharex=True, height_ratios=(3, 1))
    charge = np.arange(MAXIMUM + 1)
    shares = [np.bincount(sample.charge, minlength=MAXIMUM + 1) / len(sample.charge) for sample in (real, generated)]
    for share, label, style in zip(shares, ("simulated", "generated"), ("k-", "C1-"), strict=True):
        axes[0].stairs(share[THRESHOLD:], np.arange(THRESHOLD, MAXIMUM + 2), color=style[:-1], label=label)
    axes[0].set(yscale="log", ylabel="share of the hits", ylim=(1e-7, 0.1), xlim=(0, MAXIMUM + 1))
    axes[0].legend(frameon=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        axes[1].plot(charge, shares[1] / shares[0], "C1.", ms=3)
    axes[1].axhline(1, color="k", lw=0.8)
    axes[1].set(ylim=(0, 2), xlabel="charge of a pixel, ADU", ylabel="ratio")
    figure.savefig(folder / "spectrum.png", dpi=110)


def main() -> None:
    """Compare and print markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("real", "again", "generated"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--run")
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = [read_hitmaps(path) for path in (options.real, options.again, options.generated)]
    real, *others = [statistics(sample) for sample in samples]
    compared = [against(real, other) for other in others]
    print(f"{', '.join(str(len(sample)) for sample in samples)} events\n")
    print("| against held-out simulation | simulated again | generated |\n|---|---|---|")
    for name, again in compared[0].items():
        print(f"| {name} | {again:.4f} | {compared[1][name]:.4f} |")
    print("\n| | held-out | simulated again | generated |\n|---|---|---|---|")
    every = (real, *others)
    rows = {f"spread, layer {layer}": [spread(x["occupancy"], layer) for x in every] for layer in (1, 2)}
    rows |= {f"segments {n} apart": [x["regions"][n] for x in every] for n in range(1, SEGMENTS)}
    rows["sensors of an event"] = [x["sensors"] for x in every]
    for number, (low, high) in enumerate(itertools.pairwise(DISTANCES)):
        rows[f"pairs {low} to {high} pixels apart"] = [x["pairs"][number] for x in every]
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")
    print(f"\n| over held-out, segments 1 to {SEGMENTS} | simulated again | generated |\n|---|---|---|")
    for name in ("number", "size", "charge"):
        for kind, label in enumerate(CLASSES):
            ratios = [" ".join(f"{r:.2f}" for r in x[name][kind] / real[name][kind]) for x in others]
            print(f"| {name}, {label} | {' | '.join(ratios)} |")
    cost = costs(options.run) if options.run else None
    if cost:
        print("\nCPU seconds of an event (first, seconds from the start of python; MB, largest memory):")
        print(", ".join(f"{name} {value:.3g}" for name, value in cost.items()))
    if options.figures:
        figures(samples[0], samples[2], options.figures)
    if options.json:
        plain = [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in x.items()} for x in every]
        for x in plain:
            del x["occupancy"]
        content = {"compared": compared, "statistics": plain, **({"cost": cost} if cost else {})}
        options.json.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
