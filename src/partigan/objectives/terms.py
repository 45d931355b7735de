"""What every additional term of a loss has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.nets.contracts import Critic, CriticOutput


@dataclass(frozen=True)
class Turn:
    """What a term sees of one player's turn.

    Attributes:
        critic: the critic, for terms that call it again.
        real: real samples in the normalised space.
        fake: generated samples of the same conditions and masks.
        real_output: the critic's output for ``real``; in the generator's turn only where a term or the objective
            ``compares``, and then without gradient.
        fake_output: the critic's output for ``fake``.
        rng: randomness of this turn.
    """

    critic: Critic
    real: Batch
    fake: Batch
    real_output: CriticOutput | None
    fake_output: CriticOutput
    rng: torch.Generator


class Term:
    """Something added to a loss with a weight; subclasses give one side, or both.

    Args:
        weight: factor of the term.
        until: number of training steps after which the term is switched off; None = never.

    Attributes:
        compares: the generator's side needs the critic's output for real samples.
    """

    compares: ClassVar[bool] = False

    def __init__(self, weight: float = 1.0, until: int | None = None) -> None:
        self.weight, self.until = weight, until

    def active(self, step: int) -> bool:
        """Whether the term acts in this training step."""
        return self.until is None or step < self.until

    def critic(self, turn: Turn) -> Tensor | None:
        """What is added to the critic's loss, before the weight; None = nothing."""
        return None

    def generator(self, turn: Turn) -> Tensor | None:
        """What is added to the generator's loss, before the weight; None = nothing."""
        return None
