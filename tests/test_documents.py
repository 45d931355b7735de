from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from partigan import PartiganError, presets
from partigan.config import changed, read
from partigan.documents import SCALAR, Rule, check, parse_yaml, read_json, read_yaml

ALIASES = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else ', '.join(['x'] * 9)}]" for n in range(12))
_MERGED = [f"<<: [{', '.join([f'*a{n}'] * 9)}], " for n in range(11)]
MERGES = "\n".join(f"a{n}: &a{n} {{{before}k{n}: 1}}" for n, before in enumerate(["", *_MERGED]))
BOMBS = {
    "aliases": ALIASES,
    "aliases in keys": ALIASES.replace(": &", " : &"),
    "merges": MERGES,
    "contains itself": "a: &a [*a]",
    "mapping that contains itself": "a: &a {b: *a}",
    "merges itself": "a: &a {<<: *a}",
    "lists": "a: " + "[" * 10_000,
    "mappings": "a: " + "{a: " * 10_000,
    "blocks": "\n".join(" " * n + "a:" for n in range(300)),
    "sequence of sequences": "- " * 30_000 + "a",
    "a digit": "a: " + "9" * 60_000,
    "a number in base 60": "a: " + ":".join(["59"] * 20_000),
    "a float in base 60": "a: " + ":".join(["59"] * 20_000) + ".5",
    "a hexadecimal number": "a: 0x" + "f" * 60_000,
    "a text": "a: " + "x" * 60_000,
    "a quoted text": 'a: "' + "\\x41" * 15_000 + '"',
    "many values": "a: [" + ",".join(["1"] * 30_000) + "]",
    "large": "# " + "x" * 10**6,
    "anchors": "".join(f"&a{n} " for n in range(10_000)),
    "binary": "a: !!binary " + "QUFB" * 100,
    "set": "a: !!set {b, c}",
    "pairs": "a: !!pairs [b: c]",
    "tag": "a: !tag b",
    "a list as a name": "[a]: 1",
    "a mapping as a name": "{a: 1}: 1",
    "two documents": "a: 1\n---\nb: 1",
    "null bytes": "a: \0",
    "not UTF-8": "a: \udcff",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_yaml_out_of_bounds_is_refused_in_a_second(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    began = time.process_time()
    with pytest.raises(PartiganError, match=r"bomb\.yaml") as caught:
        read(str(path))
    assert time.process_time() - began < 2.0
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_options_are_yaml_in_the_same_bounds() -> None:
    for text in ("&a [*a]", "[" * 1000, "x" * (SCALAR + 1), "!!python/name:os.system", "[a", "{[a]: 1}"):
        with pytest.raises(PartiganError, match=r"--trainer.max_steps: .* cannot be read"):
            changed(read("toys"), {"trainer.max_steps": text})


def test_plain_yaml_is_read_as_before() -> None:
    text = "adam: &adam {lr: 1.0e-3, betas: [0.5, 0.9]}\nboth: [*adam, *adam]\n<<: {a: null, b: yes}\nday: 2024-01-01"
    adam = {"lr": 1e-3, "betas": [0.5, 0.9]}
    assert parse_yaml(text) == {"adam": adam, "both": [adam, adam], "a": None, "b": True, "day": "2024-01-01"}


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 10_000, "", "{", '{"a": 1', "\udcff"])
def test_json_out_of_bounds_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(PartiganError, match=r"x\.json cannot be read as JSON"):
        read_json(path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large.json").write_bytes(b" " * (2**24 + 1))
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero"), tmp_path / "none", tmp_path / "large.json"):
        for reader in (read_json, read_yaml):
            with pytest.raises(PartiganError, match=path.name):
                reader(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1.5}, "a = 1.5; expected a whole number"),
        ({"a": True}, "a = True; expected a whole number"),
        ({"a": 1, "b": "x"}, "b = 'x'; expected a list"),
        ({"a": 1, "b": [1, "x"]}, "b.1 = 'x'; expected a number"),
        ({"a": 1, "c": {"x": {"y": 1}}}, "c.x.y = 1; expected a text"),
        ({"a": 1, "d": -1}, "d = -1; expected nothing or a number above 0"),
        ({"a": 1, "e": 1}, "e = 1; expected no entry but a, b, c, d"),
        ({}, "a = None; expected a whole number"),
        ([], r"the whole = \[\]; expected a mapping"),
    ],
)
def test_a_schema_names_key_and_what_is_expected(value: Any, message: str) -> None:
    above = Rule(float, lambda number: number > 0, "a number above 0")
    schema = {"a": int, "b?": [float], "c?": {str: {"y": str}}, "d?": (type(None), above)}
    check({"a": 1, "b": [1, 2.5], "c": {"x": {"y": "z"}}, "d": 0.5}, schema, "file")
    with pytest.raises(PartiganError, match=f"file: {message}"):
        check(value, schema, "file")


@pytest.mark.parametrize("section", ["about", "kind", "transform", "system", "trainer", "base"])
def test_sections_of_another_type_are_refused(tmp_path: Path, section: str) -> None:
    for value in ("3", "[1]", "{a: {b: [c]}}" if section in ("about", "kind", "base") else "true"):
        (tmp_path / "x.yaml").write_text(f"{section}: {value}")
        with pytest.raises(PartiganError, match=rf"x\.yaml: {section}.* = .*; expected"):
            presets.read(str(tmp_path / "x.yaml"))
