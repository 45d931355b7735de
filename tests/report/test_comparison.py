"""Names are drawn as they are, whatever letters they have."""

from __future__ import annotations

import pytest

from partigan.report.comparison import metrics_side_by_side, quality_against_time
from partigan.report.style import png

ENTRY = {"value": 2.0, "error": None, "in_sample": 1.0, "in_sample_error": None}


@pytest.mark.parametrize("name", ["a", "cost $x_{", "tab\tand\x1b[0m", "漢"])
def test_reports_and_models_of_any_name(name: str) -> None:
    figure = metrics_side_by_side({name: {"w1": ENTRY}, "b": {"w1": ENTRY}}, {"w1": f"W1 {name}"}, {"w1": 1.0})
    assert png(figure).startswith(b"\x89PNG")
    figure = quality_against_time([(name, name, 3.0, ENTRY), (name, "b", 4.0, ENTRY)], f"W1 {name}", 1.0)
    assert png(figure).startswith(b"\x89PNG")
