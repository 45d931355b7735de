"""Particle identification: areas under ROC curves in bins, and efficiencies against momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from partigan.metrics.identification import ETAS, MOMENTA, Map
from partigan.report.style import FAKE, REAL, Values, style

TICKS = (1, 2, 5, 10, 20, 50, 100, 200)  # of axes of momentum, GeV


def auc_differences(real: Map, fake: Map) -> Figure:
    """Areas of the real sample in bins, and the differences of the generated one from them."""
    difference = fake.minus(real)
    with style():
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        shown = max(float(np.nanmax(np.abs(difference.value), initial=0.01)), 0.01)
        looks = ((real, "real AUC", "viridis", (0.5, 1.0)), (difference, "generated - real", "RdBu_r", (-shown, shown)))
        for axis, (found, title, colours, (low, high)) in zip(axes, looks, strict=True):
            image = axis.imshow(found.value.T, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high)
            figure.colorbar(image, ax=axis, label=title)
            for (i, j), value in np.ndenumerate(found.value):
                if np.isfinite(value):
                    text = f"{value:.3f}\n± {found.error[i, j]:.3f}"
                    dark = np.dot(image.cmap(image.norm(value))[:3], (0.3, 0.6, 0.1)) < 0.45
                    axis.text(i, j, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
            axis.set(xlabel="momentum (GeV)", xticks=range(len(MOMENTA) - 1), yticks=range(len(ETAS) - 1))
            axis.set_xticklabels(_names(MOMENTA), fontsize=8)
        axes[0].set_yticklabels(_names(ETAS), fontsize=8)
        axes[0].set_ylabel("pseudorapidity")
    return figure


def _names(edges: Sequence[float]) -> list[str]:
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges[1:-1])]
    return [f"below {edges[1]:g}", *inner, f"above {edges[-2]:g}"]


def efficiencies(edges: Values, curves: Mapping[str, tuple[Map, Map]]) -> Figure:
    """Efficiencies and misidentification against momentum, real and generated, and their differences below.

    Args:
        edges: of the bins of momentum, GeV.
        curves: of the real and the generated sample, by name.
    """
    centres = np.sqrt(edges[1:] * edges[:-1])
    with style():
        figure = Figure(figsize=(5.6, 4.8), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        for marker, (name, (real, fake)) in zip("os^v", curves.items(), strict=False):
            for found, colour, whose in ((real, REAL, "real"), (fake, FAKE, "generated")):
                look = {"fmt": f"{marker}-", "ms": 4, "lw": 1, "color": colour}
                top.errorbar(centres, found.value, found.error, label=f"{name}, {whose}", **look)
            difference = fake.minus(real)
            bottom.errorbar(centres, difference.value, difference.error, fmt=marker, ms=4, lw=1, color=FAKE)
        bottom.axhline(0, color=REAL, lw=1)
        top.set(ylabel="share above the cut", xscale="log", ylim=(-0.02, 1.05))
        bottom.set(xlabel="momentum (GeV)", ylabel="gen. - real", ylim=(-0.1, 0.1))
        shown = [tick for tick in TICKS if edges[0] <= tick <= edges[-1]]
        bottom.set_xticks(shown, [f"{tick:g}" for tick in shown])
        bottom.minorticks_off()
        top.legend(fontsize=8)
    return figure
