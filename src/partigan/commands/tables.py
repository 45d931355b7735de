"""``partigan import-table`` and ``export-table``: columns of CSV, Parquet and ROOT files to tables, and back."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import write_samples
from partigan.data.tabular import SUFFIXES as TABULAR
from partigan.data.tabular import Block, blocks_of, names_in, write_blocks
from partigan.errors import PartiganError
from partigan.kinds import find, kind_of
from partigan.kinds.tables import TableFormat
from partigan.outputs import writing

BLOCK = 20_000  # rows that are written at once
_OPERATORS: dict[str, Callable[[Any, float], NDArray[np.bool_]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_CUT = re.compile(r"\s*(\S+?)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")


def import_table(
    data: Sequence[str],
    out: Path,
    targets: Sequence[str],
    conditions: Sequence[str] = (),
    weight: str | None = None,
    columns: Sequence[str] = (),
    cuts: Sequence[str] = (),
    tree: str | None = None,
    kind: str = "tables",
    overwrite: bool = False,
) -> Path:
    """Make a table of columns of CSV, Parquet or ROOT files.

    Files are read in blocks, so that they may be larger than memory. Rows of several files are mixed evenly, so that
    all splits hold the same shares of them; for that each file is read twice.

    Args:
        data: files with the same columns; ``.csv``, ``.tsv``, ``.txt``, ``.parquet`` or ``.root``.
        out: HDF5 file to make.
        targets: columns that are features.
        conditions: columns that are conditions.
        weight: column of the event weights, such as sWeights; None = all 1.
        columns: names for those of the files, such as ``P=Brunel_P``, or for a number: ``is_K=1``.
        cuts: what rows must fulfil, such as ``"P > 3000"``; all of them.
        tree: of ROOT files; None = their only one.
        kind: kind of data: tables or cherenkov.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: a column that a file lacks (the nearest is suggested), values that are no numbers or not finite
            (with the row), weights without a sum above 0, or no row that passes the cuts.
    """
    if not isinstance(find(kind).format, TableFormat):
        raise PartiganError(f"{kind} are no tables; there are tables and cherenkov")
    if not data or not targets:
        raise PartiganError("name files and at least one column that is a feature: --data FILE --targets NAME")
    chosen = Choice.of(targets, conditions, weight, columns, cuts)
    paths = [Path(path) for path in data]
    with writing(out, paths, overwrite=overwrite, suffixes=SUFFIXES):
        for path in paths:
            chosen.check(path, names_in(path, tree))
        attributes = {"kind": kind, "imported": " ".join(map(str, data)), "partigan_version": __version__}
        beside = {"conditions": dict.fromkeys(conditions, "")} if conditions else {}
        rows = _mixed(paths, chosen, tree)
        batches = _weighed(chosen.batches(rows), out)
        write_samples(out, "rows", batches, attributes, dict.fromkeys(targets, ""), beside)
    return Path(out)


def export_table(table: Path, out: Path, weight: str = "weight", overwrite: bool = False) -> Path:
    """Write a table, such as generated rows, as CSV, Parquet or ROOT, with conditions, truth and weights as columns.

    Args:
        table: HDF5 file with rows.
        out: file to make; the suffix decides the format.
        weight: name of the column of event weights.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: the file holds no table, or two of its columns have one name.
    """
    layout = kind_of(table).format
    if not isinstance(layout, TableFormat):
        raise PartiganError(f"{table} holds no table; give a file with rows")
    described = layout.describe(table)
    beside = described.get("columns", {})
    groups = [("x", [*described["features"]]), ("condition", [*beside.get("conditions", {})])]
    groups.append(("truth", [*beside.get("truth", {})]))
    names = [name for _, part in groups for name in part]
    if len({*names, weight}) <= len(names):
        raise PartiganError(f"{table} has two columns of one name among {', '.join([*names, weight])}; give --weight")

    def columns(batch: Batch) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for part, called in groups:
            if (values := getattr(batch, part)) is not None:
                table = values.numpy().reshape(len(batch), -1)
                found |= dict(zip(called or ["label"], table.T, strict=True))
        return found if batch.weight is None else {**found, weight: batch.weight.numpy()}

    with writing(out, [table], overwrite=overwrite, suffixes=TABULAR):
        write_blocks(Path(out), map(columns, layout.blocks(table, BLOCK)))
    return Path(out)


@dataclass(frozen=True)
class Choice:
    """What is taken of the files.

    Attributes:
        targets: names of features.
        conditions: names of conditions.
        weight: name of the weight; None = none.
        sources: columns of the files by the names that they get.
        constants: numbers by name.
        cuts: columns, comparisons and numbers.
    """

    targets: tuple[str, ...]
    conditions: tuple[str, ...]
    weight: str | None
    sources: dict[str, str]
    constants: dict[str, float]
    cuts: tuple[tuple[str, str, float], ...]

    @classmethod
    def of(
        cls,
        targets: Sequence[str],
        conditions: Sequence[str],
        weight: str | None,
        columns: Sequence[str],
        cuts: Sequence[str],
    ) -> Choice:
        """A choice from texts, see `import_table`."""
        wanted = [*targets, *conditions, *([] if weight is None else [weight])]
        if len(set(wanted)) < len(wanted):
            raise PartiganError(f"a column is named twice among {', '.join(wanted)}; each is one of features or others")
        renamed, constants = {}, {}
        for entry in columns:
            name, equals, source = entry.partition("=")
            if not (name and equals and source):
                raise PartiganError(f"--columns {entry}: give NAME=COLUMN or NAME=NUMBER")
            if (number := _number(source)) is None:
                renamed[name] = source
            else:
                constants[name] = number
        compared = []
        for text in cuts:
            found = _CUT.fullmatch(text)
            if found is None or (number := _number(found[3])) is None:
                raise PartiganError(f"--cuts {text!r}: give a column, one of {' '.join(_OPERATORS)} and a number")
            compared.append((found[1], found[2], number))
        wanted += [name for name, _, _ in compared]
        sources = {name: renamed.get(name, name) for name in wanted if name not in constants}
        return cls(tuple(targets), tuple(conditions), weight, sources, constants, tuple(compared))

    def check(self, path: Path, known: Sequence[str]) -> None:
        """Raise for a column that a file lacks."""
        for name, source in self.sources.items():
            if source not in known:
                near = difflib.get_close_matches(source, known, n=1, cutoff=0.4)
                few = ", ".join(known[:8]) + ", ..." * (len(known) > 8)
                hint = f"did you mean --columns {name}={near[0]}?" if near else f"there are {few}"
                raise PartiganError(f"{path} has no column {source!r}; {hint}")

    def blocks(self, path: Path, tree: str | None) -> Iterator[Block]:
        """Rows of a file that pass the cuts, under their new names.

        Raises:
            PartiganError: a value that is not finite, with its row in the file.
        """
        first = 0
        for block in blocks_of(path, [*dict.fromkeys(self.sources.values())], tree):
            rows = len(next(iter(block.values()))) if block else 0
            named = {name: block[source] for name, source in self.sources.items()}
            named |= {name: np.full(rows, number) for name, number in self.constants.items()}
            kept = np.ones(rows, bool)
            for name, compare, number in self.cuts:
                kept &= _OPERATORS[compare](named[name], number)
            for name in (*self.targets, *self.conditions, *([] if self.weight is None else [self.weight])):
                if (bad := kept & ~np.isfinite(named[name])).any():
                    raise PartiganError(
                        f"{path}: {name} in row {first + int(bad.argmax())} is NaN or infinite; cut such rows away, "
                        f"or mend them"
                    )
            yield {name: values[kept] for name, values in named.items()}
            first += rows

    def batches(self, blocks: Iterator[Block]) -> Iterator[Batch]:
        """Blocks as batches."""
        for block in blocks:

            def table(names: Sequence[str], block: Block = block) -> torch.Tensor:
                return torch.from_numpy(np.stack([block[name] for name in names], axis=1).astype(np.float32))

            weight = None if self.weight is None else torch.from_numpy(block[self.weight].astype(np.float32))
            yield Batch(
                table(self.targets), condition=table(self.conditions) if self.conditions else None, weight=weight
            )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _mixed(paths: Sequence[Path], chosen: Choice, tree: str | None) -> Iterator[Block]:
    """Rows of all files, each in its order and spread evenly over the whole."""
    if len(paths) == 1:
        yield from (block for block in chosen.blocks(paths[0], tree) if len(next(iter(block.values()))))
        return
    numbers = [sum(len(next(iter(block.values()))) for block in chosen.blocks(path, tree)) for path in paths]
    for path, number in zip(paths, numbers, strict=True):
        if number == 0:
            raise PartiganError(f"no row of {path} passes the cuts")
    readers = [_Reader(chosen.blocks(path, tree)) for path in paths]
    parts = max(-(-sum(numbers) // BLOCK), min(100, min(numbers)))
    for part in range(parts):
        taken = [
            reader.rows((part + 1) * number // parts - part * number // parts)
            for reader, number in zip(readers, numbers, strict=True)
        ]
        filled = [block for block in taken if block]
        yield {name: np.concatenate([block[name] for block in filled]) for name in filled[0]}


class _Reader:
    """Takes any number of rows off a stream of blocks."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._left: Block = {}

    def rows(self, number: int) -> Block:
        """The next rows."""
        while number > (len(next(iter(self._left.values()))) if self._left else 0):
            more = next(islice(self._blocks, 1))
            self._left = {
                name: np.concatenate([self._left.get(name, values[:0]), values]) for name, values in more.items()
            }
        taken = {name: values[:number] for name, values in self._left.items()}
        self._left = {name: values[number:] for name, values in self._left.items()}
        return taken if number else {}


def _weighed(batches: Iterator[Batch], out: Path) -> Iterator[Batch]:
    """The same batches; there are some, and their weights have a sum above 0."""
    rows, total, weighted, some = 0, 0.0, False, False
    for batch in batches:
        rows += len(batch)
        if batch.weight is not None:
            weighted, some = True, some or bool(batch.weight.any())
            total += float(batch.weight.double().sum())
        yield batch
    if rows == 0:
        raise PartiganError(f"no row passes the cuts; {out} is not made")
    if weighted and not some:
        raise PartiganError(f"all weights are 0; give another column, or none; {out} is not made")
    if weighted and total <= 0:
        raise PartiganError(f"the weights have the sum {total:.3g}, which must be above 0; {out} is not made")
