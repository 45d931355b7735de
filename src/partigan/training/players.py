"""One training step: a turn of every phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.errors import PartiganError
from partigan.randomness import rng_for
from partigan.systems.system import Named, Phase, System, Tick
from partigan.training.health import first_singular_values

Physical = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Feed:
    """What a training step is fed with.

    Attributes:
        loaders: batches of each sample, by its name.
        seed: together with the step it decides all randomness.
        physical: takes a normalised batch back to physical units; None = there is no such way.
    """

    loaders: Mapping[str, Loader]
    seed: int
    physical: Physical | None = None


class Players:
    """A system's networks and optimisers, set up on the devices.

    Args:
        fabric: the devices.
        system: networks and phases.
        feed: where batches and randomness come from.
        clip: largest norm of a phase's gradient; None = not clipped.
    """

    def __init__(self, fabric: Fabric, system: System, feed: Feed, clip: float | None = None) -> None:
        self.fabric, self.phases, self.feed, self.clip = fabric, system.phases, feed, clip
        self.networks = Named({name: fabric.to_device(network) for name, network in system.networks.items()})
        self.parameters = {name: system.parameters_of(phase) for name, phase in self.phases.items()}
        self.fixed = {name: _others(system, parameters) for name, parameters in self.parameters.items()}
        plain = {name: phase.optimizer(self.parameters[name]) for name, phase in self.phases.items()}
        self.rates = {name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in plain.items()}
        self.optimizers: dict[str, Any] = {name: fabric.setup_optimizers(each) for name, each in plain.items()}
        self.scaled = getattr(fabric._precision, "scaler", None) is not None  # skips steps whose gradients overflow
        self.turns = sum(phase.steps for phase in self.phases.values())
        self.progressive: list[Any] = [each for each in system.networks.values() if hasattr(each, "set_progress")]

    def train_step(self, step: int, total: int) -> dict[str, Tensor]:
        """One turn of every phase.

        Args:
            step: number of training steps done.
            total: of the whole run.

        Returns:
            The parts of the losses, by ``phase/part``.
        """
        parts: dict[str, Tensor] = {}
        turn = step * self.turns
        done = min(step / total, 1.0)
        for network in self.progressive:
            network.set_progress(done)
        for name, phase in self.phases.items():
            if step % phase.every == 0:
                for group, rate in zip(self.optimizers[name].param_groups, self.rates[name], strict=True):
                    group["lr"] = rate * phase.rate(done)
                for update in range(phase.steps):
                    parts |= self._update(name, turn + update, step, done)
            turn += phase.steps
        return parts

    def _update(self, name: str, turn: int, step: int, done: float) -> dict[str, Tensor]:
        """One update of a phase's parameters."""
        phase, optimizer, parameters = self.phases[name], self.optimizers[name], self.parameters[name]
        batches = {key: loader.batch(turn).to(self.fabric.device) for key, loader in self.feed.loaders.items()}
        tick = Tick(step, self._rng(turn), done, self.feed.physical)
        with _frozen(self.fixed[name]):
            losses = self._losses(phase, batches, tick)
            for part, value in losses.items():
                if not torch.isfinite(value):
                    raise _not_finite(step, f"{part} of the {name} is {value.item()}")
            self.fabric.backward(torch.stack(list(losses.values())).sum())
        if self.fabric.world_size > 1:
            average_gradients(self.fabric, parameters)
        norm = self._clipped(phase, optimizer, parameters)
        if not torch.isfinite(norm) and not self.scaled:
            with _frozen(self.fixed[name]):
                again = self._losses(phase, batches, Tick(step, self._rng(turn), done, self.feed.physical))
                culprits = _culprits(again, parameters)
            raise _not_finite(step, f"the gradient of {culprits} of the {name} is {norm.item()}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        phase.loss.after_step(self.networks)
        notes = {"gradient/norm": norm, **tick.notes}
        return {f"{name}/{part}": value.detach() for part, value in (losses | notes).items()}

    def _clipped(self, phase: Phase, optimizer: Any, parameters: list[nn.Parameter]) -> Tensor:
        """The norm of a phase's gradient, which is clipped where that is asked for."""
        if self.clip is None and not self.scaled:  # a factor of 1 for each parameter takes as long as the norm
            return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        network = self.networks[phase.updates[0].partition("/")[0]]
        most = math.inf if self.clip is None else self.clip
        norm = self.fabric.clip_gradients(network, optimizer, max_norm=most, error_if_nonfinite=False)
        assert norm is not None
        return norm

    def singular_values(self) -> dict[str, float]:
        """First singular value of every weight matrix of every network."""
        return {
            f"{name}/singular/{layer}": value
            for name, network in self.networks.items()
            for layer, value in first_singular_values(network).items()
        }

    def recounted(self, name: str, network: nn.Module, step: int) -> None:
        """Let parts of a network count again what they make, with averaged weights in place of those being trained.

        Parts with a method ``recount`` forget what they have counted, and see the batches of so many steps as their
        ``passes`` say, in training mode. Other networks have no such parts.

        Args:
            name: of the network whose weights are averaged.
            network: the average.
            step: number of training steps done.
        """
        parts = [part for part in network.modules() if hasattr(part, "recount")]
        phases = [phase for phase in self.phases.values() if any(x.partition("/")[0] == name for x in phase.updates)]
        for part in parts:
            part.recount()  # type: ignore[operator]
        network.train()
        for turn in range(max((int(part.passes) for part in parts), default=0)):  # type: ignore[arg-type]
            batches = {key: loader.batch(turn).to(self.fabric.device) for key, loader in self.feed.loaders.items()}
            tick = Tick(step, self._rng(turn), 1.0, self.feed.physical)
            phases[0].loss.parts(Named({**self.networks, name: network}), batches, tick)
        network.eval()

    def _rng(self, turn: int) -> torch.Generator:
        """Randomness of one turn; dropout draws from the global generator, which is set to the same."""
        rng = rng_for("turn", self.feed.seed, turn, self.fabric.global_rank, device=self.fabric.device)
        torch.default_generator.manual_seed(rng.initial_seed())  # torch.manual_seed would take 0.5 ms, for all devices
        if self.fabric.device.type != "cpu":
            getattr(torch, self.fabric.device.type).manual_seed(rng.initial_seed())
        return rng

    def _losses(self, phase: Phase, batches: dict[str, Batch], tick: Tick) -> dict[str, Tensor]:
        """The parts of a phase's loss."""
        with self.fabric.autocast():
            return phase.loss.parts(self.networks, batches, tick)


def average_gradients(fabric: Fabric, parameters: list[nn.Parameter]) -> None:
    """Replace gradients by their means over all processes, in one message.

    A wrapper around each network would expect one forward and one backward pass of all its parameters; the turns of a
    GAN have two, and penalties a third.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    mean = fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    assert isinstance(mean, Tensor)
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _others(system: System, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """The trained parameters of a system that a phase does not update."""
    mine = {id(parameter) for parameter in parameters}
    return [p for p in system.networks.parameters() if id(p) not in mine and p.requires_grad]


@contextmanager
def _frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """No gradients for parameters that are not updated, backward pass included: it may repeat a part of the forward."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _culprits(losses: dict[str, Tensor], parameters: list[nn.Parameter]) -> str:
    """The parts of a loss whose own gradient is not finite; all of them where only their sum is not."""
    bad = []
    for name, value in losses.items():
        if value.requires_grad:
            gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            if not all(g is None or bool(g.isfinite().all()) for g in gradients):
                bad.append(name)
    return " and ".join(bad or losses)


def _not_finite(step: int, what: str) -> PartiganError:
    return PartiganError(
        f"training stopped at step {step}: {what}; "
        "lower the learning rate or clip gradients (--trainer.gradient_clip), then start anew"
    )
