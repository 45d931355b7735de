from __future__ import annotations

from partigan.systems.options import Rules
from partigan.training.selection import Selection


def test_best_checkpoint_is_vetoed() -> None:
    selection = Selection("w1m", "fpd", tolerance=2.0)
    history = [
        (5.0, 10.0, True),
        (1.0, 30.0, False),
        (4.0, 6.0, True),
        (4.5, 1.5, True),
        (4.0, 3.5, False),
        (4.4, 2.9, True),
    ]
    assert [selection.take(step, {"w1m": w1m, "fpd": fpd}) for step, (w1m, fpd, _) in enumerate(history)] == [
        chosen for *_, chosen in history
    ]
    assert selection.step == 5


def test_the_veto_has_a_word_in_what_is_said() -> None:
    selection = Selection("w1m", "fpd", real={"w1m": 0.1, "fpd": 0.5})
    assert selection.outcome() == []
    said = []
    for step, (w1m, fpd) in enumerate([(5.0, 10.0), (6.0, 9.0), (5.5, 1.0), (1.0, 33_710.0), (1.2, 1.5)]):
        values = {"w1m": w1m, "fpd": fpd}
        selection.take(step, values)
        said.append(selection.word(step, values))
    assert said == ["best so far", "", "best so far, as fpd vetoes the one before", "vetoed by fpd", "best so far"]
    assert selection.outcome() == ["best checkpoint: step 4, w1m 1.2, fpd 1.5 (real samples: w1m 0.1, fpd 0.5)"]
    selection.take(5, {"w1m": 2.0, "fpd": 33_710.0})
    assert selection.outcome()[1].startswith("fpd rose from 1 to 3.37e+04 at the end; the run may have collapsed")


def test_rules_choose_metric_and_veto() -> None:
    assert Selection.by(Rules(), ("a", "b")) == Selection("a", "b")
    assert Selection.by(Rules(metric="c"), ("a", "b")) == Selection("c", "c")
    assert Selection.by(Rules(metric="c", veto="b", tolerance=3), ("a", "b")) == Selection("c", "b", 3)


def test_a_checkpoint_that_would_be_the_best_but_for_its_veto() -> None:
    selection = Selection("w1m", "fpd")
    selection.take(1, {"w1m": 2.0, "fpd": 1.0})
    worse, vetoed = {"w1m": 3.0, "fpd": 9.0}, {"w1m": 1.0, "fpd": 9.0}
    assert not selection.take(2, worse)
    assert not selection.vetoed(worse)
    assert not selection.take(3, vetoed)
    assert selection.vetoed(vetoed)
