"""What training and evaluation take samples from: a file, or arrays in memory, behind one face."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from partigan.data.arrays import batch_of
from partigan.data.batch import Batch
from partigan.data.hdf5 import is_hdf5, split_attributes
from partigan.data.parts import digest, is_parts
from partigan.data.splits import Rows, split_rows, stored_rows
from partigan.data.stored import trusted
from partigan.data.streams import Stream, stream_of
from partigan.errors import PartiganError
from partigan.files import sha256

Given = Any
"""What `source` takes: a path, a `Batch`, an array, or a mapping of arrays."""


class _Format(Protocol):
    """The part of a format (`partigan.kinds.kind.Format`) that sources use."""

    @property
    def in_rows(self) -> bool: ...
    def count(self, path: Path) -> int: ...

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch: ...
    def blocks(self, path: Path, size: int) -> Iterator[Batch]: ...
    def training(self, path: Path) -> Batch: ...
    def attributes(self, path: Path) -> dict[str, Any]: ...
    def describe(self, path: Path) -> dict[str, Any]: ...
    def check(self, sample: Batch) -> Batch: ...
    def assume(self, sample: Batch) -> dict[str, Any]: ...


class _Conditions(Protocol):
    whole: int
    chunk: int

    def of_species(self, species: str, sample: Batch, description: dict[str, Any], where: str) -> Tensor: ...


class _Evaluation(Protocol):
    def label(self, path: Path) -> str | None: ...


class _Kind(Protocol):
    """The parts of a kind of data (`partigan.kinds.kind.Kind`) that sources use."""

    @property
    def name(self) -> str: ...
    @property
    def format(self) -> _Format: ...
    @property
    def conditions(self) -> _Conditions: ...
    @property
    def evaluation(self) -> _Evaluation: ...


class Source(ABC):
    """Samples of one kind of data.

    Attributes:
        name: what messages and reports call it.
        path: the file; None for arrays.
        label: name of the class of all samples, where they are of one class and the file says which.
    """

    name: str
    path: Path | None = None
    label: str | None = None

    @property
    @abstractmethod
    def digest(self) -> str:
        """Sha256 of the content, hexadecimal."""

    @abstractmethod
    def read(self, split: str, finite: bool = True) -> Batch:
        """Samples of a split (train, valid, test, all) in physical units; ``finite=False`` keeps NaN rows of a file."""

    @abstractmethod
    def drawn(self, most: int, seed: int) -> tuple[Batch, int]:
        """Samples drawn at random from all, NaN rows of a file too, in their order; memory depends on ``most`` alone.

        Args:
            most: how many are drawn, about; all where there are fewer.
            seed: makes the choice reproducible.

        Returns:
            The samples, and how many there are in all.
        """

    @abstractmethod
    def training(self) -> Batch:
        """What networks are trained on."""

    def stream(self, name: str, asked: bool | None = None) -> Stream | None:
        """The training split as a stream, where it does not fit into memory; None where it does, or cannot be streamed.

        Args:
            name: of the sample.
            asked: whether to stream, as before an interruption; None = by the free memory.
        """
        return None

    def some(self, split: str, most: int | None) -> Batch:
        """The first samples of a split; None = all."""
        return self.read(split)[:most]

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What belongs to the samples and is not in a batch, as JSON values; see `Format.describe`."""

    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What the source says of itself (provenance)."""


class FileSource(Source):
    """A file.

    Args:
        path: the file.
        kind: the kind of data in it.
        trust: read virtual datasets, whose data lie in other files.
    """

    def __init__(self, path: Path, kind: _Kind, trust: bool = False) -> None:
        self.path: Path = path
        self._trust = trust
        self.name, self._format, self._evaluation = str(path), kind.format, kind.evaluation
        self._conditions = kind.conditions

    @cached_property
    def label(self) -> str | None:  # type: ignore[override]
        """Name of the class, as the file says."""
        return self._evaluation.label(self.path)

    @cached_property
    def digest(self) -> str:
        """Sha256 of the file; of a folder, of the names and digests of its files."""
        if is_parts(self.path):
            return digest(self.path)
        if not self.path.is_dir():
            return sha256(self.path)
        files = sorted(path for path in self.path.rglob("*") if path.is_file())
        lines = [f"{sha256(path)} {path.relative_to(self.path)}\n" for path in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def read(self, split: str, finite: bool = True) -> Batch:
        """Samples of a split."""
        with trusted(self._trust):
            return self._format.read(self.path, split, finite)

    def drawn(self, most: int, seed: int) -> tuple[Batch, int]:
        """Samples drawn at random."""
        with trusted(self._trust):
            parts = self._format.blocks(self.path, self._conditions.chunk)
            return draw(parts, most, self._conditions.whole, seed)

    def training(self) -> Batch:
        """What networks are trained on."""
        with trusted(self._trust):
            return self._format.training(self.path)

    def stream(self, name: str, asked: bool | None = None) -> Stream | None:
        """The training split as a stream."""
        if not self._in_rows:
            return None
        with trusted(self._trust):
            return stream_of(self._between, *self._rows("train"), name, asked)

    def some(self, split: str, most: int | None) -> Batch:
        """The first samples of a split, of which no others are read."""
        if most is None or not self._in_rows:
            return super().some(split, most)
        with trusted(self._trust):
            first, last = self._rows(split)
            return self._between(first, min(first + most, last))

    @property
    def _in_rows(self) -> bool:
        return self._format.in_rows and is_hdf5(self.path)

    def _rows(self, split: str) -> tuple[int, int]:
        return stored_rows(split_attributes(self.path), self._format.count(self.path), split, self.path, "samples")

    def _between(self, first: int, last: int) -> Batch:
        with trusted(self._trust):
            return self._format.read(self.path, (first, last))

    def describe(self) -> dict[str, Any]:
        """What the file holds beside its samples."""
        with trusted(self._trust):
            return self._format.describe(self.path)

    def attributes(self) -> dict[str, Any]:
        """The attributes of the file."""
        return self._format.attributes(self.path)


@dataclass(frozen=True)
class ArraySource(Source):
    """Arrays in memory, split 70/15/15 in their order.

    Attributes:
        sample: all samples, checked.
        description: see `describe`.
        whole: samples that are drawn as one, see `Conditions`.
        name: of the source.
    """

    sample: Batch
    description: dict[str, Any]
    whole: int = 1
    name: str = "arrays"

    @cached_property
    def digest(self) -> str:
        """Sha256 of types, shapes and bytes of the arrays."""
        found = hashlib.sha256()
        for field in fields(self.sample):
            if (part := getattr(self.sample, field.name)) is not None:
                found.update(f"{field.name} {part.dtype} {list(part.shape)}\n".encode())
                found.update(np.ascontiguousarray(part.numpy()).data)
        return found.hexdigest()

    def read(self, split: str, finite: bool = True) -> Batch:
        """Samples of a split; all are finite."""
        first, last = split_rows(len(self.sample), split)
        if first == last:
            raise PartiganError(f"{len(self.sample)} samples are too few: the {split} split of the arrays is empty")
        return self.sample[first:last]

    def drawn(self, most: int, seed: int) -> tuple[Batch, int]:
        """Samples drawn at random."""
        return draw([self.sample], most, self.whole, seed)

    def training(self) -> Batch:
        """The training split."""
        return self.read("train")

    def describe(self) -> dict[str, Any]:
        """What the kind of data assumes: features without names or units, jets of pt 1."""
        return self.description

    def attributes(self) -> dict[str, Any]:
        """Nothing: arrays do not say where they come from."""
        return {}


class SpeciesSource(Source):
    """The samples of one species in a source of several.

    Args:
        of: the source.
        kind: the kind of data in it.
        species: name of the species.
    """

    def __init__(self, of: Source, kind: _Kind, species: str) -> None:
        self._of, self._rows, self._species = of, kind.conditions.of_species, species
        self.name, self.path, self.label = of.name, of.path, of.label
        self._described = of.describe()

    @property
    def digest(self) -> str:
        """That of the source."""
        return self._of.digest

    def _chosen(self, sample: Batch, where: str) -> Batch:
        rows = self._rows(self._species, sample, self._described, self.name)
        if not rows.any():
            raise PartiganError(f"{self.name} has no {self._species}{where}; take another species or file")
        return sample[rows]

    def read(self, split: str, finite: bool = True) -> Batch:
        """Samples of a split."""
        return self._chosen(self._of.read(split, finite), "" if split == "all" else f" in its {split} split")

    def drawn(self, most: int, seed: int) -> tuple[Batch, int]:
        """Samples drawn at random; the share of the species among all tells how many there are, about."""
        sample, total = self._of.drawn(most, seed)
        chosen = self._chosen(sample, "")
        return chosen, round(total * len(chosen) / len(sample))

    def training(self) -> Batch:
        """What networks are trained on."""
        return self._chosen(self._of.training(), " in its train split")

    def describe(self) -> dict[str, Any]:
        """What the source holds beside its samples."""
        return self._described

    def attributes(self) -> dict[str, Any]:
        """What the source says of itself."""
        return self._of.attributes()


def draw(parts: Iterable[Batch], most: int, whole: int, seed: int) -> tuple[Batch, int]:
    """Samples drawn at random from parts that come one after the other, and how many there are in all.

    Each sample gets a random number, and those with the smallest are kept.

    Args:
        parts: the samples, in order.
        most: how many are drawn, about; all where there are fewer.
        whole: samples that follow each other and are drawn as one.
        seed: makes the choice reproducible.

    Example:
        >>> found, total = draw([Batch(torch.arange(4.0)), Batch(torch.arange(4.0, 9.0))], 3, 1, seed=1)
        >>> found.x, total
        (tensor([2., 4., 7.]), 9)
    """
    rng, groups = np.random.default_rng(seed), -(-most // whole)
    kept, numbers, total = None, np.zeros(0), 0
    for part in parts:
        total += len(part)
        numbers = np.concatenate([numbers, rng.random(-(-len(part) // whole))])
        kept = part if kept is None else Batch.joined([kept, part])
        if len(numbers) > groups:
            chosen = np.sort(np.argpartition(numbers, groups)[:groups])
            rows = (chosen[:, None] * whole + np.arange(whole)).ravel()
            kept, numbers = kept[torch.from_numpy(rows[rows < len(kept)])], numbers[chosen]
    if kept is None:
        raise PartiganError("there are no samples to draw from")
    return kept, total


def source(given: Any, kind: _Kind, trust: bool = False, species: str | None = None) -> Source:
    """A source of samples.

    Args:
        given: the path of a file, a `Batch`, a numpy array or torch tensor (jets ``(n, particles, 3)``, or 4 features
            with the mask as the last; rows; images), or a mapping with ``x`` and, optionally, ``mask``, ``labels`` or
            ``conditions`` (``condition`` is either) and ``weight``. Arrays become float32.
        kind: the kind of data.
        trust: read virtual datasets, whose data lie in other files.
        species: the only one whose samples are taken; None = all.

    Raises:
        PartiganError: something else, arrays of wrong shapes or of different lengths, or values that no sample has.

    Example:
        >>> from partigan.kinds import find
        >>> data = source({"x": np.zeros((10, 2)), "labels": [0, 1] * 5}, find("tables"))
        >>> len(data.read("train")), data.describe()
        (7, {'features': {'0': '', '1': ''}})
    """
    if species is not None:
        return SpeciesSource(source(given, kind, trust), kind, species)
    if isinstance(given, Source):
        return given
    if isinstance(given, (str, Path)):
        return FileSource(Path(given), kind, trust)
    sample = kind.format.check(batch_of(given))
    return ArraySource(sample, kind.format.assume(sample), kind.conditions.whole)


def by_name(given: Given | Mapping[str, Given], alone: str) -> Mapping[str, Given]:
    """What sources are made of, by name.

    Args:
        given: a mapping of names to what `source` takes, or what it takes alone.
        alone: name of what is given alone.

    Example:
        >>> by_name({"x": [1.0]}, "data"), by_name({"q": "q.h5"}, "data")
        ({'data': {'x': [1.0]}}, {'q': 'q.h5'})
    """
    return given if isinstance(given, Mapping) and "x" not in given else {alone: given}


def same_features(real: str, a: dict[str, Any], fake: str, b: dict[str, Any]) -> None:
    """Refuse two samples whose features have different names or units; what has no name or unit fits any."""
    ours, theirs = (dict(described.get("features", {})) for described in (a, b))
    plain = [str(number) for number in range(len(ours))]
    if len(ours) != len(theirs) or (list(ours) != list(theirs) and plain not in (list(ours), list(theirs))):
        raise PartiganError(
            f"{fake} has the features {', '.join(theirs)} and {real} {', '.join(ours)}; "
            "give samples of the same features"
        )
    for name in ours:
        if ours[name] and theirs.get(name) and ours[name] != theirs[name]:
            raise PartiganError(f"{fake} has {name} in {theirs[name]}, {real} in {ours[name]}; convert one of them")
