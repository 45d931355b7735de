"""What every additional term of a loss has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput
from partigan.objectives.losses import Objective, Wasserstein


@dataclass(frozen=True)
class Turn:
    """What a term sees of one player's turn.

    Attributes:
        critic: the critic, for terms that call it again.
        real: real samples in the normalised space, as the critic is shown them.
        fake: generated samples of the same conditions and masks, as the critic is shown them.
        real_output: the critic's output for ``real``; in the generator's turn only where a term or the objective
            ``compares``, and then without gradient.
        fake_output: the critic's output for ``fake``.
        rng: randomness of this turn.
        objective: the objective that the terms are added to.
        networks: all networks of the system, by name.
        unchanged: real and generated samples before terms changed what the critic is shown; None = they did not.
    """

    critic: Critic
    real: Batch
    fake: Batch
    real_output: CriticOutput | None
    fake_output: CriticOutput
    rng: torch.Generator
    objective: Objective = field(default_factory=Wasserstein)
    networks: Mapping[str, Any] = field(default_factory=dict)
    unchanged: tuple[Batch, Batch] | None = None

    @property
    def samples(self) -> tuple[Batch, Batch]:
        """Real and generated samples in the space of the transform, whatever the critic is shown."""
        return self.unchanged or (self.real, self.fake)


class Term:
    """Something added to a loss with a weight; subclasses give one side, or both, or act on samples or after a step.

    What a term needs and does not find (features, class labels, ...) is a `PartiganError`. One turn of every phase is
    rehearsed on a few samples before a training starts, so that it is found at once.

    Args:
        weight: factor of the term.
        until: number of training steps after which the term is switched off; None = never.
        every: the term acts in every ``every``-th step only, ``every`` times as strongly (lazy regularisation,
            T. Karras et al., arXiv:1912.04958, section 3.1).
        annealing: factor of the weight as a function of how much of the run is done (0 to 1), such as a schedule of
            `partigan.training.schedules`; None = 1.

    Attributes:
        compares: the generator's side needs the critic's output for real samples.
        physical: takes a batch back to physical units, differentiably; given before training by its transform.
    """

    compares: ClassVar[bool] = False
    physical: Callable[[Batch], Batch] | None = None

    def __init__(
        self,
        weight: float = 1.0,
        until: int | None = None,
        every: int = 1,
        annealing: Callable[[float], float] | None = None,
    ) -> None:
        if every < 1:
            raise PartiganError(f"every = {every} of {type(self).__name__}; it must be at least 1")
        self.weight, self.until, self.every, self.annealing = weight, until, every, annealing

    def active(self, step: int) -> bool:
        """Whether the term acts in this training step."""
        return step % self.every == 0 and (self.until is None or step < self.until)

    def factor(self, done: float) -> float:
        """What the term is multiplied with when a fraction ``done`` of the run is over."""
        return self.weight * self.every * (1.0 if self.annealing is None else self.annealing(done))

    def shown(self, sample: Batch, factor: float, rng: torch.Generator) -> Batch:
        """What the critic is shown in place of a sample, real or generated."""
        return sample

    def noise(self, noise: Tensor, batch: Batch, networks: Mapping[str, Any]) -> Tensor:
        """What the generator is given in place of its noise, with the conditions and masks of a batch."""
        return noise

    def critic(self, turn: Turn) -> Tensor | None:
        """What is added to the critic's loss, before the weight; None = nothing."""
        return None

    def generator(self, turn: Turn) -> Tensor | None:
        """What is added to the generator's loss, before the weight; None = nothing."""
        return None

    def after_critic_step(self, critic: nn.Module) -> None:
        """Called after every update of the critic's parameters."""

    def output(self, turn: Turn, part: str, side: str = "fake") -> Tensor:
        """A part of the critic's output that not every critic has.

        Args:
            turn: the turn.
            part: name in `CriticOutput`: features, logits, embedding, proxy or commitment.
            side: ``real`` or ``fake``.

        Raises:
            PartiganError: the critic has none.
        """
        value: Tensor | None = getattr(turn.real_output if side == "real" else turn.fake_output, part)
        if value is None:
            raise PartiganError(
                f"{type(self).__name__} needs a critic that returns {part}; {type(turn.critic).__name__} returns none"
            )
        return value

    def labels(self, sample: Batch, classes: int = 0) -> Tensor:
        """The class indices ``(batch,)`` of a sample.

        Args:
            sample: with class indices as condition, or floats that begin with the class as 0 or 1.
            classes: number of classes; 0 = there are no classes among floats.

        Raises:
            PartiganError: it has none.
        """
        labels = sample.condition
        if classes and labels is not None and labels.is_floating_point() and labels.shape[1] >= classes:
            return labels[:, :classes].argmax(1)
        if labels is None or labels.dim() != 1 or labels.is_floating_point():
            found = "none" if labels is None else f"conditions of shape {list(labels.shape[1:])}"
            raise PartiganError(
                f"{type(self).__name__} needs a class label for every sample; the data have {found}: "
                "give a file with labels or remove the term"
            )
        return labels
