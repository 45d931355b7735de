"""What is compared: real, generated, in-sample and training samples, read, checked and without failures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.sources import Given, Source, same_features, source
from partigan.data.splits import SHARES
from partigan.errors import PartiganError
from partigan.kinds import chosen, find, kind_of
from partigan.kinds.kind import Kind, Values, event_weights, warn
from partigan.metrics.weighted import refuse_weights
from partigan.models.model import Model, load
from partigan.nets.contracts import Translator
from partigan.randomness import check_seed
from partigan.run import TRAINED_SPECIES, Run, known_run

MOST = 10
"""Generated samples for each real one, at most: more of them hardly make errors smaller."""


@dataclass(frozen=True)
class Request:
    """The arguments of `partigan.evaluate` that decide what is found; see there.

    Raises:
        PartiganError: arguments that contradict each other.
    """

    real: Given
    fake: Given | None = None
    run: Path | None = None
    split: str | None = None
    protocol: str | None = None
    metrics: Sequence[str] = ("protocol",)
    kind: str | None = None
    fpnd: str | None = None
    classifier: Path | None = None
    label: str | None = None
    seed: int = 1
    trust: bool = False
    verify: bool = True

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.fake is None and self.run is None:
            raise PartiganError("say what to evaluate: --fake FILE, --run RUN, or both")
        if self.split not in (None, "all", *SHARES):
            raise PartiganError(f"there is no split {self.split!r}; there are {', '.join(SHARES)} and all")
        if self.fpnd is not None and self.classifier is not None:
            raise PartiganError("give --fpnd for the published network or --classifier for your own, not both")
        if self.label is not None and self.classifier is None:
            raise PartiganError(
                f"--label {self.label} is a class of a classifier: give --classifier too, or --fpnd {self.label}"
            )
        object.__setattr__(self, "metrics", (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics))
        if self.run is not None:
            object.__setattr__(self, "run", known_run(self.run))

    @cached_property
    def sort(self) -> Kind:
        """The kind of data: as asked for, or that of the generated file, of the run, or of the real file.

        Raises:
            PartiganError: files of different kinds, or arrays, which do not say what they are.
        """
        if self.kind is not None:
            return find(self.kind, self.trust)
        if isinstance(self.fake, str | Path):
            kind = kind_of(self.fake, self.trust)
            if isinstance(self.real, str | Path):
                other = kind_of(self.real, self.trust).name
                if other not in (kind.name, *kind.format.also):
                    raise PartiganError(f"{self.fake} holds {kind.name}, {self.real} {other}; give files of one kind")
            return kind
        if self.run is not None:
            assert self.opened is not None
            self.opened.require()
            return find(str(self.opened.transform["kind"]), self.trust)
        return chosen(None, self.real, self.trust)

    @property
    def opened(self) -> Run | None:
        """The files of the run."""
        return None if self.run is None else Run(self.run, verify=self.verify)

    @property
    def needs_generator(self) -> bool:
        """Whether there are samples to generate, to reconstruct or to translate back."""
        return self.fake is None or not {"all", "reconstruction", "cycle"}.isdisjoint(self.metrics)

    def command(self, out: Path) -> str:
        """The command that does the same again."""
        words = ["partigan", "evaluate", "--metrics", *self.metrics, *["--trust"] * self.trust]
        words += ["--no-verify"] * (not self.verify)
        for field in fields(self):
            if field.name not in ("trust", "verify", "metrics") and (value := getattr(self, field.name)) is not None:
                words += [f"--{field.name}", named(value)]
        return shlex.join([*words, "--out", str(out)])


def named(value: Any) -> str:
    """An argument in words: what is in memory has no name."""
    return str(value) if isinstance(value, str | Path | int) else "ARRAYS"


@dataclass(frozen=True)
class Side:
    """A sample and its observables, both with event weights where there are some."""

    batch: Batch
    observables: Values

    @property
    def text(self) -> str:
        """Its size, and what its event weights make of it."""
        weighted = self.observables.weight is not None
        return f"{len(self.batch):,}" + f" (event weights, worth {self.observables.size:,})" * weighted


@dataclass(frozen=True)
class Inputs:
    """The samples of an evaluation.

    Attributes:
        kind: the kind of data.
        names: observables that are one number a sample, with label and unit.
        split: of the real file that is compared with: train, valid, test or all.
        why: why that split, in words.
        real: what is compared with.
        generated: the generated sample, without failures.
        failures: generated samples with NaN or infinite values, which are left out.
        available: samples of the generated file; of more than ``MOST`` times the real ones some are drawn at random.
        in_sample: a real sample and another one that takes the place of the generated one: the real sample and the
            other splits, the training split first; or two halves where all splits are compared with. None where there
            are too few.
        held_out: real samples apart from ``real`` that are not the training split.
        training: the training split, where it is apart from ``real``.
        trained_on: number of samples of ``training``, if the generator may have been trained on them; else 0.
        model: the generator, where there is a run.
        said: what the real and the generated file say of themselves.
        described: what the real file holds beside its samples, see `Format.describe`.
    """

    kind: Kind
    names: dict[str, tuple[str, str]]
    split: str
    why: str
    real: Side
    generated: Side
    failures: int
    available: int
    in_sample: tuple[Side, Side] | None
    held_out: Batch | None
    training: Batch | None
    trained_on: int
    model: Model | None
    said: tuple[dict[str, Any], dict[str, Any]]
    described: dict[str, Any]

    @property
    def text(self) -> str:
        """What is compared, in a few words."""
        where = "all splits" if self.split == "all" else f"{self.split} split"
        drawn = len(self.generated.batch) + self.failures
        of = f" of {self.available:,}" if self.available > drawn else ""
        made = f"{self.generated.text}{of} generated {self.kind.name} samples"
        return f"{made} against {self.real.text} real ones ({where})"

    @property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Sources, translated and true samples, where the generated sample was made of the sources of the real one."""
        truth, made = self.real.batch, self.generated.batch
        if truth.source is None or made.source is None or not torch.equal(truth.source, made.source):
            return None
        return truth.source, made.x, truth.x

    @property
    def smallest(self) -> int:
        """Effective size of the smallest sample that takes the place of the generated one."""
        return min(
            self.generated.observables.size, *([] if self.in_sample is None else [self.in_sample[1].observables.size])
        )

    @property
    def size(self) -> int:
        """Effective size of the smaller one of the real and the generated sample."""
        return min(self.real.observables.size, self.generated.observables.size)


