"""The one row that every metric becomes, and the correction of p-values for the number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from partigan.metrics.finding import Finding
from partigan.metrics.measurement import Measurement
from partigan.metrics.two_sample import adjusted

LEVEL = 0.05  # p-values after Benjamini and Hochberg above it: the samples agree
SURE = 1e-6  # p-values after Holm above it: a difference is not established
NEAR = 1.1  # ratio to the in-sample value up to which an established difference is small


@dataclass(frozen=True)
class Row:
    """A metric of the generated sample beside its in-sample value, or the reason why it could not be taken.

    Attributes:
        name: of the metric, and of the observable or number where there are several.
        finding: of the generated sample; its value is NaN where it could not be taken.
        reference: value and error of other real samples in place of the generated one; the error may be missing.
        observable: name of the observable that it is about, if it is about one.
        title: of that observable.
        reason: why the metric could not be taken; empty where it could.
    """

    name: str
    finding: Finding
    reference: tuple[float, float | None] | None = None
    observable: str | None = None
    title: str = ""
    reason: str = ""

    @classmethod
    def skipped(cls, name: str, reason: str) -> Row:
        """A metric that could not be taken."""
        return cls(name, Finding(name, float("nan")), reason=reason)

    @property
    def taken(self) -> bool:
        """Whether there is a value."""
        return not self.reason

    @property
    def heading(self) -> str:
        """The metric in words."""
        return f"{self.title}: {self.finding.label}" if self.title else self.finding.label

    @property
    def p_value(self) -> float | None:
        """The metric's own, or that of the difference from the in-sample value; None where there is neither."""
        found = self.finding
        if found.p_value is not None or self.reference is None or found.error is None or self.reference[1] is None:
            return found.p_value
        error = float(np.hypot(found.error, self.reference[1]))
        return normal_p(Measurement(found.value - self.reference[0], error))

    @property
    def ratio(self) -> float | None:
        """To the in-sample value, where that is significant."""
        if not self.finding.ratio or self.reference is None:
            return None
        value, error = self.reference
        return self.finding.value / value if value > 2 * (error or 0) and value > 0 else None

    def verdict(self, holm: float | None, benjamini_hochberg: float | None) -> str:
        """``agrees``, ``near``, ``differs``, or nothing where that cannot be said, by adjusted p-values."""
        if holm is None or benjamini_hochberg is None:
            return ""
        if benjamini_hochberg > LEVEL:
            return "agrees"
        small = self.ratio is not None and 1 / NEAR < self.ratio < NEAR
        return "near" if small or holm > SURE else "differs"

    def numbers(self) -> dict[str, float | None]:
        """As in ``metrics.json``."""
        reference = self.reference or (None, None)
        return {
            "value": self.finding.value,
            "error": self.finding.error,
            "in_sample": reference[0],
            "in_sample_error": reference[1],
            "p_value": self.p_value,
        }


def rows_of(
    name: str, found: Mapping[str, Finding], beside: Mapping[str, Finding], titles: Mapping[str, str]
) -> list[Row]:
    """The rows of a metric, one for each of its findings.

    Args:
        name: of the metric.
        found: its findings of the generated sample, by what distinguishes them; "" for a single one.
        beside: its findings in-sample.
        titles: of the observables by name, for metrics with a finding for each; empty for others.
    """
    rows = []
    for part, finding in found.items():
        key = f"{name}.{part}" if part else name
        if not np.isfinite(finding.value):
            rows.append(Row.skipped(key, "its value is not finite"))
            continue
        reference = beside.get(part)
        observable = max((n for n in titles if f"{part}.".startswith(f"{n}.")), key=len, default=None)
        pair = None if reference is None else (reference.value, reference.error)
        rows.append(Row(key, finding, pair, observable, "" if observable is None else titles[observable]))
    return rows


def normal_p(difference: Measurement) -> float:
    """P-value of a difference from 0."""
    if difference.error > 0:
        return float(2 * stats.norm.sf(abs(difference.value) / difference.error))
    return float(difference.value == 0)


@dataclass(frozen=True)
class Corrections:
    """P-values adjusted for their number, by name of the row: see `partigan.metrics.two_sample.adjusted`.

    Attributes:
        holm: bounds on the probability of any false flag.
        benjamini_hochberg: expected share of false flags.
    """

    holm: dict[str, float]
    benjamini_hochberg: dict[str, float]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Corrections:
        """Of all rows that have a p-value."""
        p_values = {row.name: p for row in rows if (p := row.p_value) is not None}
        numbers = list(p_values.values())
        holm, benjamini_hochberg = (
            dict(zip(p_values, adjusted(numbers, method).tolist(), strict=True))
            for method in ("holm", "benjamini-hochberg")
        )
        return cls(holm, benjamini_hochberg)
