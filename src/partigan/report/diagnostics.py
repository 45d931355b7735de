"""Figures of what metrics find beside their number: of a classifier, of a PRD curve, of memorisation."""

from __future__ import annotations

import mplhep
import numpy as np
from matplotlib.figure import Figure

from partigan.metrics.classifier import Reliability
from partigan.metrics.manifold import PRD
from partigan.report.style import FAKE, GREY, REAL, Values, style


def reliability_diagram(found: Reliability) -> Figure:
    """How often events are real that a classifier says are real with some probability.

    Args:
        found: the diagram.
    """
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.plot((0, 1), (0, 1), color=GREY, lw=1, ls="--", label="calibrated")
        axis.errorbar(found.predicted, found.observed, found.error, fmt=".", color=FAKE, label="found")
        axis.set(xlabel="predicted probability of being real", ylabel="share of real events", xlim=(0, 1), ylim=(0, 1))
        axis.legend()
    return figure


def prd_curve(found: PRD) -> Figure:
    """Precision against recall of distributions (arXiv:1806.00035, figure 1).

    Args:
        found: the curve.
    """
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(np.append(found.recall, 0), np.append(found.precision, found.precision.max()), color=FAKE)
        axis.plot((0, 1, 1), (1, 1, 0), color=GREY, lw=1, ls="--", label="of one distribution")
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
    with style():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axis = figure.subplots()
        for sign, colour, label in ((-1, REAL, "reflected"), (1, FAKE, "generated samples")):
            counts = np.histogram((sign * value).clip(-reach, reach), edges)[0]
            mplhep.histplot(counts, edges, yerr=np.sqrt(counts), ax=axis, color=colour, label=label)
        axis.axvline(0, color=GREY, lw=1, ls="--")
        axis.set(xlabel="log10 (distance to training / distance to held-out)", ylabel="samples")
        axis.legend()
    return figure
