"""Showers in calorimeters: mean and single ones layer by layer, profiles with ratios, response against energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from partigan.data.calorimeter import Geometry
from partigan.metrics.calorimeters import Response
from partigan.metrics.weighted import Sample, Weighted
from partigan.report.style import FAKE, REAL, Values, style

LAYERS, EVENTS = 6, 4  # shown
BEYOND = 1.5  # the colour scale ends at so many times the largest energy of the real sample
_RATIO = (0.8, 1.2)


class Shown(NamedTuple):
    """A sample of showers.

    Attributes:
        geometry: of its voxels.
        showers: energies ``(showers, voxels)``.
        incident: energies of the particles, ``(showers,)``, MeV.
        weight: event weights; None = all 1.
    """

    geometry: Geometry
    showers: Values
    incident: Values
    weight: Values | None = None

    def layers(self, numbers: Sequence[int], showers: Values) -> list[Values]:
        """Some layers of ``(showers, voxels)``, ``(showers, angles or rows, radii or columns)`` each."""
        found = []
        for number in numbers:
            layer, first = self.geometry.layers[number], self.geometry.cells[number].first
            found.append(showers[:, first : first + layer.size].reshape(len(showers), *layer.shape))
        return found


def _chosen(sample: Shown) -> list[int]:
    """Numbers of the layers that are shown: all, or some evenly spaced about those with most energy."""
    total = len(sample.geometry.layers)
    if total <= LAYERS:
        return list(range(total))
    energy = np.array([part.sum() for part in sample.layers(range(total), sample.showers[:1000])])
    share = energy.cumsum() / max(energy.sum(), 1e-12)
    places = np.searchsorted(share, np.linspace(0.02, 0.98, LAYERS))
    return sorted({int(min(place, total - 1)) for place in places})


def _draw(axis: Any, sample: Shown, number: int, image: Values, norm: Any) -> Any:
    """A layer across the axis: rings of equal width for bins of r, cells for rectangular ones."""
    layer = sample.geometry.layers[number]
    shown = np.where(image > 0, image, np.nan)
    look = {"norm": norm, "cmap": mpl.colormaps["viridis"].with_extremes(bad="white", over=FAKE), "rasterized": True}
    axis.set(xticks=[], yticks=[], aspect="equal")
    if layer.rows:
        return axis.pcolormesh(layer.edges, layer.rows, shown, **look)
    alpha = np.linspace(-np.pi, np.pi, max(layer.alphas, 48) + 1)
    angles = np.repeat(shown, -(-48 // layer.alphas), axis=0) if layer.alphas < 48 else shown
    alpha = np.linspace(-np.pi, np.pi, len(angles) + 1)
    ring = np.arange(len(layer.edges))
    return axis.pcolormesh(ring * np.cos(alpha)[:, None], ring * np.sin(alpha)[:, None], angles, **look)


def mean_layers(real: Shown, fake: Shown) -> Figure:
    """Mean energy of each voxel of some layers, real above generated, on one logarithmic scale.

    Rings are drawn with equal widths, whatever their radii are.
    """
    numbers = _chosen(real)
    means = [Sample(sample.showers, sample.weight).mean()[None] for sample in (real, fake)]
    parts = [
        [part[0] for part in sample.layers(numbers, mean)] for sample, mean in zip((real, fake), means, strict=True)
    ]
    return _grid(
        [(real, parts[0], "real"), (fake, parts[1], "generated")], numbers, f"mean energy ({real.geometry.unit})"
    )


def events(real: Shown, fake: Shown) -> Figure:
    """Showers of both samples at the same energies, layer by layer, each in a row, on one logarithmic scale."""
    numbers = _chosen(real)
    rows = []
    wanted = np.quantile(real.incident, np.linspace(0.2, 0.95, EVENTS), method="nearest")
    for sample, name in ((real, "real"), (fake, "generated")):
        for energy in wanted:
            shower = int(np.abs(np.log(sample.incident / energy)).argmin())
            parts = sample.layers(numbers, sample.showers[shower : shower + 1])
            title = f"{name}\n{sample.incident[shower] / 1000:.4g} GeV"
            rows.append((sample, [part[0] for part in parts], title))
    return _grid(rows, numbers, f"energy ({real.geometry.unit})")


def _grid(rows: list[tuple[Shown, list[Values], str]], numbers: list[int], label: str) -> Figure:
    """Rows of layers with one colour scale, that of the real sample."""
    real = np.concatenate([part.ravel() for _, parts, name in rows if name.startswith("real") for part in parts])
    positive = real[real > 0]
    high = BEYOND * float(positive.max()) if len(positive) else 1.0
    low = max(float(positive.min()), 1e-5 * high) if len(positive) else 0.1
    norm = LogNorm(low, max(high, 1.01 * low))
    with style():
        height = 1.5 if len(rows) > 2 else 1.9
        figure = Figure(figsize=(8.6, height * len(rows) + 0.4), layout="constrained")
        axes = figure.subplots(len(rows), len(numbers), squeeze=False)
        for place, (line, (sample, parts, name)) in enumerate(zip(axes, rows, strict=True)):
            for axis, part, number in zip(line, parts, numbers, strict=True):
                mesh = _draw(axis, sample, number, part, norm)
                if place == 0:
                    axis.set_title(f"layer {sample.geometry.layers[number].name}", fontsize=10)
            line[0].set_ylabel(name)
        figure.colorbar(mesh, ax=axes, label=label, extend="max")
    return figure


def profile(
    real: Weighted, fake: Weighted, place: Values, labels: tuple[str, str], ticks: Sequence[str] | None = None
) -> Figure:
    """Mean of some columns with its error, against their places, and the ratio of both samples below.

    Args:
        real: ``(showers, columns)``.
        fake: the same of the generated sample.
        place: of the columns.
        labels: of both axes.
        ticks: names of the places; None = their numbers.
    """
    means = []
    for given in (real, fake):
        sample = Sample(np.asarray(given.x, float), None if given.weight is None else np.asarray(given.weight))
        means.append((sample.mean(), sample.std() / np.sqrt(max(sample.size, 1))))
    with style():
        figure, top, bottom = _panels(labels)
        for (mean, error), colour, name in zip(means, (REAL, FAKE), ("real", "generated"), strict=True):
            top.errorbar(place, mean, error, fmt="o-", ms=3, lw=1, color=colour, label=name)
        if (means[0][0] > 0).any():
            top.set_yscale("log")
        top.legend()
        _ratio(bottom, place, *means)
        if ticks is not None and len(ticks) <= 12:
            bottom.set_xticks(place, ticks)
    return figure


def responses(real: Response, fake: Response) -> Figure:
    """Mean and relative width of the response against the energy of the particles, with ratios below."""
    with style():
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        axes = figure.subplots(2, 2, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        for column, (of, label) in enumerate((("mean", "mean response"), ("width", "width of the response"))):
            top, bottom = axes[:, column]
            pairs = [(getattr(each, of), getattr(each, f"{of}_error")) for each in (real, fake)]
            for (mean, error), colour, name in zip(pairs, (REAL, FAKE), ("real", "generated"), strict=True):
                top.errorbar(real.energy / 1000, mean, error, fmt="o", ms=4, color=colour, label=name)
            top.set(ylabel=label, xscale="log")
            if of == "width":
                top.set_yscale("log")
            top.legend()
            _ratio(bottom, real.energy / 1000, *pairs)
            bottom.set(
                xlabel="energy of the particle (GeV)", ylabel="gen. / real", ylim=(0.9, 1.1) if of == "mean" else _RATIO
            )
    return figure


def _panels(labels: tuple[str, str]) -> tuple[Figure, Any, Any]:
    """An empty figure of a profile and a ratio."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    top.set_ylabel(labels[1])
    bottom.set(ylim=_RATIO, xlabel=labels[0], ylabel="gen. / real")
    return figure, top, bottom


def _ratio(axis: Any, place: Values, real: tuple[Values, Values], fake: tuple[Values, Values]) -> None:
    """Ratios with their errors; those beyond the panel are marked at its edge."""
    fine = np.isfinite(real[0]) & (real[0] > 0) & np.isfinite(fake[0])
    x, ratio = np.asarray(place)[fine], fake[0][fine] / real[0][fine]
    error, band = fake[1][fine] / real[0][fine], real[1][fine] / real[0][fine]
    axis.errorbar(x, np.ones(len(x)), band, fmt="none", lw=4, alpha=0.25, color=REAL)
    axis.axhline(1, color=REAL, lw=1)
    axis.errorbar(x, ratio, error, fmt=".", ms=4, lw=1, color=FAKE)
    for marker, off, height in (("^", ratio > _RATIO[1], 0.94), ("v", ratio < _RATIO[0], 0.06)):
        axis.plot(x[off], np.full(off.sum(), height), marker, ms=4, color=FAKE, transform=axis.get_xaxis_transform())
