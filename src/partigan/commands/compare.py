"""Several evaluations side by side: one table, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.cells import cell_len

from partigan.documents import Rule, check, read_json
from partigan.errors import PartiganError
from partigan.evaluation.figures import Pictures
from partigan.evaluation.summary import LINES, NUMBERS
from partigan.evaluation.terminal import lines_of, say, width
from partigan.evaluation.verdicts import SIGNS, number
from partigan.files import write_json, write_text
from partigan.folders import atomic_folder
from partigan.outputs import writing
from partigan.report.comparison import metrics_side_by_side
from partigan.report.distributions import Counts, overlay
from partigan.report.html import facts, heading, note, page, pictures, table

_NUMBER = (float, type(None))
_METRICS = {str: {"value": _NUMBER, "error": _NUMBER, "in_sample": _NUMBER, "in_sample_error": _NUMBER, str: object}}
_ABOUT = {"label": str, "unit": float, "verdict": Rule(str, SIGNS.__contains__, "a verdict"), str: object}
_VERDICT = {"metrics": {str: _ABOUT}, str: object}
_HISTOGRAMS = {
    str: Rule(
        {"label": str, "edges": [float], "real": [int], "generated": [int], "outside": [int]},
        lambda one: len(one["edges"]) - 1 == len(one["real"]) == len(one["generated"]) and len(one["outside"]) == 4,
        "counts for each bin, and outside of them",
    )
}
_LABEL = 18  # columns on the terminal that labels keep


@dataclass(frozen=True)
class Report:
    """What a folder made by `partigan.evaluate` holds.

    Attributes:
        name: of the folder.
        metrics: numbers by name.
        about: label, unit, verdict and observable of each metric.
        observables: histograms by name.
    """

    name: str
    metrics: dict[str, dict[str, Any]]
    about: dict[str, dict[str, Any]]
    observables: dict[str, Counts]

    @classmethod
    def read(cls, folder: Path) -> Report:
        """Read a folder.

        Raises:
            PartiganError: it is not a report.
        """
        if not (folder / NUMBERS).exists():
            raise PartiganError(f"{folder} is not a report (no {NUMBERS}); make one with 'partigan evaluate'")
        metrics, verdict, kept = (
            _checked(folder / name, schema)
            for name, schema in ((NUMBERS, _METRICS), ("verdict.json", _VERDICT), ("histograms.json", _HISTOGRAMS))
        )
        observables = {name: Counts(**counts) for name, counts in kept.items()}
        return cls(folder.resolve().name, metrics, verdict.get("metrics", {}), observables)

    def cell(self, name: str, unit: float) -> str:
        """A metric with its error and the sign of its verdict."""
        sign = SIGNS[self.about.get(name, {}).get("verdict", "")][0]
        return f"{self.value(name, unit)} {sign}"

    def value(self, name: str, unit: float) -> str:
        """A metric with its error."""
        return _text(self.metrics[name]["value"], self.metrics[name]["error"], unit)

    def in_sample(self, name: str, unit: float) -> str:
        """The in-sample value of a metric with its error."""
        return _text(self.metrics[name]["in_sample"], self.metrics[name]["in_sample_error"], unit)


def _checked(path: Path, schema: Any) -> dict[str, Any]:
    """The content of a file of a report; nothing where there is none."""
    if not path.exists():
        return {}
    content = read_json(path)
    check(content, schema, str(path))
    return dict(content)


def _text(value: float | None, error: float | None, unit: float) -> str:
    return "" if value is None else number(value, error, unit)


@dataclass(frozen=True)
class Comparison:
    """Reports and the metrics that they share.

    Attributes:
        reports: two or more.
        labels: of the metrics, by name.
        units: in which they are shown, by name.
        whole: names of metrics that are not about a single observable.
    """

    reports: list[Report]
    labels: dict[str, str]
    units: dict[str, float]
    whole: list[str]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Comparison:
        """Read reports.

        Raises:
            PartiganError: there are fewer than two, one is not a report, or they share no metric.
        """
        if len(folders) < 2:
            raise PartiganError("give at least two report folders to compare")
        reports = [Report.read(Path(folder)) for folder in folders]
        if len({report.name for report in reports}) < len(reports):
            reports = [replace(report, name=str(folder)) for folder, report in zip(folders, reports, strict=True)]
        names = [name for name in reports[0].metrics if all(name in report.metrics for report in reports)]
        if not names:
            raise PartiganError(f"the reports {', '.join(report.name for report in reports)} have no metric in common")
        known = {name: about for report in reports for name, about in report.about.items()}
        labels = {name: str(known.get(name, {}).get("label", name)) for name in names}
        units = {name: float(known.get(name, {}).get("unit", 1.0)) for name in names}
        whole = [name for name in names if known.get(name, {}).get("observable") is None] or names
        return cls(reports, labels, units, whole)

    @property
    def references(self) -> dict[str, dict[str, str]]:
        """In-sample values by metric, under one title where all reports have the same ones."""
        found = {
            f"in-sample, {report.name}": {name: report.in_sample(name, self.units[name]) for name in self.labels}
            for report in self.reports
        }
        first = next(iter(found.values()))
        return {"in-sample": first} if all(values == first for values in found.values()) else found

    def columns(self) -> dict[str, dict[str, str]]:
        """The columns of the table: values of each report, then in-sample values, by title."""
        values = {r.name: {name: r.cell(name, self.units[name]) for name in self.labels} for r in self.reports}
        return values | self.references

    def overlays(self) -> dict[str, str]:
        """Observables that all reports have against the same real sample: label, and name."""
        first = self.reports[0].observables
        return {
            counts.label: name
            for name, counts in first.items()
            if all(
                name in report.observables and report.observables[name].reference == counts.reference
                for report in self.reports
            )
        }

    def overlay(self, name: str) -> Figure:
        """An observable of all reports."""
        return overlay({report.name: report.observables[name] for report in self.reports})

    def side_by_side(self) -> Figure:
        """The metrics that are not about single observables."""
        labels = {name: self.labels[name] for name in self.whole}
        return metrics_side_by_side({report.name: report.metrics for report in self.reports}, labels, self.units)

    def show(self, path: Path) -> None:
        """Print the metrics that are not about single observables, in as many tables as the width needs."""
        shown, room = self.whole[:LINES], width()
        columns = {title: {name: cells[name] for name in shown} for title, cells in self.columns().items()}
        for titles in _that_fit(columns, room - _LABEL):
            cells = [[columns[title][name] for title in titles] for name in shown]
            left = room - sum(2 + max(map(cell_len, column)) for column in zip(titles, *cells, strict=True))
            labels = [self.labels[name] if cell_len(self.labels[name]) <= left else name for name in shown]
            rows = [(label, *row) for label, row in zip(labels, cells, strict=True)]
            say(*lines_of(("metric", *titles), rows, [""] * len(rows), room))
        if (more := len(self.labels) - len(shown)) > 0:
            say(f"{more:,} metric{'s' * (more != 1)} more in the comparison")
        say(f"comparison: {path}")


def _that_fit(columns: dict[str, dict[str, str]], room: int) -> list[list[str]]:
    """Titles of columns in groups, each as wide as the terminal has room for."""
    groups: list[list[str]] = [[]]
    left = room
    for title, cells in columns.items():
        wide = 2 + max(map(cell_len, (title, *cells.values())))
        if wide > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(title)
        left -= wide
    return groups


def compare(reports: Sequence[Path], out: Path, overwrite: bool = False) -> Path:
    """Put reports side by side: all metrics that they share; observables against the same real sample over each other.

    Args:
        reports: two or more folders made by `partigan.evaluate`.
        out: directory to make: ``comparison.html``, ``comparison.json``, ``metrics.png`` and a PNG for each observable.
        overwrite: replace an existing directory.

    Returns:
        The HTML page.

    Raises:
        PartiganError: fewer than two reports, folders that are none, without a metric in common, or an existing output.
    """
    found = Comparison.of(reports)
    with writing(out, reports, overwrite=overwrite):
        return _write(found, Path(out))


def _write(found: Comparison, out: Path) -> Path:
    """Everything of a comparison."""
    with atomic_folder(out, "partigan compare") as folder:
        write_json(folder / "comparison.json", {report.name: report.metrics for report in found.reports})
    drawn = Pictures()
    drawn.draw("Metrics", "Metrics", found.side_by_side)
    for label, name in found.overlays().items():
        drawn.draw("Observables", label, lambda name=name: found.overlay(name))  # type: ignore[misc]
    drawn.write(out)
    columns = found.columns()
    rows = [(label, *(column[name] for column in columns.values())) for name, label in found.labels.items()]
    parts = [table(("metric", *columns), rows), note("In the figures, bars are errors and bands in-sample values.")]
    for section, images in drawn.sections.items():
        parts += [heading(section), pictures(images)]
    if drawn.failed:
        parts += [heading("Left out"), facts(drawn.failed)]
    path = out / "comparison.html"
    write_text(path, page("partigan: comparison", parts))
    found.show(path)
    for caption, why in drawn.failed.items():
        say(f"left out: figure '{caption}': {why}")
    return path
