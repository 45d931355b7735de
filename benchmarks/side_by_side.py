"""Jobs that take turns in one process, and a table of what they took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

SECONDS = 0.25  # of a turn, at least
Job = Callable[[], int]


def turns(jobs: Mapping[str, Job], number: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Microseconds for one of what jobs make.

    Args:
        jobs: by name, each says how many it made; the first is what others are compared with.
        number: turns of each; one more warms up.
        seconds: that a turn takes at least.

    Returns:
        The median of each; as ``FIRST over OTHER`` median, least and largest ratio of turns that follow each other.
    """
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(number + 1):
        for name, job in jobs.items():
            made, began = 0, time.perf_counter()
            while not made or time.perf_counter() - began < seconds:
                made += job()
            if turn:
                found[name].append(1e6 * (time.perf_counter() - began) / made)
    row: dict[str, Any] = {name: float(f"{statistics.median(values):.4g}") for name, values in found.items()}
    first, *others = found
    for name in others:
        ratios = [a / b for a, b in zip(found[first], found[name], strict=True)]
        row[f"{first} over {name}"] = [float(f"{f(ratios):.3g}") for f in (statistics.median, min, max)]
    return row


def table(of: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of markdown: times, then ratios.

    Args:
        of: what rows are.
        rows: of `turns`, by name.
    """
    names = [*dict.fromkeys(name for row in rows.values() for name in row)]
    columns = sorted(names, key=lambda name: " over " in name)
    lines = [f"| {of} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label, row in rows.items():
        lines.append(f"| {label} | {' | '.join(_cell(row.get(column)) for column in columns)} |")
    return lines


def _cell(value: Any) -> str:
    """A time, or a ratio with its range."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "{} ({} to {})".format(*(_number(each) for each in value))
    for unit, size in (("s", 1e6), ("ms", 1e3), ("μs", 1.0)):
        if value >= size:
            return f"{_number(value / size)} {unit}"
    return f"{_number(value)} μs"


def _number(value: float) -> str:
    """Three digits, large numbers whole."""
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
