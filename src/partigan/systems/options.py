"""How a system is trained: length, batches, averages, devices, and which checkpoint is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from partigan.errors import PartiganError


@dataclass(frozen=True)
class Rules:
    """Which checkpoint is kept, and what ends a run before its last step.

    Attributes:
        metric: validation metric of which the lowest is the best; None = what the kind of data says.
        veto: validation metric that vetoes, see `partigan.training.selection.Selection`; the same as ``metric`` = none;
            None = what the kind of data says.
        tolerance: of the veto.
        patience: validations without a new best after which the run ends; None = it never does.
        collapse: what to do at signs of a collapse: warn, stop the run, or do not look.
    """

    metric: str | None = None
    veto: str | None = None
    tolerance: float = 2.0
    patience: int | None = None
    collapse: Literal["warn", "stop", "ignore"] = "warn"

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise PartiganError(f"trainer.rules.patience = {self.patience}; it must be above 0")


@dataclass(frozen=True)
class TrainerOptions:
    """Options of a training.

    Attributes:
        max_steps: training steps; one step is one turn of every phase.
        max_minutes: wall-clock minutes, turned into steps once by a measurement before training; where both are given,
            the smaller number of steps counts.
        batch_size: samples in a batch of each process; all together make the global batch.
        validations: how often the run is validated, evenly over its steps.
        snapshots: generated samples that are kept at every validation, as ``samples/<step>.h5`` in the run directory.
        ema_half_life: half-life of the averaged weights as a fraction of the run; 0 = no averaging.
        ema_decay: what the average keeps of itself in a step, as papers give it (0.9999), in place of a half-life.
        gradient_clip: largest norm of a phase's gradient; None = not clipped.
        rules: which checkpoint is kept, and what ends a run early.
        checkpoint_seconds: time between two checkpoints; it has no influence on the result.
        accelerator: as in Lightning Fabric (cpu, cuda, mps, auto).
        devices: number of devices of each machine, one process for each.
        num_nodes: number of machines.
        strategy: as in Lightning Fabric (auto, ddp, ...).
        precision: as in Lightning Fabric (32-true, bf16-mixed, ...).
    """

    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 128
    validations: int = 50
    snapshots: int = 0
    ema_half_life: float = 0.02
    ema_decay: float | None = None
    gradient_clip: float | None = None
    rules: Rules = field(default_factory=Rules)
    checkpoint_seconds: float = 60.0
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_minutes", "batch_size", "validations", "gradient_clip", "num_nodes"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise PartiganError(f"trainer.{name} = {value}; it must be above 0")
        if self.ema_half_life < 0:
            raise PartiganError(f"trainer.ema_half_life = {self.ema_half_life}; it must not be below 0")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise PartiganError(f"trainer.ema_decay = {self.ema_decay}; it must be at least 0 and below 1")
