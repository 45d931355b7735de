"""The downstream test: does a reconstruction that learned on refined simulation do better on data?

The same small regressor and classifier, boosted trees on fixed observables, learn on raw simulation, on refined
simulation and on data itself, and are applied to data. What learned on data is the best that refining can reach.

References:
    M. Erdmann et al., arXiv:1802.03325, section 4.3 (energy regression on refined traces).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from partigan.errors import PartiganError
from partigan.metrics.classifier import roc_auc
from partigan.metrics.measurement import Floats, Measurement

FITS = 3  # of each reconstruction, each to rows drawn again with its own seed
LEAST = 200  # rows


class Labelled(NamedTuple):
    """Observables with what a reconstruction is asked for.

    Attributes:
        x: ``(rows, features)``.
        y: ``(rows,)``: a number, or 0 and 1.
    """

    x: Floats
    y: Floats


class Worlds(NamedTuple):
    """What a reconstruction can learn on, and what it is applied to; all have the same features.

    Attributes:
        features: observables, and what is known beside them, ``(rows, features)``, by sample: ``raw`` and ``refined``
            simulation, the same rows; ``data``; and ``test``, other data.
        truth: numbers, or classes as 0 and 1, ``(rows,)``, by name and sample; ``simulation`` is of both raw and
            refined.
        classes: names of those that are classes.
    """

    features: Mapping[str, Floats]
    truth: Mapping[str, Mapping[str, Floats]]
    classes: frozenset[str]

    def of(self, name: str, sample: str) -> Labelled:
        """A sample with one of the numbers or classes."""
        known = "simulation" if sample in ("raw", "refined") else sample
        return Labelled(self.features[sample], self.truth[name][known])


class Reconstruction(NamedTuple):
    """How well a number is reconstructed: mean and standard deviation of reconstructed minus true."""

    bias: Measurement
    resolution: Measurement


def reconstruction(train: Labelled, test: Labelled, rng: np.random.Generator, fits: int = FITS) -> Reconstruction:
    """Bias and resolution of a number that boosted trees reconstruct.

    Args:
        train: what they learn on.
        test: what they are applied to.
        rng: draws the rows and seeds of each fit.
        fits: number of fits, of which the means are given.

    Returns:
        Bias and resolution in the units of the number. Errors are of the size of ``test`` and, where it is larger, of
        the spread of the fits.

    Raises:
        PartiganError: too few rows.
    """
    biases, widths = [], []
    for x, y, seed in _drawn(train, test, rng, fits):
        trees = HistGradientBoostingRegressor(max_iter=150, max_leaf_nodes=16, early_stopping=False, random_state=seed)
        off = trees.fit(x, y).predict(test.x) - test.y
        biases.append(off.mean())
        widths.append(off.std(ddof=1))
    width, size = float(np.mean(widths)), len(test.y)
    return Reconstruction(_mean(biases, width / size**0.5), _mean(widths, width / (2 * size) ** 0.5))


def separation(train: Labelled, test: Labelled, rng: np.random.Generator, fits: int = FITS) -> Measurement:
    """Area under the ROC curve of two classes that boosted trees tell apart.

    Args:
        train: what they learn on.
        test: what they are applied to.
        rng: draws the rows and seeds of each fit.
        fits: number of fits, of which the means are given.

    Raises:
        PartiganError: too few rows, or rows of one class only.
    """
    areas = []
    for x, y, seed in _drawn(train, test, rng, fits):
        trees = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=16, early_stopping=False, random_state=seed)
        if len(np.unique(y)) < 2 or len(np.unique(test.y)) < 2:
            raise PartiganError("all rows are of one class; there is nothing to tell apart")
        score = trees.fit(x, y).predict_proba(test.x)[:, 1]
        areas.append(roc_auc(score[test.y > 0.5], score[test.y < 0.5]))
    return _mean([area.value for area in areas], max(area.error for area in areas))


def remaining(raw: Measurement, refined: Measurement, data: Measurement) -> Measurement | None:
    """Share of the difference between raw simulation and data that is left after refining.

    Args:
        raw: a number of what learned on raw simulation.
        refined: the same, on refined simulation.
        data: the same, on data.

    Returns:
        |refined - data| / |raw - data|; None where raw and data agree within three standard deviations.

    Example:
        >>> remaining(Measurement(1.0, 0.1), Measurement(0.25, 0.0), Measurement(0.0, 0.0)).value
        0.25
    """
    gap, left = raw.value - data.value, refined.value - data.value
    if abs(gap) <= 3 * np.hypot(raw.error, data.error):
        return None
    error = np.hypot(np.hypot(refined.error, data.error), abs(left / gap) * np.hypot(raw.error, data.error)) / abs(gap)
    return Measurement(abs(left / gap), float(error))


def _drawn(train: Labelled, test: Labelled, rng: np.random.Generator, fits: int) -> list[tuple[Floats, Floats, int]]:
    """Rows that each fit learns on, and its seed."""
    if min(len(train.y), len(test.y)) < LEAST:
        raise PartiganError(f"{min(len(train.y), len(test.y))} rows are too few; at least {LEAST} are needed")
    draws = []
    for _ in range(fits):
        rows = rng.integers(0, len(train.y), len(train.y))
        draws.append((train.x[rows], train.y[rows], int(rng.integers(2**31))))
    return draws


def _mean(values: list[float], error: float) -> Measurement:
    """Mean of the fits; its error is the given one, or the spread of the mean where that is larger."""
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Measurement(float(np.mean(values)), max(error, spread))