def read_inputs(request: Request) -> Inputs:
    """Read, or generate, all samples of an evaluation.

    Raises:
        PartiganError: bad files, or samples that cannot be compared.
    """
    kind = request.sort
    fake_source = None if request.fake is None else source(request.fake, kind, request.trust)
    real_source = source(request.real, kind, request.trust, _species(request, fake_source))
    said = _provenance(kind, real_source, fake_source)
    trained = _training_data(request, said[1])
    split, why = _split(request.split, trained, real_source)
    truth = real_source.read(split)
    model = (
        load(request.run, request.trust, request.verify)
        if request.run is not None and request.needs_generator
        else None
    )
    described = real_source.describe()
    if fake_source is not None:
        same_features(real_source.name, described, fake_source.name, fake_source.describe())
        batch, available = fake_source.drawn(MOST * len(truth), request.seed)
        batch = _of_the_same(truth, batch)
    else:
        assert model is not None
        batch = _generated(kind, model, real_source.name, described, truth, request.seed)
        available = len(batch)
    if truth.x.shape[1:] != batch.x.shape[1:]:
        raise PartiganError(
            f"{fake_source.name if fake_source else request.run} has samples of shape {list(batch.x.shape[1:])}, "
            f"{real_source.name} of "
            f"{list(truth.x.shape[1:])}; only samples of one shape can be compared"
        )
    real = _side(kind, truth, described)
    generated = _finite(kind, batch, described)
    warn(kind.format, real.batch, real_source.name)
    warn(kind.format, generated.batch, fake_source.name if fake_source else str(request.run))
    parts = {other: real_source.read(other) for other in SHARES if other != split and split != "all"}
    training = parts.get("train")
    own = training is not None and (not trained or real_source.digest in trained)
    return Inputs(
        kind,
        kind.observables.scalars(described),
        split,
        why,
        real,
        generated,
        len(batch) - len(generated.batch),
        available,
        _in_sample(kind, real, list(parts.values()), described, request.seed),
        list(parts.values())[1] if parts else None,
        training,
        len(training) if training is not None and own else 0,
        model,
        said,
        described,
    )


