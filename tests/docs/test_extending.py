"""docs/extending.md: all examples work as they stand there, and have as many lines as it says."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from partigan.cli import main
from partigan.simulate.toys import simulate_toy

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}
SHORT = ["--trainer.max_steps", "4", "--trainer.validations", "2", "--trainer.accelerator", "cpu", "--threads", "1"]


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything that the examples name: their files, and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for section, text in SECTIONS.items():
        for name in re.findall(r"`(\w+\.(?:py|yaml))`", text):
            language = "python" if name.endswith(".py") else "yaml"
            Path(name).write_text(blocks(section, language)[0], encoding="utf-8")
    simulate_toy("ring", 2000, Path("ring.h5"))
    time = np.linspace(0, 1, 16)
    rng = np.random.default_rng(1)
    voltage = rng.lognormal(0, 0.3, (2000, 1)) * np.exp(-(((time - 0.4) / 0.1) ** 2)) + 0.05 * rng.normal(
        size=(2000, 16)
    )
    with h5py.File("traces.h5", "w") as file:
        file["voltage"] = voltage.astype(np.float32)
        file.attrs["kind"] = "traces.TRACES"
    yield tmp_path
    for name in ("boundary", "spread", "linear", "radius", "traces"):
        sys.modules.pop(name, None)


def test_every_example_runs_and_its_lines_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(SECTIONS) == 5
    for section, text in SECTIONS.items():
        (said,) = re.findall(r"`\w+\.py`, (\d+) lines", text)
        code = [line for line in blocks(section, "python")[0].splitlines() if line.strip()]
        assert int(said) == len(code), section
        for line in "".join(blocks(section, "sh")).splitlines():
            words = shlex.split(line)[1:]
            main([*words, *(SHORT if words[0] == "train" else ["--threads", "1"])])
    report = json.loads((folder / "traces-report" / "metrics.json").read_text(encoding="utf-8"))
    assert {"peak", "energy", "ks.peak"} <= {*report}
    assert "report: traces-report" in capsys.readouterr().out


def test_nothing_of_it_runs_without_trust(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in SECTIONS.values():
        for line in "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines():
            words = [word for word in shlex.split(line)[1:] if word != "--trust"]
            with pytest.raises(SystemExit):
                main(words)
            assert re.search("--trust|is not a run directory|does not exist", capsys.readouterr().err), line
    assert not {"boundary", "spread", "linear", "radius", "traces"} & {*sys.modules}
