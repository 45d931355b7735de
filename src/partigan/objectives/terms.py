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
        real_output: the critic's output for ``real``. In the generator's turn it has no gradient, and is None unless
            a term or the objective ``compares``.
        fake_output: the critic's output for ``fake``.
        rng: randomness of this turn.
        objective: the objective that the terms are added to.
        generator: the generator, for terms that need its weights.
        networks: all networks of the system, by name.
        samples: all batches of this turn, by name.
        unchanged: real and generated samples before terms changed what the critic is shown; None = no term did.
        noise: the noise as it was drawn, and as terms gave it to the generator; None where there is no noise.
        physical: takes a batch back to physical units, differentiably; None = there is no such way.
    """

    critic: Critic
    real: Batch
    fake: Batch
    real_output: CriticOutput | None
    fake_output: CriticOutput
    rng: torch.Generator
    objective: Objective = field(default_factory=Wasserstein)
    generator: nn.Module | None = None
    networks: Mapping[str, Any] = field(default_factory=dict)
    samples: Mapping[str, Batch] = field(default_factory=dict)
    unchanged: tuple[Batch, Batch] | None = None
    noise: tuple[Tensor, Tensor] | None = None
    physical: Callable[[Batch], Batch] | None = None

    @property
    def compared(self) -> tuple[Batch, Batch]:
        """Real and generated samples in the space of the transform, whatever the critic is shown."""
        return self.unchanged or (self.real, self.fake)

    def in_physical_units(self, *batches: Batch) -> list[Batch]:
        """Batches in physical units.

        Raises:
            PartiganError: there is no way back to them.
        """
        if self.physical is None:
            raise PartiganError("a term needs physical units, and this turn has no transform; give Turn.physical")
        return [self.physical(batch) for batch in batches]


class Term:
    """Something added to a loss. A subclass gives one side, or both, or changes samples, or acts after a step.

    When and how strongly a term acts is not its own matter: see `partigan.systems.terms.ScheduledTerm`. A term keeps no
    state between calls. What it needs and does not find (features, class labels, ...) is a `PartiganError`. One turn of
    every phase is rehearsed on a few samples before a training starts, so that it is found at once.

    Attributes:
        compares: the generator's side needs the critic's output for real samples.
        weighs: it looks at event weights of generated samples, where they are of their own; or does not have to.
        weight: the customary factor.
    """

    compares: ClassVar[bool] = False
    weighs: ClassVar[bool] = True
    weight: ClassVar[float] = 1.0

    @staticmethod
    def annealing(done: float) -> float:
        """The customary factor of the weight when a fraction ``done`` of the run is over."""
        return 1.0

    def shown(self, sample: Batch, strength: float, turn: Showing) -> Batch:
        """What the critic is shown in place of a sample, real or generated."""
        return sample

    def noise(self, noise: Tensor, batch: Batch, generator: nn.Module, critic: nn.Module) -> Tensor:
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


@dataclass(frozen=True)
class Showing:
    """What a term may use to change what the critic is shown.

    Attributes:
        rng: randomness of this turn.
        physical: takes a batch back to physical units, differentiably; None = there is no such way.
    """

    rng: torch.Generator
    physical: Callable[[Batch], Batch] | None = None
