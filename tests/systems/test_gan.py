from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import ToyCritic, ToyGenerator, shaken, toy_batch, toy_turn
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import CriticOutput
from partigan.nets.tables import TableTranslator
from partigan.objectives.augmentations import Flip
from partigan.objectives.conditioning import AuxiliaryClassifier, Constraint, Contrastive
from partigan.objectives.consistency import Consistency
from partigan.objectives.latent import LatentOptimisation
from partigan.objectives.losses import (
    Cramer,
    Hinge,
    LeastSquares,
    NonSaturating,
    Objective,
    RelativisticPairing,
    Wasserstein,
)
from partigan.objectives.matching import FeatureMatching, MeanFieldMatching
from partigan.objectives.penalties import R1, R2, InstanceNoise, WeightClipping
from partigan.objectives.regularisation import Commitment
from partigan.objectives.terms import Term
from partigan.objectives.translation import (
    CycleConsistency,
    PairedDistance,
    PairedSums,
    SelfRegularisation,
    WithSource,
)
from partigan.systems.gan import GAN, CriticLoss, GeneratorLoss
from partigan.systems.system import Tick
from partigan.systems.terms import ScheduledTerm


def tick(step: int = 0, done: float = 0.0) -> Tick:
    return Tick(step, torch.Generator().manual_seed(0), done)


def test_two_terms_of_one_class_both_act() -> None:
    """Terms are told apart by their labels."""
    networks = {"generator": ToyGenerator(4).double(), "critic": ToyCritic(4).double()}
    terms = {"one": ScheduledTerm(R1(), 1.0), "two": ScheduledTerm(R1(), 3.0), "other": ScheduledTerm(R2(), 1.0)}
    losses = CriticLoss(Hinge(), terms).parts(networks, {"data": toy_batch(4)}, tick())
    assert [*losses] == ["objective", "one", "two", "other"]
    torch.testing.assert_close(losses["two"], 3 * losses["one"])


def test_the_default_weight_of_a_term_is_its_own() -> None:
    networks = {"generator": ToyGenerator(4).double(), "critic": ToyCritic(4).double()}
    terms = {"plain": ScheduledTerm(R1()), "unit": ScheduledTerm(R1(), 1.0)}
    losses = CriticLoss(Hinge(), terms).parts(networks, {"data": toy_batch(4)}, tick())
    torch.testing.assert_close(losses["plain"], 10 * losses["unit"])


def test_latent_optimisation_is_in_both_losses() -> None:
    networks = {"generator": ToyGenerator(4).double(), "critic": ToyCritic(4).double()}
    term = {"logan": ScheduledTerm(LatentOptimisation(), 2.0)}
    for loss in (CriticLoss, GeneratorLoss):
        parts = loss(Wasserstein(), term).parts(networks, {"data": toy_batch(4)}, tick())
        assert parts["logan"] > 0
        assert parts["objective"].requires_grad
    plain, _ = CriticLoss(Wasserstein()).play(networks, {"data": toy_batch(4)}, tick())
    assert not plain.x.requires_grad  # as ever without the term


def test_a_generator_may_start_from_another_sample_or_from_pairs() -> None:
    shift = TableTranslator(features=4).double()
    torch.nn.init.ones_([*shift.parameters()][-1])  # the bias of the last layer
    simulation, data = toy_batch(4, labels=False), toy_batch(4, labels=False, size=5)
    networks = {"refiner": shift, "critic": ToyCritic(4).double()}
    loss = GeneratorLoss(Wasserstein(), generator="refiner", source="simulation")
    made, _ = loss.play(networks, {"simulation": simulation, "data": data}, tick())
    torch.testing.assert_close(made.x, simulation.x + 1)
    torch.testing.assert_close(made.source, simulation.x)
    assert loss.needs() == ({"critic", "refiner"}, {"data", "simulation"})
    paired = Batch(data.x, source=data.x - 3)
    made, _ = GeneratorLoss(Wasserstein(), generator="refiner", source="data").play(networks, {"data": paired}, tick())
    torch.testing.assert_close(made.x, data.x - 2)


