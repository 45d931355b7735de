"""Systems: named networks, and named phases that say what is updated, by which loss, how often."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from partigan.blame import said
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Product
from partigan.systems.schedules import Constant, Schedule

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Networks = Mapping[str, Any]
Samples = Mapping[str, Batch]
DATA = "data"  # the name of the sample where there is only one


class Named(Mapping[str, Any]):
    """Networks by name, and their parts by path: ``translator/back`` is ``back`` of the translator.

    Args:
        networks: whole networks by name.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.whole = networks

    def __getitem__(self, name: str) -> Any:
        network, _, part = name.partition("/")
        try:
            return self.whole[network].get_submodule(part.replace("/", "."))
        except AttributeError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole)

    def __len__(self) -> int:
        return len(self.whole)


@dataclass(frozen=True)
class Tick:
    """Where training stands, for one turn of a phase.

    Attributes:
        step: number of training steps done.
        rng: randomness of this turn.
        done: fraction of the run that is done, 0 to 1.
        physical: takes a normalised batch back to physical units, differentiably; None = there is no such way.
        notes: scalars to log beside the losses, by name.
    """

    step: int
    rng: torch.Generator
    done: float = 0.0
    physical: Callable[[Batch], Batch] | None = None
    notes: dict[str, Tensor] = field(default_factory=dict)


class Loss(ABC):
    """What a phase minimises."""

    @abstractmethod
    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """The weighted parts of the loss, by name; the trainer minimises their sum.

        Args:
            networks: the system's networks, and parts of them, by name.
            samples: normalised batches by name: ``data``, or ``simulation`` and ``data``.
            tick: step and randomness.
        """

    def after_step(self, networks: Networks) -> None:  # noqa: B027
        """Called after every update of the phase's parameters."""

    def needs(self) -> tuple[set[str], set[str]]:
        """Names of the networks, or of parts of them, and of the samples that the loss looks at."""
        return set(), set()


class SumOfLosses(Loss):
    """Several losses at once, for networks that one optimiser updates together.

    Args:
        losses: by name; the parts of each are logged as ``name.part``.
    """

    def __init__(self, losses: dict[str, Loss]) -> None:
        self.losses = losses

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """The parts of all losses."""
        found = {}
        for name, loss in self.losses.items():
            own = Tick(tick.step, tick.rng, tick.done, tick.physical)
            found.update({f"{name}.{part}": value for part, value in loss.parts(networks, samples, own).items()})
            tick.notes.update({f"{name}.{note}": value for note, value in own.notes.items()})
        return found

    def after_step(self, networks: Networks) -> None:
        """What each of the losses does."""
        for loss in self.losses.values():
            loss.after_step(networks)

    def needs(self) -> tuple[set[str], set[str]]:
        """What any of the losses needs."""
        needed = [loss.needs() for loss in self.losses.values()]
        return set().union(*(networks for networks, _ in needed)), set().union(*(samples for _, samples in needed))


@dataclass(frozen=True)
class Phase:
    """One player's turn in a training step.

    Attributes:
        updates: names of the networks whose parameters the phase updates, or of parts of them (``translator/back``).
        loss: what it minimises.
        optimizer: makes the optimiser from those parameters.
        schedule: factor of the learning rate over the run; None = 1.
        steps: updates that make the turn, each on batches of its own.
        every: the phase acts in every ``every``-th training step.
    """

    updates: list[str]
    loss: Loss
    optimizer: OptimizerFactory
    schedule: Schedule | None = None
    steps: int = 1
    every: int = 1

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("every", self.every), ("updates", len(self.updates))):
            if value < 1:
                raise PartiganError(f"a phase has {name} = {value}; it must be at least 1")

    def rate(self, done: float) -> float:
        """Factor of the learning rate when a fraction ``done`` of the run is over."""
        return (self.schedule or Constant())(done)


