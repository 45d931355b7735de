"""The four parts of a kind of data: format, conditions, observables, evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import checked
from partigan.data.splits import Rows
from partigan.errors import PartiganError
from partigan.metrics.finding import Finding
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.weighted import Sample, Weighted, effective_size, rows_worth
from partigan.progress import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = dict[str, NDArray[Any]]
"""Observables of a sample by name, one array ``(samples, ...)`` each."""


class Values(Columns):
    """Observables of a sample by name, one array ``(samples, ...)`` each, with its event weights.

    Args:
        columns: the observables.
        weight: ``(samples,)``; None = all 1.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]], weight: Floats | None = None) -> None:
        super().__init__(columns)
        self.weight = weight

    def weighted(self, x: Any) -> Weighted:
        """Something that has a row for each sample, with the weights."""
        return Weighted(x, self.weight)

    def mean(self, x: NDArray[Any]) -> NDArray[Any]:
        """Weighted mean over the samples of values ``(samples, ...)``."""
        return Sample(x, self.weight).mean()

    def repeated(self, times: int | NDArray[np.int64]) -> Floats | None:
        """The weights of parts of samples, such as pixels: so many of each sample, one sample after another."""
        return None if self.weight is None else np.repeat(self.weight, times)

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return self.rows if self.weight is None else float(self.weight.sum())

    def worth(self, size: int) -> int:
        """About how many samples have an effective size; all where it is not that large."""
        return rows_worth(size, self.weight, self.rows)

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(next(iter(self.values())))

    @property
    def size(self) -> int:
        """Effective number of samples."""
        return int(effective_size(self.weight, self.rows))


