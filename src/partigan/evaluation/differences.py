"""How an observable of a generated sample is off, in a few words: its mean, its width, or its shape."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from partigan.metrics.measurement import Floats

# largest difference of the distribution functions of two normal distributions, a small shift (in standard deviations)
# or a small relative change of width apart
_SHIFT, _WIDTH = 0.399, 0.242


class Difference(NamedTuple):
    """The largest difference of an observable.

    Attributes:
        size: largest difference of the distribution functions, 0 to 1.
        text: what is off, with sign and size.
    """

    size: float
    text: str


def largest_difference(real: Floats, fake: Floats, unit: str = "") -> Difference:
    """The largest difference of two samples: of their means or widths where it explains most of it, else of shape.

    Args:
        real: ``(n,)``.
        fake: ``(m,)``.
        unit: of the observable.
    """
    points = np.concatenate([real, fake])
    below = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (real, fake)]
    excess = below[1] - below[0]
    place = int(np.abs(excess).argmax())
    size, width = float(abs(excess[place])), float(real.std())
    if size == 0:
        return Difference(0.0, "none")
    shift = float(fake.mean() - real.mean())
    unit = f" {unit}" if unit else ""
    if width > 0:
        relative, ratio = shift / width, float(fake.std()) / width
        explained = {"mean": _SHIFT * abs(relative), "width": _WIDTH * abs(ratio - 1)}
        name = max(explained, key=lambda name: explained[name])
        if explained[name] > 0.6 * size:
            text = f"mean {shift:+.2g}{unit} ({relative:+.2f} std)" if name == "mean" else f"width {ratio - 1:+.0%}"
            return Difference(size, text)
    side = "below" if excess[place] > 0 else "above"
    return Difference(size, f"{size:+.1%} {side} {points[place]:.3g}{unit}")
