from __future__ import annotations

import pytest

from partigan.systems.schedules import Constant, Linear, WarmupCosine


def test_schedules() -> None:
    schedule = WarmupCosine(0.1)
    assert [schedule(done) for done in (0, 0.05, 0.1, 0.55, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert Constant()(0.3) == 1
    assert [Linear(0.2, 1.0)(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0])
