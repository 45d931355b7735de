"""Figures of real and generated samples, in mplhep's style and colours safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import mplhep
import numpy as np
from hist import Hist
from matplotlib.colors import LogNorm, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from partigan.data.batch import Batch

REAL, FAKE = "#0072B2", "#D55E00"  # Okabe-Ito blue and vermillion
SERIES = (FAKE, "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")  # Okabe and Ito, for several generated samples
_EITHER = "#555577"  # single samples, which may be either
Values = NDArray[Any]

STYLE: Any = {"font.size": 11, "axes.labelsize": 11, "legend.frameon": False, "figure.dpi": 110}


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
    with mpl.rc_context(STYLE):
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
    margin = 0.05 * (high - low) if high - low > 1e-9 * abs(high) else 0.5
    return np.linspace(max(low - margin, 0.0) if real.min() >= 0 else low - margin, high + margin, bins + 1)


class Counts(NamedTuple):
    """Histograms of an observable of a real and a generated sample, as reports keep them.

    Attributes:
        label: of the axis, with the unit.
        edges: of the bins, ``(bins + 1,)``.
        real: numbers of real samples in the bins, ``(bins,)``.
        generated: the same of generated ones.
    """

    label: str
    edges: list[float]
    real: list[int]
    generated: list[int]

    @classmethod
    def of(cls, real: Values, generated: Values, label: str) -> Counts:
        """The histograms of two samples ``(n,)`` and ``(m,)``, in bins that depend on the real one alone."""
        whole = bool((real == np.round(real)).all()) and float(np.ptp(real)) < 200
        edges = _edges(real, 50, whole)
        counts = [np.histogram(sample, edges)[0].tolist() for sample in (real, generated)]
        return cls(label, edges.tolist(), *counts)


def overlay(counts: Mapping[str, Counts]) -> Figure:
    """An observable of several generated samples over that of the real one, normalised, with their ratios below.

    Args:
        counts: by name of the sample, all in the same bins and against the same real sample.
    """
    first = next(iter(counts.values()))
    edges, real = np.array(first.edges), np.array(first.real, float)
    norm = 1 / (max(real.sum(), 1) * np.diff(edges))
    filled = real > 0
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        top.stairs(real * norm, edges, fill=True, color=REAL, alpha=0.25, label="real")
        band = np.divide(1, np.sqrt(real), out=np.full(len(real), np.nan), where=filled)
        bottom.stairs(1 + band, edges, baseline=1 - band, fill=True, color=REAL, alpha=0.25)
        bottom.axhline(1, color=REAL, lw=1)
        for place, (name, found) in enumerate(counts.items()):
            made = np.array(found.generated, float)
            made /= max(made.sum(), 1) * np.diff(edges)
            style = {"color": SERIES[place % len(SERIES)], "ls": ("-", "--", ":")[place // len(SERIES) % 3], "lw": 1.4}
            top.stairs(made, edges, label=name, **style)
            bottom.stairs(np.divide(made, real * norm, out=np.full(len(real), np.nan), where=filled), edges, **style)
        top.set_ylabel("normalised")
        top.legend()
        bottom.set(ylim=(0.5, 1.5), xlabel=first.label, ylabel="gen. / real", xlim=(edges[0], edges[-1]))
    return figure


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
    with mpl.rc_context(STYLE):
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
            axis.set(title=title, xlabel=labels[0])
            axis.locator_params(axis="x", nbins=5)
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
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        for axis, sample, title in zip(figure.subplots(1, 2), (real, fake), ("real", "generated"), strict=True):
            height, width = np.add(sample.shape[1:], 1)  # a line of half grey between images
            shown = np.full((columns**2, height, width), high / 2)
            shown[: len(sample), :-1, :-1] = sample[: columns**2]
            mosaic = shown.reshape(columns, columns, height, width).swapaxes(1, 2)
            axis.imshow(mosaic.reshape(columns * height, columns * width), cmap="Greys", vmin=0, vmax=high)
            axis.set(title=title, xticks=[], yticks=[])
    return figure


def by_class(
    real: tuple[Values, Values], fake: tuple[Values, Values], label: str, classes_label: str = "class"
) -> Figure:
    """Mean of a quantity in each class, with its error.

    Args:
        real: class labels ``(n,)`` and values ``(n,)``.
        fake: the same of the generated sample.
        label: of the quantity.
        classes_label: of the classes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axis = figure.subplots()
        samples = ((real, REAL, "real", -0.1), (fake, FAKE, "generated", 0.1))
        for (classes, values), colour, name, shift in samples:
            groups = {c: values[classes == c] for c in np.unique(classes)}
            means = [group.mean() for group in groups.values()]
            errors = [group.std() / max(len(group) - 1, 1) ** 0.5 for group in groups.values()]
            axis.errorbar(np.array(list(groups)) + shift, means, errors, fmt="o", ms=4, color=colour, label=name)
        axis.set(xlabel=classes_label, ylabel=label)
        axis.legend()
    return figure


def mosaic(samples: Batch, titles: Sequence[str], columns: int = 4) -> Figure:
    """Single samples side by side: clouds as discs whose area is the third feature, images on one colour scale.

    Of images with more pixels than can be shown the largest values of blocks are; sparse ones have a scale of roots.

    Args:
        samples: clouds ``(rows, particles, features)`` with a mask, images ``(rows, channel, height, width)``, of which
            the first channel is shown, or tables ``(rows, features)``, as profiles.
        titles: above each of them.
        columns: in a row.
    """
    x = samples.x.float().numpy()
    height = 2.3
    if x.ndim == 4:
        x = _blocks(x[:, 0])
        columns = columns if x.shape[2] < 2 * x.shape[1] else columns // 2
        height = min(height, 8.6 / columns * x.shape[1] / x.shape[2] + 0.3)
        low, high = float(x.min()), float(x.max())
        norm = PowerNorm(0.5 if np.median(x) == low < high else 1.0, low, high)
    lines = -(-len(samples) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, height * lines), layout="constrained")
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        mask = None if samples.mask is None else samples.mask.numpy()
        if mask is not None:
            reach = float(np.abs(x[..., :2][mask]).max(initial=1e-6)) * 1.05
            scale = 400 / max(float(x[..., 2][mask].max(initial=0)), 1e-12) if x.shape[-1] > 2 else 0.0
        for row, (axis, title) in enumerate(zip(axes, titles, strict=False)):
            if mask is not None:
                area = x[row, mask[row], 2].clip(0) * scale if x.shape[-1] > 2 else 9.0
                axis.scatter(*x[row, mask[row], :2].T, s=area, color=_EITHER, alpha=0.5, edgecolors="#333", lw=0.5)
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            elif samples.x.ndim == 4:
                axis.imshow(x[row], norm=norm, cmap="viridis")
            else:
                axis.step(range(x.shape[1]), x[row], where="mid", color=_EITHER)
            axis.set_title(title, fontsize=10)
            axis.set(xticks=[], yticks=[])
        for axis in axes[len(x) :]:
            axis.set_axis_off()
    return figure


def _blocks(images: Values) -> Values:
    """Largest values of the blocks of images ``(n, height, width)``, as small as leaves at most 400 pixels a side."""
    block = -(-max(images.shape[1:]) // 400)
    rows, columns = (-(-side // block) * block for side in images.shape[1:])
    padding = ((0, 0), (0, rows - images.shape[1]), (0, columns - images.shape[2]))
    padded = np.pad(images, padding, constant_values=images.min(initial=np.inf))
    return np.asarray(padded.reshape(len(images), rows // block, block, columns // block, block).max((2, 4)))
