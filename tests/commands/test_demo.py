"""The demonstrations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from partigan.cli import main


def test_the_demonstration_draws_every_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.training.trainer.MEASURE_SECONDS", 0.05)
    monkeypatch.setattr("partigan.commands.demo.toy_presets", lambda: ["toys", "toys-sngan"])
    monkeypatch.setattr("partigan.commands.demo.ROWS", 2000)
    out = tmp_path / "demo"
    main(["demo", "toys", "--out", str(out), "--toy", "two-peaks", "--minutes", "0.05"])
    found = json.loads((out / "toys.json").read_text())["objectives"]
    assert [len(columns) for columns in found.values()] == [4, 4]
    before = (out / "toys.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    main(["demo", "toys", "--out", str(out), "--toy", "two-peaks", "--minutes", "0.05", "--resume"])
    assert (out / "toys.png").read_bytes() == before
