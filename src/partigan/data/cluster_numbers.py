"""How many clusters the 40 sensors of an event have: negative binomial, with a common factor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SIGMAS = 8  # above the mean number of clusters that there is room for


def moments(numbers: Ints) -> tuple[Floats, Floats, float]:
    """Mean, variance beyond Poisson's over the squared mean, and covariance over the product of means.

    Args:
        numbers: ``(events, sensors)``.

    Returns:
        ``(sensors,)``, ``(sensors,)`` not below 0, and the mean over pairs of sensors, not below 0.
    """
    mean = np.maximum(numbers.mean(0), 1e-9)
    if len(numbers) < 2:
        return mean, np.zeros_like(mean), 0.0
    relative = np.cov(numbers.T) / np.outer(mean, mean)
    excess = np.maximum(np.diagonal(relative) - 1 / mean, 0)
    off = ~np.eye(len(mean), dtype=bool)
    common = max(float(relative[off].mean()), 0.0)
    return mean, excess, common


def capacity(state: dict[str, Any]) -> int:
    """For how many clusters of a map there is room."""
    mean, excess = np.asarray(state["mean"]), np.asarray(state["excess"])
    return int(np.ceil((mean + _SIGMAS * np.sqrt(mean + (excess + state["common"]) * mean**2)).max())) + _SIGMAS


def numbers(state: dict[str, Any], events: int, rng: np.random.Generator) -> Ints:
    """Numbers of clusters, ``(events, 40)``, from the ``mean``, ``excess`` and ``common`` of a state."""
    mean, excess = np.asarray(state["mean"]), np.asarray(state["excess"])
    factor = _gamma(np.full((events, 1), state["common"]), rng)
    own = _gamma(np.broadcast_to(np.maximum(excess - state["common"], 0), (events, len(mean))), rng)
    return np.minimum(rng.poisson(mean * factor * own), capacity(state))


def _gamma(variance: Floats, rng: np.random.Generator) -> Floats:
    """Positive factors of mean 1."""
    shape = 1 / np.maximum(variance, 1e-12)
    return np.where(variance > 0, rng.gamma(shape) / shape, 1.0)