class Format(ABC):
    """The files of a kind of data. A format holds no state between calls.

    Attributes:
        also: names of other kinds whose files can be read as real samples of this one.
        suffixes: of the files that `write` makes, with what is in them.
        in_rows: rows of an HDF5 file are samples, which are trained on as they are, so that training can stream them.
    """

    also: tuple[str, ...] = ()
    in_rows: bool = True
    suffixes: Mapping[str, str] = SUFFIXES

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file has this layout; asked of files without a ``kind`` attribute."""

    @abstractmethod
    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Samples of a split, checked, in physical units.

        Args:
            path: the file.
            split: train, valid, test or all; or rows, of which those beyond the end are left out.
            finite: refuse NaN and infinite values; False keeps them, to count the failures of a generator.
        """

    def count(self, path: Path) -> int:
        """The number of samples in a file."""
        return len(self.read(path, "all", finite=False))

    def blocks(self, path: Path, size: int) -> Iterator[Batch]:
        """All samples of a file in their order, NaN and infinite values too, ``size`` at a time."""
        return (self.read(path, (first, first + size), finite=False) for first in range(0, self.count(path), size))

    def training(self, path: Path) -> Batch:
        """What networks are trained on: the training split, unless a kind trains on another view of it."""
        return self.read(path, "train")

    @abstractmethod
    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write generated samples to a file, atomically; its suffix decides the format.

        Args:
            path: the file to make.
            chunks: samples in physical units.
            attributes: provenance, which `attributes` gives back.
            state: from `Conditions.state`.
        """

    @abstractmethod
    def attributes(self, path: Path) -> dict[str, Any]:
        """What a file says of itself (provenance), without ``split_*``."""

    def describe(self, path: Path) -> dict[str, Any]:
        """What a file holds beside its samples, as JSON values.

        ``features`` are names of features with their units. Generation and evaluation get the rest as it is, such as
        the mean jet pt.
        """
        return {}

    def check(self, sample: Batch) -> Batch:
        """Samples given as arrays, checked like those of a file.

        Args:
            sample: float32 values; integer conditions are class labels.

        Raises:
            PartiganError: another shape than the kind has, NaN or infinite values (with the first such row), or values
                that no sample can have.
        """
        return checked(sample)

    def doubts(self, sample: Batch) -> list[str]:
        """What values say that a sample is not what this kind expects, with the likely cause; a sentence each."""
        return []

    def assume(self, sample: Batch) -> dict[str, Any]:
        """What `describe` would say, for samples given as arrays."""
        return {}


class Conditions(ABC):
    """What networks and generation take from the data.

    Attributes:
        whole: samples that belong together, such as the sensors of an event; files hold whole ones.
        block: samples of one block of a stream; conditions are drawn block by block.
        chunk: samples that ``generate`` holds in memory, a multiple of ``block``.
        group: samples without mask that a generator gets at a time.
        fixed: entries of `state` that must be those of training, when conditions are drawn from another file.
        rows: entries of `state` that are drawn from, rows of numbers.
        schema: of `state`, see `partigan.documents.check`.
    """

    whole: int = 1
    block: int = 1024
    chunk: int = 20_480
    group: int = 1024
    fixed: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    schema: Any = MappingProxyType({str: object})

    @abstractmethod
    def arguments(self, sample: Batch) -> dict[str, Any]:
        """Arguments of networks that the data decide, such as the number of particles."""

    def of_file(self, description: dict[str, Any]) -> dict[str, Any]:
        """Arguments of networks that the file decides, such as the layout of an array; by default none.

        Args:
            description: from `Format.describe`.
        """
        return {}

    @abstractmethod
    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """What generation needs to know of the training sample, as JSON values.

        Args:
            sample: the training sample.
            description: of its file, from `Format.describe`.
        """

    def ready(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state to draw from over and over: its ``rows`` as tensors."""
        return {**state, **{name: torch.tensor(state[name]) for name in self.rows if name in state}}

    @abstractmethod
    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Condition and mask of one block of ``size`` samples, from a `state` or one that is `ready`."""

    def told(self, condition: Tensor) -> Tensor:
        """What generated samples say of the conditions that `draw` gave: by default all of them."""
        return condition

    def of_species(self, species: str, sample: Batch, description: dict[str, Any], where: str) -> Tensor:
        """Which samples are of one species of particle, ``(samples,)`` bool.

        Args:
            species: its name.
            sample: in physical units.
            description: of its source, from `Format.describe`.
            where: name of the source, for messages.

        Raises:
            PartiganError: samples of this kind have no species, or not this one.
        """
        raise PartiganError(f"{where}: its kind of data knows no species; leave out --species {species}")

    def beyond(self, state: dict[str, Any], sample: Batch) -> list[str]:
        """What a network is asked for that it was not trained on: a sentence for each condition out of its range.

        Args:
            state: of the training sample, see `state`.
            sample: whose conditions are asked for.
        """
        return []

    def weight(self, state: dict[str, Any], size: int, rng: torch.Generator) -> Tensor | None:
        """Event weights of the conditions that `draw` gives with the same randomness; None = all 1."""
        return None

    def classes(self, sample: Batch) -> Tensor | None:
        """Class of each sample, ``(samples,)`` integers, where there are several; None elsewhere."""
        condition = sample.condition
        return None if condition is None or condition.is_floating_point() else condition


class Observables(ABC):
    """What physicists look at."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """The observables that are one number a sample: name to label and unit.

        The evaluation suite looks at them one by one and together.

        Args:
            description: of the real file, from `Format.describe`.
        """
        return {}

    @abstractmethod
    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """All observables of a sample in physical units, one array ``(samples, ...)`` each."""


class Evaluation(ABC):
    """Metrics, figures and the choice of checkpoints.

    Attributes:
        selection: the metric of `validate` that chooses the best checkpoint, and the one that vetoes.
        names: of what `metrics` gives.
        validated: samples of the valid split that a validation uses; None = all.
        classifier: configuration that ``fit-classifier`` trains where no other is given; None = there is none.
        judge: configuration of the classifier that an evaluation trains to tell generated from real samples, as short
            as will do, in steps and not in minutes; None = there is none.
        weighted: whether `validate`, `metrics` and `figures` look at event weights; where they do not, a sample with
            weights is unweighted for validations, and reports say that the metrics could not be taken.
        targets: columns of truth that the downstream test of refined samples reconstructs: a value; or a class, the
            larger half of its values.
        published: import path of a function that takes the name of a class and the shape of a sample and returns a
            published classifier (`partigan.models.classifier.Reference`); None = nobody published one.
    """

    selection: tuple[str, str]
    names: tuple[str, ...] = ()
    validated: int | None = None
    classifier: dict[str, Any] | None = None
    judge: dict[str, Any] | None = None
    weighted: bool = False
    targets: Mapping[str, Literal["value", "class"]] = MappingProxyType({})
    published: str | None = None

    @abstractmethod
    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Quick metrics during training."""

    @abstractmethod
    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> Mapping[str, Finding | str]:
        """Metrics of a generated sample against a real one.

        Args:
            real: observables of the real sample.
            fake: observables of the generated sample, or of other real ones.
            protocol: the entries of a protocol; its ``metrics`` are the names of those to take.
            smallest: effective size of the smallest sample that takes the place of ``fake`` in a comparison. It decides
                sizes and numbers of batches, so that they are the same for all.
            seed: of everything that is drawn at random.

        Returns:
            The metrics by name, the reason in place of one that cannot be taken, and nothing for those for which the
            samples are too small.
        """

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """The figures of the report, by title."""
        return {}

    def label(self, path: Path) -> str | None:
        """Name of the class of all samples of a file, where they are of one class and the file says which."""
        return None


@dataclass(frozen=True)
class Kind:
    """A kind of data, so that training, sampling and evaluation are generic.

    Replace a part with `dataclasses.replace`.

    Attributes:
        name: as in presets, in files (attribute ``kind``) and on the command line.
        format: its files.
        conditions: what networks and generation take from the data.
        observables: what physicists look at.
        evaluation: metrics, figures, choice of checkpoints.
    """

    name: str
    format: Format
    conditions: Conditions
    observables: Observables
    evaluation: Evaluation


def event_weights(sample: Batch) -> Floats | None:
    """The event weights of a sample, ``(samples,)``; None where there are none."""
    return None if sample.weight is None else sample.weight.double().numpy()


def weighted(sample: Batch, x: Any) -> Weighted:
    """Something that has a row for each of some samples, with their event weights."""
    return Weighted(x, event_weights(sample))


def warn(layout: Format, sample: Batch, name: str) -> None:
    """Say what is doubtful about a sample."""
    for doubt in layout.doubts(sample):
        tell(f"warning: {name}: {doubt}")


def findings(measured: Mapping[str, Measurement], labels: Mapping[str, tuple[str, float]]) -> dict[str, Finding]:
    """Measurements under their headings.

    Args:
        measured: by name of the metric.
        labels: heading and unit of each metric.
    """
    return {name: Finding(labels[name][0], *found, unit=labels[name][1]) for name, found in measured.items()}
