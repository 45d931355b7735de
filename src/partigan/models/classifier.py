"""What a classifier's activations are on real samples, to hold generated ones against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.metrics.frechet import Moments, fpnd
from partigan.metrics.measurement import Floats, Measurement
from partigan.nets.contracts import Critic
from partigan.progress import progress_bar

SAMPLES = 50_000  # the most that a distance is taken of, as published
LEAST = 1000  # samples; with fewer than the activations are many, the error is too large
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
        """Fréchet distance of the activations of the first ``size`` samples to the reference.

        Raises:
            PartiganError: the samples have another shape.
        """
        return fpnd(self.moments, self.seen(sample, size).activations, rng=np.random.default_rng(seed))

    def seen(self, sample: Batch, size: int = SAMPLES) -> Seen:
        """What the classifier sees in the first ``size`` samples.

        Raises:
            PartiganError: the samples have another shape.
        """
        self.check(sample)
        return seen(self.classifier, self.prepare, sample[:size])


class Seen(NamedTuple):
    """What a classifier sees in a sample.

    Attributes:
        activations: the features that it returns, ``(samples, features)``.
        probabilities: of the classes, ``(samples, classes)``.
    """

    activations: Floats
    probabilities: Floats


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
    return Seen(np.concatenate(activations), softmax(np.concatenate(logits), axis=1))
