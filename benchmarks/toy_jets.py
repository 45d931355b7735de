"""Jets made without a generator, for tests and benchmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def toy_jets(size: int, particles: int = 30, seed: int = 0) -> tuple[Floats, Floats]:
    """Jets of two prongs with soft radiation, in the JetNet layout: enough structure to train on."""
    rng = np.random.default_rng(seed)
    number = rng.integers(max(particles // 3, 1), particles + 1, size)
    mask = np.arange(particles) < number[:, None]
    opening = rng.normal(0.3, 0.05, (size, 1))
    prong = np.where(rng.random((size, particles)) < 0.6, -0.4, 0.6) * opening
    angle = rng.uniform(0, 2 * np.pi, (size, 1))
    spread = rng.normal(0, 0.05, (2, size, particles))
    pt = rng.dirichlet(np.full(particles, 0.5), size) * mask + 1e-4
    x = np.stack([prong * np.cos(angle) + spread[0], prong * np.sin(angle) + spread[1], pt], -1) * mask[..., None]
    x[..., 2] /= x[..., 2].sum(1, keepdims=True) * rng.uniform(1.0, 1.1, (size, 1))
    order = np.argsort(-x[..., 2], axis=1)
    clouds = np.concatenate([np.take_along_axis(x, order[..., None], 1), mask[..., None]], -1).astype(np.float32)
    jets = np.stack([rng.uniform(900, 1100, size), rng.normal(0, 1, size), np.full(size, 150.0), number], -1)
    return clouds, jets.astype(np.float32)
