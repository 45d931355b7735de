"""What a classifier's activations are on real samples, to hold generated ones against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax

from partigan.data.batch import Batch
from partigan.documents import check
from partigan.errors import PartiganError
from partigan.metrics.frechet import Moments, fpnd
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.weighted import Weighted, rows_worth
from partigan.models.checkpoint import load_tensors, save_tensors
from partigan.models.model import opened
from partigan.nets.contracts import Critic
from partigan.progress import progress_bar
from partigan.run import Run

SAMPLES = 50_000  # the most that a distance is taken of, as published
ALL = "all"  # the name of the classes of a file together
_MOMENTS = "moments.safetensors"
_CONDITIONS = {"classes": [str], "shape": [int], "many": bool}
_GROUP, _VALUES = 250, 2**22  # samples given to the network at a time, and numbers in them


@dataclass(frozen=True)
class Reference:
    """A classifier and the moments of its activations on real samples of one class.

    Attributes:
        name: what reports call it.
        classifier: the network, in evaluation mode.
        prepare: from physical units to what the network was trained on.
        moments: of the activations of real samples.
        shape: of one sample, ``(particles, features)`` for clouds.
        many: whether those samples are of all classes and not of one.
    """

    name: str
    classifier: Critic
    prepare: Callable[[Batch], Batch]
    moments: Moments
    shape: tuple[int, ...]
    many: bool = False

    def check(self, sample: Batch) -> None:
        """Raise an error for samples of another shape than those of the reference."""
        if (shape := tuple(sample.x.shape[1:])) != self.shape:
            raise PartiganError(f"{self.name} is for samples of shape {list(self.shape)}, not {list(shape)}")

    def distance(self, sample: Batch, size: int, seed: int) -> Measurement:
        """Fréchet distance of the activations of the first samples, of an effective size, to the reference.

        Raises:
            PartiganError: the samples have another shape.
        """
        return fpnd(self.moments, self.seen(sample, size).of_activations, rng=np.random.default_rng(seed))

    def seen(self, sample: Batch, size: int = SAMPLES) -> Seen:
        """What the classifier sees in the first samples, of an effective size.

        Raises:
            PartiganError: the samples have another shape.
        """
        self.check(sample)
        return seen(self.classifier, self.prepare, sample[: rows_worth(size, sample.weight, len(sample))])


class Seen(NamedTuple):
    """What a classifier sees in a sample.

    Attributes:
        activations: the features that it returns, ``(samples, features)``.
        probabilities: of the classes, ``(samples, classes)``.
        weight: event weights of the samples, ``(samples,)``; None = all 1.
    """

    activations: Floats
    probabilities: Floats
    weight: Floats | None = None

    @property
    def of_activations(self) -> Weighted:
        """The activations with the weights."""
        return Weighted(self.activations, self.weight)

    @property
    def of_probabilities(self) -> Weighted:
        """The probabilities with the weights."""
        return Weighted(self.probabilities, self.weight)


def in_groups(sample: Batch) -> Iterator[Batch]:
    """A sample in parts of at most 250 samples, fewer where they are large, such as whole hitmaps."""
    size = max(1, min(_GROUP, _VALUES // max(sample.x[:1].numel(), 1)))
    return (sample[first : first + size] for first in range(0, len(sample), size))


@torch.inference_mode()
def seen(classifier: Critic, prepare: Callable[[Batch], Batch], sample: Batch) -> Seen:
    """What a classifier sees in a sample.

    Args:
        classifier: the network, in evaluation mode.
        prepare: from physical units to what the network was trained on.
        sample: in physical units.
    """
    activations, logits = [], []
    with progress_bar("activations", len(sample)) as advance:
        for part in in_groups(sample):
            batch = prepare(part)
            output = classifier(batch.x, None, batch.mask)
            if output.features is None:
                raise PartiganError(f"{type(classifier).__name__} returns no features, of which moments could be taken")
            activations.append(output.features.double().numpy())
            logits.append(output.score.double().numpy())
            advance(len(batch))
    weight = None if sample.weight is None else sample.weight.double().numpy()
    return Seen(np.concatenate(activations), softmax(np.concatenate(logits), axis=1), weight)


def write_moments(run: Run, moments: Mapping[str, Moments]) -> None:
    """Store the moments of a classifier's activations, by class, beside its weights."""
    tensors: dict[str, torch.Tensor] = {}
    for label, found in moments.items():
        tensors[f"{label}.mean"], tensors[f"{label}.cov"] = torch.from_numpy(found.mean), torch.from_numpy(found.cov)
    save_tensors(run.path / _MOMENTS, tensors, {"rows": {label: found.rows for label, found in moments.items()}})
    run.seal()


def load_reference(path: str | Path, label: str | None, trust: bool = False, verify: bool = True) -> Reference:
    """A classifier of `fit_classifier`, with the moments of its activations on one class.

    Args:
        path: the run directory.
        label: name of the class; passed over where all classes were in one file, of which the moments are.
        trust: follow class paths outside partigan.
        verify: refuse files that were changed since the run was made.

    Raises:
        PartiganError: it is not a finished run of a classifier, does not know the class, is damaged, or is not trusted.
    """
    run = Run(path, verify=verify)
    run.config  # noqa: B018  # says where it is no run
    if not (run.path / _MOMENTS).exists():
        raise PartiganError(f"{run.path} is not a finished classifier; make one with 'partigan fit-classifier'")
    classifier, transform = opened(run, trust)
    tensors, state = load_tensors(run.verified(run.path / _MOMENTS))
    check(state, {"rows": {str: int}}, str(run.path / _MOMENTS))
    conditions = run.transform["conditions"]
    check(conditions, _CONDITIONS, f"{run.transform_file}: conditions")
    many = conditions["many"]
    label = ALL if many else label
    if label not in state["rows"]:
        said = "the real file does not say of which its samples are" if label is None else f"not {label!r}"
        raise PartiganError(f"{run.path} knows the classes {', '.join(state['rows'])}, {said}; choose one with --label")
    mean, cov = (tensors.get(f"{label}.{name}", torch.zeros(0)).numpy() for name in ("mean", "cov"))
    if not (mean.ndim == 1 and cov.shape == (len(mean),) * 2 and len(mean) and np.isfinite(cov.sum() + mean.sum())):
        raise PartiganError(f"{run.path / _MOMENTS}: the moments of {label} are no finite mean and covariance matrix")
    return Reference(
        f"{'all classes' if many else f'the class {label}'} of {run.path}",
        classifier,  # type: ignore[arg-type]
        transform.forward,
        Moments(mean, cov, state["rows"][label]),
        tuple(conditions["shape"]),
        many,
    )
