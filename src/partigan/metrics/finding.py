"""What a metric finds, as reports show it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One number that a metric finds.

    Attributes:
        label: heading in tables, with the unit.
        value: of the metric.
        error: one standard deviation, where the metric has one.
        p_value: of the hypothesis that both samples have the same distribution, where the metric tests it.
        ratio: whether the ratio to the in-sample value says how large a difference is.
        note: what else the metric says.
        unit: in which tables show value and error, such as 1e-3.
    """

    label: str
    value: float
    error: float | None = None
    p_value: float | None = None
    ratio: bool = True
    note: str = ""
    unit: float = 1.0
