from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.kinds.conditions import LabelConditions


def test_labels_are_drawn_as_often_as_they_occur() -> None:
    labels = torch.tensor([0] * 10 + [2] * 30)
    conditions = LabelConditions()
    state = conditions.state(Batch(torch.zeros(40, 1), condition=labels), {})
    drawn, _ = conditions.draw(state, 20_000, torch.Generator())
    assert drawn is not None
    assert torch.bincount(drawn).div(20_000).tolist() == pytest.approx([0.25, 0, 0.75], abs=0.015)
