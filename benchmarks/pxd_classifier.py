"""Can a classifier tell generated hitmaps from simulated ones? Whole maps, and crops of 64 x 96 pixels.

    partigan simulate pxd --events 40 --seed 12 --out heldout.h5
    partigan simulate pxd --events 40 --seed 13 --out again.h5
    partigan generate pxd-fast --n 1600 --out generated.h5
    python benchmarks/pxd_classifier.py --real heldout.h5 --again again.h5 --generated generated.h5 [--json out.json]

Boosted trees look at some hundred numbers of each map or crop: spectra of charge, clusters by size, extent, class and
place, pairs of hits by their distance. "Again" is the null; planted defects are the null with all charges 5 % larger,
and without 10 % of its clusters. The area under the ROC curve is 0.5 where nothing can be told, with an error from five
parts of the events, each judged by what was trained on the other four.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from partigan.data.hitmap_files import read_hitmaps
from partigan.data.hitmaps import MAXIMUM, Hitmaps
from partigan.data.pxd import COLUMNS, PIXELS, ROWS, SENSORS
from partigan.observables.hitmaps import SEGMENTS, clusters
from partigan.physics.scenarios import thinned

CROP = (64, 96)
CHARGES = (7, 8, 9, 11, 13, 15, 17, 19, 22, 26, 32, 45, 70, 110)
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 25, 40, 70)
EXTENTS = (1, 2, 3, 4, 6, 9, 13, 17, 30, 60)
TOTALS = (7, 11, 16, 22, 30, 45, 70, 110, 180, 300, 600)
NEAR = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (2, 2))
STEPS = (*NEAR, (0, 4), (4, 0), (4, 4), (0, 8), (8, 0), (8, 8), (16, 0))
PARTS = 5
Floats = NDArray[np.float64]


def cropped(sample: Hitmaps) -> Hitmaps:
    """All crops that tile the maps, each as a map of its own: 24 for each."""
    across, along = COLUMNS // CROP[0], ROWS // CROP[1]
    u, v = sample.u.astype(np.int64), sample.v.astype(np.int64)
    inside = u < across * CROP[0]
    place = (sample.map * across + u // CROP[0]) * along + v // CROP[1]
    number = sample.counts.size * across * along
    order = np.argsort(place[inside], kind="stable")
    counts = np.bincount(place[inside], minlength=number).reshape(-1, len(SENSORS)).astype(np.int32)
    column, row, charge = (x[inside][order] for x in (u % CROP[0], v % CROP[1], sample.charge))
    return Hitmaps(counts, column.astype(np.uint8), row.astype(np.uint16), charge)


def features(sample: Hitmaps, shape: tuple[int, int]) -> Floats:
    """``(maps, features)``."""
    number = sample.counts.size
    found = clusters(sample.map, sample.u, sample.v, sample.charge)

    def histogram(image: NDArray[np.int64], x: NDArray[np.int64], edges: tuple[int, ...]) -> Floats:
        bins = np.searchsorted(edges, x, side="right").clip(1) - 1
        return np.bincount(image * len(edges) + bins, minlength=number * len(edges)).reshape(number, -1).astype(float)

    def mean(image: NDArray[np.int64], x: NDArray[np.int64]) -> Floats:
        return (np.bincount(image, x, number) / np.maximum(np.bincount(image, minlength=number), 1))[:, None]

    segment = tuple(range(0, shape[1], shape[1] // SEGMENTS))
    multi = found.size > 1
    parts = [
        histogram(sample.map, sample.charge.astype(int), CHARGES),
        histogram(found.image, found.size, SIZES),
        histogram(found.image[multi], found.charge[multi], TOTALS),
        histogram(found.image[~multi], found.charge[~multi], TOTALS),
        histogram(found.image[multi], found.u_size[multi], EXTENTS),
        histogram(found.image[multi], found.v_size[multi], EXTENTS),
        histogram(sample.map, sample.v.astype(int), segment),
        histogram(sample.map, sample.u.astype(int), tuple(range(0, shape[0], shape[0] // 4))),
        sample.counts.reshape(-1, 1).astype(float),
        np.bincount(found.image, minlength=number)[:, None].astype(float),
    ]
    for chosen in (found.size == 2, found.size == 3, (found.size > 3) & (found.size < 9), found.size > 8):
        image = found.image[chosen]
        parts += [mean(image, x[chosen]) for x in (found.charge / found.size, found.seed, found.size)]
    wide = shape[1] + 2 * 16
    u, v = sample.u.astype(np.int64), sample.v.astype(np.int64) + 16
    address = (sample.map * (shape[0] + 16) + u) * wide + v
    ordered = np.sort(address)
    for du, dv in STEPS:
        wanted = address + du * wide + dv
        place = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
        parts.append(np.bincount(sample.map, ordered[place] == wanted, number)[:, None])
    return np.concatenate(parts, axis=1)


def auc(real: Floats, other: Floats) -> tuple[float, float]:
    """Area under the curve of boosted trees, and its error, by cross-validation over blocks of rows (events)."""
    x = np.concatenate((real, other))
    y = np.concatenate((np.zeros(len(real)), np.ones(len(other))))
    part = np.concatenate([np.arange(len(each)) * PARTS // len(each) for each in (real, other)])
    found = []
    for number in range(PARTS):
        trees = HistGradientBoostingClassifier(max_iter=120, learning_rate=0.06, max_leaf_nodes=12, random_state=1)
        trees.fit(x[part != number], y[part != number])
        found.append(roc_auc_score(y[part == number], trees.predict_proba(x[part == number])[:, 1]))
    return float(np.mean(found)), float(np.std(found, ddof=1) / PARTS**0.5)


def main() -> None:
    """Compare and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("real", "again", "generated"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    real, again, made = (read_hitmaps(getattr(options, name)) for name in ("real", "again", "generated"))
    real, again, made = (x.events(0, min(options.events, len(x))) for x in (real, again, made))
    louder = np.minimum(np.round(again.charge * 1.05), MAXIMUM).astype(np.uint8)
    others = {
        "simulated again": again,
        "charges 5 % larger": replace(again, charge=louder),
        "10 % of the clusters removed": thinned(again, 0.1, np.random.default_rng(1)),
        "generated": made,
    }
    found: dict[str, dict[str, tuple[float, float]]] = {}
    print(f"{len(real)} events, {PIXELS} pixels a map\n\n| against held-out | whole maps | crops |")
    print("|---|---|---|")
    for name, other in others.items():
        both = [cropped(x) for x in (real, other)]
        found[name] = {
            "maps": auc(*(features(x, (COLUMNS, ROWS)) for x in (real, other))),
            "crops": auc(*(features(x, CROP) for x in both)),
        }
        values = [f"{value:.3f} ± {error:.3f}" for value, error in found[name].values()]
        print(f"| {name} | {' | '.join(values)} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
