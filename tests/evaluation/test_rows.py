"""The row that every metric becomes."""

from __future__ import annotations

import pytest

from partigan.evaluation.rows import Row, rows_of
from partigan.metrics.finding import Finding


@pytest.mark.parametrize(
    ("finding", "reference", "verdict"),
    [
        (Finding("", 1.0, 0.1), (1.1, 0.1), "agrees"),
        (Finding("", 1.0, 0.1), (1.6, 0.1), "near"),
        (Finding("", 1.0, 0.01), (2.0, 0.01), "differs"),
        (Finding("", 1.0, 0.001), (1.05, 0.001), "near"),  # sure, but small
        (Finding("", 1.0, 0.001, ratio=False), (1.05, 0.001), "differs"),
        (Finding("", 1.0, None, 1e-9), None, "differs"),
        (Finding("", 1.0, 0.1), None, ""),
    ],
)
def test_verdicts(finding: Finding, reference: tuple[float, float] | None, verdict: str) -> None:
    entry = Row("", finding, reference)
    assert entry.verdict(entry.p_value, entry.p_value) == verdict


def test_a_finding_belongs_to_the_longest_name_that_it_starts_with() -> None:
    titles = {"eta": "eta", "eta.rel": "relative eta"}
    found = {"eta.mean": Finding("mean", 1.0), "eta.rel.mean": Finding("mean", 2.0)}
    assert [row.heading for row in rows_of("moments", found, {}, titles)] == ["eta: mean", "relative eta: mean"]


def test_what_is_not_finite_has_a_reason() -> None:
    (row,) = rows_of("kl", {"": Finding("KL", float("inf"))}, {}, {})
    assert not row.taken
    assert row.reason == "its value is not finite"
