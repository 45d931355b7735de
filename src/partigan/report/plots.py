"""Figures that compare a real with a generated sample, in mplhep's style and colours safe for the colour-blind."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from hist import Hist
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

REAL, FAKE = "#0072B2", "#D55E00"  # Okabe-Ito blue and vermillion
Values = NDArray[Any]

_STYLE: Any = {"font.size": 11, "axes.labelsize": 11, "legend.frameon": False, "figure.dpi": 110}


def compare(
    samples: tuple[Values, Values],
    label: str,
    *,
    bins: int = 50,
    log: bool = False,
    integer: bool = False,
) -> Figure:
    """Two normalised histograms with statistical errors, and their ratio below.

    Args:
        samples: real ``(n,)`` and generated ``(m,)`` values.
        label: of the axis, with the unit.
        bins: number of bins between the outer quantiles of the real sample, with a margin.
        log: logarithmic vertical axis.
        integer: one bin for each integer.
    """
    edges = _edges(samples[0], bins, integer)
    histograms = [Hist.new.Var(edges).Double().fill(np.asarray(sample, float)) for sample in samples]
    counts = [histogram.values() for histogram in histograms]
    norms = [1 / (max(len(sample), 1) * np.diff(edges)) for sample in samples]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        for count, norm, colour, name in zip(counts, norms, (REAL, FAKE), ("real", "generated"), strict=True):
            mplhep.histplot(count * norm, edges, yerr=np.sqrt(count) * norm, ax=top, color=colour, label=name)
        top.set_ylabel("normalised")
        top.legend()
        if log and counts[0].any():
            top.set_yscale("log")
        filled = counts[0] > 0
        ratio, error = np.full((2, len(filled)), np.nan)
        density = [count * norm for count, norm in zip(counts, norms, strict=True)]
        ratio[filled] = density[1][filled] / density[0][filled]
        error[filled] = np.sqrt(counts[1][filled]) * norms[1][filled] / density[0][filled]
        band = np.full(len(filled), np.nan)
        band[filled] = 1 / np.sqrt(counts[0][filled])
        bottom.stairs(1 + band, edges, baseline=1 - band, fill=True, color=REAL, alpha=0.25)
        bottom.axhline(1, color=REAL, lw=1)
        bottom.errorbar((edges[1:] + edges[:-1]) / 2, ratio, error, fmt=".", ms=3, lw=1, color=FAKE)
        bottom.set(ylim=(0.5, 1.5), xlabel=label, ylabel="gen. / real", xlim=(edges[0], edges[-1]))
    return figure


def _edges(real: Values, bins: int, integer: bool) -> Values:
    if integer:
        return np.arange(real.min() - 1.5, real.max() + 2.5)
    low, high = np.quantile(real, (0.0005, 0.9995))
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(max(low - margin, 0.0) if real.min() >= 0 else low - margin, high + margin, bins + 1)


def images(
    real: Values,
    fake: Values,
    extent: tuple[float, float, float, float],
    labels: tuple[str, str, str] = (
        r"$\eta^{\mathrm{rel}}$",
        r"$\phi^{\mathrm{rel}}$",
        r"mean $p_T^{\mathrm{rel}}$ in a pixel",
    ),
) -> Figure:
    """Mean images side by side, on one logarithmic colour scale.

    Args:
        real: ``(rows, columns)``.
        fake: ``(rows, columns)``.
        extent: left, right, bottom and top of the image.
        labels: of the axes and of the colours.
    """
    positive = real[real > 0]
    norm = LogNorm(float(np.quantile(positive, 0.05)), float(positive.max())) if len(positive) else None
    colours = mpl.colormaps["viridis"].with_extremes(under="white", bad="white")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, image, title in zip(axes, (real, fake), ("real", "generated"), strict=True):
            shown = axis.imshow(
                np.where(image > 0, image, np.nan),
                origin="lower",
                extent=extent,
                norm=norm,
                cmap=colours,
                aspect="equal" if abs(extent[1] - extent[0]) == abs(extent[3] - extent[2]) else "auto",
            )
            axis.set(title=title, xlabel=labels[0], xticks=np.linspace(*extent[:2], 5))
        axes[0].set_ylabel(labels[1])
        figure.colorbar(shown, ax=axes, label=labels[2])
    return figure


def gallery(real: Values, fake: Values, high: float, columns: int = 6) -> Figure:
    """The first images of two samples side by side, on one grey scale from 0.

    Args:
        real: ``(n, height, width)``.
        fake: ``(m, height, width)``.
        high: value shown in black.
        columns: images in a row of each side, and rows.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        for axis, sample, title in zip(figure.subplots(1, 2), (real, fake), ("real", "generated"), strict=True):
            height, width = sample.shape[1:]
            shown = np.zeros((columns**2, height, width))
            shown[: len(sample)] = sample[: columns**2]
            mosaic = shown.reshape(columns, columns, height, width).swapaxes(1, 2)
            axis.imshow(mosaic.reshape(columns * height, columns * width), cmap="Greys", vmin=0, vmax=high)
            axis.set(title=title, xticks=[], yticks=[])
    return figure


def by_class(real: tuple[Values, Values], fake: tuple[Values, Values], label: str) -> Figure:
    """Mean of a quantity in each class, with its error.

    Args:
        real: class labels ``(n,)`` and values ``(n,)``.
        fake: the same of the generated sample.
        label: of the quantity.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axis = figure.subplots()
        samples = ((real, REAL, "real", -0.1), (fake, FAKE, "generated", 0.1))
        for (classes, values), colour, name, shift in samples:
            groups = {c: values[classes == c] for c in np.unique(classes)}
            means = [group.mean() for group in groups.values()]
            errors = [group.std() / max(len(group) - 1, 1) ** 0.5 for group in groups.values()]
            axis.errorbar(np.array(list(groups)) + shift, means, errors, fmt="o", ms=4, color=colour, label=name)
        axis.set(xlabel="class", ylabel=label)
        axis.legend()
    return figure


def training_curves(log: list[dict[str, Any]]) -> Figure:
    """Losses, and validation metrics, against the training step.

    Args:
        log: lines of ``metrics.jsonl``; losses have one slash in their name, monitors two, validation metrics none.
    """
    names = list(dict.fromkeys(name for line in log for name in line if name != "step"))
    groups = [[name for name in names if name.count("/") == slashes] for slashes in (1, 0)]
    with mpl.rc_context(_STYLE):
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
