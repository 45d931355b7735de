"""Rows of counts, many of which are 0, as short lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.errors import PartiganError


def short(row: NDArray[Any]) -> list[int]:
    """The counts of a row; for columns without counts between them their number, below 0.

    Example:
        >>> short(np.array([0, 0, 7, 3, 0]))
        [-2, 7, 3]
    """
    there = np.flatnonzero(row)
    skipped = np.diff(there, prepend=-1) - 1
    return [int(x) for pair in zip(-skipped, row[there], strict=True) for x in pair if x]


def full(rows: list[list[int]], columns: int) -> NDArray[np.float64]:
    """The inverse of `short` for a table, ``(rows, columns)``.

    Raises:
        PartiganError: a row has more columns, or is not finite.
    """
    table = np.zeros((len(rows), columns))
    for number, row in enumerate(rows):
        values = np.asarray(row, np.float64)
        if not np.isfinite(values).all():
            raise PartiganError(f"row {number} is not finite")
        there = values >= 0
        behind = np.where(there, 1, -values).cumsum()
        if behind.max(initial=0) > columns:
            raise PartiganError(f"row {number} has {behind.max():.0f} columns and not {columns}")
        table[number, behind[there].astype(np.int64) - 1] = values[there]
    return table
