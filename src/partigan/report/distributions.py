"""Real and generated distributions side by side: histograms with ratios, mean images, means of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib as mpl
import mplhep
import numpy as np
from hist import Hist
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from partigan.report.style import FAKE, REAL, SERIES, Values, plain, style

_RATIO = (0.5, 1.5)  # range of the lower panels


def compare(
    samples: tuple[Values, Values],
    label: str,
    *,
    bins: int = 50,
    log: bool = False,
    integer: bool = False,
) -> Figure:
    """Two normalised histograms with statistical errors, and their ratio below.

    The shares of both samples outside the drawn range stand above the panel.

    Args:
        samples: real ``(n,)`` and generated ``(m,)`` values.
        label: of the axis, with the unit; may hold formulas.
        bins: number of bins between the outer quantiles of the real sample, with a margin.
        log: logarithmic vertical axis.
        integer: one bin for each integer.
    """
    edges = _edges(samples[0], bins, integer)
    counts = [Hist.new.Var(edges).Double().fill(np.asarray(sample, float)).values() for sample in samples]
    norms = [1 / (max(len(sample), 1) * np.diff(edges)) for sample in samples]
    density = [count * norm for count, norm in zip(counts, norms, strict=True)]
    filled = counts[0] > 0
    ratio, error, band = np.full((3, len(filled)), np.nan)
    ratio[filled] = density[1][filled] / density[0][filled]
    error[filled] = np.sqrt(counts[1][filled]) * norms[1][filled] / density[0][filled]
    band[filled] = 1 / np.sqrt(counts[0][filled])
    with style():
        figure, top, bottom = _panels(edges, label)
        for count, norm, colour, name in zip(counts, norms, (REAL, FAKE), ("real", "generated"), strict=True):
            mplhep.histplot(count * norm, edges, yerr=np.sqrt(count) * norm, ax=top, color=colour, label=name)
        top.legend()
        if log and counts[0].any():
            top.set_yscale("log")
        _outside(top, {"real": _beyond(samples[0], edges), "gen.": _beyond(samples[1], edges)})
        bottom.stairs(1 + band, edges, baseline=1 - band, fill=True, color=REAL, alpha=0.25)
        bottom.axhline(1, color=REAL, lw=1)
        middle = (edges[1:] + edges[:-1]) / 2
        bottom.errorbar(middle, ratio, error, fmt=".", ms=3, lw=1, color=FAKE)
        for marker, off, place in (("^", ratio > _RATIO[1], 0.94), ("v", ratio < _RATIO[0], 0.06)):
            bottom.plot(
                middle[off],
                np.full(off.sum(), place),
                marker,
                ms=4,
                color=FAKE,
                transform=bottom.get_xaxis_transform(),
            )
    return figure


def _panels(edges: Values, label: str) -> tuple[Figure, Any, Any]:
    """An empty figure of a histogram and a ratio."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    top.set_ylabel("normalised")
    bottom.set(ylim=_RATIO, xlabel=label, ylabel="gen. / real", xlim=(edges[0], edges[-1]))
    return figure, top, bottom


def _beyond(sample: Values, edges: Values) -> tuple[float, float]:
    """Shares of a sample below and above the edges."""
    size = max(len(sample), 1)
    return float((sample < edges[0]).sum() / size), float((sample > edges[-1]).sum() / size)


def _outside(axis: Any, shares: Mapping[str, tuple[float, float]]) -> None:
    """Write above a panel which shares of the samples lie below and above its range, where there are any."""
    for side, place, word in ((0, "left", "below"), (1, "right", "above")):
        if any(share[side] > 0 for share in shares.values()):
            text = ", ".join(f"{name} {share[side]:.2g}" for name, share in _percent(shares).items())
            axis.set_title(f"% {word}: {plain(text)}", loc=place, fontsize=8)


