"""What several tests share: small samples, options of short trainings, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partigan.data.hitmap_files import write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.jets import Floats
from partigan.data.pxd import SENSORS
from partigan.nets.contracts import CriticOutput
from partigan.training.checkpoint import load_tensors

SHARED = Path(__file__).parents[2] / "shared"
Rng = np.random.Generator
JetFile = Callable[..., Path]

SHORT: dict[str, Any] = {
    "system.generator.blocks": 1,
    "system.critic.blocks": 1,
    "trainer.max_steps": 12,
    "trainer.batch_size": 32,
    "trainer.validations": 3,
    "trainer.accelerator": "cpu",
}


def rng(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


def values(output: Tensor | CriticOutput) -> Tensor:
    """A network's output as one tensor: the sample, or the scores and features."""
    return output if isinstance(output, Tensor) else torch.cat([part for part in output if part is not None], 1)


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


def toy_hitmaps(path: Path, events: int = 4) -> Path:
    """Hits at random, one event of which is for validation."""
    rng = np.random.default_rng(0)
    limits, hits = (events, len(SENSORS), 250, 768), 10_000 * events
    columns = [rng.integers(0, limit, hits) for limit in limits]
    made = Hitmaps.of(events, *columns, rng.integers(7, 256, hits))
    write_hitmaps(path, [made], {"split_train": [0, events - 1], "split_valid": [events - 1, events]})
    return path


def toy_hits(events: int = 4, hits: int = 3000, seed: int = 0, busy: tuple[int, ...] = (0, 2)) -> Hitmaps:
    """Random hits in some events only; the others are empty."""
    rng = np.random.default_rng(seed)
    limits = (len(SENSORS), 250, 768)
    columns = [rng.integers(0, limit, hits) for limit in limits]
    return Hitmaps.of(events, rng.choice(busy, hits), *columns, rng.integers(7, 256, hits))


def assert_same_hits(one: Hitmaps, two: Hitmaps) -> None:
    for name in ("counts", "u", "v", "charge"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(sorted((run / "checkpoints").glob("*.safetensors"))[-1])[0]


def equal_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
