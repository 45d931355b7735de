"""Two players: a critic that compares generated with real samples, and the generator that it judges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Product
from partigan.objectives.losses import Objective
from partigan.objectives.terms import Showing, Term, Turn
from partigan.systems.schedules import Schedule
from partigan.systems.system import DATA, Loss, Networks, OptimizerFactory, Phase, Samples, System, Tick
from partigan.systems.terms import ScheduledTerm, acting


class _Player(Loss):
    """What the losses of both players share.

    Args:
        objective: the pair of losses.
        terms: what is added to them, by label; None leaves out one that a base has.
        critic: name of the critic.
        generator: name of the generator.
        real: name of the sample that the critic compares with.
        source: name of the sample that the generator starts from: its pairs (`Batch.source`) where it has some, else
            its samples themselves; None = from noise.
        through: name of a network that changes real samples before the critic sees them, such as an encoder, without
            a gradient; None = there is none.
    """

    player: ClassVar[str]

    def __init__(
        self,
        objective: Objective,
        terms: dict[str, ScheduledTerm | None] | None = None,
        critic: str = "critic",
        generator: str = "generator",
        real: str = DATA,
        source: str | None = None,
        through: str | None = None,
    ) -> None:
        self.objective = objective
        self.terms = {label: term for label, term in (terms or {}).items() if term is not None}
        self.roles, self.real, self.source = {"critic": critic, "generator": generator}, real, source
        self.through = through

    def needs(self) -> tuple[set[str], set[str]]:
        """Both players, and what is compared."""
        samples = {self.real} | ({self.source} if self.source else set())
        return {*self.roles.values()} | ({self.through} if self.through else set()), samples

    def reached(self, networks: Networks, samples: Samples) -> Batch:
        """The real samples that made ones should be like."""
        batch = samples[self.real]
        if self.through is None:
            return batch
        with torch.no_grad():
            return replace(batch, x=networks[self.through](batch.x, batch.condition, batch.mask))

    def play(self, networks: Networks, samples: Samples, tick: Tick) -> tuple[Batch, dict[str, Any]]:
        """Generated samples, and what a `Turn` has to know of how they were made.

        In the critic's turn they have no gradient, unless a term makes their noise a function of the critic.
        """
        generator, critic = (networks[self.roles[role]] for role in ("generator", "critic"))
        about: dict[str, Any] = {"networks": networks, "samples": samples, "rng": tick.rng, "physical": tick.physical}
        about |= {"generator": generator, "critic": critic, "objective": self.objective}
        trains = self.player == "generator"
        if self.source is not None:
            start = samples[self.source].start
            if start.weight is not None:
                self._refuse_weights()
            with torch.set_grad_enabled(trains):
                made = generator(start.x, start.condition, start.mask)
            return replace(start, x=made, source=start.x), about
        batch = samples[self.real]
        drawn = given = generator.noise(len(batch), batch.mask, tick.rng).to(batch.x)
        for _, term in acting(self.terms, tick.step):
            given = term.term.noise(given, batch, generator, critic)
        with torch.set_grad_enabled(trains or given.requires_grad):
            made = generator(given, batch.condition, batch.mask)
        weight = None if batch.condition is None and batch.mask is None else batch.weight  # that of its conditions
        return Batch(made, batch.mask, batch.condition, weight), {**about, "noise": (drawn, given)}

    def _refuse_weights(self) -> None:
        """Raise where an objective or a term cannot weight what is made of weighted samples."""
        parts: list[Objective | Term] = [self.objective, *(term.term for term in self.terms.values())]
        for part in parts:
            if not part.weighs:
                raise PartiganError(
                    f"the sample {self.source!r}, which a translator starts from, has event weights, and "
                    f"{type(part).__name__} cannot weight what is made of it; leave one of them out, or draw samples "
                    "by their weights"
                )

    def shown(self, sample: Batch, tick: Tick) -> Batch:
        """What the critic is shown in place of a sample."""
        for _, term in acting(self.terms, tick.step):
            sample = term.term.shown(sample, term.strength(tick.done), Showing(tick.rng, tick.physical))
        return sample

    def with_terms(self, losses: dict[str, Tensor], turn: Turn, tick: Tick) -> dict[str, Tensor]:
        """The losses with this player's side of every active term, by its label."""
        for label, term in acting(self.terms, tick.step):
            if (value := getattr(term.term, self.player)(turn)) is not None:
                losses[label] = term.strength(tick.done) * value
        return losses


