"""Systems: named networks, and ordered phases that say what is updated, with which loss, how often."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.objectives.losses import Objective
from partigan.objectives.terms import Term, Turn
from partigan.training.schedules import Constant, Schedule

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Tick:
    """Where training stands, for a phase.

    Attributes:
        step: number of training steps done.
        rng: randomness of this phase's turn.
    """

    step: int
    rng: torch.Generator


class Phase(ABC):
    """One player's turn in a training step.

    Args:
        update: names of the networks whose parameters the phase updates.
        optimizer: makes the optimiser from those parameters.
        schedule: factor of the learning rate over the run.
        steps: how many updates, each on a batch of its own, make the turn.
        every: the phase acts in every ``every``-th training step.
    """

    def __init__(
        self,
        update: Sequence[str],
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        steps: int = 1,
        every: int = 1,
    ) -> None:
        self.update, self.optimizer = tuple(update), optimizer
        self.schedule = schedule or Constant()
        self.steps, self.every = steps, every

    @abstractmethod
    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The weighted parts of the loss, by name; the trainer minimises their sum.

        Args:
            networks: the system's networks by name.
            batch: real samples in the normalised space.
            tick: step and randomness.
        """


class System(nn.Module):
    """Named networks and the ordered phases of a training step.

    Args:
        networks: the networks by name.
        phases: the phases of one training step, in order.
        product: name of the network that training is for: it is averaged, validated and kept.
    """

    def __init__(self, networks: Mapping[str, nn.Module], phases: Sequence[Phase], product: str = "generator") -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.phases = tuple(phases)
        self.product = product


class GAN(System):
    """One generator and one critic: the common case.

    Args:
        generator: makes samples.
        critic: tells them from real ones.
        objective: the pair of losses.
        generator_optimizer: optimiser of the generator.
        critic_optimizer: optimiser of the critic.
        terms: what is added to the losses.
        critic_steps: critic updates, each on a batch of its own, for one of the generator.
        schedule: factor of both learning rates over the run.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        objective: Objective,
        generator_optimizer: OptimizerFactory,
        critic_optimizer: OptimizerFactory,
        terms: list[Term] | None = None,
        critic_steps: int = 1,
        schedule: Schedule | None = None,
    ) -> None:
        terms = terms or []
        super().__init__(
            {"generator": generator, "critic": critic},
            [
                CriticPhase(objective, terms, critic_optimizer, schedule, critic_steps),
                GeneratorPhase(objective, terms, generator_optimizer, schedule),
            ],
        )


class _Adversarial(Phase):
    """What the two players' phases share."""

    player: str

    def __init__(
        self,
        objective: Objective,
        terms: Sequence[Term],
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        steps: int = 1,
    ) -> None:
        super().__init__((self.player,), optimizer, schedule, steps)
        self.objective, self.terms = objective, tuple(terms)

    def with_terms(self, losses: dict[str, Tensor], turn: Turn, step: int) -> dict[str, Tensor]:
        """The losses with this player's side of every active term, by the name of its class."""
        for term in self.terms:
            if term.active(step) and (value := getattr(term, self.player)(turn)) is not None:
                losses[type(term).__name__] = term.weight * value
        return losses

    @staticmethod
    def fake(generator: Any, batch: Batch, rng: torch.Generator) -> Batch:
        """Generated samples with the conditions and masks of real ones."""
        noise = generator.noise(len(batch), batch.mask, rng).to(batch.x)
        return Batch(generator(noise, batch.condition, batch.mask), batch.mask, batch.condition)


class CriticPhase(_Adversarial):
    """The critic's turn: real against generated samples, and the critic's side of the terms."""

    player = "critic"

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The critic's loss."""
        critic = networks["critic"]
        with torch.no_grad():
            fake = self.fake(networks["generator"], batch, tick.rng)
        real_output: CriticOutput = critic(batch.x, batch.condition, batch.mask)
        fake_output: CriticOutput = critic(fake.x, fake.condition, fake.mask)
        losses = {"objective": self.objective.critic(real_output.score, fake_output.score, batch.weight)}
        turn = Turn(critic, batch, fake, real_output, fake_output, tick.rng)
        return self.with_terms(losses, turn, tick.step)


class GeneratorPhase(_Adversarial):
    """The generator's turn: what the critic says of its samples, and the generator's side of the terms."""

    player = "generator"

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The generator's loss."""
        critic = networks["critic"]
        fake = self.fake(networks["generator"], batch, tick.rng)
        fake_output: CriticOutput = critic(fake.x, fake.condition, fake.mask)
        real_output: CriticOutput | None = None
        if self.objective.compares or any(term.compares and term.active(tick.step) for term in self.terms):
            with torch.no_grad():
                real_output = critic(batch.x, batch.condition, batch.mask)
        real_score = None if real_output is None else real_output.score
        losses = {"objective": self.objective.generator(real_score, fake_output.score, batch.weight)}
        turn = Turn(critic, batch, fake, real_output, fake_output, tick.rng)
        return self.with_terms(losses, turn, tick.step)
