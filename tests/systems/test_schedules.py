from __future__ import annotations

import math

import pytest

from partigan.errors import PartiganError
from partigan.systems.schedules import Arctan, Constant, Exponential, Linear, Stairs, WarmupCosine


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


def test_schedules_of_rich_gan() -> None:
    """The penalty's factor is (2 / pi) arctan(i / 10^4) over 10^5 steps; rates fall by 0.98 every 200."""
    assert Arctan(0.1)(0.37) == pytest.approx(2 / math.pi * math.atan(37_000 / 1e4))
    assert [Arctan(0.1)(done) for done in (0.0, 0.1, 1.0)] == pytest.approx([0, 0.5, 0.9365], abs=1e-3)
    assert Exponential(0.98**500)(0.5) == pytest.approx(0.98**250)
    with pytest.raises(PartiganError, match="scale = 0"):
        Arctan(0)
    with pytest.raises(PartiganError, match="final = 0"):
        Exponential(0)
