from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers import ToyCritic, ToyGenerator, toy_batch, toy_turn
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.tables import TableTranslator
from partigan.objectives.augmentations import Flip, Mirror, Shift
from partigan.objectives.conditioning import AuxiliaryClassifier, Constraint, Contrastive, reading_error
from partigan.objectives.consistency import BalancedConsistency, Consistency
from partigan.objectives.intensity import IntensityCut
from partigan.objectives.latent import LatentOptimisation
from partigan.objectives.losses import Cramer, Wasserstein
from partigan.objectives.matching import FeatureMatching, MeanFieldMatching
from partigan.objectives.penalties import R1, R2, ApproximateR1, GradientPenalty
from partigan.objectives.regularisation import Commitment, OrthogonalRegularisation
from partigan.objectives.terms import Term, Turn
from partigan.objectives.translation import CycleConsistency, IdentityMapping


@dataclass(frozen=True)
class Case:
    """A term, who plays it, and on which shapes it can act."""

    make: Callable[[], Term]
    critic: bool
    generator: bool
    shapes: tuple[str, ...] = ("table", "image", "cloud")


SHAPES: dict[str, dict[str, Any]] = {"table": {}, "image": {}, "cloud": {"masked": True}}
SIZES = {"table": (4,), "image": (2, 4, 4), "cloud": (5, 3)}
TERMS: dict[str, Case] = {
    "gradient penalty": Case(GradientPenalty, True, False),
    "one-sided penalty": Case(lambda: GradientPenalty(one_sided=True), True, False),
    "R1": Case(R1, True, False),
    "R2": Case(R2, True, False),
    "approximate R1": Case(ApproximateR1, True, False),
    "orthogonal regularisation": Case(OrthogonalRegularisation, True, True),
    "mean field matching": Case(MeanFieldMatching, False, True),
    "feature matching": Case(FeatureMatching, False, True),
    "consistency": Case(lambda: Consistency([Flip(), Shift(fraction=0.3)]), True, False, ("table", "image")),
    "balanced consistency": Case(lambda: BalancedConsistency([Mirror()]), True, False),
    "auxiliary classifier": Case(AuxiliaryClassifier, True, True),
    "contrastive": Case(Contrastive, True, True),
    "constraint": Case(Constraint, False, True),
    "intensity cut": Case(lambda: IntensityCut(threshold=0.5), False, True),
}
CASES = [(name, shape) for name, case in TERMS.items() for shape in case.shapes]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_term_is_a_differentiable_number(name: str, shape: str, outputs: int) -> None:
    case, real = TERMS[name], toy_batch(*SIZES[shape], **SHAPES[shape])
    torch.manual_seed(1)
    critic, reader = (ToyCritic(*SIZES[shape], outputs=outputs if n else 4).double() for n in (1, 0))
    critic.score.weight.data *= 30  # slopes above 1, for the one-sided penalty
    objective = Wasserstein() if outputs == 1 else Cramer()
    made = {}
    for player, plays in (("critic", case.critic), ("generator", case.generator)):
        turns = [toy_turn(critic, real, objective, constrainer=reader) for _ in range(2)]
        values = [getattr(case.make(), player)(turn) for turn in turns]
        assert (values[0] is not None) == plays, player
        if not plays:
            continue
        made[player] = value = values[0]
        assert value.shape == ()
        assert torch.isfinite(value)
        assert torch.equal(value, values[1])  # randomness from the turn's generator alone
        network = getattr(turns[0], player)
        gradients = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in gradients), player
    assert made


def test_padding_has_no_influence_on_terms() -> None:
    """A cloud padded further gives the same penalties, except for what is drawn at random."""
    real = toy_batch(5, 3, masked=True)
    wide = Batch(functional.pad(real.x, (0, 0, 0, 4)), functional.pad(real.mask, (0, 4)), real.condition)

    class Pooled(ToyCritic):
        def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
            assert mask is not None
            return CriticOutput((x.sin() * mask[..., None]).sum((1, 2))[:, None])

    for term in (R1(), GradientPenalty()):
        values = []
        for sample in (real, wide):
            fake = replace(sample, x=0.5 * sample.x)
            critic = Pooled(1)
            output = critic(sample.x, None, sample.mask)
            values.append(term.critic(Turn(critic, sample, fake, output, output, torch.Generator().manual_seed(0))))
        torch.testing.assert_close(*values)


