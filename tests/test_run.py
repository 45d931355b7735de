"""A run's files are bound together: what was changed, swapped or lost is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import partigan
from partigan import PartiganError
from partigan.commands.train import train
from partigan.models.checkpoint import load_tensors
from partigan.run import SHIPPED, Run

SHORT = {"trainer.max_steps": 6, "trainer.validations": 2, "trainer.accelerator": "cpu", "trainer.batch_size": 16}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    return train("toys", rows, tmp_path_factory.mktemp("runs") / "run", overrides=SHORT).path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be harmed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_of_another_layout_is_refused_in_a_line(run: Path) -> None:
    """Those of the first layout had no number."""
    for layout in (1, 3):
        manifest = {"versions": {"partigan": "0.0.9"}, **({"layout": layout} if layout > 1 else {})}
        (run / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(PartiganError, match=rf"has layout {layout}, made by partigan 0\.0\.9, and this one reads"):
            partigan.load(run)


FILES = ["config.yaml", "transform.json", "generator.safetensors", "manifest.json"]


def test_a_finished_run_has_a_sha256_of_all_that_no_longer_changes(run: Path) -> None:
    assert {*Run(run).manifest["files"]} == {*FILES, "metrics.jsonl"} - {"manifest.json"}
    partigan.load(run)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_refused(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    for place in range(0, len(content), max(1, len(content) // 15)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        (run / name).write_bytes(changed)
        if name == "manifest.json" and same(content, changed):
            continue
        with pytest.raises(PartiganError, match=name.replace(".", r"\.") + "|has layout"):
            partigan.load(run)


def same(one: bytes, other: bytes) -> bool:
    """True for the same JSON: the last digit of a number may not matter."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@pytest.mark.parametrize("name", FILES)
def test_a_lost_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(
        PartiganError, match="config.yaml" if name == "config.yaml" else "missing|does not exist|no generator yet"
    ):
        partigan.load(run)


def test_files_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(2))
    other = train("toys", rows, tmp_path / "other", overrides=SHORT).path
    for name in FILES[1:]:
        mine = (run / name).read_bytes()
        shutil.copy(other / name, run / name)
        with pytest.raises(PartiganError, match=r"of another run|restore"):
            partigan.load(run)
        (run / name).write_bytes(mine)
    partigan.load(run)


def test_experts_may_use_changed_files(run: Path) -> None:
    stored = json.loads((run / "transform.json").read_text())
    stored["state"]["mean"][0] += 1.0
    (run / "transform.json").write_text(json.dumps(stored))
    with pytest.raises(PartiganError, match="--no-verify"):
        partigan.load(run)
    assert len(partigan.load(run, verify=False).sample(3)) == 3


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("transform.json", {"state": 3}, "state = 3; expected a mapping"),
        ("transform.json", {"kind": ["tables"]}, "kind = .*; expected a text or nothing"),
        ("transform.json", {"conditions": {"labels": [1, -1]}}, "labels.1 = -1; expected a number, not negative"),
        ("transform.json", {"conditions": {"conditions": [[1.0], [1.0, 2.0]]}}, "expected rows of one length"),
        ("manifest.json", {"files": {"x": "y"}}, "files.x = 'y'; expected a sha256"),
        ("manifest.json", {"plan": {"max_steps": "many"}}, "plan.max_steps = 'many'; expected a whole number"),
        ("manifest.json", {"layout": 1}, "has layout 1"),
        ("manifest.json", {"data": {}}, r"data.sha256 = None; expected a sha256 .* or a mapping or nothing"),
    ],
)
def test_values_of_another_type_name_file_and_key(run: Path, name: str, change: dict[str, Any], message: str) -> None:
    (run / name).write_text(json.dumps(json.loads((run / name).read_text()) | change))
    with pytest.raises(PartiganError, match=message):
        partigan.load(run, verify=name == "manifest.json")


@pytest.mark.parametrize(
    ("key", "value"), [("std", [0.0, 1.0]), ("std", [-1.0, 1.0]), ("mean", [0.0]), ("lowest", [9e9] * 2)]
)
def test_constants_that_no_sample_can_have_are_refused(run: Path, key: str, value: list[float]) -> None:
    stored = json.loads((run / "transform.json").read_text())
    stored["state"][key] = value
    (run / "transform.json").write_text(json.dumps(stored))
    with pytest.raises(PartiganError, match=f"'{key}' of Standardise"):
        partigan.load(run, verify=False)


@pytest.mark.parametrize("line", ["[1]", '{"loss": 1.0}', '{"step": "1"}', '{"step": 1, "x": []}', '{"step": 1', "\0"])
def test_a_log_is_held_to_what_partigan_writes(tmp_path: Path, line: str) -> None:
    from partigan.training.log import read_log

    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "x": NaN}}\n{line}\n{{"step": 2}}\n{{"st')
    with pytest.raises(PartiganError, match=r"metrics\.jsonl, line 2"):
        read_log(path)
    path.write_text('{"step": 1, "x": 1.0}\n{"step": 2}\n{"st')
    assert read_log(path) == [{"step": 1, "x": 1.0}, {"step": 2}]


def test_runs_that_come_with_partigan_are_sealed() -> None:
    for path in SHIPPED.iterdir():
        run = Run(path)
        files = {file.name for file in path.iterdir()}
        assert {*run.manifest["files"]} == files - {"manifest.json"}
        for name in files:
            run.verified(path / name)
        load_tensors(run.weights)
