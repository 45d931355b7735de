"""Augmentations for consistency regularisation: changes of a sample that leave its meaning as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError


class Augmentation(ABC):
    """A random change of every sample of a batch; differentiable in the sample."""

    @abstractmethod
    def __call__(self, sample: Batch, rng: torch.Generator) -> Batch:
        """The changed batch, of the same shape."""


class Flip(Augmentation):
    """Half of the samples are turned round along an axis.

    Args:
        axis: of the batch, -1 = width and -2 = height of images.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, sample: Batch, rng: torch.Generator) -> Batch:
        """Samples, flipped with probability 1/2 each."""
        _no_cloud(self, sample)
        flipped = torch.rand(len(sample), generator=rng, device=rng.device).to(sample.x.device) < 0.5
        chosen = flipped.view(-1, *[1] * (sample.x.dim() - 1))
        return replace(sample, x=torch.where(chosen, sample.x.flip(self.axis), sample.x))


class Shift(Augmentation):
    """Every sample is shifted along an axis by a whole number of pixels; what enters is the mirror image at the edge.

    Args:
        axis: of the batch, -1 = width and -2 = height of images.
        fraction: largest shift as a fraction of the axis.
    """

    def __init__(self, axis: int = -1, fraction: float = 0.125) -> None:
        if not 0 < fraction < 1:
            raise PartiganError(f"fraction = {fraction} of Shift; it must be between 0 and 1")
        self.axis, self.fraction = axis, fraction

    def __call__(self, sample: Batch, rng: torch.Generator) -> Batch:
        """Samples, shifted by numbers drawn uniformly in both directions."""
        _no_cloud(self, sample)
        x = sample.x
        size, axis = x.shape[self.axis], self.axis % x.dim()
        most = int(self.fraction * size)
        if most == 0:
            raise PartiganError(f"Shift by {self.fraction} of {size} pixels is less than one; raise the fraction")
        shift = torch.randint(-most, most + 1, (len(x), 1), generator=rng, device=rng.device).to(x.device)
        source = torch.arange(size, device=x.device) - shift
        source = torch.where(source < 0, -1 - source, source)
        source = torch.where(source >= size, 2 * size - 1 - source, source)
        index = source.view(len(x), *[size if n == axis else 1 for n in range(1, x.dim())])
        return replace(sample, x=x.gather(axis, index.expand_as(x)))


class Mirror(Augmentation):
    """The sign of one feature is changed in half of the samples: reflections of clouds and of tables.

    Args:
        feature: index in the last axis; its normalised distribution should be symmetric about 0.
    """

    def __init__(self, feature: int = 0) -> None:
        self.feature = feature

    def __call__(self, sample: Batch, rng: torch.Generator) -> Batch:
        """Samples, mirrored with probability 1/2 each, all particles of a cloud together."""
        mirrored = torch.rand(len(sample), generator=rng, device=rng.device).to(sample.x.device) < 0.5
        sign: Tensor = torch.ones(len(sample), sample.x.shape[-1], dtype=sample.x.dtype, device=sample.x.device)
        sign[mirrored, self.feature] = -1
        return replace(sample, x=sample.x * sign.view(len(sample), *[1] * (sample.x.dim() - 2), -1))


def _no_cloud(augmentation: Augmentation, sample: Batch) -> None:
    """Raise for clouds, whose axes are no places."""
    if sample.mask is not None:
        raise PartiganError(
            f"{type(augmentation).__name__} moves pixels and cannot change clouds with masks; use Mirror"
        )
