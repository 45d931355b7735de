"""How the clusters of one sensor differ from those of its group, which are counted together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from partigan.data.pxd import SENSORS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GROUPS = np.array([2 * (sensor.layer - 1) + sensor.number - 1 for sensor in SENSORS])
"""Layer and forward or backward of each sensor, 0 to 3."""
ALIKE = 100.0  # clusters of each sensor that are spread as those of its group


def of_sensors(table: Floats, counts: Floats, classes: Ints) -> Floats:
    """Rows of a table for each sensor: those of its group, times how much more often each class of columns occurs.

    Args:
        table: shares, ``(4 * places * kinds, columns)``, 4 groups.
        counts: clusters of each sensor by class, ``(40, kinds, classes)``.
        classes: the class of each column, ``(columns,)``.

    Returns:
        ``(40 * places * kinds, columns)``.
    """
    group = np.stack([counts[number == GROUPS].sum(0) for number in range(GROUPS.max() + 1)])
    share = (group / group.sum(2, keepdims=True).clip(1))[GROUPS]
    own = (counts + ALIKE * share) / (counts.sum(2, keepdims=True) + ALIKE)
    more = np.divide(own, share, out=np.ones_like(own), where=share > 0)[:, None, :, classes]
    kinds, columns = counts.shape[1], len(classes)
    rows: Floats = (table.reshape(group.shape[0], -1, kinds, columns)[GROUPS] * more).reshape(-1, columns)
    return rows
