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
from partigan.data.pxd import SENSORS
from partigan.metrics.clouds import Clouds
from partigan.nets.contracts import CriticOutput
from partigan.training.checkpoint import load_tensors
from toy_jets import toy_jets

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


def toy_clouds(size: int, seed: int, particles: int = 8) -> Clouds:
    """Toy jets as metrics take them."""
    clouds = toy_jets(size, particles, seed)[0]
    return Clouds(clouds[..., :3].astype(float), clouds[..., 3] > 0.5)


def toy_hitmaps(path: Path, events: int = 4) -> Path:
    """Hits at random, one event of which is for validation."""
    rng = np.random.default_rng(0)
    limits, hits = (events, len(SENSORS), 250, 768), 10_000 * events
    columns = [rng.integers(0, limit, hits) for limit in limits]
    made = Hitmaps.of(events, *columns, rng.integers(7, 256, hits))
    write_hitmaps(path, [made], {"split_train": [0, events - 1], "split_valid": [events - 1, events]})
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(sorted((run / "checkpoints").glob("*.safetensors"))[-1])[0]


def equal_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
