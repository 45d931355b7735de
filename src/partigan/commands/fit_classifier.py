"""``partigan fit-classifier``: real samples to a classifier, and the moments of its activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from partigan import config as configuration
from partigan.data.batch import Batch
from partigan.data.sources import Given, Source, by_name, source
from partigan.errors import PartiganError
from partigan.kinds import chosen
from partigan.kinds.kind import Kind, warn
from partigan.metrics.frechet import Moments
from partigan.models.classifier import ALL, SAMPLES, seen, write_moments
from partigan.progress import tell
from partigan.run import Run
from partigan.threads import begin
from partigan.training.classifier import fit
from partigan.training.session import Session, writing_run


def fit_classifier(
    data: Mapping[str, Given] | Given,
    out: Path,
    config: str | dict[str, Any] | None = None,
    kind: str | None = None,
    seed: int = 1,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    overrides: dict[str, Any] | None = None,
    trust: bool = False,
) -> Run:
    """Train a classifier of real samples, for distances of its activations and scores of its probabilities.

    The network of lowest validation loss is kept. The moments of its activations on each class's training split are
    stored beside it; where all classes are in one file, those of all together.

    Args:
        data: file of real samples by the name of its class, or one file whose samples have a class each (labels, or
            the sensors of hitmaps); train and valid splits are used.
        out: run directory to make.
        config: name or path of a YAML file or its content; None = the kind's own classifier.
        kind: kind of data; None = as the configuration or the files say.
        seed: makes the run reproducible, bit for bit on the same machine and number of threads.
        threads: None = OMP_NUM_THREADS, or measured: one, or more where they are faster; the same when resuming.
        resume: resume an interrupted run, or start it where there is none.
        overwrite: replace an existing run.
        overrides: options to change, by dotted name: ``{"trainer.max_minutes": 10}``.
        trust: follow class paths outside partigan.

    Returns:
        The finished run.

    Raises:
        PartiganError: fewer than two classes, files of different shapes, and whatever `train` raises.

    Example:
        >>> run = fit_classifier({"q": "q.h5", "t": "t.h5"}, "classifier")  # doctest: +SKIP
        >>> run = fit_classifier("digits.h5", "classifier")  # doctest: +SKIP
    """
    begin(threads)
    named = by_name(data, "")
    one_by_class = named is data
    if one_by_class and len(named) < 2:
        raise PartiganError(
            "a classifier needs two classes or more: --data g=g.h5 q=q.h5, or one file with labels: --data digits.h5"
        )
    sort, content = _chosen(named, config, kind, overrides, trust)
    sources = {label: source(given, sort, trust) for label, given in named.items()}
    with writing_run(out, [each.path for each in sources.values()], resume, overwrite):
        session = Session(Run(out, "classifier"), content, seed, resume, overwrite, trust)
        return _fit(session, sort, sources, threads)


def _fit(session: Session, sort: Kind, sources: Mapping[str, Source], threads: int | None) -> Run:
    """A training in an admitted session."""
    one_by_class = [*sources] != [""]
    samples = {label: each.training() for label, each in sources.items()}
    for label, sample in samples.items():
        warn(sort.format, sample, sources[label].name)
    real = _labelled(sort, samples, sources)
    valid = _labelled(sort, {label: each.read("valid") for label, each in sources.items()}, sources)
    assert real.condition is not None
    labels = [*sources] if one_by_class else [str(number) for number in range(int(real.condition.max()) + 1)]
    about: dict[str, dict[str, Any]] = {
        "origin": {
            "path": {label: each.name for label, each in sources.items()},
            "sha256": {label: each.digest for label, each in sources.items()},
        },
        "conditions": {"classes": labels, "shape": list(real.x.shape[1:]), "many": not one_by_class},
    }
    arguments = {**sort.conditions.arguments(next(iter(samples.values()))), "classes": len(labels)}
    network = fit(session, real, valid, arguments, about, threads)
    if session.trainer.fabric.is_global_zero:
        parts = {label: real[real.condition == k] for k, label in enumerate(labels)} if one_by_class else {ALL: real}
        prepare = session.transform.forward
        found = {
            label: Moments.of(seen(network, prepare, part[:SAMPLES]).of_activations) for label, part in parts.items()
        }
        write_moments(session.run, found)
        tell(f"the classifier is in {session.run.weights}")
    return session.run


def _chosen(
    data: Mapping[str, Given], config: str | dict[str, Any] | None, kind: str | None, overrides: Any, trust: bool
) -> tuple[Kind, dict[str, Any]]:
    """The kind of data, and the configuration of the classifier."""
    first = next(iter(data.values()))
    if config is not None:
        content = configuration.read(config, overrides)
        return chosen(kind or content.get("kind"), first, trust), content
    sort = chosen(kind, first, trust)
    if sort.evaluation.classifier is None:
        raise PartiganError(f"{sort.name} has no classifier of its own; give one with --config")
    return sort, configuration.read(sort.evaluation.classifier, overrides)


def _labelled(kind: Kind, samples: Mapping[str, Batch], sources: Mapping[str, Source]) -> Batch:
    """The samples of all files as one batch, whose condition is the number of the class."""
    if [*samples] == [""]:
        (sample,), (each,) = samples.values(), sources.values()
        if (classes := kind.conditions.classes(sample)) is None or len(classes.unique()) < 2:
            raise PartiganError(
                f"{each.name} does not say of which class its samples are, or they are all of one; give files of one "
                "class each and their names: --data g=g.h5 q=q.h5"
            )
        return replace(sample, condition=classes)
    shapes = {label: list(sample.x.shape[1:]) for label, sample in samples.items()}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        raise PartiganError(f"all classes must have samples of one shape, not {shapes}; give files that do")
    return Batch.joined(
        [
            replace(sample, condition=torch.full((len(sample),), number))
            for number, sample in enumerate(samples.values())
        ]
    )
