"""Figures of several systems: metrics side by side, quality against time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from partigan.report.style import REAL, SERIES, plain, style


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
    with style():
        figure = Figure(figsize=(3.2 * columns, 2.2 * lines + 0.6), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, (metric, label) in zip(axes, labels.items(), strict=False):
            for place, (name, metrics) in enumerate(reports.items()):
                keys = ("value", "error", "in_sample", "in_sample_error")
                value, error, middle, half = ((metrics[metric][key] or 0.0) / units[metric] for key in keys)
                look = {"fmt": "os^Dv<>P"[place % 8], "color": SERIES[place % len(SERIES)], "capsize": 3}
                axis.errorbar(place, value, error or None, label=plain(name), **look)
                if metrics[metric]["in_sample"] is not None:
                    axis.fill_between((place - 0.4, place + 0.4), middle - half, middle + half, color=REAL, alpha=0.3)
                    axis.hlines(middle, place - 0.4, place + 0.4, color=REAL, lw=1)
            axis.set_title("\n".join(map(plain, textwrap.wrap(label, 34))), fontsize=9)
            axis.set(xticks=[], xlim=(-0.6, len(reports) - 0.4))
            axis.tick_params(labelsize=8)
        for axis in axes[len(labels) :]:
            axis.set_axis_off()
        handles = {text: h for axis in axes for h, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=9)
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
    with style():
        figure = Figure(figsize=(max(5.6, 3.6 * len(classes)), 4.6), layout="constrained")
        axes = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, classes, strict=True):
            mine = [point for point in points if point[0] == name]
            for _, model, time, entry in mine:
                value, error = entry["value"] / unit, (entry["error"] or 0.0) / unit
                look = {"fmt": "os^Dv<>P"[names.index(model) % 8], "color": colours(names.index(model))}
                axis.errorbar(time, value, error, label=plain(model), capsize=2, **look)
            if (entry := mine[0][3])["in_sample"] is not None:
                middle, half = entry["in_sample"] / unit, (entry["in_sample_error"] or 0.0) / unit
                axis.axhspan(max(middle - half, middle / 10), middle + half, color=REAL, alpha=0.2, label="real")
            axis.set(title=plain(name), xlabel="microseconds a sample", xscale="log", yscale="log")
        axes[0].set_ylabel(plain(label))
        handles = {
            text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return figure
