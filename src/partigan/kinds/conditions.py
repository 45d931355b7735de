"""Conditions of tables and images: class labels or continuous conditions beside each sample."""

from __future__ import annotations

from math import inf, isfinite
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.documents import Rule
from partigan.kinds.kind import Conditions

KEPT = 4096  # rows of continuous conditions that a run keeps to draw from
FREQUENCIES = Rule(
    [Rule(float, lambda number: 0 <= number < inf, "a number, not negative")], any, "numbers that are not all 0"
)  # of labels, or of multiplicities
_SHAPES = {1: ("features",), 2: ("particles", "features"), 3: ("channels", "height", "width")}


class LabelConditions(Conditions):
    """Labels are drawn as often as they occur in training (by event weight), continuous conditions row by row."""

    schema = MappingProxyType(
        {
            "features?": [str],
            "units?": [str],
            "labels?": FREQUENCIES,
            "conditions?": Rule(
                [[Rule(float, isfinite, "a finite number")]],
                lambda rows: len({*map(len, rows)}) == 1,
                "rows of one length",
            ),
        }
    )

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """The shape of a sample, the number of ``classes`` and of float ``conditions``; 0 where there are none."""
        shape = sample.x.shape[1:]
        classes = conditions = 0
        if sample.condition is not None and sample.condition.is_floating_point():
            conditions = sample.condition.shape[1]
        elif sample.condition is not None:
            classes = int(sample.condition.max()) + 1
        return {**dict(zip(_SHAPES[len(shape)], shape, strict=True)), "classes": classes, "conditions": conditions}

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Names and units of features, where they have some, and weighted frequencies of labels or rows of conditions.

        Example:
            >>> labels = torch.tensor([0, 1, 1])
            >>> LabelConditions().state(Batch(torch.zeros(3, 1), condition=labels), {"features": {"mass": "GeV"}})
            {'features': ['mass'], 'units': ['GeV'], 'labels': [1, 2]}
        """
        found: dict[str, Any] = {}
        if features := description.get("features"):
            found = {"features": list(features), "units": list(features.values())}
        condition = sample.condition
        if condition is None:
            return found
        if condition.is_floating_point():
            return {**found, "conditions": condition[:KEPT].tolist()}
        weight = None if sample.weight is None else sample.weight.double()
        return {**found, "labels": torch.bincount(condition, weight).clamp_min(0).tolist()}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Labels or conditions as in training; there is no mask."""
        if "labels" in state:
            frequency = torch.tensor(state["labels"], dtype=torch.float64)
            return torch.multinomial(frequency, size, replacement=True, generator=rng), None
        if "conditions" in state:
            rows = torch.tensor(state["conditions"])
            return rows[torch.randint(len(rows), (size,), generator=rng)], None
        return None, None