class CriticLoss(_Player):
    """The critic's loss: real against generated samples, and the critic's side of the terms.

    Args:
        objective: the pair of losses.
        terms: what is added to them, by label; None leaves out one that a base has.
        critic: name of the critic.
        generator: name of the generator.
        real: name of the sample that the critic compares with.
        source: name of the sample that the generator starts from; None = from noise.
        through: name of a network that changes real samples before the critic sees them; None = there is none.
        history: name of the `partigan.nets.history.History` that mixes earlier samples among the made ones; None =
            there is none.
    """

    player = "critic"

    def __init__(
        self,
        objective: Objective,
        terms: dict[str, ScheduledTerm | None] | None = None,
        critic: str = "critic",
        generator: str = "generator",
        real: str = DATA,
        source: str | None = None,
        through: str | None = None,
        history: str | None = None,
    ) -> None:
        super().__init__(objective, terms, critic, generator, real, source, through)
        self.history = history

    def needs(self) -> tuple[set[str], set[str]]:
        """Both players, the history, and what is compared."""
        networks, samples = super().needs()
        return networks | ({self.history} if self.history else set()), samples

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """Objective and terms."""
        made, about = self.play(networks, samples, tick)
        critic, batch = about["critic"], self.reached(networks, samples)
        if self.history is not None:
            made = networks[self.history].mixed(made, tick.rng)
        fake = self.shown(made, tick)
        real = self.shown(batch, tick)
        real_output, fake_output = critic.both(real, fake)
        tick.notes["score/real"] = real_output.score.detach().mean()
        tick.notes["score/fake"] = fake_output.score.detach().mean()
        losses = {"objective": self.objective.critic(real_output.score, fake_output.score, real.weight, fake.weight)}
        about |= {"real_output": real_output, "fake_output": fake_output, "unchanged": (batch, made)}
        return self.with_terms(losses, Turn(real=real, fake=fake, **about), tick)

    def after_step(self, networks: Networks) -> None:
        """What terms do to the critic after its step."""
        for term in self.terms.values():
            term.term.after_critic_step(networks[self.roles["critic"]])


class GeneratorLoss(_Player):
    """The generator's loss: what the critic says of its samples, and the generator's side of the terms.

    Args:
        objective: the pair of losses.
        terms: what is added to them, by label; None leaves out one that a base has.
        critic: name of the critic.
        generator: name of the generator.
        real: name of the sample that the critic compares with.
        source: name of the sample that the generator starts from; None = from noise.
        through: name of a network that changes real samples before the critic sees them; None = there is none.
    """

    player = "generator"

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """Objective and terms."""
        made, about = self.play(networks, samples, tick)
        critic, batch = about["critic"], self.reached(networks, samples)
        fake = self.shown(made, tick)
        fake_output: CriticOutput = critic(fake.x, fake.condition, fake.mask)
        real_output: CriticOutput | None = None
        real = batch
        if self.objective.compares or any(term.term.compares for _, term in acting(self.terms, tick.step)):
            with torch.no_grad():
                real = self.shown(batch, tick)
                real_output = critic(real.x, real.condition, real.mask)
        real_score = None if real_output is None else real_output.score
        losses = {"objective": self.objective.generator(real_score, fake_output.score, batch.weight, fake.weight)}
        about |= {"real_output": real_output, "fake_output": fake_output, "unchanged": (batch, made)}
        return self.with_terms(losses, Turn(real=real, fake=fake, **about), tick)


class GAN(System):
    """One generator and one critic: short for a `System` of the phases ``critic`` and ``generator``.

    Args:
        generator: makes samples, from noise or from others.
        critic: tells them from real ones.
        objective: the pair of losses.
        generator_optimizer: optimiser of the generator.
        critic_optimizer: optimiser of the critic.
        terms: what is added to the losses, by label; None leaves out one that a base has.
        critic_steps: critic updates, each on a batch of its own, for one of the generator.
        schedule: factor of both learning rates over the run.
        networks: further networks by name.
        phases: further phases by name; they come before the critic's.
        source: name of the sample that a translator in the generator's place starts from; None = from noise.
    """

    def __init__(
        self,
        generator: Product,
        critic: Critic,
        objective: Objective,
        generator_optimizer: OptimizerFactory,
        critic_optimizer: OptimizerFactory,
        terms: dict[str, ScheduledTerm | None] | None = None,
        critic_steps: int = 1,
        schedule: Schedule | None = None,
        networks: dict[str, nn.Module] | None = None,
        phases: dict[str, Phase] | None = None,
        source: str | None = None,
    ) -> None:
        tells, makes = (loss(objective, terms, source=source) for loss in (CriticLoss, GeneratorLoss))
        players = {
            "critic": Phase(["critic"], tells, critic_optimizer, schedule, critic_steps),
            "generator": Phase(["generator"], makes, generator_optimizer, schedule),
        }
        named = {"generator": generator, "critic": critic, **(networks or {})}
        super().__init__(named, {**(phases or {}), **players}, source=source)
