"""What is written down while a system trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from partigan.documents import check, read_lines
from partigan.files import enlist, write_text
from partigan.run import Run


class Log:
    """``metrics.jsonl`` and TensorBoard, cut back to a step where a training resumes.

    Args:
        run: where it is.
        step: lines of later steps are dropped.
    """

    def __init__(self, run: Run, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = run.log_file
        self.lines = [line for line in read_log(self.path) if line["step"] <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        board = run.path / "tensorboard"
        self._board = SummaryWriter(str(board), purge_step=step + 1 if step else None)
        for file in board.glob("events.out.tfevents.*"):
            enlist(file)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of values at a training step."""
        self.lines.append({"step": step, **values})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything."""
        self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; a last line that a kill cut off is left out.

    Raises:
        PartiganError: another line is not what partigan writes.
    """
    lines: list[dict[str, Any]] = read_lines(path) if path.exists() else []
    for number, line in enumerate(lines, 1):
        check(line, {"step": int, str: float}, f"{path}, line {number}")
    return lines


class Means:
    """Running means of named scalars."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one value of each name."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means
