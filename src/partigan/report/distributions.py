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

from partigan.metrics.weighted import Sample, Weighted
from partigan.report.style import FAKE, REAL, SERIES, Values, plain, style

_RATIO = (0.5, 1.5)  # range of the lower panels


class _Histogram(NamedTuple):
    """A histogram of an observable.

    Attributes:
        sums: of the weights in the bins, ``(bins,)``.
        squares: of the squares of the weights, ``(bins,)``.
        outside: sums of the weights below and above the bins.
        total: sum of all weights.
    """

    sums: Values
    squares: Values
    outside: tuple[float, float]
    total: float

    @classmethod
    def of(cls, sample: Values | Weighted, edges: Values) -> _Histogram:
        weighted = Weighted.of(sample)
        x, weight = np.asarray(weighted.x, float), weighted.weight
        filled = Hist.new.Var(edges).Weight().fill(x, weight=weight)
        beyond = x < edges[0], x >= edges[-1]
        if weight is None:
            return cls(filled.values(), filled.variances(), (beyond[0].sum(), beyond[1].sum()), len(x))
        weight = np.asarray(weight)
        outside = float(weight[beyond[0]].sum()), float(weight[beyond[1]].sum())
        return cls(filled.values(), filled.variances(), outside, float(weight.sum()))

    @property
    def shares(self) -> tuple[float, float]:
        """Shares below and above the bins."""
        size = self.total or 1
        return float(self.outside[0] / size), float(self.outside[1] / size)


def compare(
    samples: tuple[Values | Weighted, Values | Weighted],
    label: str,
    *,
    bins: int = 50,
    log: bool = False,
    integer: bool = False,
) -> Figure:
    """Two normalised histograms with statistical errors, and their ratio below.

    The shares of both samples outside the drawn range stand above the panel. With event weights, errors are roots of
    the sums of their squares.

    Args:
        samples: real ``(n,)`` and generated ``(m,)`` values, with event weights where they are `Weighted`.
        label: of the axis, with the unit; may hold formulas.
        bins: number of bins between the outer quantiles of the real sample, with a margin.
        log: logarithmic vertical axis.
        integer: one bin for each integer.
    """
    edges = _edges(Weighted.of(samples[0]), bins, integer)
    found = [_Histogram.of(sample, edges) for sample in samples]
    norms = [1 / ((histogram.total or 1) * np.diff(edges)) for histogram in found]
    density = [histogram.sums * norm for histogram, norm in zip(found, norms, strict=True)]
    errors = [np.sqrt(histogram.squares) * norm for histogram, norm in zip(found, norms, strict=True)]
    filled = found[0].sums > 0
    ratio, error, band = np.full((3, len(filled)), np.nan)
    ratio[filled] = density[1][filled] / density[0][filled]
    error[filled] = errors[1][filled] / density[0][filled]
    band[filled] = errors[0][filled] / density[0][filled]
    with style():
        figure, top, bottom = _panels(edges, label)
        for height, bar, colour, name in zip(density, errors, (REAL, FAKE), ("real", "generated"), strict=True):
            mplhep.histplot(height, edges, yerr=bar, ax=top, color=colour, label=name)
        top.legend()
        if log and filled.any():
            top.set_yscale("log")
        _outside(top, {"real": found[0].shares, "gen.": found[1].shares})
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


def _outside(axis: Any, shares: Mapping[str, tuple[float, float]]) -> None:
    """Write above a panel which shares of the samples lie below and above its range, where there are any."""
    for side, place, word in ((0, "left", "below"), (1, "right", "above")):
        if any(share[side] > 0 for share in shares.values()):
            text = ", ".join(f"{name} {share[side]:.2g}" for name, share in _percent(shares).items())
            axis.set_title(f"% {word}: {plain(text)}", loc=place, fontsize=8)


def _percent(shares: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: (100 * low, 100 * high) for name, (low, high) in shares.items()}


def _edges(sample: Weighted, bins: int, integer: bool) -> Values:
    real = np.asarray(sample.x)
    if integer:
        return np.arange(real.min() - 1.5, real.max() + 2.5)
    outer = (0.0005, 0.9995)
    if sample.weight is None:
        low, high = np.quantile(real, outer)
    else:
        low, high = np.quantile(real, outer, method="inverted_cdf", weights=np.abs(sample.weight))
    margin = 0.05 * (high - low) if high - low > 1e-9 * abs(high) else 0.5
    return np.linspace(max(low - margin, 0.0) if real.min() >= 0 else low - margin, high + margin, bins + 1)


