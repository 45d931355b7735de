"""What the rest of the package asks of a generator and of a critic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Makes samples from noise; called as ``generator(noise, condition, mask)``.

    Attributes:
        equivariant: a permutation of the noise's particles permutes the sample in the same way (clouds).
        masked: padding can never influence a real particle (clouds).
        truncation: what may be lowered at generation, to have more typical and less various samples; None where the
            network has nothing of the kind.
    """

    equivariant: ClassVar[bool] = False
    masked: ClassVar[bool] = False
    truncation: float | None = None

    @abstractmethod
    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Draw the noise of ``size`` samples; ``mask`` is that of the call that follows."""

    @abstractmethod
    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Samples in the normalised space of the transform, zero where ``mask`` is False."""


class CriticOutput(NamedTuple):
    """What a critic says of a batch.

    Attributes:
        score: ``(batch, k)``, high = real.
        features: ``(batch, f)``, what matching terms use; None where it has none.
        logits: ``(batch, classes)``, of an auxiliary classifier; None where it has none.
        embedding: ``(batch, d)``, the sample in the space of contrastive terms, of norm 1; None where it has none.
        proxy: ``(batch, d)``, the sample's own class in the same space, of norm 1; None where it has none.
        commitment: ``(batch, 1)``, mean squared distance of features from their codes; None where they have none.
    """

    score: Tensor
    features: Tensor | None = None
    logits: Tensor | None = None
    embedding: Tensor | None = None
    proxy: Tensor | None = None
    commitment: Tensor | None = None


class Critic(nn.Module, ABC):
    """Tells real from generated samples; called as ``critic(x, condition, mask)``.

    Attributes:
        invariant: a permutation of the particles does not change the output (clouds).
        masked: padding can never influence the output (clouds).
    """

    invariant: ClassVar[bool] = False
    masked: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores and features of samples in the normalised space of the transform."""

    def keep_in_mind(self, real: CriticOutput) -> None:
        """Called by who trains a judge with what it said of training samples."""