class System(nn.Module):
    """Named networks and the phases of a training step, in order.

    Args:
        networks: the networks by name.
        phases: the phases by name.
        product: name of the network that training is for: it is averaged, validated and kept.
        source: name of the sample that the product starts from; None = from noise.

    Raises:
        PartiganError: a name of a network that is not there.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        phases: dict[str, Phase],
        product: str = "generator",
        source: str | None = None,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.phases, self.product, self.source = phases, product, source
        if product not in self.networks:
            raise self._missing(product, "the product")
        for name, phase in phases.items():
            self._check({part.partition("/")[0] for part in phase.updates}, f"what the phase {name!r} updates")
            self._check(phase.loss.needs()[0], f"what the loss of the phase {name!r} needs")
            self.parameters_of(phase)

    @property
    def named(self) -> Named:
        """Networks and parts of them by name."""
        return Named(dict(self.networks.items()))

    def _check(self, names: set[str], what: str) -> None:
        for name in sorted(names):
            if name not in self.named:
                raise self._missing(name, what)

    def _missing(self, name: str, what: str) -> PartiganError:
        return PartiganError(f"there is no network {name!r}, {what}; the system has {', '.join(self.networks)}")

    @property
    def samples(self) -> set[str]:
        """Names of the samples that a training step needs."""
        needed = set().union(*(phase.loss.needs()[1] for phase in self.phases.values()))
        return (needed | ({self.source} if self.source else set())) or {DATA}

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        """The parameters that a phase updates.

        Raises:
            PartiganError: a network has no such part.
        """
        found: dict[int, nn.Parameter] = {}
        for name in phase.updates:
            network, _, part = name.partition("/")
            if name not in self.named:
                raise PartiganError(f"the network {network!r} has no part {part!r} that a phase could update")
            found.update((id(parameter), parameter) for parameter in self.named[name].parameters())
        return list(found.values())

    def rehearse(self, samples: Samples, physical: Callable[[Batch], Batch] | None = None) -> int:
        """One turn of every phase on a few samples, with copies of the networks.

        Args:
            samples: normalised batches by name.
            physical: takes a batch back to physical units.

        Returns:
            Bytes that the largest phase keeps of these samples for its backward pass, weights left out.

        Raises:
            PartiganError: what a network or a term needs and does not find.
        """
        twin = copy.deepcopy(self)
        for part in twin.networks.modules():
            part.register_forward_hook(_check_output)
        most = 0
        for name, phase in twin.phases.items():
            tick = Tick(0, torch.Generator().manual_seed(0), physical=physical)
            try:
                with _kept(twin.networks) as kept:
                    parts = phase.loss.parts(twin.named, samples, tick)
                most = max(most, sum(kept.values()))
                del parts  # with its graph, which was only measured
                parts = phase.loss.parts(twin.named, samples, tick)
                (phase.rate(0.0) * torch.stack(list(parts.values())).sum()).backward()
            except PartiganError:
                raise
            except Exception as error:  # whatever networks, losses and terms do, users' own among them
                shapes = ", ".join(str(list(batch.x.shape[1:])) for batch in samples.values())
                raise PartiganError(
                    f"the turn of the {name} fails on samples of shape {shapes}: {said(error)}; do the networks fit "
                    "the data?"
                ) from error
        return most


@contextmanager
def _kept(networks: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of all tensors that a forward pass keeps for its backward pass, but weights, by where they are."""
    weights = {part.untyped_storage().data_ptr() for part in networks.state_dict(keep_vars=True).values()}
    kept: dict[int, int] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with saved_tensors_hooks(note, lambda saved: saved):
        yield kept


def _check_output(network: nn.Module, _: Any, output: Any) -> None:
    """Raise for a network that does not give what its contract says."""
    for contract, expected in ((Critic, CriticOutput), (Product, Tensor)):
        if isinstance(network, contract) and not isinstance(output, expected):
            raise PartiganError(
                f"{type(network).__name__}.forward gives a {type(output).__name__}; it must give a {expected.__name__}"
            )
