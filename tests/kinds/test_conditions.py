from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds.conditions import LabelConditions


def test_labels_are_drawn_as_often_as_they_occur() -> None:
    labels = torch.tensor([0] * 10 + [2] * 30)
    conditions = LabelConditions()
    state = conditions.state(Batch(torch.zeros(40, 1), condition=labels), {})
    drawn, _ = conditions.draw(state, 20_000, torch.Generator())
    assert drawn is not None
    assert torch.bincount(drawn).div(20_000).tolist() == pytest.approx([0.25, 0, 0.75], abs=0.015)


def test_conditions_out_of_range_are_named() -> None:
    rng = torch.Generator().manual_seed(0)
    trained = Batch(torch.zeros(9000, 1), condition=torch.rand(9000, 2, generator=rng))
    conditions = LabelConditions()
    state = conditions.state(trained, {}) | {"columns": {"conditions": {"energy": "EeV", "zenith": "rad"}}}
    assert conditions.beyond(state, trained) == []  # the ends themselves, of rows beyond those that are kept
    rows = trained.condition
    assert rows is not None
    asked = Batch(torch.zeros(4, 1), condition=torch.tensor([[0.5, 0.5], [0.5, -0.2], [0.5, 1.5], [0.1, 0.9]]))
    assert conditions.beyond(state, asked) == [
        f"zenith of 2 of 4 samples is outside {rows[:, 1].min():.4g} to {rows[:, 1].max():.4g}, on which the run was "
        "trained; there are -0.2 to 1.5"
    ]
    del state["ranges"]  # as of earlier runs: the range of the rows that were kept
    assert len(conditions.beyond(state, asked)) == 1
    with pytest.raises(PartiganError, match="3 conditions are given; the run was trained with 2"):
        conditions.beyond(state, Batch(torch.zeros(4, 1), condition=torch.zeros(4, 3)))
    with pytest.raises(PartiganError, match="no continuous conditions; the run was trained with 2"):
        conditions.beyond(state, Batch(torch.zeros(4, 1)))
    labels = Batch(torch.zeros(4, 1), condition=torch.arange(4))
    assert conditions.beyond(conditions.state(labels, {}), labels) == []


def test_generated_samples_carry_the_weights_of_the_rows_whose_conditions_they_have() -> None:
    """Also negative ones; rows are drawn evenly."""
    sample = Batch(torch.zeros(50, 1), condition=torch.arange(50.0)[:, None], weight=torch.arange(50.0) - 10)
    conditions = LabelConditions()
    state = conditions.state(sample, {"columns": {"conditions": {"P": "MeV"}}})
    assert state["columns"] == {"conditions": {"P": "MeV"}}
    drawn, _ = conditions.draw(state, 3000, torch.Generator().manual_seed(3))
    weight = conditions.weight(state, 3000, torch.Generator().manual_seed(3))
    assert drawn is not None
    assert weight is not None
    assert torch.equal(weight, drawn[:, 0] - 10)
    assert len(weight.unique()) == 50
    assert conditions.weight({"conditions": [[0.0]]}, 3, torch.Generator()) is None


def test_a_state_that_is_ready_gives_what_the_state_gives() -> None:
    conditions = LabelConditions()
    state = {"conditions": [[float(row)] for row in range(9)], "weights": [row + 0.5 for row in range(9)]}
    ready = conditions.ready(state)
    assert all(isinstance(ready[name], torch.Tensor) for name in state)
    for draw in (conditions.draw, conditions.weight):
        one, two = (draw(given, 99, torch.Generator().manual_seed(1)) for given in (state, ready))
        one, two = (found[0] if isinstance(found, tuple) else found for found in (one, two))
        assert torch.equal(one, two)
    assert isinstance(state["weights"], list)