@pytest.mark.parametrize("objective", [Wasserstein(), LeastSquares(), NonSaturating(), Cramer()])
def test_what_is_made_of_weighted_samples_is_weighted(objective: Objective) -> None:
    """Weights 2 and 0 are as the first half twice, in the objective of both players and in distances."""
    data, plain = toy_batch(4, labels=False), toy_batch(4, labels=False, size=8)
    weighted = replace(plain, weight=torch.tensor([2.0, 0.0]).repeat_interleave(4).double())
    networks: dict[str, Any] = {name: shaken(TableTranslator, features=4) for name in ("refiner", "back")}
    networks["critic"] = ToyCritic(4).double()
    cycle = CycleConsistency("refiner", "back", "simulation")
    terms = {"near": ScheduledTerm(SelfRegularisation()), "cycle": ScheduledTerm(cycle)}

    def parts(simulation: Batch) -> dict[str, Tensor]:
        samples = {"simulation": simulation, "data": data}
        found = {}
        for loss in (CriticLoss, GeneratorLoss):
            player = loss(objective, terms, generator="refiner", source="simulation")
            found.update({f"{loss.player}/{k}": v for k, v in player.parts(networks, samples, tick()).items()})
        return found

    twice = Batch(torch.cat((plain.x[:4], plain.x[:4])))
    found, expected, defect = parts(weighted), parts(twice), parts(plain)
    assert {"generator/near", "generator/cycle"} < found.keys()
    torch.testing.assert_close(found, expected)
    assert not any(torch.isclose(value, expected[name]) for name, value in defect.items())


@pytest.mark.parametrize(
    ("objective", "terms", "name"),
    [(RelativisticPairing(), {}, "RelativisticPairing"), (Hinge(), {"t": MeanFieldMatching()}, "MeanFieldMatching")],
)
def test_event_weights_that_a_loss_would_leave_out_are_refused(
    objective: Objective, terms: dict[str, Term], name: str
) -> None:
    weighted = replace(toy_batch(4, labels=False), weight=torch.ones(len(toy_batch(4))))
    networks = {"refiner": TableTranslator(features=4).double(), "critic": ToyCritic(4).double()}
    scheduled = {label: ScheduledTerm(term) for label, term in terms.items()}
    loss = CriticLoss(objective, scheduled, generator="refiner", source="simulation")
    with pytest.raises(
        PartiganError, match=f"'simulation', which a translator starts from, has event .* {name} cannot"
    ):
        loss.parts(networks, {"simulation": weighted, "data": toy_batch(4, labels=False)}, tick())
    loss.parts(networks, {"simulation": replace(weighted, weight=None), "data": weighted}, tick())


def test_translators_of_pairs_in_the_short_form() -> None:
    """The critic sees samples beside what they start from; the translator is pulled to the right one."""
    pairs = replace(toy_batch(4, labels=False), source=toy_batch(4, labels=False).x - 1)
    translator, critic = TableTranslator(features=4).double(), ToyCritic(8).double()
    terms = {"pair": ScheduledTerm(WithSource()), "distance": ScheduledTerm(PairedDistance())}
    system = GAN(translator, critic, Hinge(), torch.optim.SGD, torch.optim.SGD, terms, source="data")
    assert system.samples == {"data"}
    assert system.source == "data"
    losses = system.phases["generator"].loss.parts(system.networks, {"data": pairs}, tick())
    torch.testing.assert_close(losses["distance"].item(), 100.0)  # the translator begins as the identity
    seen = system.phases["critic"].loss.parts(system.networks, {"data": pairs}, tick())["objective"]
    expected = Hinge().critic(*(critic(torch.cat((pairs.start.x, x), 1)).score for x in (pairs.x, pairs.start.x)))
    torch.testing.assert_close(seen, expected)
    with pytest.raises(PartiganError, match="WithSource needs pairs, and the training sample has none"):
        system.rehearse({"data": replace(pairs, source=None)})
    alone = {"distance": terms["distance"]}
    system = GAN(translator, ToyCritic(4).double(), Hinge(), torch.optim.SGD, torch.optim.SGD, alone, source="data")
    with pytest.raises(PartiganError, match="PairedDistance needs pairs"):
        system.rehearse({"data": replace(pairs, source=None)})


def test_sums_of_pairs_keep_the_charge_and_leave_it_its_place() -> None:
    """Half of the charge is lost, or it is moved within a block, or out of it."""
    truth = torch.zeros(2, 1, 4, 4)
    truth[:, :, 1, 2] = 8.0
    real = Batch(truth, source=truth)

    def loss(x: Tensor, block: int = 2) -> float:
        turn = replace(toy_turn(ToyCritic(16).double(), toy_batch(16)), unchanged=(real, Batch(x, source=truth)))
        doubled = replace(turn, physical=lambda batch: replace(batch, x=2 * batch.x))  # relative: no matter
        assert PairedSums(block).generator(doubled) == PairedSums(block).generator(replace(turn, physical=lambda b: b))
        return PairedSums(block).generator(doubled).item()

    moved = [truth.roll((down, right), (2, 3)) for down, right in ((0, 0), (-1, 1), (1, 1))]
    assert [loss(x) for x in moved] == [0, 0, 2]
    assert [loss(x, 4) for x in (moved[2], truth / 2)] == [0, 0.5]
    weighted = replace(real, weight=torch.tensor([2.0, 0.0]))
    turn = toy_turn(ToyCritic(16).double(), toy_batch(16))
    made = torch.cat((truth[:1], 0 * truth[:1]))
    for unchanged, expected in (((weighted, Batch(made)), 0.0), ((real, Batch(made)), 0.5)):
        assert PairedSums().generator(replace(turn, unchanged=unchanged, physical=lambda b: b)).item() == expected
    with pytest.raises(PartiganError, match="block = 0"):
        PairedSums(0)


