"""What is printed fits the terminal and its letters."""

from __future__ import annotations

import io
import sys

import pytest

from partigan.evaluation.terminal import cut, lines_of, say


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "= 1 ± 2 [/b] ?\n"), ("ascii", "= 1 +- 2 [/b] ?\n")])
def test_letters_that_an_encoding_lacks_are_replaced(encoding: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding=encoding, write_through=True))
    say("✓ 1 ± 2 [/b] 漢")
    assert file.getvalue().decode(encoding) == text


@pytest.mark.parametrize("columns", [80, 40, 24])
def test_tables_do_not_wrap(columns: int) -> None:
    rows = [("a label that is far too long for its column, " * 3, "1.23 ± 0.45", "✓ agrees")] * 2
    lines = lines_of(("metric", "generated", "verdict"), rows, ["", "red"], columns)
    assert len(lines) == 3
    assert all(line.cell_len <= columns for line in lines)
    assert columns < 40 or lines[1].plain.endswith("1.23 ± 0.45  ✓ agrees")


def test_control_characters_and_line_ends() -> None:
    assert cut("a\x1b[31mb\nc", 80) == r"a\x1b[31mb c"
    assert cut("abcdef", 4) == "abc…"
