from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import partigan
from partigan.documents import read_json, read_yaml
from partigan.errors import PartiganError
from partigan.files import atomic, temporary_name, write_json, write_text
from partigan.folders import open_folder

ROOT = Path(__file__).parents[1]
SOURCES = [*Path(partigan.__file__).parent.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_have_the_mode_of_the_umask(tmp_path: Path, umask: int) -> None:
    """Safetensors writes 0600, which colleagues cannot read."""
    with atomic(tmp_path / "weights") as temporary:
        save_file({"a": torch.zeros(2)}, temporary)
    write_json(tmp_path / "a.json", {})
    for name in ("weights", "a.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a") as temporary:
        temporary.write_text(f"half{1 / 0}", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_a_leftover_of_another_process_is_in_nobodys_way(tmp_path: Path) -> None:
    """Names with the process id alone come again: in containers every job is process 1."""
    (tmp_path / f".a.{os.getpid()}.part").mkdir()
    write_text(tmp_path / "a", "new")
    assert len({temporary_name(tmp_path / "a") for _ in range(100)}) == 100


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PartiganError, match=r"cannot write .*file/a: File exists"):
        write_text(tmp_path / "file" / "a", "")


def test_files_in_folders_of_partigan_enter_the_nearest_manifest(tmp_path: Path) -> None:
    open_folder(tmp_path / "outer", "a test", {})
    open_folder(tmp_path / "outer" / "inner", "a test", {})
    write_text(tmp_path / "outer" / "a" / "b", "")
    write_text(tmp_path / "outer" / "inner" / "c", "")
    write_text(tmp_path / "outer" / "inner" / "c", "again")
    assert read_json(tmp_path / "outer" / ".partigan.json")["files"] == ["inner/.partigan.json", "a/b"]
    assert read_json(tmp_path / "outer" / "inner" / ".partigan.json")["files"] == ["c"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"made_by": 1, "job": {}, "files": []}'])
def test_a_damaged_manifest_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / ".partigan.json").write_text(text, encoding="utf-8")
    with pytest.raises(PartiganError, match=r"\.partigan\.json"):
        write_text(tmp_path / "a", "")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_text_is_utf_8_whatever_the_locale(path: Path) -> None:
    """Every read and write of text says its encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name not in ("read_text", "write_text", "open") or "encoding" in {word.arg for word in node.keywords}:
            continue
        if name == "write_text" and owner is None:  # that of partigan.files
            continue
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        elsewhere = isinstance(owner, ast.Name) and owner.id in ("os", "uproot", "Image", "webbrowser")
        assert elsewhere or (name == "open" and any("b" in mode for mode in modes)), f"{path}:{node.lineno}"


def test_json_and_yaml_are_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "latin-1")
    (tmp_path / "a.json").write_bytes(json.dumps({"jet": "η"}, ensure_ascii=False).encode())
    (tmp_path / "a.yaml").write_bytes("jet: η\n".encode())
    assert read_json(tmp_path / "a.json") == read_yaml(tmp_path / "a.yaml") == {"jet": "η"}
    (tmp_path / "b.yaml").write_bytes("jet: η\n".encode("iso8859-7"))
    with pytest.raises(PartiganError, match=r"b\.yaml cannot be read as YAML"):
        read_yaml(tmp_path / "b.yaml")
