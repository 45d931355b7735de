"""Classifiers: one network that learns to tell the classes of real samples, and its activations on each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional

from partigan.config import build, parse_training
from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.kinds import find
from partigan.kinds.kind import Kind
from partigan.metrics.classifier import FitPredict, Labels
from partigan.metrics.frechet import Moments
from partigan.metrics.measurement import Floats
from partigan.models.classifier import SAMPLES, Reference, in_groups, seen
from partigan.nets.contracts import Critic
from partigan.progress import console, quiet
from partigan.run import Run
from partigan.training.checkpoint import load_tensors, save_tensors, unpack_module
from partigan.training.monitors import Selection
from partigan.training.schedules import Schedule
from partigan.training.system import OptimizerFactory, Phase, System, Tick
from partigan.training.train import admit, begin, prepare
from partigan.training.trainer import Trainer

ALL = "all"  # the name of the classes of a file together
_HELD = 10  # one of so many samples chooses the checkpoint of a judge


class Classification(System):
    """A classifier, trained with cross-entropy.

    Args:
        classifier: called like a critic; its scores are the logits of the classes.
        optimizer: its optimiser.
        schedule: factor of the learning rate over the run.
    """

    def __init__(self, classifier: Critic, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        phase = ClassifierPhase(("classifier",), optimizer, schedule)
        super().__init__({"classifier": classifier}, [phase], product="classifier")


class ClassifierPhase(Phase):
    """Cross-entropy of the classes, which are the batch's condition."""

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The cross-entropy."""
        assert batch.condition is not None
        logits = networks["classifier"](batch.x, None, batch.mask).score
        return {"cross-entropy": functional.cross_entropy(logits, batch.condition)}


def fit_classifier(
    data: Mapping[str, Path] | Path,
    out: Path,
    config: str | dict[str, Any] | None = None,
    kind: str = "jets",
    seed: int = 1,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    overrides: dict[str, Any] | None = None,
) -> Run:
    """Train a classifier of real samples, for distances of its activations and scores of its probabilities.

    The network that is kept is that of lowest validation loss. The moments of its activations on each class's training
    split are stored beside it; those of all classes together where they are in one file.

    Args:
        data: file of real samples by the name of its class, or one file whose samples have a class each (labels, or
            the sensors of hitmaps); train and valid splits are used.
        out: run directory to make.
        config: name or path of a YAML file or its content; None = the kind's own classifier.
        kind: kind of data in the files, where there is no ``config``.
        seed: makes the run reproducible, bit for bit on the same machine and number of threads.
        threads: torch's threads; None = as many as torch takes by itself, all cores or OMP_NUM_THREADS.
        resume: go on with an interrupted run, or start it where there is none.
        overwrite: replace an existing run.
        overrides: options to change, by dotted name: ``{"trainer.max_minutes": 10}``.

    Returns:
        The finished run.

    Raises:
        PartiganError: fewer than two classes, files of different shapes, and whatever `train` raises.

    Example:
        >>> run = fit_classifier({"q": "q.h5", "t": "t.h5"}, "classifier")  # doctest: +SKIP
        >>> run = fit_classifier("digits.h5", "classifier", kind="images")  # doctest: +SKIP
    """
    parsed = parse_training(config or classifier_of(kind), overrides)
    named = data if isinstance(data, Mapping) else {"": data}
    paths = {label: Path(path) for label, path in named.items()}
    return run_fit(parsed, paths, Path(out), seed, threads, resume, overwrite)


def classifier_of(kind: str) -> dict[str, Any]:
    """The configuration of the classifier of a kind of data.

    Raises:
        PartiganError: the kind has none.
    """
    found = find(kind).evaluation.classifier
    if found is None:
        raise PartiganError(f"{kind} has no classifier of its own; give one with --config")
    return {"kind": kind, **found}


def run_fit(
    config: dict[str, Any],
    data: Mapping[str, Path],
    out: Path,
    seed: int,
    threads: int | None,
    resume: bool,
    overwrite: bool,
) -> Run:
    """`fit_classifier`, with a parsed configuration; a file with several classes has no name."""
    if len(data) < 2 and list(data) != [""]:
        raise PartiganError(
            "a classifier needs two classes or more: --data g=g.h5 q=q.h5, or one file with labels: --data digits.h5"
        )
    run = Run(out, "classifier")
    going_on = admit(run, list(data.values()), seed, threads, resume, overwrite)
    kind = find(config["kind"], trust=True)
    samples = {label: kind.format.read(path, "train") for label, path in data.items()}
    real = _labelled(kind, samples, data)
    valid = _labelled(kind, {label: kind.format.read(path, "valid") for label, path in data.items()}, data)
    many = list(data) == [""]
    labels = [str(number) for number in range(_number(real))] if many else list(data)
    source = {
        "path": {label: str(path.resolve()) for label, path in data.items()},
        "sha256": {label: sha256(path) for label, path in data.items()},
    }
    arguments = {**kind.conditions.arguments(next(iter(samples.values()))), "classes": len(labels)}
    conditions = {"classes": labels, "shape": list(real.x.shape[1:]), "many": many}
    system, transform, trainer = _fit(run, config, source, real, valid, arguments, conditions, going_on, seed)
    if trainer.fabric.is_global_zero:
        network = _best(run, system)
        assert real.condition is not None
        parts = {ALL: real} if many else {label: real[real.condition == k] for k, label in enumerate(labels)}
        tensors: dict[str, Tensor] = {}
        rows: dict[str, int] = {}
        for label, sample in parts.items():
            moments = Moments.of(seen(network, transform.forward, sample[:SAMPLES]).activations)
            tensors |= {f"{label}.mean": torch.from_numpy(moments.mean), f"{label}.cov": torch.from_numpy(moments.cov)}
            rows[label] = moments.rows
        save_tensors(_moments_file(run), tensors, {"rows": rows})
        console.print(f"the classifier is in {run.weights}", soft_wrap=True)
    return run


def _fit(
    run: Run,
    config: dict[str, Any],
    source: dict[str, Any],
    real: Batch,
    valid: Batch,
    arguments: dict[str, Any],
    conditions: dict[str, Any],
    going_on: bool,
    seed: int,
) -> tuple[System, Transform, Trainer]:
    """Train a classifier on samples whose condition is their class; see `prepare` and `begin` for the arguments."""
    system, transform, trainer, held = prepare(run, config, source, real, arguments, going_on, seed)
    begin(run, config, source, system, transform, trainer, conditions, going_on, seed)
    prepared = transform.forward(valid)

    def validate(classifier: nn.Module, step: int) -> dict[str, float]:
        return _quality(classifier.eval(), prepared)  # the copy that minutes are measured with trains

    fabric = trainer.fabric
    loader = Loader(held, trainer.batch_size, seed, fabric.global_rank, fabric.world_size, transform)
    trainer.fit(run, system, loader, validate, Selection("loss", "loss"), seed)
    return system, transform, trainer


def _best(run: Run, system: System) -> Critic:
    """The network of a run's best checkpoint, ready for use."""
    network = system.networks[system.product]
    unpack_module(system.product, network, load_tensors(run.weights)[0])
    found: Critic = network.cpu().eval()  # type: ignore[assignment]
    return found


