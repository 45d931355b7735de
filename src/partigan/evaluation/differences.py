"""How an observable of a generated sample is off, in a few words: its mean, its width, or its shape."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from partigan.metrics.measurement import Floats
from partigan.metrics.weighted import Sample, Weighted

_EXPLAINS = (0.5, 1.8)  # of the difference that a shift or a change of width would make, to the one that is found


class Difference(NamedTuple):
    """The largest difference of an observable.

    Attributes:
        size: largest difference of the distribution functions, 0 to 1.
        text: what is off, with sign and size.
    """

    size: float
    text: str


def largest_difference(real: Floats | Weighted, fake: Floats | Weighted, unit: str = "") -> Difference:
    """The largest difference of two samples: of their means or widths where it explains most of it, else of shape.

    Args:
        real: ``(n,)``, with or without event weights.
        fake: ``(m,)``, the same.
        unit: of the observable.

    Example:
        >>> real = np.linspace(-1, 1, 1001)
        >>> largest_difference(real, real + 0.2, "GeV").text
        'mean +0.2 GeV (+0.35 std)'
        >>> largest_difference(real, 1.2 * real).text
        'width +20%'
    """
    a, b = (
        Sample(np.asarray(sample.x), sample.checked(len(sample.x), name))
        for name, sample in (("real", Weighted.of(real)), ("fake", Weighted.of(fake)))
    )
    points = np.unique(np.concatenate([a.x, b.x]))
    excess = b.function(points) - a.function(points)
    place = int(np.abs(excess).argmax())
    size, width = float(abs(excess[place])), float(a.std())
    if size == 0:
        return Difference(0.0, "none")
    shift = float(b.mean() - a.mean())
    unit = f" {unit}" if unit else ""
    if width > 0:
        relative, ratio = shift / width, float(b.std()) / width
        texts = {
            f"mean {shift:+.2g}{unit} ({relative:+.2f} std)": _of_shift(relative) / size,
            f"width {ratio - 1:+.0%}": _of_width(ratio) / size,
        }
        text = min(texts, key=lambda text: abs(texts[text] - 1))
        if _EXPLAINS[0] < texts[text] < _EXPLAINS[1]:
            return Difference(size, text)
    near = np.flatnonzero(excess * np.sign(excess[place]) > 0.95 * size)  # many places are as good; take an outer one
    side, place = ("below", int(near[0])) if excess[place] > 0 else ("above", int(near[-1]))
    return Difference(size, f"{abs(excess[place]):+.1%} {side} {points[place]:.3g}{unit}")


def _of_shift(shift: float) -> float:
    """Largest difference of the distribution functions of two normal distributions, so many widths apart."""
    return float(2 * stats.norm.cdf(abs(shift) / 2) - 1)


def _of_width(ratio: float) -> float:
    """The same of two normal distributions of one mean, with this ratio of widths."""
    if ratio <= 0 or ratio == 1:
        return 0.5 if ratio <= 0 else 0.0
    x = ratio * np.sqrt(2 * np.log(ratio) / (ratio**2 - 1))  # where the densities are equal
    return float(abs(stats.norm.cdf(x) - stats.norm.cdf(x / ratio)))
