from __future__ import annotations

import pytest

from partigan.errors import PartiganError
from partigan.objectives.matching import MeanFieldMatching
from partigan.objectives.penalties import R1, InstanceNoise
from partigan.systems.schedules import WarmupCosine
from partigan.systems.terms import ScheduledTerm, acting


def test_terms_end_are_lazy_and_are_annealed() -> None:
    term = ScheduledTerm(MeanFieldMatching(), until=10)
    assert term.active(9)
    assert not term.active(10)
    assert ScheduledTerm(MeanFieldMatching()).active(10**9)
    lazy = ScheduledTerm(R1(), weight=2.0, every=4)
    assert sum(lazy.strength(0.0) for step in range(12) if lazy.active(step)) == 12 * 2.0
    assert ScheduledTerm(R1(), 3.0, annealing=WarmupCosine(0.0, 0.5)).strength(1.0) == pytest.approx(1.5)
    assert [ScheduledTerm(InstanceNoise()).strength(done) for done in (0.0, 0.5, 1.0)] == [0.1, 0.05, 0.0]
    assert [label for label, _ in acting({"a": term, "b": lazy}, 9)] == ["a"]
    with pytest.raises(PartiganError, match="every = 0 of R1"):
        ScheduledTerm(R1(), every=0)
