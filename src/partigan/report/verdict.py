"""The verdict: which metrics tell the generated from the real sample, in words, symbols and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console
from rich.table import Table

from partigan.suite import LEVEL, NEAR, SURE, Corrections, Entry

SIGNS = {"agrees": "✓ agrees", "near": "≈ near", "differs": "✗ differs", "": "– not judged"}
_COLOURS = {"agrees": "green", "near": "yellow", "differs": "red", "": ""}
HEADER = ("metric", "generated", "in-sample", "ratio", "p (BH)", "p (Holm)", "verdict")
MEANING = (
    "In-sample: the same metric between real samples, the other splits of the real file in place of the generated "
    "sample; a perfect generator reaches it and no more. p: probability of so great a difference for samples of one "
    "distribution, adjusted for the number of metrics after Benjamini and Hochberg, and after Holm. ✓ agrees: "
    f"p (BH) > {LEVEL}. ✗ differs: p (Holm) < {SURE} and, where there is a ratio, off by more than a factor of {NEAR}. "
    "≈ near: in between. P-values fall as samples grow; the ratio says how large a difference is. A metric with a "
    "large error agrees easily."
)


@dataclass(frozen=True)
class Judged:
    """Metrics with their verdicts.

    Attributes:
        entries: the metrics by name.
        skipped: metrics that could not be taken, and why.
        failures: generated samples with NaN or infinite values.
        units: in which metrics are shown, by name; 1 where there is none.
        titles: of the observables, by name.
    """

    entries: Mapping[str, Entry]
    skipped: Mapping[str, str]
    failures: int
    units: Mapping[str, float]
    titles: Mapping[str, str]

    @cached_property
    def corrections(self) -> Corrections:
        """P-values adjusted for their number."""
        return Corrections.of(self.entries)

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """``agrees``, ``near``, ``differs``, or nothing, by name of the metric."""
        both = self.corrections.holm, self.corrections.benjamini_hochberg
        return {name: entry.verdict(*(p.get(name) for p in both)) for name, entry in self.entries.items()}

    @property
    def worst(self) -> str:
        """The worst verdict of all; ``differs`` where the generator failed."""
        return "differs" if self.failures else _worst(self.verdicts.values())

    @property
    def sentence(self) -> str:
        """The verdict in a sentence or two."""
        number = Counter(self.verdicts.values())
        text = f"{number['differs']} metrics differ from real samples, "
        text += f"{number['near']} are near, {number['agrees']} agree."
        ratios = {name: entry.ratio for name, entry in self.entries.items() if entry.ratio is not None}
        if ratios:
            name = max(ratios, key=lambda name: abs(ratios[name] - 1))
            text += f" Farthest from its in-sample value: {self.heading(name)}, by a factor of {ratios[name]:.2g}."
        if self.failures:
            text += f" The generator failed {self.failures:,} times: NaN or infinite values, left out of all metrics."
        return text

    @property
    def left_out(self) -> dict[str, str]:
        """Why metrics could not be taken; those of one reason together."""
        names: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            names.setdefault(reason, []).append(name)
        return {", ".join(together): reason for reason, together in names.items()}

    def heading(self, name: str) -> str:
        """A metric in words."""
        entry = self.entries[name]
        return entry.finding.label if entry.single is None else f"{self.titles[entry.single]}: {entry.finding.label}"

    def row(self, name: str) -> tuple[str, ...]:
        """A line of a table, under ``HEADER``; values in the metric's unit."""
        entry, unit = self.entries[name], self.units.get(name, 1.0)
        p = (p.get(name) for p in (self.corrections.benjamini_hochberg, self.corrections.holm))
        return (
            self.heading(name),
            number(entry.finding.value, entry.finding.error, unit),
            number(*entry.reference, unit) if entry.reference else "",
            f"{entry.ratio:.2f}" if entry.ratio is not None else "",
            *("" if value is None else f"{value:.1g}" if value > 1e-300 else "< 1e-300" for value in p),
            SIGNS[self.verdicts[name]],
        )

    @property
    def whole(self) -> list[str]:
        """Names of the metrics that are not about a single observable."""
        return [name for name, entry in self.entries.items() if entry.single is None]

    def of(self, observable: str) -> dict[str, str]:
        """Verdicts of an observable, by name of the metric."""
        return {name: self.verdicts[name] for name, entry in self.entries.items() if entry.single == observable}

    def about(self, observable: str) -> tuple[str, str, str]:
        """An observable: its title, the metrics by which it differs or is near, and the worst verdict."""
        mine = self.of(observable)
        off = (self.entries[name].finding.label for name, verdict in mine.items() if verdict in ("near", "differs"))
        return self.titles[observable], ", ".join(off), SIGNS[_worst(mine.values())]

    @property
    def observables(self) -> list[str]:
        """Names of the observables that metrics are about."""
        return [name for name in self.titles if self.of(name)]

    def show(self, console: Console) -> None:
        """Print the verdict first, then the metrics."""
        console.print(f"[{_COLOURS[self.worst] or 'default'}]{SIGNS[self.worst]}[/]: {self.sentence}")
        self._print(console, HEADER, [self.row(name) for name in self.whole])
        if self.observables:
            self._print(console, ("observable", "off in", "verdict"), [self.about(n) for n in self.observables])
        for names, reason in self.left_out.items():
            console.print(f"left out: {names}: {reason}", markup=False)

    @staticmethod
    def _print(console: Console, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table = Table(*header, box=None)
        for row in rows:
            table.add_row(*row, style=_COLOURS[word_of(row[-1])])
        console.print(table)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": self.worst,
            "sentence": self.sentence,
            "failures": self.failures,
            "skipped": dict(self.skipped),
            "metrics": {
                name: {
                    "label": self.heading(name),
                    "observable": entry.single,
                    "unit": self.units.get(name, 1.0),
                    "verdict": self.verdicts[name],
                    "p_holm": self.corrections.holm.get(name),
                    "p_benjamini_hochberg": self.corrections.benjamini_hochberg.get(name),
                    "note": entry.finding.note,
                }
                for name, entry in self.entries.items()
            },
        }


def _worst(verdicts: Iterable[str]) -> str:
    found = set(verdicts)
    return next((verdict for verdict in ("differs", "near", "agrees") if verdict in found), "")


def word_of(sign: str) -> str:
    """The verdict of a text of ``SIGNS``."""
    return next(word for word, text in SIGNS.items() if text == sign)


def number(value: float, error: float | None, unit: float = 1.0) -> str:
    """A value in its unit, with its error if it has one."""
    return f"{value / unit:.3g}" if error is None else plus_minus(value / unit, error / unit)


def plus_minus(value: float, error: float) -> str:
    """A value with its error, at two digits of the error."""
    digits = 2 if error <= 0 else min(max(0, 1 - int(f"{error:e}".split("e")[1])), 6)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
