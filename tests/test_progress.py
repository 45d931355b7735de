from __future__ import annotations

import pytest

from partigan.progress import TrainingDisplay, progress_bar, tell


def test_names_are_neither_markup_nor_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    name = "run [/b] [red] \x1b[2J $x$"
    tell(f"it is in {name}", "a\nb")
    with progress_bar(name, 2) as advance:
        advance(2)
    with TrainingDisplay(2, 0, name, shown=True) as display:
        display.validation(1, {name: 1.0}, "")
        display.advance(2, 1)
    said = capsys.readouterr().err
    assert r"it is in run [/b] [red] \x1b[2J $x$" in said
    assert "\x1b[2J" not in said
    assert r"a\nb" in said
