"""The outcome of an evaluation as files, as a page and on the terminal."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from partigan import __version__
from partigan.evaluation.figures import Pictures
from partigan.evaluation.inputs import Inputs, Request, named
from partigan.evaluation.samples import Samples
from partigan.evaluation.terminal import cut, lines_of, say, width
from partigan.evaluation.verdicts import CLASSES, COLOURS, HEADER, MEANING, SIGNS, Judged
from partigan.files import write_json, write_text
from partigan.report.distributions import Counts
from partigan.report.html import escaped, facts, heading, note, page, pictures, table

LINES = 15  # of the table on the terminal
NUMBERS = "metrics.json"  # every report has it


@dataclass(frozen=True)
class Summary:
    """The outcome of an evaluation.

    Attributes:
        request: what was asked for.
        inputs: what was compared.
        judged: what was found.
        protocol: name of the protocol.
        paper: where the protocol is described.
        reference: what FPND is the distance from; empty where it is not taken.
    """

    request: Request
    inputs: Inputs
    judged: Judged
    protocol: str
    paper: str
    reference: str

    def write_numbers(self, folder: Path, compared: Samples, out: Path) -> None:
        """Write all numbers.

        Args:
            folder: where to write.
            compared: observables of both samples.
            out: name that the folder gets.
        """
        write_json(folder / NUMBERS, {name: row.numbers() for name, row in self.judged.taken.items()})
        histograms = {
            name: Counts.of(*pair, f"{title} ({unit})" if unit else title)
            for (name, (title, unit)), pair in zip(compared.names.items(), compared.columns, strict=True)
        }
        write_json(folder / "histograms.json", {name: counts._asdict() for name, counts in histograms.items()})
        more = {"protocol": self.protocol, "split": self.inputs.split, "command": self.request.command(out)}
        write_json(folder / "verdict.json", self.judged.state() | more)

    def write_page(self, out: Path, drawn: Pictures) -> Path:
        """Write ``report.html``."""
        fake = self.request.fake
        name = (
            Path(fake).name if isinstance(fake, str | Path) else "arrays" if fake is not None else str(self.request.run)
        )
        parts = [*self._verdict(), *self._metrics(), *self._left_out(drawn)]
        for section, images in drawn.sections.items():
            parts += [heading(section), pictures(images)]
        for section, entries in self._provenance().items():
            parts += [heading(section), facts(entries)]
        commands = "\n".join([*self._commands_before(), self.request.command(out)])
        key = ", ".join(map(str, drawn.key))
        parts += [
            f"{heading('The same again')}<pre>{escaped(commands)}</pre>",
            heading("Key to 'Which are real?'"),
            f"<p>Generated: {key}. The others are real.</p>",
        ]
        write_text(out / "report.html", page(f"partigan: {name}", parts))
        return out / "report.html"

    def _verdict(self) -> list[str]:
        judged = self.judged
        text = f"{self.inputs.text}: {self.inputs.why}. Protocol: {self.protocol}."
        if self.reference:
            text += f" FPND is the distance from {self.reference}; in-sample that of as many real samples."
        return [
            f"<div class='verdict {judged.worst}'><b>{SIGNS[judged.worst]}</b>{escaped(judged.sentence)}</div>",
            f"<p>{escaped(text)}</p>",
        ]

    def _metrics(self) -> list[str]:
        judged = self.judged
        parts = [heading("Metrics"), self._table(judged.whole), note(MEANING)]
        if self.inputs.split == "all":
            parts.append(note("In-sample values are those of one half of the real sample against the other."))
        if judged.observables:
            about = [judged.about(name) for name in judged.observables]
            names = [row for name in judged.observables for row in judged.of(name)]
            header = ("observable", "largest difference", "off in", "verdict")
            parts += [
                heading("Observables one by one"),
                table(header, about, CLASSES),
                f"<details><summary>All {len(names)} numbers</summary>{self._table(names)}</details>",
            ]
        return parts

    def _table(self, names: list[str]) -> str:
        """A table of rows; what else metrics say is part of their heading."""
        rows = []
        for name in names:
            cells, remark = self.judged.cells(name), self.judged.taken[name].finding.note
            rows.append((cells[0] + f" ({remark})" * bool(remark), *cells[1:]))
        return table(HEADER, rows, CLASSES)

    def _left_out(self, drawn: Pictures) -> list[str]:
        reasons = self.judged.left_out | drawn.failed
        return [heading("Left out"), facts(reasons)] if reasons else []

    def _provenance(self) -> dict[str, dict[str, Any]]:
        """Where both samples come from, and how they were compared."""
        request, inputs = self.request, self.inputs
        found: dict[str, dict[str, Any]] = {
            "Real sample": {
                "file": named(request.real),
                "split": f"{inputs.split} ({inputs.why})",
                "samples": len(inputs.real.batch),
                **inputs.said[0],
            },
            "Generated sample": {
                "file": named(request.run if request.fake is None else request.fake),
                "samples": f"{len(inputs.generated.batch)} of {inputs.available}",
                "left out, with NaN or infinite values": inputs.failures,
                **inputs.said[1],
            },
        }
        if request.opened is not None:
            found["Training"] = {key: json.dumps(value) for key, value in request.opened.manifest.items()}
        protocol = f"{self.protocol} ({self.paper})"
        found["Evaluation"] = {"partigan": __version__, "protocol": protocol, "seed": request.seed}
        return found

    def _commands_before(self) -> list[str]:
        """The commands that trained and generated, as far as run and file know them."""
        run, fake, generated = self.request.opened, self.request.fake, self.inputs.said[1]
        if run is None:
            return []
        commands = []
        if command := run.manifest.get("command"):
            commands.append(shlex.join(["partigan", *command[1:]]))
        if fake is not None and {"n", "seed"} <= generated.keys():
            words = [
                "partigan",
                "generate",
                self.request.run,
                "--n",
                generated["n"],
                "--seed",
                generated["seed"],
                "--out",
                fake,
            ]
            commands.append(shlex.join(map(str, words)))
        return commands

    def show(self, drawn: Pictures, path: Path) -> None:
        """Print the verdict, the most telling rows, what was left out, and where the report is."""
        judged, columns = self.judged, width()
        whole, off = judged.telling(LINES)
        rows, styles = [], []
        for name in whole:
            cells = judged.cells(name)
            rows.append((cells[0], cells[1], cells[2], cells[-1]))
            styles.append(COLOURS[judged.verdicts[name]])
        for name in off:
            rows.append((judged.title(name), judged.difference(name), "", SIGNS[judged.observables[name]]))
            styles.append(COLOURS[judged.observables[name]])
        say(Text(judged.headline, COLOURS[judged.worst]), *[judged.failed] * bool(judged.failures))
        if rows:
            say(*lines_of(("metric", "generated", "in-sample", "verdict"), rows, styles, columns))
        about = len(judged.observables)
        hidden = [
            f"{count:,} {word}{'s' * (count != 1)}"
            for count, word in ((len(judged.whole) - len(whole), "metric"), (about - len(off), "observable"))
            if count
        ]
        if hidden:
            say(f"{' and '.join(hidden)} more in the report")
        for names, why in judged.left_out.items():
            say(cut(f"left out: {names}: {why}", columns))
        for caption, why in drawn.failed.items():
            say(f"left out: figure '{caption}': {why}")
        say(f"report: {path}")
