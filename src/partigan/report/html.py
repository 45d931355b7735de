"""The self-contained HTML report: no script, no other file, no other host."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 0 auto; max-width: 72rem;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; } td, th { padding: .25rem .8rem; text-align: right;
  border-bottom: 1px solid #ddd; white-space: nowrap; } td:first-child, th:first-child { text-align: left; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
figure { margin: 0; break-inside: avoid; } figure.wide { grid-column: 1 / -1; } img { width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #444; } dl { display: grid; grid-template-columns: max-content 1fr;
  gap: .1rem 1rem; font-size: .9rem; } dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
p.note { color: #444; font-size: .9rem; }
"""


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def page(
    title: str,
    summary: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    note: str,
    pictures: Mapping[str, Mapping[str, bytes]],
    provenance: Mapping[str, Mapping[str, Any]],
) -> str:
    """The report as one HTML page.

    Args:
        title: of the page.
        summary: one paragraph.
        header: of the table of metrics.
        rows: of the table of metrics.
        note: below the table.
        pictures: sections of PNG images by caption.
        provenance: sections of facts by name.
    """
    parts = [
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(title)}</title>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>",
        "<div class=scroll><table><thead>",
        _row(header, "th"),
        "</thead><tbody>",
        *(_row(row, "td") for row in rows),
        f"</tbody></table></div><p class=note>{html.escape(note)}</p>",
    ]
    for section, images in pictures.items():
        parts.append(f"<h2>{html.escape(section)}</h2><div class=grid>")
        for caption, data in images.items():
            wide = int.from_bytes(data[16:20], "big") > 1.5 * int.from_bytes(data[20:24], "big")
            encoded = base64.b64encode(data).decode()
            parts.append(
                f"<figure{' class=wide' if wide else ''}><img alt='{html.escape(caption, quote=True)}' "
                f"src='data:image/png;base64,{encoded}'><figcaption>{html.escape(caption)}</figcaption></figure>"
            )
        parts.append("</div>")
    for section, facts in provenance.items():
        parts.append(f"<h2>{html.escape(section)}</h2><dl>")
        parts += [f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in facts.items()]
        parts.append("</dl>")
    return "\n".join([*parts, "</body></html>\n"])


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
