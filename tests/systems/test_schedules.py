from __future__ import annotations

import pytest

from partigan.errors import PartiganError
from partigan.systems.schedules import Constant, Linear, Stairs, WarmupCosine


def test_schedules() -> None:
    schedule = WarmupCosine(0.1)
    assert [schedule(done) for done in (0, 0.05, 0.1, 0.55, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert Constant()(0.3) == 1
    assert [Linear(0.2, 1.0)(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0])
    assert [Linear(2.0, 1.0, 0.5)(done) for done in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([2.0, 2.0, 1.5, 1.0])
    for start in (-0.1, 1.0):
        with pytest.raises(PartiganError, match=rf"start = {start} of a linear schedule"):
            Linear(start=start)


@pytest.mark.parametrize(
    ("begins", "factors"), [([0.0, 0.5], [1.0]), ([], []), ([0.1], [1.0]), ([0.0, 0.5, 0.4], [1.0, 0.5, 0.2])]
)
def test_stairs_that_cannot_be(begins: list[float], factors: list[float]) -> None:
    with pytest.raises(PartiganError, match="begin at 0 and rise"):
        Stairs(begins, factors)