def judge(kind: Kind, real: Batch, fake: Batch, seed: int) -> FitPredict:
    """A network that learns to tell generated from real samples, on the raw samples.

    It is `Evaluation.judge`, trained like any system; a tenth of its samples chooses the best of its checkpoints.
    Conditions and event weights are not looked at.

    Args:
        kind: of data.
        real: real samples in physical units.
        fake: generated samples of the same shape.
        seed: of everything that is drawn at random.

    Returns:
        What `partigan.metrics.classifier.classify` calls, for row numbers in place of features: those of ``fake``
        follow upon those of ``real``.

    Raises:
        PartiganError: the kind has no such network.
    """
    if (config := kind.evaluation.judge) is None:
        raise PartiganError(f"{kind.name} name no network that could tell generated from real ones")
    both = Batch.joined([Batch(sample.x, sample.mask) for sample in (real, fake)])
    arguments = {**kind.conditions.arguments(real), "classes": 2}

    def fit_predict(train: Floats, label: Labels, test: Floats) -> Floats:
        sample = replace(both[torch.from_numpy(train[:, 0]).long()], condition=torch.from_numpy(label))
        held = len(sample) // _HELD
        parsed = parse_training({"kind": kind.name, **config})
        if len(sample) - held < (batch := parsed["trainer"]["batch_size"]):
            raise PartiganError(f"the samples are too small: {len(sample) - held} to train with, a batch has {batch}")
        console.print(f"training a network on {len(sample) - held:,} real and generated {kind.name}")
        with TemporaryDirectory() as folder, quiet():
            run = Run(Path(folder) / "judge", "classifier")
            system, transform, _ = _fit(run, parsed, {}, sample[held:], sample[:held], arguments, {}, False, seed)
            rows = both[torch.from_numpy(test[:, 0]).long()]
            return seen(_best(run, system), transform.forward, rows).probabilities[:, 1]

    return fit_predict


