"""The self-contained HTML report: no script, no other file, no other host; for phones and for paper."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

from partigan.report.verdict import HEADER, MEANING, SIGNS, Judged, word_of

_SHORT = 24  # letters in a cell that is not broken into lines
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 0 auto; max-width: 72rem;
  padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.verdict { border-left: .5rem solid; padding: .6rem 1rem; font-size: 1.1rem; } .verdict b { display: block; }
.agrees { color: #00563f; background: #e3f4ee; } .near { color: #6b4e00; background: #fdf3d6; }
.differs { color: #8f2d00; background: #fde9e0; } td.sign { font-weight: 600; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: right;
  border-bottom: 1px solid #ddd; } td:first-child, th:first-child, .long { text-align: left; }
td.short { white-space: nowrap; }
tr { break-inside: avoid; } summary { cursor: pointer; margin: .5rem 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
figure { margin: 0; break-inside: avoid; } figure.wide { grid-column: 1 / -1; } img { width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #444; } dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr;
  gap: .1rem 1rem; font-size: .9rem; } dt { color: #555; } dd { margin: 0; }
dt, dd, pre { overflow-wrap: anywhere; }
p.note { color: #444; font-size: .9rem; } pre { white-space: pre-wrap; font-size: .85rem; background: #f4f4f4;
  padding: .5rem; }
@media screen and (max-width: 40rem) {
  thead { display: none; } tr { display: block; padding: .4rem 0; border-bottom: 1px solid #bbb; }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem .3rem; }
  td:first-child { font-weight: 600; } td:empty { display: none; }
  td:not(:first-child)::before { content: attr(data-label); color: #555; font-weight: 400; }
  dl { display: block; } dd { margin-bottom: .3rem; }
}
@media print {
  body { font-size: 11px; max-width: none; padding: 0; } .grid { grid-template-columns: 1fr 1fr; }
  details::details-content { content-visibility: visible; display: block; } summary { display: none; }
  * { print-color-adjust: exact; }
}
"""


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def slug(title: str) -> str:
    """A title as the name of a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")


def report(
    title: str,
    summary: str,
    judged: Judged,
    pictures: Mapping[str, Mapping[str, bytes]],
    provenance: Mapping[str, Mapping[str, Any]],
    commands: Sequence[str],
    key: Sequence[int],
) -> str:
    """The report of an evaluation: the verdict, then everything that it rests on.

    Args:
        title: of the page.
        summary: what was compared.
        judged: the metrics.
        pictures: sections of PNG images by caption.
        provenance: sections of facts by name.
        commands: that do the same again.
        key: numbers of the generated samples of the blind page.
    """
    parts = [
        f"<div class='verdict {judged.worst}'><b>{SIGNS[judged.worst]}</b>{html.escape(judged.sentence)}</div>",
        f"<p>{html.escape(summary)}</p><h2>Metrics</h2>",
        _metrics(judged, judged.whole),
        f"<p class=note>{html.escape(MEANING)}</p>",
    ]
    if judged.observables:
        about = [judged.about(name) for name in judged.observables]
        names = [metric for name in judged.observables for metric in judged.of(name)]
        parts += [
            "<h2>Observables one by one</h2>",
            table(("observable", "off in", "verdict"), about),
            f"<details><summary>All {len(names)} numbers</summary>{_metrics(judged, names)}</details>",
        ]
    if judged.skipped:
        parts += ["<h2>Left out</h2>", facts(judged.left_out)]
    parts += [f"<h2>{html.escape(section)}</h2>{gallery(images)}" for section, images in pictures.items()]
    parts += [f"<h2>{html.escape(section)}</h2>{facts(entries)}" for section, entries in provenance.items()]
    parts.append(f"<h2>The same again</h2><pre>{html.escape(chr(10).join(commands))}</pre>")
    numbers = ", ".join(map(str, key))
    parts.append(f"<h2>Key to 'Which are real?'</h2><p>Generated: {numbers}. The others are real.</p>")
    return page(title, parts)


def _metrics(judged: Judged, names: Sequence[str]) -> str:
    """A table of metrics; what else they say is part of their heading."""
    notes = [judged.entries[name].finding.note for name in names]
    rows = [judged.row(name) for name in names]
    return table(
        HEADER, [(row[0] + f" ({note})" * bool(note), *row[1:]) for row, note in zip(rows, notes, strict=True)]
    )


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: of the page.
        parts: HTML below the title.
    """
    return "\n".join(
        [
            f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(title)}</title>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; on narrow screens each row becomes a block. Cells that are a verdict have its colour."""
    long = [any(len(cell) >= _SHORT for cell in column) for column in zip(*rows, strict=True)] or [False] * len(header)
    head = "".join(f"<th{' class=long' * far}>{html.escape(name)}</th>" for name, far in zip(header, long, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell(name, cell) for name, cell in zip(header, row, strict=True))}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(name: str, cell: str) -> str:
    style = f"sign short {word_of(cell)}" if cell in SIGNS.values() else "short" if len(cell) < _SHORT else "long"
    return f"<td data-label='{html.escape(name, quote=True)}' class='{style}'>{html.escape(cell)}</td>"


def gallery(images: Mapping[str, bytes]) -> str:
    """PNG images with their captions, side by side where there is room."""
    parts = []
    for caption, data in images.items():
        wide = int.from_bytes(data[16:20], "big") > 1.5 * int.from_bytes(data[20:24], "big")
        encoded = base64.b64encode(data).decode()
        parts.append(
            f"<figure{' class=wide' if wide else ''}><img alt='{html.escape(caption, quote=True)}' "
            f"src='data:image/png;base64,{encoded}'><figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    return f"<div class=grid>{''.join(parts)}</div>"


def facts(entries: Mapping[str, Any]) -> str:
    """Names and values."""
    lines = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(lines)}</dl>"
