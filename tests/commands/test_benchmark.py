from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from helpers import SHORT, JetFile
from partigan import train
from partigan.cli import main
from partigan.kinds.jets import JetEvaluation


def test_rows_failures_and_going_on(
    jet_file: JetFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JetEvaluation, "figures", lambda *_: {})
    monkeypatch.setattr("partigan.training.trainer.MEASURE_SECONDS", 0.05)
    drawn: list[list[str]] = []

    def figure(points: list[tuple[str, str, float, Any]], *_: Any) -> Figure:
        drawn.append([name for _, name, *_ in points])
        return Figure()

    monkeypatch.setattr("partigan.commands.benchmark.quality_against_time", figure)  # drawn in test_comparison.py
    data, other = jet_file(700), jet_file(300, seed=1, name="other.h5")
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text("base: mdma-short\nsystem: {generator: {blocks: 1}}\n")
    finished = train("mdma", other, tmp_path / "r", threads=1, overrides=SHORT).path
    command = ["benchmark", "jets", "--classes", "t", "--data", f"t={data}", "--out", str(tmp_path / "b")]
    command += ["--presets", str(tiny), "nonsense", "--runs", f"t:mine={finished}", "--minutes", "0.005"]
    main(command)
    table = (tmp_path / "b" / "table.md").read_text()
    assert capsys.readouterr().out.endswith(table)
    assert table.count("*untrained*") == 5  # two models, two protocols, and what it means
    assert table.count("| mine *other data* |") == 2
    assert "| nonsense | failed: there is no preset or YAML file 'nonsense'" in table
    assert table.count("| real |") == 2
    rows = json.loads((tmp_path / "b" / "table.json").read_text())
    assert [row["name"] for row in rows] == ["tiny", "nonsense", "mine"]
    assert rows[2]["epochs"] == pytest.approx(12 * 32 / 490)
    assert set(rows[2]["protocols"]) == {"mdma", "mpgan"}
    with (tmp_path / "b" / "table.csv").open() as file:
        entries = list(csv.DictReader(file))
    assert {entry["model"] for entry in entries} == {"tiny", "mine"}
    assert (tmp_path / "b" / "quality.png").read_bytes().startswith(b"\x89PNG")
    assert drawn == [["tiny"], ["tiny"], ["tiny", "mine"]]

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b" / "results").rglob("*.json")}
    main(command)
    assert (tmp_path / "b" / "table.md").read_text() == table
    changed = {path.stem for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"nonsense"}


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        (["--data", "t.h5"], "give every path a name of its own: --data g=g.h5"),
        (["--data", "t=t.h5", "--classes", "t", "--runs", "g:x=r"], "there are no data of g; give a file with --data"),
    ):
        with pytest.raises(SystemExit):
            main(["benchmark", "jets", "--out", str(tmp_path / "b"), *options])
        assert message in capsys.readouterr().err
