"""Tables: rows of named numbers, with labels, conditions and event weights where there are any."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.samples import (
    condition_arguments,
    condition_state,
    draw_conditions,
    feature_units,
    file_attributes,
    read_samples,
    write_samples,
)
from partigan.errors import PartiganError
from partigan.kinds.kind import Kind, Observables, classification
from partigan.metrics.frechet import fpd
from partigan.metrics.measurement import Measurement
from partigan.metrics.sliced import directions, sliced_w1
from partigan.metrics.wasserstein import w1, wasserstein_1d

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12  # features with a histogram in the report
FRECHET_ROWS = 1000


class Tables(Kind):
    """Rows of numbers in the layout of `partigan.data.samples`; metrics and figures do not look at event weights.

    Attributes:
        names: of the features of the file that was read last, with their units.
    """

    name: ClassVar[str] = "tables"
    selection: ClassVar[tuple[str, str]] = ("swd", "w1")
    labels: ClassVar[dict[str, tuple[str, float]]] = {
        "w1": ("W1 of the features (x 10^3)", 1e-3),
        "swd": ("sliced W1 (x 10^3)", 1e-3),
        "frechet": ("Fréchet distance (x 10^3)", 1e-3),
        "fpnd": ("Fréchet distance of a classifier", 1.0),
    }
    classifier: ClassVar[dict[str, Any]] = classification(
        "tables",
        "Fully connected network",
        "none",
        "ours",
        "partigan.data.transforms.Standardise",
        "partigan.nets.tables.TableClassifier",
        batch_size=256,
        max_steps=2000,
    )
    judge: ClassVar[dict[str, Any]] = classifier

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def read(self, path: Path, split: str) -> Batch:
        """Rows of a split."""
        self.names = feature_units(path, "rows")
        if "rows" in self.names:
            raise PartiganError(f"{path} has a feature called 'rows', as all of them are; give it another name")
        return read_samples(path, split, "rows", 2)

    def read_generated(self, path: Path) -> Batch:
        """All rows of a file; those with NaN or infinite values are kept."""
        return read_samples(path, "all", "rows", 2, finite=False)

    def features(self, path: Path) -> dict[str, str]:
        """The features of the rows."""
        return feature_units(path, "rows")

    @property
    def scalars(self) -> dict[str, tuple[str, str]]:
        """Every feature of the file that was read last."""
        return {name: (name, unit) for name, unit in self.names.items()}

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write rows with the names of the training features."""
        units = state.get("units", [""] * len(state["features"]))
        write_samples(path, "rows", chunks, attributes, dict(zip(state["features"], units, strict=True)))

    def network_arguments(self, sample: Batch) -> dict[str, Any]:
        """Numbers of features, classes and conditions."""
        return {"features": sample.x.shape[1], **condition_arguments(sample)}

    def conditions(self, path: Path) -> dict[str, Any]:
        """Names of the features, and labels or conditions of the training split."""
        features = feature_units(path, "rows")
        names = {"features": list(features), "units": list(features.values())}
        return {**names, **condition_state(self.read(path, "train"))}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Labels or conditions as in training."""
        return draw_conditions(state, size, rng), None

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Sliced W1 and mean W1 of the features, both in standard deviations of the real sample."""
        rows = self.observables(real)["rows"], self.observables(fake)["rows"]
        a, b = (sample / _widths(rows[0]) for sample in rows)
        return {
            "swd": sliced_w1(a, b, np.random.default_rng(0)),
            "w1": float(np.mean([wasserstein_1d(x, y) for x, y in zip(a.T, b.T, strict=True)])),
        }

    def observables(self, sample: Batch) -> Observables:
        """The rows themselves, and their columns by name."""
        rows = sample.x.double().numpy()
        return {"rows": rows, **dict(zip(self.names, rows.T, strict=False))}

    def metrics(
        self, real: Observables, fake: Observables, protocol: str, smallest: int, seed: int
    ) -> dict[str, Measurement]:
        """W1 of the features, sliced W1 and Fréchet distance, in standard deviations of the real sample.

        The Fréchet distance is left out below 1,000 rows.
        """
        rng = np.random.default_rng(seed)
        size = min(len(real["rows"]), smallest)
        if size < 20:
            raise PartiganError(f"{size} rows are too few to compare; give at least 20")
        a, b = (sample["rows"] / _widths(real["rows"]) for sample in (real, fake))
        along = directions(a.shape[1], 32, np.random.default_rng(0))
        found = {
            "w1": w1(a, b, samples=size, rng=rng),
            "swd": w1(a @ along, b @ along, samples=size, rng=rng),
        }
        if size >= FRECHET_ROWS:
            found["frechet"] = fpd(a, b, rng=rng, normalise=False)
        return found

    def figures(self, real: Observables, fake: Observables) -> dict[str, Figure]:
        """A histogram of each of the first features, and the plane of the first two."""
        from partigan.report.distributions import compare, images

        rows, made = real["rows"], fake["rows"]
        names = list(self.names) or [str(number) for number in range(rows.shape[1])]
        figures = {
            f"Feature {name}": compare((rows[:, column], made[:, column]), name)
            for column, name in enumerate(names[:SHOWN])
        }
        if rows.shape[1] > 1:
            (left, bottom), (right, top) = rows[:, :2].min(0), rows[:, :2].max(0) + 1e-9 * _widths(rows[:, :2])
            box = ((bottom, top), (left, right))
            planes = [np.histogram2d(x[:, 1], x[:, 0], 80, box)[0] / len(x) for x in (rows, made)]
            labels = (names[0], names[1], "share of the rows")
            figures[f"{names[1]} against {names[0]}"] = images(planes[0], planes[1], (left, right, bottom, top), labels)
        return figures

    def provenance(self, path: Path) -> dict[str, Any]:
        """The attributes of the file."""
        return file_attributes(path)


def _widths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of the features, 1 in place of 0."""
    widths = rows.std(0)
    return np.asarray(np.where(widths > 1e-12 * np.abs(rows).max(0), widths, 1.0))
