"""Placeholder until the real one is merged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from partigan.data.batch import Batch
from partigan.files import sha256

Given = Any


class Source:
    def __init__(self, path: Path, kind: Any) -> None:
        self.path, self.kind, self.name = path, kind, str(path.resolve())

    @cached_property
    def digest(self) -> str:
        return sha256(self.path)

    def read(self, split: str) -> Batch:
        return self.kind.format.read(self.path, split)

    def training(self) -> Batch:
        return self.kind.format.training(self.path)

    def describe(self) -> dict[str, Any]:
        return self.kind.format.describe(self.path)

    def attributes(self) -> dict[str, Any]:
        return self.kind.format.attributes(self.path)


def source(given: Given, kind: Any, trust: bool = False) -> Source:
    from partigan.kinds import kind_of

    return Source(Path(given), kind or kind_of(given, trust))


def named_sources(data: Given | Mapping[str, Given], kind: Any, alone: str) -> dict[str, Source]:
    if isinstance(data, Mapping) and "x" not in data:
        return {name: source(each, kind) for name, each in data.items()}
    return {alone: source(data, kind)}
