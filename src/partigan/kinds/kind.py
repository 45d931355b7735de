"""What a kind of data brings, so that training, sampling and evaluation are generic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.evaluation.protocols import protocols, read_protocol
from partigan.kinds.reference import Reference
from partigan.metrics.measurement import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Observables = dict[str, NDArray[Any]]


def classification(
    kind: str,
    title: str,
    paper: str,
    status: str,
    transform: str,
    network: str,
    scale: dict[str, Any] | None = None,
    arguments: dict[str, Any] | None = None,
    **trainer: Any,
) -> dict[str, Any]:
    """Configuration of a classifier: a network trained with cross-entropy.

    Args:
        kind: name of the kind of data.
        title: of the network.
        paper: where it is described.
        status: how far it follows the paper.
        transform: class path of the normalisation.
        network: class path.
        scale: arguments of ``transform``.
        arguments: of ``network``, but for those that the data decide.
        **trainer: options of the trainer.
    """
    return {
        "about": {"title": title, "paper": paper, "status": status},
        "kind": kind,
        "transform": {"class_path": transform, "init_args": scale or {}},
        "system": {
            "class_path": "partigan.training.classification.Classification",
            "init_args": {
                "classifier": {"class_path": network, "init_args": arguments or {}},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}},
                "schedule": {"class_path": "partigan.training.schedules.WarmupCosine"},
            },
        },
        "trainer": {"ema_half_life": 0.0, "validations": 20, **trainer},
    }


class Kind(ABC):
    """A kind of data: its files, conditions, observables, metrics and figures.

    Attributes:
        name: as in presets and on the command line.
        selection: the metric of `validate` by which the best checkpoint is chosen, and the one that vetoes.
        labels: for each metric the heading of the report and the unit it is shown in.
        made_of: the kind of the files that real samples may be read from beside its own; empty where there is none.
        chunk: samples that `generate` has in memory at a time.
        group: samples without mask that are given to a generator at a time.
        classifier: configuration of the classifier that `fit-classifier` trains where no other is given.
        judge: configuration of the classifier that an evaluation trains to tell generated from real samples, as short
            as will do, in steps and not in minutes; None where there is none.
    """

    name: ClassVar[str]
    made_of: ClassVar[str] = ""
    chunk: ClassVar[int] = 20_000
    group: ClassVar[int] = 1024
    selection: ClassVar[tuple[str, str]]
    labels: ClassVar[dict[str, tuple[str, float]]]
    classifier: ClassVar[dict[str, Any]]
    judge: ClassVar[dict[str, Any] | None] = None

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        """For each protocol that comes with partigan, the arguments of metrics that differ from paper to paper."""
        return protocols(self.name)

    @property
    def scalars(self) -> dict[str, tuple[str, str]]:
        """The observables that are one number a sample, with label and unit.

        The evaluation suite looks at them one by one and together.
        """
        return {}

    def protocol(self, name: str) -> dict[str, Any]:
        """A protocol by name, or the user's own by the path of a YAML file.

        Raises:
            PartiganError: there is no such protocol.
        """
        known = self.protocols
        if name in known:
            return known[name]
        if not name.endswith((".yaml", ".yml")):
            raise PartiganError(
                f"unknown protocol {name!r}; for {self.name} there are {', '.join(known)}, or give a YAML file"
            )
        return read_protocol(Path(name), self.name, next(iter(known.values())))

    @abstractmethod
    def read(self, path: Path, split: str) -> Batch:
        """Samples of one split of a file, checked, in physical units."""

    def read_generated(self, path: Path) -> Batch:
        """All samples of a generated file, with those that have NaN or infinite values."""
        return self.read(path, "all")

    @abstractmethod
    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write generated samples to a file, atomically; ``state`` is that of `conditions`."""

    def features(self, path: Path) -> dict[str, str]:
        """Features of a file whose names or units its layout leaves open, with their units; empty where unknown."""
        return {}

    @abstractmethod
    def network_arguments(self, sample: Batch) -> dict[str, Any]:
        """Arguments that networks take from the data where a preset leaves them open."""

    @abstractmethod
    def conditions(self, path: Path) -> dict[str, Any]:
        """What generation has to know of the training sample's conditions, as JSON values."""

    @abstractmethod
    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Draw condition and mask of ``size`` samples."""

    @abstractmethod
    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Quick metrics during training; the best checkpoint is chosen by them."""

    @abstractmethod
    def observables(self, sample: Batch) -> Observables:
        """What physicists look at, one array ``(samples, ...)`` each; metrics and figures are made of them."""

    @abstractmethod
    def metrics(
        self, real: Observables, fake: Observables, protocol: str, smallest: int, seed: int
    ) -> dict[str, Measurement]:
        """The protocol's metrics of a generated sample against a real one.

        Args:
            real: the real sample.
            fake: the generated sample, or other real ones.
            protocol: one of ``protocols``, or the path of a YAML file.
            smallest: size of the smallest sample that takes the place of ``fake`` in a comparison; sizes and numbers
                of batches are chosen by it, so that they are the same for all.
            seed: of everything that is drawn at random.

        Returns:
            The metrics by name; one for which the samples are too small is left out.
        """

    def published_reference(self, label: str, sample: Batch) -> Reference:
        """A published classifier and its activations on real samples of a class.

        Args:
            label: name of the class.
            sample: what it is to be used for, in physical units.

        Raises:
            PartiganError: there is none.
        """
        raise PartiganError(f"nobody published a classifier for {self.name}; train one with 'partigan fit-classifier'")

    def label(self, path: Path) -> str | None:
        """Name of the class of the samples of a file, where all are of one class and the file says which."""
        return None

    def classes(self, sample: Batch) -> Tensor | None:
        """Class of each sample of a file with several classes, ``(samples,)`` integers; None where there are none."""
        condition = sample.condition
        return None if condition is None or condition.is_floating_point() else condition

    @abstractmethod
    def figures(self, real: Observables, fake: Observables) -> dict[str, Figure]:
        """The figures of the report, by title."""

    @abstractmethod
    def provenance(self, path: Path) -> dict[str, Any]:
        """What a file says of where it comes from."""
