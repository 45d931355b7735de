"""How far translated samples are from what they should be, sample by sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, refuse_infinite

LEAST = 2  # pairs


class TranslationError(NamedTuple):
    """Mean absolute differences from the truth, over samples and their values.

    Attributes:
        error: of the translated samples.
        identity: of the sources as they are.
        shift: of the sources after the mean of each channel or feature is moved to that of the truth.
        p_value: of the hypothesis that translated samples are as far from the truth as the better one of the two.
    """

    error: Measurement
    identity: Measurement
    shift: Measurement
    p_value: float

    @property
    def share(self) -> float:
        """The error over that of the better baseline; below 1 = the translation brings samples nearer."""
        best = min(self.identity.value, self.shift.value)
        return self.error.value / best if best > 0 else np.inf


def translation_error(source: ArrayLike, made: ArrayLike, truth: ArrayLike) -> TranslationError:
    """Compare translated samples with their truth, beside two translations that know nothing.

    Low errors alone do not make good samples: their mean over all that is possible has the lowest squared error and
    looks like none. Read them beside the distributions of observables.

    Args:
        source: what was translated, ``(samples, channels or features, ...)``.
        made: the translated samples.
        truth: what they should be, in the same order.

    Raises:
        PartiganError: different shapes, values that are not finite, or fewer than two samples.

    Example:
        >>> truth = np.arange(6.0).reshape(3, 2)
        >>> found = translation_error(truth - 3, truth + 1, truth)
        >>> found.error.value, found.identity.value, found.shift.value
        (1.0, 3.0, 0.0)
    """
    parts = {"source": source, "translated": made, "truth": truth}
    arrays = {name: np.asarray(part, np.float64) for name, part in parts.items()}
    if len({array.shape for array in arrays.values()}) > 1 or len(arrays["truth"]) < LEAST:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise PartiganError(f"pairs need samples of one shape, at least {LEAST}; there are {shapes}")
    for name, array in arrays.items():
        refuse_infinite(np.asarray(np.isfinite(array.reshape(len(array), -1)).all(1)), name)
    start, goal = arrays["source"], arrays["truth"]
    others = tuple(axis for axis in range(start.ndim) if axis != 1)
    moved = start + (goal - start).mean(others, keepdims=True)
    error, identity, shift = (_of_each(array, goal) for array in (arrays["translated"], start, moved))
    best = min((identity, shift), key=np.mean)
    return TranslationError(_mean(error), _mean(identity), _mean(shift), _p_value(error - best))


def cycle_error(sample: ArrayLike, back: ArrayLike) -> Measurement:
    """Mean absolute difference of samples from themselves, translated there and back.

    A small error says that nothing was lost on the way, not that the way led anywhere.

    Args:
        sample: as they were, ``(samples, ...)``.
        back: the same after both translations.
    """
    x, y = (np.asarray(part, np.float64) for part in (sample, back))
    if x.shape != y.shape or len(x) < LEAST:
        raise PartiganError(f"cycles need samples of one shape, at least {LEAST}; there are {x.shape} and {y.shape}")
    return _mean(_of_each(y, x))


def _of_each(made: Floats, goal: Floats) -> Floats:
    """Mean absolute difference of each sample."""
    difference: Floats = np.abs(made - goal).reshape(len(goal), -1).mean(1)
    return difference


def _mean(values: NDArray[np.float64]) -> Measurement:
    return Measurement(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def _p_value(difference: Floats) -> float:
    """Of the hypothesis that paired differences have mean 0."""
    mean, error = _mean(difference)
    return float(2 * stats.norm.sf(abs(mean) / error)) if error > 0 else float(mean == 0)