def test_generated_samples_have_the_weights_of_their_conditions() -> None:
    """Without conditions they have none: any weight would add to the variance only."""
    networks = {"generator": ToyGenerator(4).double(), "critic": ToyCritic(4).double()}
    batch = replace(toy_batch(4), weight=torch.linspace(-1, 3, len(toy_batch(4))).double())
    made, _ = CriticLoss(Wasserstein()).play(networks, {"data": batch}, tick())
    assert made.weight is batch.weight
    made, _ = CriticLoss(Wasserstein()).play(networks, {"data": replace(batch, condition=None)}, tick())
    assert made.weight is None


def test_weight_clipping_acts_after_the_critics_step() -> None:
    critic = ToyCritic(2)
    loss = CriticLoss(Wasserstein(), {"clip": ScheduledTerm(WeightClipping(0.01))})
    loss.after_step({"critic": critic})
    assert all(p.abs().max() <= 0.01 for p in critic.parameters())
    assert any(p.abs().max() == 0.01 for p in critic.parameters())


def test_instance_noise_is_on_all_that_the_critic_sees_and_falls() -> None:
    seen: list[Tensor] = []

    class Watching(ToyCritic):
        def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
            seen.append(x.detach())
            return super().forward(x)

    real = Batch(torch.zeros(500, 2))
    still = ToyGenerator(2).requires_grad_(False)
    for parameter in still.parameters():
        parameter.zero_()
    networks = {"generator": still, "critic": Watching(2)}
    terms = {"noise": ScheduledTerm(InstanceNoise(), 0.4)}
    for done, expected in ((0.0, 0.4), (0.5, 0.2), (1.0, 0.0)):
        for loss in (CriticLoss, GeneratorLoss):
            loss(RelativisticPairing(), terms).parts(networks, {"data": real}, tick(7, done))
        assert len(seen) == 4  # both players look at both samples
        assert [x.std().item() for x in seen] == pytest.approx([expected] * 4, rel=0.1)
        seen.clear()


@pytest.mark.parametrize(
    ("term", "batch", "critic", "message"),
    [
        (MeanFieldMatching(), toy_batch(4), {"rich": False}, "needs a critic that returns features; ToyCritic returns"),
        (FeatureMatching(), toy_batch(4), {"rich": False}, "FeatureMatching needs a critic that returns features"),
        (AuxiliaryClassifier(), toy_batch(4), {"rich": False}, "needs a critic that returns logits"),
        (
            AuxiliaryClassifier(),
            toy_batch(4, labels=False),
            {},
            "needs a class label for every sample; the data have none",
        ),
        (Contrastive(), toy_batch(4, labels=False), {}, "Contrastive needs a class label"),
        (Contrastive(), toy_batch(4), {"rich": False}, "needs a critic that returns embedding"),
        (Commitment(), toy_batch(4), {}, "needs a critic that returns commitment"),
        (Constraint(), toy_batch(4), {}, "Constraint needs the network 'constrainer'; add it to"),
        (Consistency([Flip()]), toy_batch(5, 3, masked=True), {}, "Flip moves pixels and cannot change clouds"),
        (R1(), toy_batch(3), {}, "fails on samples of shape"),
    ],
)
def test_what_a_term_lacks_is_said_in_the_rehearsal(
    term: Term, batch: Batch, critic: dict[str, Any], message: str
) -> None:
    shape = (4,) if batch.x.shape[1] == 3 and batch.mask is None else batch.x.shape[1:]
    system = GAN(
        ToyGenerator(*batch.x.shape[1:]).double(),
        ToyCritic(*shape, **critic).double(),
        Hinge(),
        torch.optim.SGD,
        torch.optim.SGD,
        {"term": ScheduledTerm(term)},
    )
    before = {name: value.clone() for name, value in system.state_dict().items()}
    with pytest.raises(PartiganError, match=message):
        system.rehearse({"data": batch})
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
