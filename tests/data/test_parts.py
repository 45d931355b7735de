"""Folders of parts that are read as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import assert_same_hits, toy_hits
from partigan.data.batch import Batch
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps
from partigan.data.samples import feature_units, file_attributes, read_samples, write_samples
from partigan.data.sources import source
from partigan.errors import PartiganError
from partigan.kinds import find, kind_of
from partigan.simulate.chunks import Chunks, in_parts, simulated


def rows_into(path: Path, number: int, size: int) -> int:
    """A chunk of rows without names, as simulations leave them."""
    x = torch.from_numpy(np.random.default_rng(number).normal(size=(size, 2)).astype("float32"))
    write_samples(path, "rows", [Batch(x, condition=x[:, :1])], {})
    return size


def hits_into(path: Path, number: int, size: int) -> int:
    """A chunk of hitmaps, whose hits are a dataset of another length."""
    write_hitmaps(path, [toy_hits(size, hits=50 + number, seed=number, busy=(0,))], {})
    return size


def rows_of(path: Path, parts: list[Path], said: dict[str, Any]) -> None:
    """The file of all rows, with names."""
    made = (read_samples(part, "all", "rows", 2) for part in parts)
    write_samples(path, "rows", made, said, {"a": "GeV", "b": ""}, {"conditions": {"c": "m"}})


def hits_of(path: Path, parts: list[Path], said: dict[str, Any]) -> None:
    """The file of all hits."""
    write_hitmaps(path, map(read_hitmaps, parts), said)


def made(out: Path, kind: str = "tables", resume: bool = False) -> Path:
    """Ten samples in chunks of three, as a file or as parts."""
    make, merge = (rows_into, rows_of) if kind == "tables" else (hits_into, hits_of)
    chunks = Chunks(10, 3, kind, make, lambda number, size: (number, size), merge)
    return simulated(out, {"kind": kind, "seed": 1}, chunks, workers=1, resume=resume, overwrite=False)


def test_readers_take_a_folder_of_parts_as_the_file(tmp_path: Path) -> None:
    with in_parts():
        folder = made(tmp_path / "folder")
        assert made(folder, resume=True) == folder  # nothing is left to do
    whole = made(tmp_path / "whole.h5")
    assert sorted(path.name for path in folder.iterdir()) == [
        ".partigan.json",
        *(f"00000{number}.h5" for number in range(4)),
        "parts.json",
    ]
    kind = find("tables")
    assert kind_of(folder).name == "tables"
    one, other = source(folder, kind), source(whole, kind)
    for split in ("train", "valid", "test", "all"):
        a, b = one.read(split), other.read(split)
        assert torch.equal(a.x, b.x)
        assert a.condition is not None
        assert b.condition is not None
        assert torch.equal(a.condition, b.condition)
    assert torch.equal(kind.format.read(folder, (2, 7)).x, other.read("all").x[2:7])
    assert one.describe() == other.describe()
    assert feature_units(folder, "rows") == {"a": "GeV", "b": ""}
    assert file_attributes(folder) == file_attributes(whole)
    assert kind.format.count(folder) == 10

    with in_parts():
        hits = made(tmp_path / "hits", "pxd")
    assert kind_of(hits).name == "pxd"
    assert_same_hits(read_hitmaps(hits, "train"), read_hitmaps(made(tmp_path / "hits.h5", "pxd"), "train"))


def test_parts_that_are_damaged_are_named(tmp_path: Path) -> None:
    with in_parts():
        folder = made(tmp_path / "folder")
    data = source(folder, find("tables"))
    digest = data.digest
    assert len(digest) == 64
    rows_into(folder / "000001.h5", 7, 3)
    with pytest.raises(PartiganError, match=r"000001\.h5 is not what parts\.json says"):
        digest = source(folder, find("tables")).digest
    rows_into(folder / "000001.h5", 7, 2)
    with pytest.raises(PartiganError, match=r"000001\.h5 is not what parts\.json says"):
        data.read("all")
    (folder / "000002.h5").unlink()
    with pytest.raises(PartiganError, match=r"000002\.h5 does not exist"):
        data.read("test")
    (folder / "parts.json").write_text('{"splits": {}, "parts": [{"file": "../a.h5", "rows": {}, "sha256": ""}]}')
    with pytest.raises(PartiganError, match=r"the name of a part in this folder"):
        data.read("all")
    with in_parts(), pytest.raises(PartiganError, match=r"--parts makes a folder: give --out a name without \.h5"):
        made(tmp_path / "a.h5")
