"""Figures of numbers: of a training, of metrics, of a classifier."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from partigan.metrics.classifier import Reliability
from partigan.metrics.manifold import PRD
from partigan.report.plots import FAKE, REAL, STYLE, Values


def training_curves(log: list[dict[str, Any]]) -> Figure:
    """Losses, and validation metrics, against the training step.

    Args:
        log: lines of ``metrics.jsonl``; losses have one slash in their name, monitors two, validation metrics none.
    """
    names = list(dict.fromkeys(name for line in log for name in line if name != "step"))
    groups = [[name for name in names if name.count("/") == slashes] for slashes in (1, 0)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        for axis, group, title in zip(figure.subplots(1, 2), groups, ("losses", "validation"), strict=True):
            for name in group:
                points = np.array([(line["step"], line[name]) for line in log if name in line])
                axis.plot(
                    *points.T,
                    lw=1,
                    label=name.replace("/objective", ""),
                    marker="." if title == "validation" else None,
                )
            axis.set(title=title, xlabel="training step")
            if title == "validation" and group:
                axis.set_yscale("log")
            if group:
                axis.legend(fontsize=8)
    return figure


def quality_against_time(
    points: Sequence[tuple[str, str, float, Mapping[str, Any]]], label: str, unit: float
) -> Figure:
    """A metric against the time of generation, one panel for each class; the in-sample value as a band.

    Args:
        points: class, name, microseconds a sample, and the metric's entry (value, error, in_sample, in_sample_error).
        label: of the metric.
        unit: in which it is shown.
    """
    classes = list(dict.fromkeys(point[0] for point in points))
    names = list(dict.fromkeys(point[1] for point in points))
    colours = mpl.colormaps["tab20" if len(names) > 10 else "tab10"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(5.6, 3.6 * len(classes)), 4.6), layout="constrained")
        axes = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, classes, strict=True):
            mine = [point for point in points if point[0] == name]
            for _, model, time, entry in mine:
                value, error = entry["value"] / unit, entry["error"] / unit
                style = {"fmt": "os^Dv<>P"[names.index(model) % 8], "color": colours(names.index(model))}
                axis.errorbar(time, value, error, label=model, capsize=2, **style)
            if (entry := mine[0][3])["in_sample"] is not None:
                middle, half = entry["in_sample"] / unit, entry["in_sample_error"] / unit
                axis.axhspan(max(middle - half, middle / 10), middle + half, color=REAL, alpha=0.2, label="real")
            axis.set(title=name, xlabel="microseconds a sample", xscale="log", yscale="log")
        axes[0].set_ylabel(label)
        handles = {
            text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def reliability_diagram(found: Reliability) -> Figure:
    """How often events are real that a classifier says are real with some probability.

    Args:
        found: the diagram.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.plot((0, 1), (0, 1), color="#777", lw=1, ls="--", label="calibrated")
        axis.errorbar(found.predicted, found.observed, found.error, fmt=".", color=FAKE, label="found")
        axis.set(xlabel="predicted probability of being real", ylabel="share of real events", xlim=(0, 1), ylim=(0, 1))
        axis.legend()
    return figure


def prd_curve(found: PRD) -> Figure:
    """Precision against recall of distributions (arXiv:1806.00035, figure 1).

    Args:
        found: the curve.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(np.append(found.recall, 0), np.append(found.precision, found.precision.max()), color=FAKE)
        axis.plot((0, 1, 1), (1, 1, 0), color="#777", lw=1, ls="--", label="of one distribution")
        axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.03), ylim=(0, 1.03))
        axis.legend(loc="lower left")
    return figure


def distance_ratios(ratio: Values) -> Figure:
    """Distances of generated samples to training over those to held-out samples, on a logarithmic axis.

    Without memorisation a ratio is as frequent as its inverse: the distribution is drawn reflected, too.

    Args:
        ratio: ``(rows,)``; see `partigan.metrics.memorisation.Memorisation`.
    """
    value = np.log10(ratio.clip(1e-3, 1e3))
    reach = max(float(np.quantile(np.abs(value), 0.999)), 0.1)
    edges = np.linspace(-reach, reach, 42)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        for sign, colour, label in ((-1, REAL, "reflected"), (1, FAKE, "generated samples")):
            counts = np.histogram((sign * value).clip(-reach, reach), edges)[0]
            mplhep.histplot(counts, edges, yerr=np.sqrt(counts), ax=axis, color=colour, label=label)
        axis.axvline(0, color="#777", lw=1, ls="--")
        axis.set(xlabel="log10 (distance to training / distance to held-out)", ylabel="samples")
        axis.legend()
    return figure


def metric_correlations(log: list[dict[str, Any]]) -> Figure | None:
    """Spearman's rank correlations of the validation metrics over the checkpoints of a run (arXiv:2106.11535, fig. 4).

    Args:
        log: lines of ``metrics.jsonl``.

    Returns:
        The figure; None for a single metric or less than 5 checkpoints.
    """
    lines = [line for line in log if not any("/" in name for name in line)]
    names = [name for name in (lines[0] if lines else {}) if name != "step"]
    table = np.array([[line.get(name, np.nan) for name in names] for line in lines], dtype=float)
    table = table[np.isfinite(table).all(1)] if table.size else table
    if len(names) < 2 or len(table) < 5:
        return None
    ranks = rankdata(table, axis=0)
    centred = (ranks - ranks.mean(0)) / np.where(ranks.std(0) > 0, ranks.std(0), 1)
    matrix = centred.T @ centred / len(table)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        shown = axis.imshow(matrix, vmin=-1, vmax=1, cmap="PuOr")
        for (row, column), value in np.ndenumerate(matrix):
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if abs(value) > 0.6 else "k")
        axis.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
        axis.set_title(f"{len(table)} checkpoints", fontsize=10)
        figure.colorbar(shown, ax=axis)
    return figure


def metrics_side_by_side(
    reports: Mapping[str, Mapping[str, Mapping[str, Any]]], labels: Mapping[str, str], units: Mapping[str, float]
) -> Figure:
    """Metrics of several reports with their errors, one panel for each metric; in-sample values as bands.

    Args:
        reports: ``metrics.json`` of each, by name.
        labels: of the metrics that are shown, by name.
        units: in which they are shown, by name.
    """
    columns = 2  # legible on phones
    lines = -(-len(labels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * columns, 2.2 * lines + 0.6), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        colours = mpl.colormaps["tab10"]
        for axis, (metric, label) in zip(axes, labels.items(), strict=False):
            for place, (name, metrics) in enumerate(reports.items()):
                keys = ("value", "error", "in_sample", "in_sample_error")
                value, error, middle, half = ((metrics[metric][key] or 0.0) / units[metric] for key in keys)
                style = {"fmt": "os^Dv<>P"[place % 8], "color": colours(place % 10), "capsize": 3}
                axis.errorbar(place, value, error or None, label=name, **style)
                if metrics[metric]["in_sample"] is not None:
                    axis.fill_between((place - 0.4, place + 0.4), middle - half, middle + half, color=REAL, alpha=0.3)
                    axis.hlines(middle, place - 0.4, place + 0.4, color=REAL, lw=1)
            axis.set_title(textwrap.fill(label, 34), fontsize=9)
            axis.set(xticks=[], xlim=(-0.6, len(reports) - 0.4))
            axis.tick_params(labelsize=8)
        for axis in axes[len(labels) :]:
            axis.set_axis_off()
        handles = {text: h for axis in axes for h, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=9)
    return figure