def _provenance(kind: Kind, real: Source, fake: Source | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both sources say of themselves, which must be a real and a generated one of this kind."""
    said = real.attributes(), {} if fake is None else fake.attributes()
    if "generated_by" in said[0]:
        raise PartiganError(
            f"{real.name} was generated by partigan; give a file of real samples to --real, this to --fake"
        )
    for each, attributes, also in ((real, said[0], kind.format.also), (fake, said[1], ())):
        name = str(attributes.get("kind", kind.name))
        if each is not None and name not in (kind.name, *also):
            raise PartiganError(f"{each.name} holds {name}, not {kind.name}; give --kind {name} and files of one kind")
    return said


def _training_data(request: Request, said: dict[str, Any]) -> list[str]:
    """SHA-256 of the files that the generator was trained on, where the generated file or the run says so."""
    if (digests := said.get("training_data_sha256")) is not None:
        return str(digests).split()
    return [] if request.opened is None else request.opened.trained_on


def _species(request: Request, fake: Source | None) -> str | None:
    """The only species that the generator was trained on, by the generated file or the run; None = all."""
    if fake is not None and (only := fake.attributes().get(TRAINED_SPECIES)) is not None:
        return str(only)
    return None if request.opened is None else request.opened.species


def _split(asked: str | None, trained: list[str], real: Source) -> tuple[str, str]:
    """The split of the real file to compare with, and why."""
    if asked is not None:
        return asked, "as asked for"
    if not trained:
        return "test", "the generator may have been trained on the others"
    if real.digest in trained:
        return "test", "the generator was trained on this file"
    return "all", "the generator was trained on another file"


def _of_the_same(truth: Batch, batch: Batch) -> Batch:
    """The translated samples of the same sources as those of pairs, in a row; all samples where there are none."""
    if truth.source is None or batch.source is None or truth.source.shape[1:] != batch.source.shape[1:]:
        return batch
    for first in (batch.source == truth.source[0]).flatten(1).all(1).nonzero().flatten().tolist():
        part = batch[first : first + len(truth)]
        if part.source is not None and torch.equal(part.source, truth.source):
            return part
    return batch


def _generated(kind: Kind, model: Model, real: str, described: dict[str, Any], truth: Batch, seed: int) -> Batch:
    """Samples of a run: translations of the sources of real ones, or from noise, ``MOST`` times as many."""
    if model.kind.name != kind.name:
        raise PartiganError(f"{model.name} generates {model.kind.name}, not {kind.name}; give --kind {model.kind.name}")
    if names := model.conditions.get("features"):
        units = model.conditions.get("units", [""] * len(names))
        same_features(real, described, model.name, {"features": dict(zip(names, units, strict=True))})
    if not isinstance(model.network, Translator):
        return model.sample(MOST * len(truth), seed)
    if truth.source is None:
        raise PartiganError(
            f"{model.name} translates samples, and {real} has no 'source' to start from; give --fake with a file that "
            "'partigan refine' made"
        )
    return model.refine(truth.start, seed)


def _side(kind: Kind, sample: Batch, described: dict[str, Any]) -> Side:
    """A sample with its observables."""
    if sample.weight is not None:
        refuse_weights(sample.weight, "of the real sample")
    return Side(sample, Values(kind.observables.compute(sample, described), event_weights(sample)))


def _finite(kind: Kind, generated: Batch, described: dict[str, Any]) -> Side:
    """Generated samples without NaN and infinite values, neither in them nor in their observables."""
    number = len(generated)
    generated = generated[generated.x.flatten(1).isfinite().all(1)]
    while len(generated):
        made = kind.observables.compute(generated, described)
        columns = [value for value in made.values() if len(value) == len(generated)]
        fine = np.all([np.isfinite(column.reshape(len(column), -1)).all(1) for column in columns], axis=0)
        if fine.all():
            if generated.weight is not None:
                refuse_weights(generated.weight, "of the generated sample")
            return Side(generated, Values(made, event_weights(generated)))
        generated = generated[torch.from_numpy(fine)]
    raise PartiganError(f"all {number} generated samples have NaN or infinite values; nothing is left to compare")


def _in_sample(
    kind: Kind, real: Side, others: list[Batch], described: dict[str, Any], seed: int
) -> tuple[Side, Side] | None:
    """A real sample, and another one in place of the generated one."""
    if others:
        return real, _side(kind, Batch.joined(others), described)
    first, second = halves(real.batch, np.random.default_rng(seed))
    if len(first) < 2:
        return None
    return _side(kind, first, described), _side(kind, second, described)


def halves(sample: Batch, rng: np.random.Generator) -> tuple[Batch, Batch]:
    """Two halves of a sample, drawn at random; one sample of each class that follow each other stay together."""
    condition = sample.condition
    classes = 1 if condition is None or condition.is_floating_point() else int(condition.max()) + 1
    groups = len(sample) // classes
    rows = rng.permutation(groups)[:, None] * classes + np.arange(classes)
    first, second = (torch.from_numpy(part.ravel()) for part in np.array_split(rows, 2))
    return sample[first], sample[second]
