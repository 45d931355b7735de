from __future__ import annotations

import io

import pytest
from rich.console import Console

from partigan import progress
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


def test_steps_and_samples_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=file, force_terminal=True, width=120, color_system=None))
    with progress.TrainingDisplay(995, 0, "run", shown=True) as display:
        display.advance(995, 32)
    text = file.getvalue()
    assert "995/995 steps, " in text
    assert " samples/s, " in text
