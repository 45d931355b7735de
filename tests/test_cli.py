from __future__ import annotations

import json
from pathlib import Path

import pytest

import partigan
from conftest import JetFile
from partigan.cli import main
from partigan.data.jets import read_jets
from partigan.errors import PartiganError


def test_from_a_file_to_a_report(jet_file: JetFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run, fake, report = jet_file(8000), tmp_path / "run", tmp_path / "fake.h5", tmp_path / "report"
    short = ["--trainer.max_steps", "4", "--trainer.validations", "2", "--threads", "1"]
    main(["train", "--config", "mdma", "--data", str(data), "--out", str(run), "--seed", "2", *short])
    main(["generate", str(run), "--n", "3000", "--seed", "1", "--out", str(fake), "--threads", "1"])
    main(["evaluate", "--real", str(data), "--fake", str(fake), "--run", str(run), "--out", str(report)])
    metrics = json.loads((report / "metrics.json").read_text())
    assert list(metrics) == ["w1m", "w1p", "w1efp", "fpd", "kpd"]
    for entry in metrics.values():
        assert list(entry) == ["value", "error", "in_sample", "in_sample_error"]
        assert entry["error"] > 0
    assert metrics["w1m"]["value"] > 3 * metrics["w1m"]["in_sample"]  # four steps make no jets
    printed = capsys.readouterr().out
    assert "W1-M" in printed
    assert str(report / "report.html") in printed
    page = (report / "report.html").read_text()
    assert page.count("<img") == len(list(report.glob("*.png"))) == 13
    assert "http" not in page.replace("http-equiv", "")
    for fact in ("flavour", "toy", "3,000 generated", "Losses and validation"):
        assert fact in page


def test_list_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    printed = capsys.readouterr().out
    for name in partigan.presets.names():
        assert name in printed
    assert "85,235" in printed
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"partigan {partigan.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--config", "mdna", "--data", "a", "--out", "b"], "did you mean 'mdma'"),
        (["train", "--config", "mdma", "--data", "missing.h5", "--out", "b"], "missing.h5 does not exist"),
        (
            ["train", "--config", "mdma", "--data", "a", "--out", "b", "--trainer.max_minute", "3"],
            "trainer.max_minutes",
        ),
        (["train", "--data", "a", "--out", "b"], "say what to train"),
        (["generate", "missing", "--n", "3", "--out", "x.h5"], "missing is not a run directory"),
        (["generate", "missing", "--n", "many", "--out", "x.h5"], "many"),
        (["evaluate", "--real", "a.h5", "--out", "r"], "say what to evaluate"),
        (["simulate", "jets", "--flavour", "b", "--n", "3", "--out", "x.h5"], "b"),
        (
            ["simulate", "jets", "--flavour", "t", "--n", "3", "--out", "x.h5", "--set", "Foo:bar = 3"],
            "Foo:bar = 3",
        ),
        (["simulate", "jets", "--flavour", "t", "--n", "3", "--out", "x.h5", "--sed", "3"], "did you mean"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("partigan: ")
    assert message in output.err
    assert list(tmp_path.iterdir()) == []


def test_a_perfect_generator_reaches_the_in_sample_value(jet_file: JetFile, tmp_path: Path) -> None:
    """Few generated jets: the in-sample value is taken at the same sample size, or W1 would look bad."""
    real, perfect = jet_file(4000), jet_file(200, seed=7, name="perfect.h5")
    metrics = partigan.evaluate(real, tmp_path / "report", fake=perfect).metrics
    assert list(metrics) == ["w1m", "w1p", "w1efp"]  # too few for FPD and KPD
    for entry in metrics.values():
        value, error, reference, reference_error = entry.values()
        assert value is not None
        assert reference is not None
        assert abs(value - reference) < 4 * ((error or 0) ** 2 + (reference_error or 0) ** 2) ** 0.5


def test_options_may_be_written_with_dashes(tmp_path: Path) -> None:
    main(["simulate", "jets", "--flavour", "q", "--n", "4", "--pt-window=0.02", "--out", str(tmp_path / "a-b.h5")])
    settings = read_jets(tmp_path / "a-b.h5").attributes["pythia_settings"]
    assert "pTHatMax = 1020.0" in settings


def test_overwrite_never_removes_what_is_not_ours(jet_file: JetFile, tmp_path: Path) -> None:
    data, mine = jet_file(2000), tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    for command in (
        ["train", "--config", "mdma", "--data", str(data), "--trainer.max_steps", "2", "--threads", "1"],
        ["evaluate", "--real", str(data), "--fake", str(data)],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--out", str(mine), "--overwrite"])
        assert stop.value.code == 2
        assert (mine / "chapter.tex").exists()
    report = tmp_path / "report"
    for _ in range(2):
        main(["evaluate", "--real", str(data), "--fake", str(data), "--out", str(report), "--overwrite"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jets.h5", "report", "thesis"]


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(PartiganError):
        main(["generate", "missing", "--n", "3", "--out", "x.h5", "--debug"])


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        [],
        ["simulate", "jets"],
        ["simulate", "toy"],
        ["demo", "toys"],
        ["train"],
        ["generate"],
        ["evaluate"],
        ["list"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--help"])
        assert stop.value.code == 0
        assert "usage" in capsys.readouterr().out
