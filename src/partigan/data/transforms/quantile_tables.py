"""Tables of quantiles at energies of particles, between which they are interpolated in the logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 20  # different energies that are knots one by one
WINDOWS = 24  # of energies otherwise
QUANTILES = 33
REACH = 4.0  # quantiles are tabled at evenly spaced normal levels from -4 to 4
FEW = 20  # showers in a window, below which those of all windows are taken
LEVELS = torch.linspace(-REACH, REACH, QUANTILES)


def windows(log_energy: Tensor) -> Tensor:
    """Number of the window of each energy: one for each energy, or 24 of as many showers where there are over 20.

    Example:
        >>> windows(torch.tensor([1.0, 5.0, 1.0, 7.0])).tolist()
        [0, 1, 0, 2]
    """
    values = log_energy.unique()
    inner = (values[1:] + values[:-1]) / 2
    if len(values) > MOST:
        inner = torch.quantile(log_energy, torch.arange(1, WINDOWS, dtype=log_energy.dtype) / WINDOWS)
    return torch.bucketize(log_energy, inner)


def quantile_table(everywhere: Tensor, rows: Tensor) -> Tensor:
    """Quantiles at the levels of `LEVELS` of columns that may be NaN, ``(columns, quantiles)``.

    Args:
        everywhere: the columns in all windows, where one of them has too few rows.
        rows: in one window.
    """
    share = 0.5 * (1 + torch.erf(LEVELS.double() / 2**0.5))
    share[0], share[-1] = 0.0, 1.0
    found = []
    for column in range(rows.shape[1]):
        values = rows[:, column][~rows[:, column].isnan()]
        if len(values) < FEW:
            values = everywhere[:, column][~everywhere[:, column].isnan()]
        if len(values) < FEW:
            values = torch.linspace(0, 1, FEW, dtype=rows.dtype)
        found.append(torch.quantile(values, share.to(values)))
    return torch.stack(found)


def between(log_energy: Tensor, knots: Tensor, tables: Tensor) -> Tensor:
    """Tables at energies, linear between knots and constant beyond them.

    Args:
        log_energy: ``(rows,)``.
        knots: rising.
        tables: ``(knots, ...)``.
    """
    if len(knots) == 1:
        return tables.expand(len(log_energy), *tables.shape[1:])
    log_energy = log_energy.clamp(knots[0], knots[-1])
    above = torch.bucketize(log_energy, knots).clamp(1, len(knots) - 1)
    low, high = knots[above - 1], knots[above]
    part = ((log_energy - low) / (high - low)).reshape(-1, *[1] * (tables.dim() - 1))
    return tables[above - 1] * (1 - part) + tables[above] * part


def mapped(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear functions, one for each entry of ``x`` ``(rows, columns)``; constant beyond their ends.

    Args:
        x: where.
        knots: rising, ``(rows, columns, k)``.
        values: at the knots.
    """
    x = torch.minimum(torch.maximum(x, knots[..., 0]), knots[..., -1])[..., None]
    above = torch.searchsorted(knots.contiguous(), x.detach()).clamp(1, knots.shape[-1] - 1)
    x0, x1 = knots.gather(-1, above - 1), knots.gather(-1, above)
    y0, y1 = values.gather(-1, above - 1), values.gather(-1, above)
    width = x1 - x0
    return (y0 + (x - x0) / torch.where(width > 0, width, 1.0) * (y1 - y0))[..., 0]
