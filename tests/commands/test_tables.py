"""Columns of CSV, Parquet and ROOT files to tables, and back."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from partigan.cli import main
from partigan.commands.tables import export_table, import_table
from partigan.data import tabular
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.data.tabular import blocks_of, names_in, write_blocks
from partigan.errors import PartiganError
from partigan.kinds import kind_of

NEEDS = {".parquet": "pyarrow", ".root": "uproot"}
ALL = [".csv", ".tsv", *(suffix for suffix, module in NEEDS.items() if find_spec(module))]
RNG = np.random.default_rng(1)
NAMES = ("Brunel_P", "ETA", "RichDLLk", "probe_sWeight")


def columns(rows: int = 500, shift: float = 0.0) -> dict[str, np.ndarray]:
    found = dict(zip(NAMES, RNG.normal(size=(4, rows)) + shift, strict=True))
    return {**found, "Brunel_P": 1e4 * RNG.random(rows), "probe_sWeight": RNG.normal(0.5, 1, rows)}


def written(path: Path, **options: Any) -> Path:
    write_blocks(path, [columns(**options)])
    return path


CHOSEN: dict[str, Any] = {
    "targets": ["DLLk"],
    "conditions": ["P", "ETA", "is_K"],
    "weight": "probe_sWeight",
    "columns": ["P=Brunel_P", "DLLk=RichDLLk", "is_K=1"],
}


@pytest.mark.parametrize("suffix", ALL)
def test_there_and_back_in_every_format(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of a few rows, with cuts; what is written again is what was read."""
    monkeypatch.setattr(tabular, "ROWS", 7)
    given = columns()
    write_blocks(
        tmp_path / f"a{suffix}", [{n: x[:200] for n, x in given.items()}, {n: x[200:] for n, x in given.items()}]
    )
    assert names_in(tmp_path / f"a{suffix}") == [*NAMES]
    assert max(len(block["ETA"]) for block in blocks_of(tmp_path / f"a{suffix}", ["ETA"], rows=7)) == 7
    out = import_table([str(tmp_path / f"a{suffix}")], tmp_path / "a.h5", cuts=["P > 3000", "ETA <= 1"], **CHOSEN)
    kept = (given["Brunel_P"] > 3000) & (given["ETA"] <= 1)
    layout = kind_of(out).format
    found = layout.read(out, "all")
    assert layout.describe(out)["columns"] == {"conditions": {"P": "", "ETA": "", "is_K": ""}}
    expected = [given[name][kept] for name in ("RichDLLk", "Brunel_P", "ETA", "probe_sWeight")]
    assert found.condition is not None
    assert found.weight is not None
    for values, like in zip((found.x[:, 0], *found.condition.T[:2], found.weight), expected, strict=True):
        torch.testing.assert_close(values, torch.from_numpy(like).float())
    assert (found.condition[:, 2] == 1).all()
    back = export_table(out, tmp_path / f"b{suffix}", "probe_sWeight")
    again = next(blocks_of(back, ["DLLk", "P", "ETA", "probe_sWeight"], rows=10**6))
    for values, like in zip(again.values(), expected, strict=True):
        assert values == pytest.approx(like, rel=1e-6)


def test_a_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.extras.find_spec", lambda _: None)
    for suffix, extra in ((".parquet", "parquet"), (".root", "root")):
        with pytest.raises(PartiganError, match=rf"pip install 'partigan\[{extra}\]'"):
            written(tmp_path / f"a{suffix}")


def test_rows_of_several_files_are_mixed_evenly(tmp_path: Path) -> None:
    """So that each split has its share of each; every row comes once."""
    paths = [str(written(tmp_path / f"{name}.csv", rows=n, shift=s)) for name, n, s in (("k", 300, 0), ("pi", 100, 9))]
    out = import_table(paths, tmp_path / "a.h5", **CHOSEN)
    whole = kind_of(out).format.read(out, "all")
    assert len(whole) == 400
    assert len(whole.x.unique()) == 400
    for split in ("train", "valid", "test"):
        share = (kind_of(out).format.read(out, split).x > 4.5).float().mean().item()
        assert share == pytest.approx(0.25, abs=0.05)