def load_reference(path: str | Path, label: str | None, trust: bool = False) -> Reference:
    """A classifier of `fit_classifier`, with the moments of its activations on one class.

    Args:
        path: the run directory.
        label: name of the class; passed over where all classes were in one file, of which the moments are.
        trust: follow class paths outside partigan and torch.

    Raises:
        PartiganError: it is not a finished run of a classifier, does not know the class, or is not trusted.
    """
    run = Run(path, "classifier")
    config = run.config(trust)
    if not run.weights.exists() or not _moments_file(run).exists():
        raise PartiganError(f"{run.path} is not a finished classifier; make one with 'partigan fit-classifier'")
    system, transform, _ = build(config)
    transform.load_state(run.transform["state"])
    classifier = system.networks["classifier"].eval()
    unpack_module("classifier", classifier, load_tensors(run.weights)[0])
    tensors, state = load_tensors(_moments_file(run))
    conditions = run.transform["conditions"]
    many = conditions.get("many", False)
    label = ALL if many else label
    if label not in state["rows"]:
        said = "the real file does not say of which its samples are" if label is None else f"not {label!r}"
        raise PartiganError(f"{run.path} knows the classes {', '.join(state['rows'])}, {said}; choose one with --label")
    mean, cov = tensors[f"{label}.mean"].numpy(), tensors[f"{label}.cov"].numpy()
    return Reference(
        f"{'all classes' if many else f'the class {label}'} of {run.path}",
        classifier,  # type: ignore[arg-type]
        transform.forward,
        Moments(mean, cov, state["rows"][label]),
        tuple(conditions["shape"]),
        many,
    )


def _moments_file(run: Run) -> Path:
    return run.path / "moments.safetensors"


def _labelled(kind: Kind, samples: Mapping[str, Batch], data: Mapping[str, Path]) -> Batch:
    """The samples of all files as one batch, whose condition is the number of the class."""
    if list(data) == [""]:
        (sample,), (path,) = samples.values(), data.values()
        if (classes := kind.conditions.classes(sample)) is None or len(classes.unique()) < 2:
            raise PartiganError(
                f"{path} does not say of which class its samples are, or they are all of one; give files of one class "
                "each and their names: --data g=g.h5 q=q.h5"
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


def _number(sample: Batch) -> int:
    """Number of classes of a labelled sample."""
    assert sample.condition is not None
    return int(sample.condition.max()) + 1


@torch.inference_mode()
def _quality(classifier: nn.Module, sample: Batch) -> dict[str, float]:
    """Cross-entropy, accuracy, and area under the ROC curve, mean over the classes, each against all others."""
    assert sample.condition is not None
    device = next(classifier.parameters()).device
    parts = []
    for part in in_groups(sample):
        batch = part.to(device)
        parts.append(classifier(batch.x, None, batch.mask).score.double().cpu())
    logits: Floats = log_softmax(torch.cat(parts).numpy(), axis=1)
    truth = sample.condition.numpy()
    return {
        "loss": float(-logits[np.arange(len(truth)), truth].mean()),
        "accuracy": float((logits.argmax(1) == truth).mean()),
        "auc": float(np.mean([_auc(logits[:, k], truth == k) for k in range(logits.shape[1])])),
    }


def _auc(score: Floats, positive: Any) -> float:
    """Probability that a positive sample scores higher than a negative one (Mann & Whitney)."""
    ranks, n = rankdata(score), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))
