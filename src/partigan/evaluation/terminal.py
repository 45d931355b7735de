"""What commands print: tables that fit the terminal, in letters that it knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from partigan.errors import printable

_GAP = 2  # columns between the cells of a table
_SPELT = {"✓": "=", "≈": "~", "✗": "x", "–": "-", "±": "+-", "…": "."}
_LABEL = 12  # columns that the first cell of a row keeps at least


def say(*lines: Text | str) -> None:
    """Print lines on standard output, in letters that its encoding has; markup is just text."""
    console = Console()
    with console.capture() as capture:
        for line in lines:
            console.print(Text(printable(line)) if isinstance(line, str) else line, soft_wrap=True)
    sys.stdout.write(spelt(capture.get(), console.encoding or "utf-8"))
    sys.stdout.flush()


def spelt(text: str, encoding: str) -> str:
    """Text with other letters in place of those that an encoding lacks.

    Example:
        >>> spelt("✓ 1 ± 2 é", "ascii")
        '= 1 +- 2 ?'
    """

    def fits(letter: str) -> bool:
        return letter.isascii() or letter.encode(encoding, "ignore") != b""

    return "".join(letter if fits(letter) else _SPELT.get(letter, "?") for letter in text)


def clean(text: str) -> str:
    """Text in one line, without control characters."""
    return printable(" ".join(text.split()))


def width() -> int:
    """Columns of the terminal."""
    return Console().width


def cut(text: str, columns: int) -> str:
    """Text in a line of at most so many columns, with an ellipsis where it is cut.

    Example:
        >>> cut("relative mass", 9)
        'relative…'
    """
    text = clean(text)
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, max(columns - 1, 0)).rstrip() + "…"


def lines_of(header: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], columns: int) -> list[Text]:
    """A table in lines of at most so many columns; the first cells are cut to fit, then all others.

    Args:
        header: names of the columns.
        rows: cells.
        styles: colour of each row.
        columns: width of the terminal.
    """
    table = [[clean(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    widths[0] = min(widths[0], max(columns - sum(widths[1:]) - _GAP * (len(widths) - 1), _LABEL))
    while sum(widths) + _GAP * (len(widths) - 1) > columns and max(widths) > _LABEL // 2:
        widths[widths.index(max(widths))] -= 1
    return [
        Text(
            (" " * _GAP).join(set_cell_size(cut(cell, w), w) for cell, w in zip(row, widths, strict=True)).rstrip(),
            style,
        )
        for row, style in zip(table, ("bold", *styles), strict=True)
    ]