class Counts(NamedTuple):
    """Histograms of an observable of a real and a generated sample, as reports keep them.

    Attributes:
        label: of the axis, with the unit.
        edges: of the bins, ``(bins + 1,)``.
        real: numbers of real samples in the bins, or sums of their event weights, ``(bins,)``.
        generated: the same of generated ones.
        outside: the same of real samples below and above the bins, then of generated ones.
    """

    label: str
    edges: list[float]
    real: list[float]
    generated: list[float]
    outside: list[float]

    @classmethod
    def of(cls, real: Values | Weighted, generated: Values | Weighted, label: str) -> Counts:
        """Histograms of two samples ``(n,)`` and ``(m,)``, in bins that depend on the real one alone."""
        samples = Weighted.of(real), Weighted.of(generated)
        x = np.asarray(samples[0].x)
        whole = bool((x == np.round(x)).all()) and float(np.ptp(x)) < 200
        edges = _edges(samples[0], 50, whole)
        found = [_Histogram.of(sample, edges) for sample in samples]
        first, second = (
            [int(n) if sample.weight is None else float(n) for n in (*histogram.sums, *histogram.outside)]
            for histogram, sample in zip(found, samples, strict=True)
        )
        return cls(label, edges.tolist(), first[:-2], second[:-2], [*first[-2:], *second[-2:]])

    @property
    def reference(self) -> tuple[Any, ...]:
        """The same for all histograms against one real sample."""
        return self.label, self.edges, self.real, self.outside[:2]

    @property
    def sizes(self) -> tuple[float, float]:
        """Sizes of the real and the generated sample, or sums of their event weights."""
        return sum(self.real) + sum(self.outside[:2]), sum(self.generated) + sum(self.outside[2:])


def overlay(counts: Mapping[str, Counts]) -> Figure:
    """An observable of several generated samples over that of the real one, normalised, with their ratios below.

    Args:
        counts: by name of the sample, all in the same bins and against the same real sample.
    """
    first = next(iter(counts.values()))
    edges, real = np.array(first.edges), np.array(first.real, float)
    width, size = np.diff(edges), first.sizes[0] or 1
    density = real / (size * width)
    filled = density > 0
    shares = {"real": (first.outside[0] / size, first.outside[1] / size)}
    with style():
        figure, top, bottom = _panels(edges, plain(first.label))
        top.stairs(density, edges, color=REAL, fill=True, alpha=0.3, label="real")
        bottom.axhline(1, color=REAL, lw=1)
        for place, (name, found) in enumerate(counts.items()):
            size = found.sizes[1] or 1
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
    top = 1.05 * float(positive.max(initial=0))  # what is a little above by chance is not marked
    norm = LogNorm(float(np.quantile(positive, 0.05)), top) if len(positive) else None
    colours = mpl.colormaps["viridis"].with_extremes(under="white", bad="white", over=FAKE)
    beyond = bool(len(positive) and fake.max() > top)
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
    real: tuple[Values, Values | Weighted],
    fake: tuple[Values, Values | Weighted],
    label: str,
    classes_label: str = "class",
    *,
    ratio: bool = False,
    decades: bool = False,
) -> Figure:
    """Mean of a quantity in each class, with its error.

    Args:
        real: class labels ``(n,)`` and values ``(n,)``, with event weights where they are `Weighted`.
        fake: the same of the generated sample.
        label: of the quantity.
        classes_label: of the classes.
        ratio: show the ratio of both samples below.
        decades: values are lg of the quantity, of which the geometric mean is shown.
    """
    found = [_means(*sample, decades) for sample in (real, fake)]
    with style():
        if ratio:
            classes = np.union1d(*(means[0] for means in found))
            beside = float(np.diff(classes).min(initial=1.0)) / 2
            figure, axis, bottom = _panels(np.array([classes[0] - beside, classes[-1] + beside]), classes_label)
            place, one, two = np.intersect1d(found[0][0], found[1][0], return_indices=True)
            (mean, error), (made, of_made) = ((m[1][i], m[2][i]) for m, i in zip(found, (one, two), strict=True))
            filled = mean != 0
            bottom.axhline(1, color=REAL, lw=1)
            width = np.hypot(of_made[filled] / mean[filled], (made * error)[filled] / mean[filled] ** 2)
            bottom.errorbar(place[filled], (made / np.where(filled, mean, 1))[filled], width, fmt="o", ms=4, color=FAKE)
        else:
            figure = Figure(figsize=(5.2, 3.6), layout="constrained")
            axis = figure.subplots()
            axis.set(xlabel=classes_label)
        apart = np.diff(np.unique(real[0]).astype(float)).min(initial=np.inf)
        beside = 0.1 * float(apart if np.isfinite(apart) else 1)
        samples = ((REAL, "real", -beside), (FAKE, "generated", beside))
        for (classes, means, errors), (colour, name, shift) in zip(found, samples, strict=True):
            axis.errorbar(classes + shift, means, errors, fmt="o", ms=4, color=colour, label=name)
        if decades:
            axis.set_yscale("log")
        axis.set(ylabel=label)
        axis.legend()
    return figure


def _means(classes: Values, values: Values | Weighted, decades: bool) -> tuple[Values, Values, Values]:
    """Classes, the mean of the values in each, and its error; of powers of ten where values are their logarithms."""
    given = Weighted.of(values)
    sample = Sample(np.asarray(given.x), None if given.weight is None else np.asarray(given.weight))
    there = np.unique(classes)
    groups = [sample[classes == c] for c in there]
    means = np.array([group.mean() for group in groups], float)
    errors = np.array([float(g.spread(g.x) / len(g)) ** 0.5 if g.size > 1 else 0.0 for g in groups])
    if decades:
        means = 10**means
        errors = means * np.log(10) * errors
    return there.astype(float), means, errors