class Quadratic(Critic):
    """score = a |x|^2 / 2 + b . x, the gradient a x + b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a, dtype=torch.float64)), b

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        rows = x.flatten(1)
        return CriticOutput((self.a * rows.square() / 2 + self.b * rows).sum(1, keepdim=True))


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.1), (0.0, -3.0), (0.7, 0.2)])
@pytest.mark.parametrize("shape", [(2,), (4, 2)])
def test_penalties_of_linear_and_quadratic_critics(a: float, b: float, shape: tuple[int, ...]) -> None:
    turn = toy_turn(Quadratic(a, b), toy_batch(*shape))
    gradients = {side: a * getattr(turn, side).x.detach().flatten(1) + b for side in ("real", "fake")}
    square = {side: gradient.square().sum(1).mean() for side, gradient in gradients.items()}
    torch.testing.assert_close(R1().critic(turn), 0.5 * square["real"])
    torch.testing.assert_close(R2().critic(turn), 0.5 * square["fake"])
    along = torch.rand((6, *[1] * len(shape)), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    between = turn.real.x + along * (turn.fake.x - turn.real.x)
    excess = (a * between.flatten(1) + b).norm(dim=1) - 1
    for one_sided in (False, True):
        found = GradientPenalty(one_sided=one_sided).critic(replace(turn, rng=torch.Generator().manual_seed(5)))
        torch.testing.assert_close(found, (excess.relu() if one_sided else excess).square().mean())
    (slope,) = torch.autograd.grad(R1().critic(turn), turn.critic.a)  # type: ignore[attr-defined]
    torch.testing.assert_close(slope, (gradients["real"] * turn.real.x.flatten(1)).sum(1).mean())
    many = replace(turn, real=turn.real[torch.zeros(20_000, dtype=torch.long)])
    many = replace(many, real_output=turn.critic(many.real.x))
    exact = gradients["real"][0].square().sum()
    assert ApproximateR1(sigma=1e-3).critic(many).item() / 1e-6 == pytest.approx(exact.item(), rel=0.05)


def test_penalty_of_a_vector_valued_critic_is_that_of_its_witness() -> None:
    """For scores h and one generated sample h', f = |h - h'| - |h|."""
    real = toy_batch(2, size=1)
    critic = ToyCritic(2, outputs=3).double()
    turn = toy_turn(critic, real, Cramer())
    x = real.x.clone().requires_grad_()
    h, other = critic(x).score, turn.fake_output.score.detach()
    (slope,) = torch.autograd.grad((h - other).norm() - h.norm(), x)
    torch.testing.assert_close(R1().critic(turn), 0.5 * slope.square().sum())


def test_orthogonal_regularisation_by_hand() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    network[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    turn = replace(toy_turn(ToyCritic(2).double(), toy_batch(2)), critic=network)
    assert OrthogonalRegularisation().critic(turn).item() == 2 * (3 - 2) ** 2  # type: ignore[union-attr]
    assert OrthogonalRegularisation(players="generator").critic(turn) is None


def test_contrastive_loss_by_hand() -> None:
    turn = toy_turn(ToyCritic(4).double(), toy_batch(4))
    output, labels = turn.real_output, turn.real.condition
    assert output is not None
    assert output.embedding is not None
    assert output.proxy is not None
    assert labels is not None
    losses = []
    for i in range(6):
        to = [math.exp((output.embedding[i] @ output.embedding[k]).item() / 0.5) for k in range(6)]
        proxy = math.exp((output.embedding[i] @ output.proxy[i]).item() / 0.5)
        alike = proxy + sum(to[k] for k in range(6) if k != i and labels[k] == labels[i])
        losses.append(-math.log(alike / (proxy + sum(to) - to[i])))
    assert Contrastive(temperature=0.5).critic(turn).item() == pytest.approx(sum(losses) / 6)


@pytest.mark.parametrize("term", [Contrastive(classes=3), AuxiliaryClassifier()])
def test_classes_among_float_conditions(term: Term) -> None:
    """A condition that begins with the class as 0 or 1 is as good as the class; another one is refused."""
    turn = toy_turn(ToyCritic(4).double(), toy_batch(4))
    labels, place = turn.real.condition, torch.linspace(-1, 1, 6)[:, None]
    assert labels is not None
    classes = 3 if isinstance(term, Contrastive) else 4  # the logits of the toy critic
    floats = torch.cat((functional.one_hot(labels, classes).float(), place), dim=1)
    both = replace(turn, **{side: replace(getattr(turn, side), condition=floats) for side in ("real", "fake")})
    for player in ("critic", "generator"):
        torch.testing.assert_close(getattr(term, player)(both), getattr(term, player)(turn))
    with pytest.raises(PartiganError, match="the data have conditions of shape"):
        term.critic(replace(turn, real=replace(turn.real, condition=place)))


class Slope(Critic):
    """D(x) = w . x, with a commitment."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(1, 2, size, dtype=torch.float64))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput((x @ self.weight)[:, None], commitment=x.square().mean(1, keepdim=True))


