"""Conditions of tables and images: class labels or continuous conditions beside each sample."""

from __future__ import annotations

from math import inf, isfinite
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.documents import Rule
from partigan.errors import PartiganError
from partigan.kinds.kind import Conditions

ROUNDING = 1e-5  # of a range, by which a condition may lie outside
KEPT = 4096  # rows of continuous conditions that a run keeps to draw from
FREQUENCIES = Rule(
    [Rule(float, lambda number: 0 <= number < inf, "a number, not negative")], any, "numbers that are not all 0"
)  # of labels, or of multiplicities
_SHAPES = {1: ("features",), 2: ("particles", "features"), 3: ("channels", "height", "width")}


class LabelConditions(Conditions):
    """Labels are drawn as often as they occur in training (by event weight), continuous conditions row by row.

    Weights may be negative, so that rows cannot be drawn by them. Each generated sample carries the weight of the row
    whose conditions it has (arXiv:1905.11825).

    Attributes:
        kept: rows of continuous conditions that a run keeps to draw from.
    """

    kept = KEPT
    rows = ("conditions", "weights")
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
            "ranges?": [Rule([Rule(float, isfinite, "a finite number")], lambda ends: len(ends) == 2, "two ends")],
            "columns?": {"conditions?": {str: str}, "truth?": {str: str}},
            "weights?": [Rule(float, isfinite, "a finite number")],
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
        if columns := description.get("columns"):
            found["columns"] = columns
        condition = sample.condition
        if condition is None:
            return found
        if condition.is_floating_point():
            ends = torch.stack((condition.amin(0), condition.amax(0)), 1)
            found |= {"conditions": condition[: self.kept].tolist(), "ranges": ends.tolist()}
            return found if sample.weight is None else {**found, "weights": sample.weight[: self.kept].tolist()}
        weight = None if sample.weight is None else sample.weight.double()
        return {**found, "labels": torch.bincount(condition, weight).clamp_min(0).tolist()}

    def beyond(self, state: dict[str, Any], sample: Batch) -> list[str]:
        """Continuous conditions outside the range of the training sample.

        Raises:
            PartiganError: none, or another number of conditions than in training.

        Example:
            >>> trained = Batch(torch.zeros(2, 1), condition=torch.tensor([[1.0], [5.0]]))
            >>> asked = Batch(torch.zeros(3, 1), condition=torch.tensor([[2.0], [7.0], [9.0]]))
            >>> LabelConditions().beyond(LabelConditions().state(trained, {}), asked)
            ['condition 0 of 2 of 3 samples is outside 1 to 5, on which the run was trained; there are 2 to 9']
        """
        condition = sample.condition
        if "conditions" not in state:
            return []
        rows = torch.tensor(state["conditions"])
        if condition is None or not condition.is_floating_point():
            raise PartiganError(f"there are no continuous conditions; the run was trained with {rows.shape[1]}")
        if condition.shape[1] != rows.shape[1]:
            raise PartiganError(f"{condition.shape[1]} conditions are given; the run was trained with {rows.shape[1]}")
        ends = torch.tensor(state["ranges"]) if "ranges" in state else torch.stack((rows.amin(0), rows.amax(0)), 1)
        low, high = ends.T - ROUNDING * (ends[:, 1] - ends[:, 0]).clamp_min(1e-6) * torch.tensor([[1.0], [-1.0]])
        outside = (condition < low) | (condition > high)
        known = [*state.get("columns", {}).get("conditions", {})] or [str(number) for number in range(rows.shape[1])]
        names = [f"condition {name}" if name.isdigit() else name for name in known]
        return [
            f"{name} of {int(outside[:, column].sum()):,} of {len(condition):,} samples is outside "
            f"{ends[column, 0]:.4g} to {ends[column, 1]:.4g}, on which the run was trained; there are "
            f"{condition[:, column].min():.4g} to {condition[:, column].max():.4g}"
            for column, name in enumerate(names)
            if outside[:, column].any()
        ]

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Labels or conditions as in training; there is no mask."""
        if "labels" in state:
            frequency = torch.tensor(state["labels"], dtype=torch.float64)
            return torch.multinomial(frequency, size, replacement=True, generator=rng), None
        if "conditions" in state:
            rows = torch.as_tensor(state["conditions"])
            return rows[torch.randint(len(rows), (size,), generator=rng)], None
        return None, None

    def weight(self, state: dict[str, Any], size: int, rng: torch.Generator) -> Tensor | None:
        """Weights of the rows whose conditions are drawn."""
        if "weights" not in state:
            return None
        weights = torch.as_tensor(state["weights"])
        return weights[torch.randint(len(weights), (size,), generator=rng)]