def test_the_commands(tmp_path: Path) -> None:
    given = str(written(tmp_path / "a.csv"))
    words = ["--targets", "RichDLLk", "--conditions", "P", "ETA", "--columns", "P=Brunel_P", "--kind", "cherenkov"]
    main(["import-table", "--data", given, "--out", str(tmp_path / "a.h5"), *words, "--cuts", "P < 5000"])
    assert kind_of(tmp_path / "a.h5").name == "cherenkov"
    main(["export-table", str(tmp_path / "a.h5"), "--out", str(tmp_path / "b.csv")])
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "RichDLLk,P,ETA"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["RichDLLp"]}, r"a.csv has no column 'RichDLLp'; did you mean --columns RichDLLp=RichDLLk\?"),
        ({"weight": "qqqq"}, "has no column 'qqqq'; there are Brunel_P, ETA, RichDLLk, probe_sWeight"),
        ({"cuts": ["ETA > 100"]}, "no row passes the cuts"),
        ({"cuts": ["ETA"]}, "--cuts 'ETA': give a column, one of <= >="),
        ({"cuts": ["ETA > P"]}, "--cuts 'ETA > P'"),
        ({"columns": ["P"]}, "--columns P: give NAME=COLUMN"),
        ({"columns": ["probe_sWeight=0"]}, "all weights are 0"),
        ({"columns": ["probe_sWeight=-1"]}, "the weights have the sum -500"),
        ({"conditions": ["RichDLLk"]}, "a column is named twice"),
        ({"targets": []}, "name files and at least one column"),
        ({"kind": "jets"}, "jets are no tables"),
        ({"data": ["x.xls"]}, "x.xls: the suffix decides the format"),
        ({"data": ["gone.csv"]}, "gone.csv does not exist"),
        ({"tree": "t"}, None),
    ],
)
def test_what_cannot_be_imported(options: dict[str, Any], message: str | None, tmp_path: Path) -> None:
    given = {"data": [str(written(tmp_path / "a.csv"))], "targets": ["RichDLLk"], "weight": "probe_sWeight"}
    if message is None:  # files without trees do not look at it
        import_table(**{**given, **options}, out=tmp_path / "a.h5")
        return
    with pytest.raises(PartiganError, match=message):
        import_table(**{**given, **options}, out=tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_values_that_are_none_are_named_by_their_row(tmp_path: Path) -> None:
    lines = ["P;ETA;w", "1;2;1", "3;nan;1", "4;oops;1"]
    (tmp_path / "a.csv").write_text("\n".join(lines[:3]) + "\n")
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "c.csv").write_text("P,P\n1,2\n")
    for name, message in (
        ("a", "ETA in row 1 is NaN or infinite"),
        ("b", "ETA in row 2 is 'oops', not a number"),
        ("c", "must name each column once"),
    ):
        with pytest.raises(PartiganError, match=message):
            import_table([str(tmp_path / f"{name}.csv")], tmp_path / "out.h5", ["P", "ETA"], weight="w")
    import_table([str(tmp_path / "a.csv")], tmp_path / "out.h5", ["P", "ETA"], weight="w", cuts=["P < 2"])


@pytest.mark.skipif(find_spec("uproot") is None, reason="uproot is not installed")
def test_trees_of_root_files(tmp_path: Path) -> None:
    import uproot

    with uproot.recreate(tmp_path / "a.root") as file:
        for name in ("one", "two"):
            file.mktree(name, {"x": np.dtype("f8")}).extend({"x": np.ones(5) * len(name)})
    with pytest.raises(PartiganError, match=r"has 2 trees \(one, two\); name one with --tree"):
        names_in(tmp_path / "a.root")
    with pytest.raises(PartiganError, match="has no tree 'three'; there are one, two"):
        names_in(tmp_path / "a.root", "three")
    assert len(next(blocks_of(tmp_path / "a.root", ["x"], "two"))["x"]) == 5
    (tmp_path / "b.root").write_bytes((tmp_path / "a.root").read_bytes()[:300])
    with pytest.raises(PartiganError, match=r"b\.root"):
        names_in(tmp_path / "b.root")


def test_tables_with_two_columns_of_one_name(tmp_path: Path) -> None:
    batch = Batch(torch.ones(3, 1), condition=torch.ones(3, 1))
    write_samples(tmp_path / "a.h5", "rows", [batch], {"kind": "tables"}, {"x": ""}, {"conditions": {"x": ""}})
    with pytest.raises(PartiganError, match="two columns of one name"):
        export_table(tmp_path / "a.h5", tmp_path / "a.csv")
