"""Global batches: what a loss must see of all processes that train together.

Means over samples need nothing: gradients are averaged over processes (`partigan.training.players`). A loss that is no
mean over samples, such as the square of a difference of means, or distances between all pairs, must be computed of all
samples in every process. `of_all` gathers them, with a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """Number of processes that train together."""
    there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if there else 1


def of_all(x: Tensor) -> Tensor:
    """The rows ``(rows, ...)`` of all processes, one process after the other.

    The gradient of own rows is multiplied with the number of processes, since it is averaged over them afterwards. It
    is right for a loss that every process computes of the same rows.
    """
    if processes() == 1:
        return x
    found: Tensor = _Gathered.apply(x) if x.is_floating_point() else torch.cat(_rows_of_all(x))
    return found


def mean_of_all(x: Tensor) -> Tensor:
    """Mean over all processes of a scalar."""
    return of_all(x[None]).mean()


def of_first(x: Tensor) -> Tensor:
    """What the first process has drawn at random, in all of them."""
    if processes() > 1:
        distributed.broadcast(x, 0)
    return x


class _Gathered(torch.autograd.Function):
    """Rows of all processes; backward the slice of own rows, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Gather rows; their number may differ."""
        parts = _rows_of_all(x)
        before = sum(len(part) for part in parts[: distributed.get_rank()])
        ctx.own = slice(before, before + len(x))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The gradient of own rows."""
        return gradient[ctx.own] * processes()


def _rows_of_all(x: Tensor) -> list[Tensor]:
    """Rows of each process."""
    sizes = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(processes())]
    distributed.all_gather(sizes, torch.tensor([len(x)], device=x.device))
    most = int(max(sizes))
    padded = torch.zeros((most, *x.shape[1:]), dtype=x.dtype, device=x.device)
    padded[: len(x)] = x.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(parts, padded)
    return [part[: int(size)] for part, size in zip(parts, sizes, strict=True)]
