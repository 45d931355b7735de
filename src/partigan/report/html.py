"""Blocks of self-contained HTML pages: no script, no other file, no other host; for phones and for paper."""

from __future__ import annotations

import base64
import html
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from partigan.errors import printable

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


def slug(title: str) -> str:
    """A title as the name of a file, in ASCII.

    Example:
        >>> slug("Fréchet distance (x 10^3)")
        'frechet-distance--x-10-3'
    """
    letters = unicodedata.normalize("NFKD", title.lower()).encode("ascii", "ignore").decode()
    return "".join(letter if letter.isalnum() else "-" for letter in letters)[:100].strip("-") or "figure"


def escaped(text: str) -> str:
    """Text as HTML, without control characters but line ends."""
    return html.escape("\n".join(map(printable, text.split("\n"))), quote=True)


def heading(text: str) -> str:
    """The title of a section."""
    return f"<h2>{escaped(text)}</h2>"


def note(text: str) -> str:
    """A remark in small type."""
    return f"<p class=note>{escaped(text)}</p>"


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: of the page.
        parts: HTML below the title.
    """
    return "\n".join(
        [
            f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escaped(title)}</title>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body><h1>{escaped(title)}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], classes: Mapping[str, str] | None = None) -> str:
    """A table; on narrow screens each row becomes a block.

    Args:
        header: names of the columns.
        rows: cells.
        classes: CSS class of cells with a certain text, such as verdicts.
    """
    long = [any(len(cell) >= _SHORT for cell in column) for column in zip(*rows, strict=True)] or [False] * len(header)
    head = "".join(f"<th{' class=long' * far}>{escaped(name)}</th>" for name, far in zip(header, long, strict=True))
    known = classes or {}
    body = "".join(
        f"<tr>{''.join(_cell(name, cell, known.get(cell)) for name, cell in zip(header, row, strict=True))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(name: str, cell: str, special: str | None) -> str:
    look = f"sign short {special}" if special is not None else "short" if len(cell) < _SHORT else "long"
    return f"<td data-label='{escaped(name)}' class='{look}'>{escaped(cell)}</td>"


def pictures(images: Mapping[str, bytes]) -> str:
    """PNG images with their captions, side by side where there is room."""
    parts = []
    for caption, data in images.items():
        wide = int.from_bytes(data[16:20], "big") > 1.5 * int.from_bytes(data[20:24], "big")
        encoded = base64.b64encode(data).decode()
        parts.append(
            f"<figure{' class=wide' if wide else ''}><img alt='{escaped(caption)}' "
            f"src='data:image/png;base64,{encoded}'><figcaption>{escaped(caption)}</figcaption></figure>"
        )
    return f"<div class=grid>{''.join(parts)}</div>"


def facts(entries: Mapping[str, Any]) -> str:
    """Names and values."""
    lines = (f"<dt>{escaped(name)}</dt><dd>{escaped(str(value))}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(lines)}</dl>"
