"""Images of one size, with labels or conditions where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.pictures import is_pictures, number_of_pictures, read_pictures
from partigan.data.samples import checked, file_attributes, read_samples, write_samples
from partigan.data.splits import Rows
from partigan.errors import PartiganError
from partigan.kinds.classifiers import IMAGE, IMAGE_JUDGE
from partigan.kinds.conditions import LabelConditions
from partigan.kinds.kind import (
    Columns,
    Evaluation,
    Format,
    Kind,
    Observables,
    Values,
    event_weights,
    findings,
    weighted,
)
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import fpd, frechet_distance
from partigan.metrics.measurement import Measurement
from partigan.metrics.sliced import directions, sliced_w1
from partigan.metrics.wasserstein import w1
from partigan.metrics.weighted import Sample, Weighted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPONENTS = 16  # principal components whose Fréchet distance is taken
OCCUPIED = 0.1  # of the largest real value: above it a pixel counts as hit
FRECHET_IMAGES = 200
LEARNED = 1000  # images whose principal components are taken where they have more pixels

_LABELS = {
    "frechet": ("Fréchet distance of principal components", 1.0),
    "swd": ("sliced W1 of the pixels (x 10^3)", 1e-3),
    "intensity": ("W1 of the mean intensity (x 10^3)", 1e-3),
    "occupancy": ("W1 of the occupancy (x 10^3)", 1e-3),
}
_SCALARS = {
    "mean": ("mean intensity", ""),
    "spread": ("standard deviation of the pixels", ""),
    "largest": ("largest pixel", ""),
    "bright": ("share of pixels above half of the largest", ""),
    "occupied": ("share of pixels that are not 0", ""),
    "hit": ("mean of the pixels that are not 0", ""),
    "row": ("row of the centre", "pixels"),
    "column": ("column of the centre", "pixels"),
}


class ImageFormat(Format):
    """Images ``(channel, height, width)`` in files of `data.samples` and folders of `data.pictures`."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``images`` in a file, or it is a folder of images."""
        return is_pictures(path) or holds(path, "images")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Images of a split."""
        if is_pictures(path):
            return read_pictures(path, split, finite)
        return read_samples(path, split, "images", 4, finite)

    def count(self, path: Path) -> int:
        """The number of images."""
        return number_of_pictures(path) if is_pictures(path) else number_of(path, "images")

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write images and their labels or conditions."""
        write_samples(path, "images", chunks, attributes)

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of a file; a folder has none."""
        return {} if is_pictures(path) else file_attributes(path)

    def check(self, sample: Batch) -> Batch:
        """Images ``(images, channel, height, width)``, or ``(images, height, width)`` of one channel."""
        if sample.x.dim() == 3:
            source = None if sample.source is None else sample.source[:, None]
            sample = replace(sample, x=sample.x[:, None], source=source)
        if sample.x.dim() != 4:
            raise PartiganError(f"images have the shape (images, channel, height, width), not {list(sample.x.shape)}")
        return checked(sample)

    def doubts(self, sample: Batch) -> list[str]:
        """Pixels between -1 and 1, on both sides of 0: charges, counts and grey values have other ranges."""
        low, high = float(sample.x.min()), float(sample.x.max())
        if low >= 0 or max(-low, high) > 1:
            return []
        return [f"pixels go from {low:.3g} to {high:.4g}; are they normalised already?"]


class ImageObservables(Observables):
    """Intensities, and the place of the centre."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Mean, spread, largest, bright and occupied pixels, and row and column of the centre."""
        return _SCALARS

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """Images, their labels where there are any, and the scalars, over all channels."""
        x = sample.x.double()
        largest, total = x.amax((1, 2, 3)), x.sum((1, 2, 3))
        row, column = (
            (x.sum(others) * torch.arange(x.shape[axis])).sum(1) / torch.where(total > 0, total, 1)
            for axis, others in ((2, (1, 3)), (3, (1, 2)))
        )
        found = {
            "images": sample.x.numpy(),
            "mean": x.mean((1, 2, 3)).numpy(),
            "spread": x.flatten(1).std(1, correction=0).numpy(),
            "largest": largest.numpy(),
            "bright": (x > largest[:, None, None, None] / 2).double().mean((1, 2, 3)).numpy(),
            "occupied": (x != 0).double().mean((1, 2, 3)).numpy(),
            "hit": (x.sum((1, 2, 3)) / (x != 0).sum((1, 2, 3)).clamp_min(1)).numpy(),
            "row": row.numpy(),
            "column": column.numpy(),
        }
        if sample.condition is not None and not sample.condition.is_floating_point():
            found["labels"] = sample.condition.numpy()
        return found


