"""Verdicts in words."""

from __future__ import annotations

import pytest

from partigan.evaluation.rows import Row
from partigan.evaluation.verdicts import Judged, plus_minus
from partigan.metrics.finding import Finding


def judged(p_values: list[float], size: int = 1000, failures: int = 0) -> Judged:
    rows = [Row(str(place), Finding(f"metric {place}", 1.0, None, p)) for place, p in enumerate(p_values)]
    return Judged(rows, failures, size, {})


@pytest.mark.parametrize(
    ("p_values", "headline"),
    [
        ([1e-9, 0.5], "✗ differs: 1 metric differs from real samples, 0 are near, 1 agrees."),
        ([1e-9, 1e-9, 1e-3], "✗ differs: 2 metrics differ from real samples, 1 is near, 0 agree."),
        ([0.3, 0.5], "✓ agrees: 0 metrics differ from real samples, 0 are near, 2 agree."),
    ],
)
def test_numbers_of_metrics(p_values: list[float], headline: str) -> None:
    assert judged(p_values).headline == headline


def test_small_samples_do_not_agree() -> None:
    assert judged([0.5], size=99).headline == "– too few to judge: 99 samples; at least 100 of each are needed."
    assert judged([1e-9], size=99).worst == "differs"
    assert judged([0.5], size=99, failures=1).worst == "differs"
    assert "failed 1 time: " in judged([0.5], failures=1).sentence


def test_reasons_of_what_is_left_out_stand_together() -> None:
    rows = [Row.skipped("a", "too few"), Row.skipped("b", "no classifier"), Row.skipped("c", "too few")]
    assert Judged(rows, 0, 9, {}).left_out == {"a, c": "too few", "b": "no classifier"}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(1.23456, 0.0123, "1.235 ± 0.012"), (12345.6, 78.0, "12346 ± 78"), (1.0, 0.0, "1.00 ± 0.00")],
)
def test_two_digits_of_the_error(value: float, error: float, text: str) -> None:
    assert plus_minus(value, error) == text