def _percent(shares: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: (100 * low, 100 * high) for name, (low, high) in shares.items()}


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
        outside: numbers of real samples below and above the bins, then of generated ones.
    """

    label: str
    edges: list[float]
    real: list[int]
    generated: list[int]
    outside: list[int]

    @classmethod
    def of(cls, real: Values, generated: Values, label: str) -> Counts:
        """Histograms of two samples ``(n,)`` and ``(m,)``, in bins that depend on the real one alone."""
        whole = bool((real == np.round(real)).all()) and float(np.ptp(real)) < 200
        edges = _edges(real, 50, whole)
        first, second = (np.histogram(sample, edges)[0].tolist() for sample in (real, generated))
        outside = [int(n) for s in (real, generated) for n in ((s < edges[0]).sum(), (s > edges[-1]).sum())]
        return cls(label, edges.tolist(), first, second, outside)

    @property
    def reference(self) -> tuple[Any, ...]:
        """The same for all histograms against one real sample."""
        return self.label, self.edges, self.real, self.outside[:2]

    @property
    def sizes(self) -> tuple[int, int]:
        """Sizes of the real and the generated sample."""
        return sum(self.real) + sum(self.outside[:2]), sum(self.generated) + sum(self.outside[2:])


def overlay(counts: Mapping[str, Counts]) -> Figure:
    """An observable of several generated samples over that of the real one, normalised, with their ratios below.

    Args:
        counts: by name of the sample, all in the same bins and against the same real sample.
    """
    first = next(iter(counts.values()))
    edges, real = np.array(first.edges), np.array(first.real, float)
    width, size = np.diff(edges), max(first.sizes[0], 1)
    density = real / (size * width)
    filled = density > 0
    shares = {"real": (first.outside[0] / size, first.outside[1] / size)}
    with style():
        figure, top, bottom = _panels(edges, plain(first.label))
        top.stairs(density, edges, color=REAL, fill=True, alpha=0.3, label="real")
        bottom.axhline(1, color=REAL, lw=1)
        for place, (name, found) in enumerate(counts.items()):
            size = max(found.sizes[1], 1)
            made = np.array(found.generated, float) / (size * width)
            shares[name] = (found.outside[2] / size, found.outside[3] / size)
            look = {"color": SERIES[place % len(SERIES)], "ls": ("-", "--", ":")[place // len(SERIES) % 3], "lw": 1.4}
            top.stairs(made, edges, label=plain(name), **look)
            bottom.stairs(np.divide(made, density, out=np.full(len(real), np.nan), where=filled), edges, **look)
        _outside(top, shares if sum(map(len, shares)) < 20 else _extremes(shares))
        top.legend()
    return figure


def _extremes(shares: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The real sample's shares, and the largest of the others on either side."""
    others = [share for name, share in shares.items() if name != "real"]
    return {"real": shares["real"], "at most": (max(s[0] for s in others), max(s[1] for s in others))}


def images(
    real: Values,
    fake: Values,
    extent: tuple[float, float, float, float],
    labels: tuple[str, str, str],
    outside: tuple[float, float] = (0.0, 0.0),
) -> Figure:
    """Mean images side by side, on one logarithmic colour scale; what is above it has a colour of its own.

    Args:
        real: ``(rows, columns)``.
        fake: ``(rows, columns)``.
        extent: left, right, bottom and top of the image.
        labels: of the axes and of the colours; may hold formulas.
        outside: shares of the real and the generated sample that lie outside the image.
    """
    positive = real[real > 0]
    norm = LogNorm(float(np.quantile(positive, 0.05)), float(positive.max())) if len(positive) else None
    colours = mpl.colormaps["viridis"].with_extremes(under="white", bad="white", over=FAKE)
    beyond = bool(len(positive) and fake.max() > positive.max() * (1 + 1e-9))
    with style():
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, image, name, share in zip(axes, (real, fake), ("real", "generated"), outside, strict=True):
            title = f"{name} ({100 * share:.2g} % outside)" if share > 1e-6 else name
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
        figure.colorbar(shown, ax=axes, label=labels[2], extend="max" if beyond else "neither")
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
    with style():
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
