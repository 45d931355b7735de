"""Which rows of a file, or of arrays, are for training, validation and test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from partigan.errors import PartiganError

SHARES = {"train": 70, "valid": 15, "test": 15}
"""The splits in a file's order, and their percentages of its samples where the file does not say other rows."""

Rows = str | tuple[int, int]
"""Which samples of a file: a split (train, valid, test, all), or the first and one-past-last row."""


def split_rows(samples: int, split: Rows) -> tuple[int, int]:
    """First and one-past-last row of a split: 70 % train, 15 % valid, 15 % test, in the file's order.

    Args:
        samples: how many there are.
        split: train, valid, test or all; or rows, of which those beyond the end are left out.

    Example:
        >>> split_rows(200, "valid")
        (140, 170)
    """
    if not isinstance(split, str):
        return split[0], min(split[1], samples)
    if split == "all":
        return 0, samples
    before, after = _percents(split, [*SHARES])
    return round(before / 100 * samples), round(after / 100 * samples)


def _percents(split: str, among: list[str]) -> tuple[int, int]:
    """Where a split begins and ends among others that follow each other, in percents."""
    if split not in SHARES:
        raise PartiganError(f"unknown split {split!r}; there are {', '.join(SHARES)}, all")
    before = sum(SHARES[name] for name in among[: among.index(split)])
    return before, before + SHARES[split]


def stored_rows(attributes: Mapping[str, Any], samples: int, split: Rows, path: Path, what: str) -> tuple[int, int]:
    """First and one-past-last row of a split by a file's attributes ``split_train``, ``split_valid``, ``split_test``.

    Splits without an attribute share what the others leave, in the file's order and in proportion to 70/15/15, so that
    splits never overlap. A file without any of the attributes is cut as in `split_rows`.

    Args:
        attributes: of the file.
        samples: how many it holds.
        split: train, valid, test or all; or rows, of which those beyond the end are left out.
        path: of the file, for messages.
        what: plural of a sample, for messages.

    Raises:
        PartiganError: the attributes are no rows, splits overlap, or the split is empty or not one piece.

    Example:
        >>> stored_rows({"split_test": [0, 500]}, 3000, "train", Path("a.h5"), "jets")
        (500, 2559)
    """
    ranges = _stored(attributes, path, what)
    if split == "all" or not isinstance(split, str) or not ranges:
        first, last = split_rows(samples, split)
    elif split in ranges:
        first, last = ranges[split]
    else:
        first, last = _left(ranges, samples, split, path)
    if not 0 <= first < last <= samples:
        name = f"the {split} split is" if isinstance(split, str) else "asked for are"
        raise PartiganError(f"{path}: {name} rows {first} to {last} of {samples}, which holds no {what}")
    return first, last


def _stored(attributes: Mapping[str, Any], path: Path, what: str) -> dict[str, tuple[int, int]]:
    """The splits that a file's attributes give, checked."""
    ranges = {}
    for name in SHARES:
        if (rows := attributes.get(f"split_{name}")) is None:
            continue
        stored = np.asarray(rows)
        if stored.shape != (2,) or stored.dtype.kind not in "iu":
            raise PartiganError(f"{path}: the attribute split_{name} is {stored}, not a first and one-past-last row")
        ranges[name] = int(stored[0]), int(stored[1])
    for one, two in itertools.combinations(ranges, 2):
        if max(ranges[one][0], ranges[two][0]) < min(ranges[one][1], ranges[two][1]):
            raise PartiganError(f"{path}: the splits {one} {ranges[one]} and {two} {ranges[two]} share {what}")
    return ranges


def _left(ranges: Mapping[str, tuple[int, int]], samples: int, split: str, path: Path) -> tuple[int, int]:
    """Rows of a split that has no attribute."""
    missing = [name for name in SHARES if name not in ranges]
    before, after = _percents(split, missing)
    ends = sorted((first, last) for first, last in ranges.values() if first < last)
    edges = [0, *itertools.chain(*ends), samples]
    gaps = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
    if len(gaps) > 1:
        raise PartiganError(
            f"{path}: its attributes leave rows {' and '.join(f'{a} to {b}' for a, b in gaps)}, which is no single "
            f"{split} split; write the attribute split_{split}, too"
        )
    first, last = gaps[0] if gaps else (samples, samples)
    per_share = (last - first) / sum(SHARES[name] for name in missing)
    return first + round(before * per_share), first + round(after * per_share)
