"""What is written down and decided while a system trains."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class Log:
    """``metrics.jsonl`` and TensorBoard, cut back to a step where a training resumes.

    Args:
        folder: the run directory.
        step: lines of later steps are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_log(self.path) if line["step"] <= step]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of values at a training step."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything."""
        self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; a line cut off by a kill is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines


@dataclass
class Selection:
    """Which checkpoint is the best: that of lowest ``metric``, unless ``veto`` is far above its lowest value.

    A low Wasserstein distance can be a fluctuation; a checkpoint whose veto metric is more than ``tolerance`` times
    the lowest seen so far is not taken, and is replaced when the veto metric falls so far that it would not be.

    Attributes:
        metric: name of the metric that decides.
        veto: name of the metric that vetoes.
        tolerance: factor above the lowest veto value.
        best: value of ``metric`` of the chosen checkpoint.
        best_veto: its value of ``veto``.
        lowest_veto: lowest value of ``veto`` so far.
        step: training step of the chosen checkpoint.

    References:
        arXiv:2305.15254, section 3.1 (best W1-M, vetoed by FPD; the paper does not say how).
    """

    metric: str
    veto: str
    tolerance: float = 2.0
    best: float = math.inf
    best_veto: float = math.inf
    lowest_veto: float = math.inf
    step: int = -1

    def take(self, step: int, values: dict[str, float]) -> bool:
        """Tell the values of a new checkpoint; True where it becomes the chosen one."""
        value, veto = values[self.metric], values[self.veto]
        self.lowest_veto = min(self.lowest_veto, veto)
        limit = self.tolerance * self.lowest_veto
        better = veto <= limit and (value < self.best or self.best_veto > limit)
        if better or self.step < 0:
            self.best, self.best_veto, self.step = value, veto, step
            return True
        return False

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
