"""What every network, objective and metric is given: a batch of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples with what belongs to them.

    Attributes:
        x: clouds ``(batch, particles, features)``, images ``(batch, channel, height, width)``, traces
            ``(batch, channel, bins)`` or tables ``(batch, features)``, floating point.
        mask: ``(batch, particles)`` bool, True = real particle; None for all others.
        condition: ``(batch, features)`` float or ``(batch,)`` class index; None where there is none.
        weight: ``(batch,)`` event weights such as sWeights; None = 1.
        source: the input of a refiner or translator, shaped like ``x``; None elsewhere.
        truth: ``(batch, features)`` float, what a reconstruction is asked for, such as the energy; networks never see
            it; None where it is not known.

    Example:
        >>> jets = Batch(torch.zeros(2, 5, 3), torch.arange(5) < torch.tensor([[2], [1]]))
        >>> jets.trimmed().x.shape
        torch.Size([2, 2, 3])
    """

    x: Tensor
    mask: Tensor | None = None
    condition: Tensor | None = None
    weight: Tensor | None = None
    source: Tensor | None = None
    truth: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        return self._each(lambda part: part[rows])

    @property
    def start(self) -> Batch:
        """What a translator starts from: the sources as samples, or the samples themselves where they have none."""
        return self if self.source is None else replace(self, x=self.source, source=None)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return self._each(lambda part: part.to(device))

    def trimmed(self) -> Batch:
        """The same batch without the padding that none of its clouds needs (real particles come first)."""
        if self.mask is None:
            return self
        width = max(int(self.mask.sum(1).max()), 1) if len(self) else 1
        return replace(self, x=self.x[:, :width], mask=self.mask[:, :width])

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Several batches of one shape as one."""
        parts: dict[str, Any] = {}
        for field in fields(cls):
            each = [getattr(batch, field.name) for batch in batches]
            parts[field.name] = None if each[0] is None else torch.cat(each)
        return cls(**parts)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same change made to every part that is there."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})
