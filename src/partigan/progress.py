"""The one progress display of long jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from partigan.errors import printable

console = Console(stderr=True)
"""Progress and tables go to standard error, so that standard output stays for results."""


def tell(*lines: str) -> None:
    """Print lines on standard error as they are: nothing in them is markup, or moves the cursor."""
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is shown of what goes on inside."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the number done, the time taken and the time left.

    Yields:
        A function to call with the number of items just finished.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(printable(description), total=total)
        yield lambda done: progress.update(task, advance=done)


class TrainingDisplay:
    """The live table of a training: a row for each validation, and a bar with losses, speed and time left.

    Args:
        total: training steps of the whole run.
        start: steps done before.
        title: name of the run.
        shown: False for processes that keep quiet.
    """

    def __init__(self, total: int, start: int, title: str, shown: bool) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("steps, {task.fields[speed]},"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._progress = Progress(*columns, console=console, disable=not shown, speed_estimate_period=60)
        self._total, self._start, self._began, self._header = total, start, time.monotonic(), False
        self._losses: dict[str, float] = {}
        self._task = self._progress.add_task(printable(title), total=total, completed=start, speed="")

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, step: int, batch: int) -> None:
        """Tell the number of steps done, and of samples in a step."""
        seconds = time.monotonic() - self._began
        speed = f"{(step - self._start) * batch / seconds:,.0f} samples/s"
        self._progress.update(self._task, completed=step, speed=speed)

    def losses(self, means: dict[str, float]) -> None:
        """Take the mean losses since the last call."""
        named = {name.removesuffix("objective").rstrip("/."): value for name, value in means.items()}
        self._losses = {
            name: named[name] for name in named if f"{name}/objective" in means or f"{name}.objective" in means
        }

    def validation(self, step: int, values: dict[str, float], note: str) -> None:
        """Add a row: step, validation metrics, losses and time left.

        Args:
            step: training step.
            values: the metrics by name.
            note: what became of the checkpoint.
        """
        columns = {"step": f"{step:,}"} | {name: f"{value:.3g}" for name, value in values.items()}
        columns |= {name: f"{value:.3g}" for name, value in self._losses.items()}
        done = step - self._start
        left = (time.monotonic() - self._began) / max(done, 1) * (self._total - step)
        columns["left"] = f"{left / 60:.0f} min" if left >= 120 else f"{left:.0f} s"
        widths = {name: max(10, len(_shortened(name)) + 1) for name in columns}
        if not self._header:
            self._print("".join(f"{_shortened(name):>{widths[name]}}" for name in columns))
            self._header = True
        self._print("".join(f"{value:>{widths[name]}}" for name, value in columns.items()) + f" {note}".rstrip())

    def _print(self, line: str) -> None:
        self._progress.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _shortened(name: str, most: int = 10) -> str:
    """A name that fits a column: of a loss among several of a phase its own name."""
    name = name.rpartition("/")[2]
    return name if len(name) <= most else f"{name[: most - 1]}."