class ImageEvaluation(Evaluation):
    """Distances of pixels, intensities and principal components."""

    selection = ("frechet", "swd")
    names = tuple(_LABELS)
    classifier = IMAGE
    judge = IMAGE_JUDGE
    weighted = True

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Fréchet distance of the real sample's principal components, and sliced W1 of the pixels."""
        a, b = (Sample(sample.x.flatten(1).double().numpy(), event_weights(sample)) for sample in (real, fake))
        moments = [moment for f in _components(a, b) for moment in (f.mean(), f.covariance())]
        distance = sliced_w1(weighted(real, a.x), weighted(fake, b.x), np.random.default_rng(0))
        return {"frechet": frechet_distance(*moments), "swd": distance}

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding]:
        """Fréchet distance of principal components, sliced W1 of the pixels, W1 of mean intensity and occupancy.

        The Fréchet distance is left out below 200 images.
        """
        rng = np.random.default_rng(seed)
        size = min(real.size, smallest)
        if size < 20:
            raise PartiganError(f"{size} images are too few to compare; give at least 20")
        a, b = (
            Sample(sample["images"].reshape(sample.rows, -1).astype(float), sample.weight) for sample in (real, fake)
        )
        along = directions(a.x.shape[1], 32, np.random.default_rng(0))
        threshold = OCCUPIED * a.x.max()

        def distance(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Measurement:
            return w1(real.weighted(change(a.x)), fake.weighted(change(b.x)), samples=size, rng=rng)

        found = {
            "swd": distance(lambda x: x @ along),
            "intensity": distance(lambda x: x.mean(1)),
            "occupancy": distance(lambda x: (x > threshold).mean(1)),
        }
        if size >= FRECHET_IMAGES:
            first, second = _components(a, b)
            found["frechet"] = fpd(real.weighted(first.x), fake.weighted(second.x), rng=rng, normalise=False)
        return findings(found, _LABELS)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Galleries, mean images, pixel values, mean intensity and occupancy, and mean intensity of each class."""
        from partigan.report.distributions import by_class, compare, images
        from partigan.report.samples import gallery

        shown, made = real["images"], fake["images"]
        high, (height, width) = float(shown.max()), shown.shape[2:]
        box, labels = (0.0, float(width), float(height), 0.0), ("column", "row", "mean value")
        pixels, intensity, occupancy = (
            (Weighted(change(shown), of_real), Weighted(change(made), of_fake))
            for change, of_real, of_fake in (
                (np.ravel, real.repeated(shown[0].size), fake.repeated(made[0].size)),
                (lambda x: x.mean((1, 2, 3)), real.weight, fake.weight),
                (lambda x: (x > OCCUPIED * high).mean((1, 2, 3)), real.weight, fake.weight),
            )
        )
        figures = {
            "Images": gallery(shown[:, 0], made[:, 0], high),
            "Mean image": images(real.mean(shown[:, 0])[::-1], fake.mean(made[:, 0])[::-1], box, labels),
            "Pixel values": compare(pixels, "value of a pixel", log=True),
            "Mean intensity": compare(intensity, "mean of an image"),
            "Occupancy": compare(occupancy, "share of pixels that are hit"),
        }
        if "labels" in real and "labels" in fake:
            classes = [(sample["labels"], x) for sample, x in zip((real, fake), intensity, strict=True)]
            figures["Mean intensity of each class"] = by_class(classes[0], classes[1], "mean of an image")
        return figures


def _components(real: Sample, fake: Sample) -> tuple[Sample, Sample]:
    """Both samples ``(images, pixels)`` along the first principal components of the real one, which have width 1.

    Those of images with many pixels are taken of the products of a part of them, a small matrix with the same ones.
    """
    centre = real.mean()
    few = real.change(real.x - centre)[:LEARNED]
    positive = few.weights.clip(0)
    rows = few.x if few.weight is None else few.x * np.sqrt(positive / positive.mean())[:, None]
    large = real.x.shape[1] > len(few)
    values, vectors = np.linalg.eigh(rows @ rows.T / (len(few) - 1) if large else real.covariance())
    kept = slice(-min(COMPONENTS, int((values > 1e-9 * values[-1]).sum())), None)
    along = vectors[:, kept] / np.sqrt(values[kept])
    if large:
        along = rows.T @ along / np.sqrt((len(few) - 1) * values[kept])
    first, second = (sample.change((sample.x - centre) @ along) for sample in (real, fake))
    return first, second


IMAGES = Kind("images", ImageFormat(), LabelConditions(), ImageObservables(), ImageEvaluation())
