"""Figures of a training: its losses and validation metrics, and how the metrics go together."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from partigan.report.style import plain, style


def training_curves(log: list[dict[str, Any]]) -> Figure:
    """Losses, and validation metrics, against the training step.

    Args:
        log: lines of ``metrics.jsonl``; losses have one slash in their name, monitors two, validation metrics none.
    """
    names = list(dict.fromkeys(name for line in log for name in line if name != "step"))
    groups = [[name for name in names if name.count("/") == slashes] for slashes in (1, 0)]
    with style():
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        for axis, group, title in zip(figure.subplots(1, 2), groups, ("losses", "validation"), strict=True):
            for name in group:
                points = np.array([(line["step"], line[name]) for line in log if name in line])
                axis.plot(
                    *points.T,
                    lw=1,
                    label=plain(name.replace("/objective", "")),
                    marker="." if title == "validation" else None,
                )
            axis.set(title=title, xlabel="training step")
            if title == "validation" and group:
                axis.set_yscale("log")
            if group:
                axis.legend(fontsize=8)
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
    matrix, ticks = centred.T @ centred / len(table), [plain(name) for name in names]
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        shown = axis.imshow(matrix, vmin=-1, vmax=1, cmap="PuOr")
        for (row, column), value in np.ndenumerate(matrix):
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if abs(value) > 0.6 else "k")
        axis.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=ticks, yticklabels=ticks)
        axis.set_title(f"{len(table)} checkpoints", fontsize=10)
        figure.colorbar(shown, ax=axis)
    return figure
