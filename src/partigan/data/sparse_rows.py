"""Rows of counts, most of which are 0, as short lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.errors import PartiganError


def pairs(row: NDArray[Any]) -> list[int]:
    """For each column of a row that is not 0 how far it is behind the one before, and what it holds.

    Example:
        >>> pairs(np.array([0, 0, 7, 3]))
        [2, 7, 1, 3]
    """
    there = np.flatnonzero(row)
    return [int(x) for pair in zip(np.diff(there, prepend=0), row[there], strict=True) for x in pair]


def full(rows: list[list[int]], columns: int) -> NDArray[np.float64]:
    """The inverse of `pairs` for a table, ``(rows, columns)``.

    Raises:
        PartiganError: a row has no such pairs, or is not finite.
    """
    table = np.zeros((len(rows), columns))
    for number, row in enumerate(rows):
        values = np.asarray(row, np.float64)
        if not np.isfinite(values).all():
            raise PartiganError(f"row {number} is not finite")
        there = np.cumsum(values[::2]).astype(np.int64)
        if len(row) % 2 or there.min(initial=0) < 0 or there.max(initial=0) >= columns:
            raise PartiganError(f"row {number} is no list of steps between columns below {columns}, each with a count")
        table[number, there] = values[1::2]
    return table
