"""Files of columns, as experiments keep them: CSV, Parquet and ROOT, read and written in blocks of rows.

CSV files have a line of names, and commas, semicolons, tabs or blanks between values. Parquet needs pyarrow, ROOT
uproot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partigan.data.root import open_root
from partigan.errors import PartiganError
from partigan.extras import require
from partigan.files import atomic
from partigan.reading import readable, size_of

Block = dict[str, NDArray[np.float64]]
"""Rows of some columns, by name, ``(rows,)`` each."""
SUFFIXES = {".csv": "CSV", ".tsv": "CSV with tabs", ".txt": "CSV with tabs", ".parquet": "Parquet", ".root": "ROOT"}
ROWS = 100_000  # of a block
TREE = "rows"  # name of trees that are written


def form_of(path: Path) -> str:
    """What is in a file by its suffix: CSV, Parquet or ROOT.

    Raises:
        PartiganError: another suffix, or the extra that reads such files is missing.
    """
    if path.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise PartiganError(f"{path}: the suffix decides the format, and there are {known}")
    form = SUFFIXES[path.suffix].partition(" ")[0]
    if form == "Parquet":
        require("parquet", "pyarrow")
    if form == "ROOT":
        require("root", "uproot", "awkward")
    return form


def names_in(path: Path, tree: str | None = None) -> list[str]:
    """Names of the columns of a file, in their order.

    Args:
        path: the file.
        tree: of a ROOT file; None = its only one.

    Raises:
        PartiganError: it is missing or damaged, or has several trees and none is named.
    """
    form = form_of(path)
    size_of(path)
    if form == "CSV":
        with readable(path, form), path.open(encoding="utf-8") as file:
            return _split(file.readline(), path)[0]
    if form == "ROOT":
        with _tree(path, tree) as found:
            return list(found.keys())
    with readable(path, form):
        from pyarrow import parquet

        return list(parquet.read_schema(path).names)


def blocks_of(path: Path, names: Sequence[str], tree: str | None = None, rows: int = ROWS) -> Iterator[Block]:
    """Some columns of a file, in blocks of rows; memory does not depend on the file.

    Args:
        path: the file.
        names: of the columns, which are there.
        tree: of a ROOT file; None = its only one.
        rows: of a block, at most.

    Raises:
        PartiganError: the file is damaged, or a column holds something else than one number a row.
    """
    form = form_of(path)
    reader = {"CSV": _csv, "Parquet": _parquet, "ROOT": _root}[form]
    for block in reader(path, list(names), tree, rows):
        for name, values in block.items():
            if values.dtype.kind not in "biuf" or values.ndim != 1:
                raise PartiganError(f"{path}: the column {name} does not hold one number a row; take another")
        yield {name: values.astype(np.float64) for name, values in block.items()}


def _split(header: str, path: Path) -> tuple[list[str], str | None]:
    """Names in the first line of a CSV file, and what is between them; None = blanks."""
    between = next((mark for mark in ("\t", ";", ",") if mark in header), None)
    names = [name.strip().strip('"') for name in header.strip().lstrip("#").strip().split(between)]
    if not names or "" in names or len(set(names)) < len(names):
        raise PartiganError(f"{path}: the first line must name each column once; it is {header.strip()[:80]!r}")
    return names, between


def _csv(path: Path, names: list[str], _: str | None, rows: int) -> Iterator[Block]:
    with readable(path, "CSV"), path.open(encoding="utf-8") as file:
        known, between = _split(file.readline(), path)
        chosen, first = [known.index(name) for name in names], 0
        while lines := list(islice(file, rows)):
            try:
                found = np.loadtxt(lines, delimiter=between, usecols=chosen, ndmin=2, comments=None)
            except ValueError as error:
                raise PartiganError(f"{path}: {_place(str(error), first, known)}") from error
            yield dict(zip(names, found.T, strict=True))
            first += len(lines)


def _place(text: str, first: int, names: list[str]) -> str:
    """What numpy says of a value that is no number, with the number of the row in the file and the column's name."""
    if found := re.search(r"could not convert string (.*) to float64 at row (\d+), column (\d+)", text):
        return f"{names[int(found[3]) - 1]} in row {first + int(found[2])} is {found[1]}, not a number"
    return f"rows from {first} on cannot be read: {text[:120]}"


def _parquet(path: Path, names: list[str], _: str | None, rows: int) -> Iterator[Block]:
    from pyarrow import parquet

    with readable(path, "Parquet"), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=names):
            yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names}


def _root(path: Path, names: list[str], tree: str | None, rows: int) -> Iterator[Block]:
    with _tree(path, tree) as found:
        for block in found.iterate(names, step_size=rows, library="np"):
            yield {name: block[name] for name in names}


@contextmanager
def _tree(path: Path, name: str | None) -> Iterator[Any]:
    """A tree of a ROOT file."""
    with open_root(path) as file:
        kinds = file.classnames(cycle=False).items()
        trees = [key for key, kind in kinds if kind.startswith(("TTree", "ROOT::RNTuple", "TNtuple"))]
        if name is None and len(trees) != 1:
            raise PartiganError(f"{path} has {len(trees)} trees ({', '.join(trees) or 'none'}); name one with --tree")
        if name is not None and name not in trees:
            raise PartiganError(f"{path} has no tree {name!r}; there are {', '.join(trees) or 'none'}")
        yield file[name or trees[0]]


def write_blocks(path: Path, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write columns block by block and atomically; the suffix decides the format.

    Args:
        path: the file to make.
        blocks: rows of all columns, by name; all blocks have the same columns.

    Raises:
        PartiganError: an extra is missing, or the place cannot be written.
    """
    form = form_of(path)
    with atomic(path) as temporary:
        {"CSV": _write_csv, "Parquet": _write_parquet, "ROOT": _write_root}[form](temporary, path, blocks)


def _write_csv(temporary: Path, path: Path, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    between = "," if path.suffix == ".csv" else "\t"
    with temporary.open("w", encoding="utf-8") as file:
        for number, block in enumerate(blocks):
            if number == 0:
                file.write(between.join(block) + "\n")
            np.savetxt(file, np.stack([*block.values()], axis=1), fmt="%.9g", delimiter=between)


def _write_parquet(temporary: Path, _: Path, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    import pyarrow
    from pyarrow import parquet

    writer = None
    for block in blocks:
        table = pyarrow.table(dict(block))
        writer = writer or parquet.ParquetWriter(temporary, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _write_root(temporary: Path, _: Path, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    import uproot

    with uproot.recreate(temporary) as file:
        tree = None
        for block in blocks:
            tree = tree or file.mktree(TREE, {name: values.dtype for name, values in block.items()})
            tree.extend(dict(block))
