"""Tables: rows of named numbers, with labels, conditions and event weights where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.samples import checked, feature_units, file_attributes, read_samples, write_samples
from partigan.data.splits import Rows
from partigan.errors import PartiganError
from partigan.kinds.classifiers import TABLE
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
from partigan.metrics.frechet import fpd
from partigan.metrics.sliced import directions, sliced_w1
from partigan.metrics.wasserstein import w1, wasserstein_1d
from partigan.metrics.weighted import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12  # features with a histogram in the report
FRECHET_ROWS = 1000

_LABELS = {
    "w1": ("W1 of the features (x 10^3)", 1e-3),
    "swd": ("sliced W1 (x 10^3)", 1e-3),
    "frechet": ("Fréchet distance (x 10^3)", 1e-3),
}


class TableFormat(Format):
    """Rows in the layout of `partigan.data.samples`."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``rows``."""
        return holds(path, "rows")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Rows of a split."""
        if "rows" in feature_units(path, "rows"):
            raise PartiganError(f"{path} has a feature called 'rows', as all of them are; give it another name")
        return read_samples(path, split, "rows", 2, finite)

    def count(self, path: Path) -> int:
        """The number of rows."""
        return number_of(path, "rows")

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write rows with the names of the training features."""
        units = state.get("units", [""] * len(state["features"]))
        features = dict(zip(state["features"], units, strict=True))
        write_samples(path, "rows", chunks, attributes, features, state.get("columns"))

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of the file."""
        return file_attributes(path)

    def describe(self, path: Path) -> dict[str, Any]:
        """The features of the rows with their units, and the columns of conditions and truth."""
        columns = {name: feature_units(path, name) for name in ("conditions", "truth") if holds(path, name)}
        return {"features": feature_units(path, "rows"), **({"columns": columns} if columns else {})}

    def check(self, sample: Batch) -> Batch:
        """Rows ``(rows, features)``."""
        if sample.x.dim() != 2:
            raise PartiganError(f"tables have the shape (rows, features), not {list(sample.x.shape)}")
        return checked(sample)

    def assume(self, sample: Batch) -> dict[str, Any]:
        """Features named 0, 1, ..."""
        return {"features": {str(number): "" for number in range(sample.x.shape[1])}}


class TableObservables(Observables):
    """The features themselves."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Every feature."""
        return {name: (name, unit) for name, unit in description["features"].items()}

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """The rows, and their columns by name."""
        rows = sample.x.double().numpy()
        return {"rows": rows, **dict(zip(description["features"], rows.T, strict=True))}


class TableEvaluation(Evaluation):
    """Distances in standard deviations of the real sample."""

    selection = ("swd", "w1")
    names = tuple(_LABELS)
    classifier = judge = TABLE
    weighted = True

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Sliced W1 and mean W1 of the features."""
        samples = [weighted(sample, sample.x.double().numpy()) for sample in (real, fake)]
        widths = _widths(samples[0].x, event_weights(real))
        a, b = (replace(sample, x=sample.x / widths) for sample in samples)
        columns = zip(a.x.T, b.x.T, strict=True)
        return {
            "swd": sliced_w1(a, b, np.random.default_rng(0)),
            "w1": float(np.mean([wasserstein_1d(replace(a, x=x), replace(b, x=y)) for x, y in columns])),
        }

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> Mapping[str, Finding | str]:
        """W1 of the features, sliced W1 and Fréchet distance, in standard deviations of the real sample.

        The Fréchet distance is left out below 1,000 rows.
        """
        rng = np.random.default_rng(seed)
        size = min(real.size, smallest)
        if size < 20:
            raise PartiganError(f"{size} rows are too few to compare; give at least 20")
        widths = _widths(real["rows"], real.weight)
        a, b = (sample.weighted(sample["rows"] / widths) for sample in (real, fake))
        along = directions(a.x.shape[1], 32, np.random.default_rng(0))
        found = {
            "w1": w1(a, b, samples=size, rng=rng),
            "swd": w1(replace(a, x=a.x @ along), replace(b, x=b.x @ along), samples=size, rng=rng),
        }
        if size >= FRECHET_ROWS:
            found["frechet"] = fpd(a, b, rng=rng, normalise=False)
        return findings(found, _LABELS)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """A histogram of each of the first features, and the plane of the first two."""
        from partigan.report.distributions import compare, images
        from partigan.report.style import plain

        rows, made = real["rows"], fake["rows"]
        names = [name for name in real if name != "rows"]
        figures = {
            f"Feature {name}": compare((real.weighted(rows[:, column]), fake.weighted(made[:, column])), plain(name))
            for column, name in enumerate(names[:SHOWN])
        }
        if rows.shape[1] > 1:
            (left, bottom), (right, top) = rows[:, :2].min(0), rows[:, :2].max(0) + 1e-9 * _widths(rows[:, :2])
            box = ((bottom, top), (left, right))
            planes = [
                np.histogram2d(x[:, 1], x[:, 0], 80, box, weights=sample.weight)[0] / sample.total
                for sample, x in ((real, rows), (fake, made))
            ]
            outside = (max(1 - planes[0].sum(), 0.0), max(1 - planes[1].sum(), 0.0))
            labels = (plain(names[0]), plain(names[1]), "share of the rows")
            figures[f"{names[1]} against {names[0]}"] = images(
                planes[0], planes[1], (left, right, bottom, top), labels, outside
            )
        return figures


def _widths(rows: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Standard deviations of the features, 1 in place of 0."""
    widths = Sample(rows, weight).std()
    return np.asarray(np.where(widths > 1e-12 * np.abs(rows).max(0), widths, 1.0))


TABLES = Kind("tables", TableFormat(), LabelConditions(), TableObservables(), TableEvaluation())
