"""Consistency regularisation: the critic is to say the same of a sample and of its augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import CriticOutput
from partigan.objectives.augmentations import Augmentation
from partigan.objectives.terms import Term, Turn


class Consistency(Term):
    """Consistency regularisation (CR-GAN) of real samples.

    Scores are compared, and embeddings too where the critic returns them, as in PE-GAN.

    Args:
        augmentations: changes made one after the other.

    References:
        H. Zhang et al., Consistency Regularization for Generative Adversarial Networks,
        arXiv:1910.12027; H. Hashemi et al., PE-GAN, section 3 (embeddings).
    """

    weight: ClassVar[float] = 10.0

    def __init__(self, augmentations: list[Augmentation]) -> None:
        if not augmentations:
            raise PartiganError(f"{type(self).__name__} needs at least one augmentation")
        self.augmentations: Sequence[Augmentation] = augmentations

    def critic(self, turn: Turn) -> Tensor:
        """Mean |D(x) - D(T(x))|^2 on real samples."""
        assert turn.real_output is not None
        return self._change(turn, turn.real, turn.real_output)

    def _change(self, turn: Turn, sample: Batch, output: CriticOutput) -> Tensor:
        for augmentation in self.augmentations:
            sample = augmentation(sample, turn.rng)
        other: CriticOutput = turn.critic(sample.x, sample.condition, sample.mask)
        change = (output.score - other.score).square().mean()
        if output.embedding is not None and other.embedding is not None:
            change = change + (output.embedding - other.embedding).square().mean()
        return change


class BalancedConsistency(Consistency):
    """Balanced consistency regularisation (bCR) of real and generated samples, which keeps augmentations from leaking.

    Arguments as for `Consistency`.

    References:
        Z. Zhao et al., Improved Consistency Regularization for GANs, arXiv:2002.04724, algorithm 1 with
        lambda_real = lambda_fake.
    """

    def critic(self, turn: Turn) -> Tensor:
        """Mean |D(x) - D(T(x))|^2 + mean |D(G(z)) - D(T(G(z)))|^2."""
        return super().critic(turn) + self._change(turn, turn.fake, turn.fake_output)