def test_latent_optimisation_by_hand() -> None:
    """z + 0.9 g / (5 + |g|^2) with g = W^T w; both players' gradients flow through the step."""
    torch.manual_seed(0)
    networks = {"generator": ToyGenerator(4).double(), "critic": Slope(4)}
    term, real = LatentOptimisation(), toy_batch(4)
    layer, weight = networks["generator"].layer, networks["critic"].weight
    noise = torch.randn(6, 3, dtype=torch.float64)
    g = layer.weight.T @ weight
    step = 0.9 / (5 + g.square().sum()) * g
    torch.testing.assert_close(term.noise(noise, real, networks["generator"], networks["critic"]), noise + step)

    def score(w: Tensor, matrix: Tensor) -> Tensor:
        slope = matrix.T @ w
        change = 0.9 / (5 + slope @ slope) * slope
        return ((noise + change) @ matrix.T + layer.bias) @ w, change.square().sum()  # type: ignore[return-value]

    made = term.noise(noise, real, networks["generator"], networks["critic"])
    outcome = networks["critic"](networks["generator"](made)).score[:, 0]
    expected, length = score(weight, layer.weight)
    torch.testing.assert_close(outcome, expected)
    for parameter in (weight, layer.weight):
        (one,), (two,) = (
            torch.autograd.grad(total.sum(), parameter, retain_graph=True) for total in (outcome, expected)
        )
        torch.testing.assert_close(one, two)
    turn = replace(toy_turn(networks["critic"], real), noise=(noise, made))
    for player in ("critic", "generator"):
        assert getattr(term, player)(turn).item() == pytest.approx(length.item())
    with pytest.raises(PartiganError, match="damping = 0 of LatentOptimisation"):
        LatentOptimisation(damping=0)


def test_commitment_and_intensity_cut_by_hand() -> None:
    turn = toy_turn(Slope(4), toy_batch(4))
    expected = (turn.real.x.square().mean() + turn.fake.x.square().mean()) / 2
    torch.testing.assert_close(Commitment().critic(turn), expected)
    x = torch.tensor([-1.0, -0.75, -0.5, -0.26, -0.25, 0.9], dtype=torch.float64)[:, None]
    cut = IntensityCut().generator(replace(turn, fake=Batch(x)))
    assert cut.item() == pytest.approx((0.25**2 + 0.49**2) / 6)
    with pytest.raises(PartiganError, match=r"dark = 0\.0 of IntensityCut"):
        IntensityCut(dark=0.0)


def test_constrainer_reads_energies_and_classes() -> None:
    reader = ToyCritic(4, outputs=2).double()
    sample = replace(toy_batch(4, labels=False), condition=torch.ones(6, 2, dtype=torch.float64))
    expected = (reader(sample.x).score - 1).square().mean()
    torch.testing.assert_close(reading_error(reader, sample), expected)
    with pytest.raises(PartiganError, match="gives 2 numbers for the 3 of a condition"):
        reading_error(reader, replace(sample, condition=torch.ones(6, 3)))
    with pytest.raises(PartiganError, match="the data have none"):
        reading_error(reader, replace(sample, condition=None))


def test_cycles_and_identities_by_hand() -> None:
    """|G(F(x)) - x| and |G(y) - y|, with event weights and over real particles only."""
    there, back = (TableTranslator(features=4).double() for _ in range(2))
    for parameter in (*there.parameters(), *back.parameters()):
        nn.init.normal_(parameter, std=0.3)
    real = toy_batch(4, labels=False)
    weighted = replace(real, weight=torch.tensor([3.0, 1, 1, 1, 1, 1], dtype=torch.float64))
    turn = toy_turn(ToyCritic(4).double(), real, there=there, back=back)
    turn = replace(turn, samples={"simulation": weighted, "data": real})
    round_trip = (back(there(real.x)) - real.x).abs().mean(1)
    term = CycleConsistency("there", "back", "simulation")
    torch.testing.assert_close(term.generator(turn), (round_trip * weighted.weight).sum() / 6)
    torch.testing.assert_close(IdentityMapping("back", "data").generator(turn), (back(real.x) - real.x).abs().mean())
    made = replace(weighted, x=there(weighted.x) + 1, source=weighted.x)  # what the critic is shown goes back
    seen = replace(turn, generator=there, unchanged=(real, made))
    expected = ((back(made.x) - real.x).abs().mean(1) * weighted.weight).sum() / 6
    torch.testing.assert_close(term.generator(seen), expected)
    cloud = toy_batch(5, 3, labels=False, masked=True)
    shifted = nn.Module()
    shifted.forward = lambda x, condition, mask: x + torch.arange(5.0)[:, None]  # type: ignore[method-assign]
    seen = replace(turn, samples={"data": cloud}, networks={"shift": shifted})
    expected = torch.stack([torch.arange(float(n)).mean() for n in (1, 2, 3, 4, 5, 5)]).mean().double()
    torch.testing.assert_close(IdentityMapping("shift", "data").generator(seen), expected)
    for wrong, message in (("data", "needs the network 'shift'"), ("mc", "needs the sample 'mc'; there are")):
        with pytest.raises(PartiganError, match=message):
            IdentityMapping("shift", wrong).generator(turn)
