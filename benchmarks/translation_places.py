"""How near to the truth an image of fine pixels can be that is made of coarse ones.

Boosted trees see a coarse pixel of the task ``resolution`` with its 24 neighbours and say which of its four fine pixels
has the largest charge. Errors, in ADU a pixel, of images that put all charge of a coarse pixel there, or in a pixel
drawn by these odds, beside those of an empty image, of the charge spread evenly, and of the right pixel:
``results/translation/places.json``.

    python benchmarks/translation_places.py /tmp/translation
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from partigan.data.samples import read_samples
from partigan.files import write_json
from translation import RESULTS, files

REACH = 2  # coarse pixels to each side
SCALE = 9.0  # ADU, of asinh
TRAINED = 1500  # images

Floats = NDArray[np.float64]


def coarse_pixels(images: Floats) -> tuple[Floats, Floats]:
    """Surroundings ``(pixels, 25)`` and charges of four fine pixels ``(pixels, 4)`` of all coarse ones with charge."""
    n, height, width = images.shape
    fine = images.reshape(n, height // 2, 2, width // 2, 2).swapaxes(2, 3).reshape(n, height // 2, width // 2, 4)
    total = fine.sum(-1)
    padded = np.pad(total, ((0, 0), (REACH, REACH), (REACH, REACH)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1), (1, 2))
    hit = total > 0
    return np.arcsinh(windows[hit].reshape(int(hit.sum()), -1) / SCALE), fine[hit]


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where data are, or go")
    given = files("resolution", parser.parse_args().folder)
    training, test = (
        read_samples(given[part], split, "images", 4).x[:, 0].double().numpy()
        for part, split in (("pairs", "train"), ("test", "all"))
    )
    around, fine = coarse_pixels(training[:TRAINED])
    trees = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15).fit(around, fine.argmax(1))
    around, fine = coarse_pixels(test)
    odds, right, total = trees.predict_proba(around), fine.argmax(1), fine.sum(1, keepdims=True)
    drawn = (odds.cumsum(1) > np.random.default_rng(0).random((len(odds), 1))).argmax(1)
    made = {
        "empty": 0 * fine,
        "charge spread evenly": np.broadcast_to(total / 4, fine.shape),
        "all charge in the likeliest pixel": total * np.eye(4)[odds.argmax(1)],
        "all charge in a pixel drawn by the odds": total * np.eye(4)[drawn],
        "all charge in the right pixel": total * np.eye(4)[right],
    }
    found = {name: float(np.abs(each - fine).sum() / test.size) for name, each in made.items()}
    found["share of right pixels"] = float((odds.argmax(1) == right).mean())
    write_json(RESULTS / "places.json", found)
    print(found)


if __name__ == "__main__":
    main()
