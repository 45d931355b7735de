"""Systems: named networks, and ordered phases that say what is updated, with which loss, how often."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.selection import SelectingGenerator
from partigan.objectives.conditioning import reading_error
from partigan.objectives.losses import Minimax, Objective
from partigan.objectives.terms import Term, Turn
from partigan.training.schedules import Constant, Linear, Schedule

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Tick:
    """Where training stands, for a phase.

    Attributes:
        step: number of training steps done.
        rng: randomness of this phase's turn.
        done: fraction of the run that is done, 0 to 1.
        notes: scalars that the phase wants to see logged beside its losses, by name.
    """

    step: int
    rng: torch.Generator
    done: float = 0.0
    notes: dict[str, Tensor] = field(default_factory=dict)


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

    def after_step(self, networks: Mapping[str, Any]) -> None:  # noqa: B027
        """Called after every update of the phase's parameters."""


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

    def rehearse(self, batch: Batch) -> None:
        """One turn of every phase on a few samples, with copies of the networks.

        Raises:
            PartiganError: what a network or a term needs and does not find.
        """
        twin = copy.deepcopy(self)
        networks = dict(twin.networks.items())
        for phase in twin.phases:
            try:
                losses = phase.losses(networks, batch, Tick(0, torch.Generator().manual_seed(0)))
                torch.stack(list(losses.values())).sum().backward()
            except (RuntimeError, ValueError, IndexError) as error:
                raise PartiganError(
                    f"the turn of the {'+'.join(phase.update)} fails on samples of shape {list(batch.x.shape[1:])}: "
                    f"{error}; do the networks fit the data?"
                ) from error


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
        constrainer: reads conditions off samples for the term `partigan.objectives.conditioning.Constraint`; called
            like a critic, it learns from real samples in a phase of its own.
        constrainer_optimizer: optimiser of the constrainer.
        judge_optimizer: optimiser of the judge of a generator that has one, in a phase of its own.

    Raises:
        PartiganError: a constrainer or a judge without an optimiser.
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
        constrainer: nn.Module | None = None,
        constrainer_optimizer: OptimizerFactory | None = None,
        judge_optimizer: OptimizerFactory | None = None,
    ) -> None:
        terms = terms or []
        networks: dict[str, nn.Module] = {"generator": generator, "critic": critic}
        phases: list[Phase] = [
            CriticPhase(objective, terms, critic_optimizer, schedule, critic_steps),
            GeneratorPhase(objective, terms, generator_optimizer, schedule),
        ]
        if constrainer is not None:
            if constrainer_optimizer is None:
                raise PartiganError("the constrainer has no optimiser; give system.constrainer_optimizer")
            networks["constrainer"] = constrainer
            phases.insert(0, ConstrainerPhase(["constrainer"], constrainer_optimizer, schedule))
        if isinstance(generator, SelectingGenerator):
            if judge_optimizer is None:
                raise PartiganError("the generator's judge has no optimiser; give system.judge_optimizer")
            phases.insert(0, JudgePhase(["generator"], judge_optimizer, Linear()))  # at rest when the generator is
        super().__init__(networks, phases)


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

    def with_terms(self, losses: dict[str, Tensor], turn: Turn, tick: Tick) -> dict[str, Tensor]:
        """The losses with this player's side of every active term, by the name of its class."""
        for term in self.terms:
            if term.active(tick.step) and (value := getattr(term, self.player)(turn)) is not None:
                losses[type(term).__name__] = term.factor(tick.done) * value
        return losses

    def shown(self, sample: Batch, tick: Tick) -> Batch:
        """What the critic is shown in place of a sample."""
        for term in self.terms:
            if term.active(tick.step):
                sample = term.shown(sample, term.factor(tick.done), tick.rng)
        return sample

    def fake(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> Batch:
        """Generated samples with the conditions and masks of real ones.

        In the critic's turn they have no gradient, but where a term makes their noise a function of the critic.
        """
        generator = networks["generator"]
        noise = generator.noise(len(batch), batch.mask, tick.rng).to(batch.x)
        for term in self.terms:
            if term.active(tick.step):
                noise = term.noise(noise, batch, networks)
        with torch.set_grad_enabled(self.player == "generator" or noise.requires_grad):
            return Batch(generator(noise, batch.condition, batch.mask), batch.mask, batch.condition)


class CriticPhase(_Adversarial):
    """The critic's turn: real against generated samples, and the critic's side of the terms."""

    player = "critic"

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The critic's loss."""
        critic = networks["critic"]
        made = self.fake(networks, batch, tick)
        fake = self.shown(made, tick)
        real = self.shown(batch, tick)
        real_output: CriticOutput = critic(real.x, real.condition, real.mask)
        fake_output: CriticOutput = critic(fake.x, fake.condition, fake.mask)
        tick.notes["score/real"] = real_output.score.detach().mean()
        tick.notes["score/fake"] = fake_output.score.detach().mean()
        losses = {"objective": self.objective.critic(real_output.score, fake_output.score, real.weight)}
        turn = Turn(critic, real, fake, real_output, fake_output, tick.rng, self.objective, networks, (batch, made))
        return self.with_terms(losses, turn, tick)

    def after_step(self, networks: Mapping[str, Any]) -> None:
        """What terms do to the critic after its step."""
        for term in self.terms:
            term.after_critic_step(networks["critic"])


class GeneratorPhase(_Adversarial):
    """The generator's turn: what the critic says of its samples, and the generator's side of the terms."""

    player = "generator"

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The generator's loss."""
        critic = networks["critic"]
        made = self.fake(networks, batch, tick)
        fake = self.shown(made, tick)
        fake_output: CriticOutput = critic(fake.x, fake.condition, fake.mask)
        real_output: CriticOutput | None = None
        real = batch
        if self.objective.compares or any(term.compares and term.active(tick.step) for term in self.terms):
            with torch.no_grad():
                real = self.shown(batch, tick)
                real_output = critic(real.x, real.condition, real.mask)
        real_score = None if real_output is None else real_output.score
        losses = {"objective": self.objective.generator(real_score, fake_output.score, batch.weight)}
        turn = Turn(critic, real, fake, real_output, fake_output, tick.rng, self.objective, networks, (batch, made))
        return self.with_terms(losses, turn, tick)


class ConstrainerPhase(Phase):
    """The constrainer's turn: it learns to read conditions off real samples."""

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The constrainer's error."""
        return {"objective": reading_error(networks["constrainer"], batch)}


class JudgePhase(Phase):
    """The turn of a `SelectingGenerator`'s judge: it learns the odds that a candidate is a training sample."""

    def losses(self, networks: Mapping[str, Any], batch: Batch, tick: Tick) -> dict[str, Tensor]:
        """The logistic loss."""
        generator, judge = networks["generator"], networks["generator"].judge
        with torch.no_grad():
            noise = generator.candidate(len(batch), batch.mask, tick.rng).to(batch.x)
            made = generator(noise, batch.condition, batch.mask)
        real: CriticOutput = judge(batch.x, batch.condition, batch.mask)
        fake: CriticOutput = judge(made, batch.condition, batch.mask)
        judge.keep_in_mind(real)
        return {"judge": Minimax().critic(real.score, fake.score, batch.weight)}
