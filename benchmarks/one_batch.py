"""A training step on a single batch, for benchmarks: players as the trainer has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from partigan.data.batch import Batch
from partigan.systems.options import TrainerOptions
from partigan.systems.system import DATA, System
from partigan.training.players import Feed, Players
from partigan.training.trainer import Trainer


class OneBatch:
    """A loader of one batch.

    Args:
        batch: normalised.
    """

    def __init__(self, batch: Batch) -> None:
        self.one = batch

    def batch(self, number: int) -> Batch:
        """The batch."""
        return self.one


def players_of(system: System, batch: Batch, options: TrainerOptions | None = None, physical: Any = None) -> Players:
    """Players that train a system on one batch, again and again, on the CPU.

    Args:
        system: networks and phases.
        batch: normalised.
        options: of the trainer; None = the defaults.
        physical: takes a normalised batch back to physical units, for terms that need it.
    """
    options = replace(options or TrainerOptions(max_steps=1), accelerator="cpu", devices=1)
    feed = Feed({DATA: OneBatch(batch)}, 1, physical)  # type: ignore[dict-item]
    return Players(Trainer(options).fabric, system, feed, options.gradient_clip)
