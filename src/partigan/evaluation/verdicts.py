"""Verdicts: which metrics tell the generated from the real sample, in words, symbols and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from partigan.evaluation.differences import Difference
from partigan.evaluation.rows import LEVEL, NEAR, SURE, Corrections, Row

SIGNS = {
    "agrees": "✓ agrees",
    "near": "≈ near",
    "differs": "✗ differs",
    "few": "– too few to judge",
    "": "– not judged",
}
CLASSES = {sign: word for word, sign in SIGNS.items()}  # CSS classes of cells
COLOURS = {"agrees": "green", "near": "yellow", "differs": "red", "few": "", "": ""}
FEW = 100  # samples; with fewer even a bad generator agrees
HEADER = ("metric", "generated", "in-sample", "ratio", "p (BH)", "p (Holm)", "verdict")
MEANING = (
    "In-sample: the same metric between real samples, with other real samples in place of the generated ones; a "
    "perfect generator reaches it and no more. p: probability of a difference this large for samples of one "
    "distribution, adjusted for the number of metrics after Benjamini and Hochberg, and after Holm. ✓ agrees: "
    f"p (BH) > {LEVEL}. ✗ differs: p (Holm) < {SURE} and, where there is a ratio, off by more than a factor of {NEAR}. "
    "≈ near: in between. P-values fall as samples grow; the ratio says how large a difference is. A metric with a "
    "large error agrees easily."
)
_SEVERITY = ("differs", "near", "agrees", "")


@dataclass(frozen=True)
class Judged:
    """Metrics with their verdicts.

    Attributes:
        rows: of all metrics.
        failures: generated samples with NaN or infinite values.
        size: of the smaller of the two samples that are compared.
        differences: the largest difference of each observable, by name.
    """

    rows: Sequence[Row]
    failures: int
    size: int
    differences: Mapping[str, Difference]

    @cached_property
    def taken(self) -> dict[str, Row]:
        """The rows with a value, by name."""
        return {row.name: row for row in self.rows if row.taken}

    @cached_property
    def corrections(self) -> Corrections:
        """P-values adjusted for their number."""
        return Corrections.of(self.taken.values())

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """``agrees``, ``near``, ``differs``, or nothing, by name of the row."""
        both = self.corrections.holm, self.corrections.benjamini_hochberg
        return {name: row.verdict(*(p.get(name) for p in both)) for name, row in self.taken.items()}

    @property
    def worst(self) -> str:
        """The verdict of all: the worst one; ``few`` where the samples are too small to say that they agree."""
        found = "differs" if self.failures else worst_of(self.verdicts.values())
        return "few" if found == "agrees" and self.size < FEW else found

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        number = Counter(self.verdicts.values())
        if self.worst == "few":
            return f"{SIGNS['few']}: {self.size:,} samples; at least {FEW:,} of each are needed."
        counts = (
            f"{_metrics(number['differs'], 'differs', 'differ')} from real samples, "
            f"{number['near']} {'is' if number['near'] == 1 else 'are'} near, "
            f"{number['agrees']} {'agrees' if number['agrees'] == 1 else 'agree'}."
        )
        return f"{SIGNS[self.worst]}: {counts}"

    @property
    def failed(self) -> str:
        """How often the generator failed, in a sentence; empty where it did not."""
        times = f"{self.failures:,} time{'s' * (self.failures != 1)}"
        return f"The generator failed {times}: NaN or infinite values, left out of all metrics." * bool(self.failures)

    @property
    def sentence(self) -> str:
        """The verdict in a few sentences."""
        text = self.headline.split(": ", 1)[1]
        ratios = {name: row.ratio for name, row in self.taken.items() if row.ratio is not None}
        if ratios and self.worst != "few":
            name = max(ratios, key=lambda name: abs(ratios[name] - 1))
            text += (
                f" Farthest from its in-sample value: {self.taken[name].heading}, by a factor of {ratios[name]:.2g}."
            )
        return f"{text} {self.failed}".strip()

    @property
    def left_out(self) -> dict[str, str]:
        """Why metrics could not be taken, those with one reason together."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            if not row.taken:
                names.setdefault(row.reason, []).append(row.name)
        return {", ".join(together): reason for reason, together in names.items()}

    def cells(self, name: str) -> tuple[str, ...]:
        """A line of a table, under ``HEADER``; values in the metric's unit."""
        row = self.taken[name]
        p = (p.get(name) for p in (self.corrections.benjamini_hochberg, self.corrections.holm))
        return (
            row.heading,
            number(row.finding.value, row.finding.error, row.finding.unit),
            number(*row.reference, row.finding.unit) if row.reference else "",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
            *("" if value is None else f"{value:.1g}" if value > 1e-300 else "< 1e-300" for value in p),
            SIGNS[self.verdicts[name]],
        )

    @property
    def whole(self) -> list[str]:
        """Names of the rows that are not about a single observable."""
        return [name for name, row in self.taken.items() if row.observable is None]

    def of(self, observable: str) -> list[str]:
        """Names of the rows about an observable."""
        return [name for name, row in self.taken.items() if row.observable == observable]

    @cached_property
    def observables(self) -> dict[str, str]:
        """Worst verdict of each observable that rows are about, by name."""
        names = dict.fromkeys(row.observable for row in self.taken.values() if row.observable is not None)
        return {name: worst_of(self.verdicts[row] for row in self.of(name)) for name in names}

    def title(self, observable: str) -> str:
        """An observable in words."""
        return self.taken[self.of(observable)[0]].title

    def difference(self, observable: str) -> str:
        """How an observable is off; empty where it agrees."""
        off = self.observables[observable] in ("near", "differs") and observable in self.differences
        return self.differences[observable].text if off else ""

    def about(self, observable: str) -> tuple[str, str, str, str]:
        """An observable: title, largest difference, the metrics by which it differs or is near, and worst verdict."""
        off = (self.taken[n].finding.label for n in self.of(observable) if self.verdicts[n] in ("near", "differs"))
        sign = SIGNS[self.observables[observable]]
        return self.title(observable), self.difference(observable), ", ".join(off), sign

    def telling(self, lines: int) -> tuple[list[str], list[str]]:
        """The most telling rows, up to a number: whole-sample metrics, then the observables that are off, worst first.

        Returns:
            Names of rows and names of observables.
        """
        off = [name for name, verdict in self.observables.items() if verdict in ("near", "differs")]
        off.sort(key=lambda n: (_SEVERITY.index(self.observables[n]), -self.differences.get(n, Difference(0, "")).size))
        room = max(lines - min(len(off), 3), 0)
        worst = sorted(self.whole, key=lambda name: _SEVERITY.index(self.verdicts[name]))[:room]
        whole = [name for name in self.whole if name in worst]
        return whole, off[: lines - len(whole)]

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": self.worst,
            "sentence": self.sentence,
            "failures": self.failures,
            "skipped": {row.name: row.reason for row in self.rows if not row.taken},
            "metrics": {
                name: {
                    "label": row.heading,
                    "observable": row.observable,
                    "unit": row.finding.unit,
                    "verdict": self.verdicts[name],
                    "p_holm": self.corrections.holm.get(name),
                    "p_benjamini_hochberg": self.corrections.benjamini_hochberg.get(name),
                    "note": row.finding.note,
                }
                for name, row in self.taken.items()
            },
            "observables": {name: self.differences[name].text for name in self.observables if name in self.differences},
        }


def _metrics(count: int, one: str, many: str) -> str:
    return f"{count} metric {one}" if count == 1 else f"{count} metrics {many}"


def worst_of(verdicts: Iterable[str]) -> str:
    """The worst of some verdicts."""
    found = set(verdicts)
    return next((verdict for verdict in _SEVERITY if verdict in found), "")


def number(value: float, error: float | None, unit: float = 1.0) -> str:
    """A value in its unit, with its error if it has one."""
    return f"{value / unit:.3g}" if error is None else plus_minus(value / unit, error / unit)


def plus_minus(value: float, error: float) -> str:
    """A value with its error, at two digits of the error.

    Example:
        >>> plus_minus(1.23456, 0.0123)
        '1.235 ± 0.012'
    """
    digits = 2 if error <= 0 else min(max(0, 1 - int(f"{error:e}".split("e")[1])), 6)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
