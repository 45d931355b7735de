"""Classifiers: one network that learns to tell the classes of real samples, and its activations on each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
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
from partigan.errors import PartiganError
from partigan.files import sha256
from partigan.kinds import kind_named
from partigan.kinds.reference import SAMPLES, Reference, activations
from partigan.metrics.frechet import Moments
from partigan.metrics.measurement import Floats
from partigan.nets.contracts import Critic
from partigan.progress import console
from partigan.run import Run
from partigan.training.checkpoint import load_tensors, save_tensors, unpack_module
from partigan.training.monitors import Selection
from partigan.training.schedules import Schedule
from partigan.training.system import OptimizerFactory, Phase, System, Tick
from partigan.training.train import admit, begin, prepare

_GROUP = 1000  # samples classified at a time in a validation


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
    data: Mapping[str, Path],
    out: Path,
    config: str | dict[str, Any] | None = None,
    kind: str = "jets",
    seed: int = 1,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    overrides: dict[str, Any] | None = None,
) -> Run:
    """Train a classifier of real samples, for Fréchet distances of its activations.

    The network that is kept is that of lowest validation loss. The moments of its activations on each class's training
    split are stored beside it.

    Args:
        data: file of real samples by the name of its class; train and valid splits are used.
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
    """
    parsed = parse_training(config or kind_named(kind).classifier, overrides)
    paths = {label: Path(path) for label, path in data.items()}
    return run_fit(parsed, paths, Path(out), seed, threads, resume, overwrite)


def run_fit(
    config: dict[str, Any],
    data: Mapping[str, Path],
    out: Path,
    seed: int,
    threads: int | None,
    resume: bool,
    overwrite: bool,
) -> Run:
    """`fit_classifier`, with a parsed configuration."""
    if len(data) < 2:
        raise PartiganError("a classifier needs two classes or more: --data g=g.h5 q=q.h5")
    run = Run(out, "classifier")
    going_on = admit(run, list(data.values()), seed, threads, resume, overwrite)
    kind = kind_named(config["kind"])
    labels = list(data)
    train = {label: kind.read(path, "train") for label, path in data.items()}
    valid = _labelled([kind.read(path, "valid") for path in data.values()], labels)
    real = _labelled(list(train.values()), labels)
    source = {
        "path": {label: str(path.resolve()) for label, path in data.items()},
        "sha256": {label: sha256(path) for label, path in data.items()},
    }
    arguments = {**kind.network_arguments(real), "classes": len(labels)}
    conditions = {"classes": labels, "shape": list(real.x.shape[1:])}
    system, transform, trainer, held = prepare(run, config, source, real, arguments, going_on, seed)
    begin(run, config, source, system, transform, trainer, conditions, going_on, seed)
    network = system.networks[system.product]
    prepared = transform.forward(valid)

    def validate(classifier: nn.Module, step: int) -> dict[str, float]:
        return _quality(classifier.eval(), prepared)  # the copy that minutes are measured with trains

    fabric = trainer.fabric
    loader = Loader(held, trainer.batch_size, seed, fabric.global_rank, fabric.world_size, transform)
    trainer.fit(run, system, loader, validate, Selection("loss", "loss"), seed)
    if trainer.fabric.is_global_zero:
        unpack_module(system.product, network, load_tensors(run.weights)[0])
        network.cpu().eval()
        tensors: dict[str, Tensor] = {}
        rows: dict[str, int] = {}
        for label, sample in train.items():
            moments = Moments.of(activations(network, transform.forward, sample[:SAMPLES]))  # type: ignore[arg-type]
            tensors |= {f"{label}.mean": torch.from_numpy(moments.mean), f"{label}.cov": torch.from_numpy(moments.cov)}
            rows[label] = moments.rows
        save_tensors(_moments_file(run), tensors, {"rows": rows})
        console.print(f"the classifier is in {run.weights}", soft_wrap=True)
    return run


def load_reference(path: str | Path, label: str, trust: bool = False) -> Reference:
    """A classifier of `fit_classifier`, with the moments of its activations on one class.

    Args:
        path: the run directory.
        label: name of the class.
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
    if label not in state["rows"]:
        raise PartiganError(
            f"{run.path} knows the classes {', '.join(state['rows'])}, not {label!r}; choose one with --label"
        )
    mean, cov = tensors[f"{label}.mean"].numpy(), tensors[f"{label}.cov"].numpy()
    return Reference(
        f"the class {label} of {run.path}",
        classifier,  # type: ignore[arg-type]
        transform.forward,
        Moments(mean, cov, state["rows"][label]),
        tuple(run.transform["conditions"]["shape"]),
    )


def _moments_file(run: Run) -> Path:
    return run.path / "moments.safetensors"


def _labelled(samples: list[Batch], labels: list[str]) -> Batch:
    """All samples as one batch, whose condition is the number of the class."""
    shapes = {label: list(sample.x.shape[1:]) for label, sample in zip(labels, samples, strict=True)}
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        raise PartiganError(f"all classes must have samples of one shape, not {shapes}; give files that do")
    return Batch.joined(
        [replace(sample, condition=torch.full((len(sample),), number)) for number, sample in enumerate(samples)]
    )


@torch.inference_mode()
def _quality(classifier: nn.Module, sample: Batch) -> dict[str, float]:
    """Cross-entropy, accuracy, and area under the ROC curve, mean over the classes, each against all others."""
    assert sample.condition is not None
    device = next(classifier.parameters()).device
    parts = []
    for first in range(0, len(sample), _GROUP):
        batch = sample[first : first + _GROUP].to(device)
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
