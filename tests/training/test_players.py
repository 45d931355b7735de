from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric

from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.nets.tables import TableCritic, TableGenerator
from partigan.objectives.losses import Hinge
from partigan.systems.gan import CriticLoss, GeneratorLoss
from partigan.systems.system import Phase, System
from partigan.training.players import Feed, Players, average_gradients


def players(phases: dict[str, Phase]) -> Players:
    torch.manual_seed(0)
    networks = {"generator": TableGenerator(width=8), "critic": TableCritic(width=8)}
    loader = Loader(Batch(torch.randn(64, 2)), 16, 1)
    return Players(Fabric(accelerator="cpu", devices=1), System(networks, phases), Feed({"data": loader}, 1))


def sgd(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.1)  # type: ignore[arg-type]


def test_two_phases_of_one_network_have_labels_of_their_own() -> None:
    loss = CriticLoss(Hinge())
    made = players({"first": Phase(["critic"], loss, sgd), "second": Phase(["critic"], loss, sgd)}).train_step(0, 10)
    for name in ("objective", "gradient/norm", "score/real"):
        assert made[f"first/{name}"] != made[f"second/{name}"]


def test_a_phase_updates_a_part_of_a_network_and_holds_all_else_fixed() -> None:
    phase = Phase(["generator/out"], GeneratorLoss(Hinge()), sgd)
    made = players({"out": phase})
    before = {name: value.clone() for name, value in made.networks["generator"].state_dict().items()}
    critic = {name: value.clone() for name, value in made.networks["critic"].state_dict().items()}
    made.train_step(0, 10)
    after = made.networks["generator"].state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"out.weight", "out.bias"}
    assert all(torch.equal(value, critic[name]) for name, value in made.networks["critic"].state_dict().items())
    assert all(parameter.requires_grad for parameter in made.networks["critic"].parameters())


def test_a_phase_acts_in_every_nth_step_and_takes_several() -> None:
    calls: list[int] = []

    class Counting(CriticLoss):
        def parts(self, networks, samples, tick):  # type: ignore[no-untyped-def]
            calls.append(tick.step)
            return super().parts(networks, samples, tick)

    made = players({"critic": Phase(["critic"], Counting(Hinge()), sgd, steps=2, every=3)})
    for step in range(7):
        made.train_step(step, 10)
    assert calls == [0, 0, 3, 3, 6, 6]


class _Counting(TableGenerator):
    """Counts the means of what it makes."""

    passes = 4

    def __init__(self) -> None:
        super().__init__(width=8)
        self.seen: list[float] = []

    def recount(self) -> None:
        self.seen = []

    def forward(self, noise, condition=None, mask=None):  # type: ignore[no-untyped-def]
        made = super().forward(noise, condition, mask)
        if self.training:
            self.seen.append(float(made.mean()))
        return made


def test_averaged_weights_count_again_what_they_make() -> None:
    """With weights of their own; nothing else changes."""
    made = players({"generator": Phase(["generator"], GeneratorLoss(Hinge()), sgd)})
    average = _Counting().eval().requires_grad_(False)
    average.load_state_dict(made.networks["generator"].state_dict())
    average.out.bias += 5
    average.seen = [0.0]
    before = {name: value.clone() for name, value in made.networks["generator"].state_dict().items()}
    made.recounted("generator", average, 3)
    assert len(average.seen) == 4
    assert min(average.seen) > 3
    assert not average.training
    assert all(torch.equal(value, before[name]) for name, value in made.networks["generator"].state_dict().items())


def test_gradients_of_two_processes_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(2, 2)
    network.weight.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # the bias has none and keeps none
    fabric = Fabric(accelerator="cpu", devices=1)
    other = torch.tensor([3.0, 2.0, 1.0, 0.0])
    monkeypatch.setattr(fabric, "all_reduce", lambda mine, reduce_op: (mine + other) / 2)
    average_gradients(fabric, list(network.parameters()))
    assert network.weight.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert network.bias.grad is None
