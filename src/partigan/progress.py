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

console = Console(stderr=True)
"""Progress and tables go to standard error, so that standard output stays for results."""


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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total)
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
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
        )
        self._progress = Progress(*columns, console=console, disable=not shown, speed_estimate_period=60)
        self._start, self._began, self._header = start, time.monotonic(), False
        self._task = self._progress.add_task(title, total=total, completed=start, speed="", losses="")

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, step: int, batch: int) -> None:
        """Tell the number of steps done, and of samples in a step."""
        seconds = time.monotonic() - self._began
        speed = f"{(step - self._start) * batch / seconds:.0f}/s"
        self._progress.update(self._task, completed=step, speed=speed)

    def losses(self, means: dict[str, float]) -> None:
        """Show the mean losses since the last call."""
        objectives = {name.removesuffix("/objective"): value for name, value in means.items() if "objective" in name}
        text = "  ".join(f"{name} {value:.3g}" for name, value in objectives.items())
        self._progress.update(self._task, losses=text)

    def validation(self, step: int, values: dict[str, float], chosen: bool) -> None:
        """Add a row of validation metrics, with a star where the checkpoint is now the best one."""
        if not self._header:
            self._progress.print("      step" + "".join(f"{name:>12}" for name in values) + "   best")
            self._header = True
        row = f"{step:>10}" + "".join(f"{value:>12.3e}" for value in values.values())
        self._progress.print(row + ("      *" if chosen else ""))
