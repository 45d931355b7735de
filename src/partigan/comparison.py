"""Several evaluations side by side: one table, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from partigan.errors import PartiganError
from partigan.files import atomic_folder, read_json, refuse_existing, write_json
from partigan.report.curves import metrics_side_by_side
from partigan.report.html import gallery, page, png, slug, table
from partigan.report.plots import Counts, overlay
from partigan.report.verdict import SIGNS, number


@dataclass(frozen=True)
class _Report:
    """What a folder made by `partigan.evaluate` holds: metrics, their labels and units, and observables."""

    name: str
    metrics: dict[str, dict[str, Any]]
    about: dict[str, dict[str, Any]]
    observables: dict[str, Counts]

    @classmethod
    def read(cls, folder: Path) -> _Report:
        if not (folder / "metrics.json").exists():
            raise PartiganError(f"{folder} is not a report (no metrics.json); make one with 'partigan evaluate'")
        about = read_json(folder / "verdict.json")["metrics"] if (folder / "verdict.json").exists() else {}
        kept = read_json(folder / "histograms.json") if (folder / "histograms.json").exists() else {}
        observables = {name: Counts(**counts) for name, counts in kept.items()}
        return cls(folder.name, read_json(folder / "metrics.json"), about, observables)

    def cell(self, name: str, unit: float) -> str:
        """A metric with its error and the sign of its verdict."""
        sign = SIGNS[self.about.get(name, {}).get("verdict", "")][0]
        return f"{_cell(self.metrics[name], unit)} {sign}"


def compare(reports: Sequence[Path], out: Path, overwrite: bool = False) -> Path:
    """Put reports side by side: all metrics that they share; printed and drawn are those of all observables together.

    Observables of reports against the same real sample are drawn over each other.

    Args:
        reports: two or more folders made by `partigan.evaluate`.
        out: directory to make: ``comparison.html``, ``comparison.json``, ``metrics.png`` and a PNG for each observable.
        overwrite: replace an existing directory.

    Returns:
        The HTML page.

    Raises:
        PartiganError: fewer than two reports, folders that are none, without a metric in common, or an existing output.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    if len(reports) < 2:
        raise PartiganError("give at least two report folders to compare")
    read = [_Report.read(Path(folder)) for folder in reports]
    if len({report.name for report in read}) < len(read):
        read = [replace(r, name=str(folder)) for folder, r in zip(reports, read, strict=True)]
    names = [name for name in read[0].metrics if all(name in report.metrics for report in read)]
    if not names:
        raise PartiganError(f"the reports {', '.join(report.name for report in read)} have no metric in common")
    known = {name: about for report in read for name, about in report.about.items()}
    labels = {name: known.get(name, {}).get("label", name) for name in names}
    units = {name: known.get(name, {}).get("unit", 1.0) for name in names}
    beside = [[_cell(report.metrics[n], units[n], "in_sample", "in_sample_error") for n in names] for report in read]
    same = all(column == beside[0] for column in beside)
    titles = ["in-sample"] if same else [f"in-sample, {report.name}" for report in read]
    references = dict(zip(titles, beside, strict=False))
    header = ("metric", *(report.name for report in read), *references)
    columns = [[report.cell(name, units[name]) for name in names] for report in read]
    rows = list(zip(labels.values(), *columns, *references.values(), strict=True))
    whole = [name for name in names if known.get(name, {}).get("observable") is None] or names
    shown = Table(*header, box=None)
    for name, row in zip(names, rows, strict=True):
        if name in whole:
            shown.add_row(*row)
    Console().print(shown)
    figure = metrics_side_by_side(
        {report.name: report.metrics for report in read}, {n: labels[n] for n in whole}, units
    )
    with atomic_folder(out, "comparison.json") as folder:
        image = png(figure)
        (folder / "metrics.png").write_bytes(image)
        pictures = {"Metrics with errors; bands: in-sample": image}
        for name, figure in _overlays(read).items():
            pictures[name] = png(figure)
            (folder / f"{slug(name)}.png").write_bytes(pictures[name])
        parts = [table(header, rows), gallery(pictures)]
        (folder / "comparison.html").write_text(page("partigan: comparison", parts))
        write_json(folder / "comparison.json", {report.name: report.metrics for report in read})
    return out / "comparison.html"


def _overlays(reports: Sequence[_Report]) -> dict[str, Figure]:
    """The observables that all reports have against the same real sample, by label."""
    first = reports[0].observables
    shared = [
        name
        for name, counts in first.items()
        if all(name in r.observables and r.observables[name][:3] == counts[:3] for r in reports)
    ]
    return {first[name].label: overlay({r.name: r.observables[name] for r in reports}) for name in shared}


def _cell(entry: dict[str, Any], unit: float, value: str = "value", error: str = "error") -> str:
    return "" if entry[value] is None else number(entry[value], entry[error], unit)
