from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.objectives.augmentations import Augmentation, Flip, Mirror, Shift
from partigan.objectives.conditioning import AuxiliaryClassifier, Constraint, Contrastive, reading_error
from partigan.objectives.consistency import BalancedConsistency, Consistency
from partigan.objectives.intensity import IntensityCut
from partigan.objectives.latent import LatentOptimisation
from partigan.objectives.losses import (
    Cramer,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Objective,
    RelativisticPairing,
    Wasserstein,
    energy_distance,
)
from partigan.objectives.matching import FeatureMatching, MeanFieldMatching
from partigan.objectives.penalties import R1, R2, ApproximateR1, GradientPenalty, InstanceNoise, WeightClipping
from partigan.objectives.regularisation import Commitment, OrthogonalRegularisation
from partigan.objectives.terms import Term, Turn
from partigan.training.schedules import WarmupCosine
from partigan.training.system import GAN, CriticPhase, GeneratorPhase, Tick

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[1.0], [-1.0]])


def _softplus(value: float) -> float:
    return math.log1p(math.exp(value))


VALUES: dict[Objective, tuple[float, float]] = {
    LeastSquares(): (0.5 * 1 + 0.5 * 1, 0.5 * 2),
    LeastSquares(smoothing=0.5): (0.5 * (1.5**2 + 0.5**2) / 2 + 0.5 * 1, 0.5 * 2),
    Wasserstein(): (0 - 1, 0),
    Hinge(): ((0 + 1) / 2 + (2 + 0) / 2, 0),
    Minimax(): (
        (_softplus(-2) + _softplus(0) + _softplus(1) + _softplus(-1)) / 2,
        -(_softplus(1) + _softplus(-1)) / 2,
    ),
    NonSaturating(): (
        (_softplus(-2) + _softplus(0) + _softplus(1) + _softplus(-1)) / 2,
        (_softplus(-1) + _softplus(1)) / 2,
    ),
    NonSaturating(smoothing=0.1): (
        0.9 * (_softplus(-2) + _softplus(0)) / 2
        + 0.1 * (_softplus(2) + _softplus(0)) / 2
        + _softplus(1) / 2
        + _softplus(-1) / 2,
        (_softplus(-1) + _softplus(1)) / 2,
    ),
    RelativisticPairing(): (_softplus(-1), _softplus(1)),
    Cramer(): ((2 - 1) - (1.5 - 1), 2 * 1.5 - 2 - 2),  # E f(G(z)) - E f(x), f(x) = E|x - G(z)| - |x|
}
OBJECTIVES = pytest.mark.parametrize("objective", VALUES, ids=lambda objective: type(objective).__name__)


@OBJECTIVES
def test_values_by_hand(objective: Objective) -> None:
    critic, generator = VALUES[objective]
    assert objective.critic(REAL, FAKE).item() == pytest.approx(critic, abs=2e-6)
    assert objective.generator(REAL, FAKE).item() == pytest.approx(generator, abs=2e-6)


@OBJECTIVES
def test_objectives_have_right_gradients_and_take_vectors(objective: Objective) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(4, 3, dtype=torch.float64, generator=rng, requires_grad=True) for _ in range(2))
    weight = torch.tensor([0.5, 2.0, 1.0, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, y: objective.critic(x, y, weight), (real, fake))
    assert torch.autograd.gradgradcheck(lambda x, y: objective.critic(x, y, weight), (real, fake))
    assert torch.autograd.gradcheck(lambda x, y: objective.generator(x, y, weight), (real, fake))
    if not objective.compares:
        torch.testing.assert_close(objective.generator(None, fake), objective.generator(real, fake))
    assert objective.witness(real, fake).shape == (4,)


@OBJECTIVES
def test_weights_act_as_copies(objective: Objective) -> None:
    weight, rows = torch.tensor([3.0, 1.0]), [0, 0, 0, 1]
    if isinstance(objective, Cramer):  # copies would be pairs of their own: weigh by hand
        expected = 2 * (3 * (1 + 3) + (1 + 1)) / 8 - 2 - 2
        assert energy_distance(REAL, FAKE, weight).item() == pytest.approx(expected, abs=1e-5)
        assert objective.critic(REAL, FAKE, weight).item() == pytest.approx((2 - 1) - (1.75 - 1.5), abs=1e-5)
        return
    fakes = FAKE[rows] if isinstance(objective, RelativisticPairing) else FAKE
    torch.testing.assert_close(objective.critic(REAL, FAKE, weight), objective.critic(REAL[rows], fakes))


def test_energy_distance_is_unbiased_and_takes_negative_weights() -> None:
    """Background under a signal, subtracted with sWeights: what is left is the signal."""
    rng = torch.Generator().manual_seed(1)

    def normal(mean: float, size: int) -> Tensor:
        return torch.randn(size, 2, generator=rng) + mean

    null = torch.stack([energy_distance(normal(0, 20), normal(0, 20)) for _ in range(400)])
    assert abs(null.mean()) < 4 * null.std() / 20
    mixed = torch.cat((normal(0, 1000), normal(3, 500), normal(3, 500)))
    weight = torch.cat((torch.ones(1500), -torch.ones(500)))
    assert energy_distance(mixed, normal(0, 1500), weight) < 0.05
    assert energy_distance(mixed, normal(0, 1500)) > 1.0
    with pytest.raises(PartiganError, match="at least two samples"):
        energy_distance(normal(0, 1), normal(0, 3))


class ToyGenerator(Generator):
    """x = W z + b, of any shape; masks are obeyed."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, nn.Linear(3, math.prod(shape))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        return torch.randn(size, 3, generator=rng, dtype=self.layer.weight.dtype)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        x: Tensor = self.layer(noise).view(-1, *self.shape)
        return x if mask is None else x * mask[..., None]


class ToyCritic(Critic):
    """A small network with everything that a critic may return."""

    def __init__(self, *shape: int, outputs: int = 1, rich: bool = True) -> None:
        super().__init__()
        self.rich = rich
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.Softplus())
        self.score, self.classes = nn.Linear(8, outputs), nn.Embedding(4, 8)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        features = self.body(x)
        if not self.rich:
            return CriticOutput(self.score(features))
        logits = features @ self.classes.weight.T
        if condition is None or condition.is_floating_point():
            return CriticOutput(self.score(features), features, logits)
        proxy = functional.normalize(self.classes(condition), dim=1)
        return CriticOutput(self.score(features), features, logits, functional.normalize(features, dim=1), proxy)


def _turn(critic: Critic, real: Batch, objective: Objective | None = None, **networks: nn.Module) -> Turn:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    generator = networks.setdefault("generator", ToyGenerator(*real.x.shape[1:]).to(real.x.dtype))
    fake = Batch(generator(generator.noise(len(real), None, rng), real.condition, real.mask), real.mask, real.condition)
    outputs = [critic(sample.x, sample.condition, sample.mask) for sample in (real, fake)]
    return Turn(
        critic, real, fake, outputs[0], outputs[1], rng, objective or Wasserstein(), {"critic": critic, **networks}
    )


def _batch(*shape: int, labels: bool = True, masked: bool = False, size: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(size, *shape, generator=rng, dtype=torch.float64)
    mask = torch.arange(shape[0]) < torch.arange(1, size + 1)[:, None] if masked else None
    x = x if mask is None else x * mask[..., None]
    return Batch(x, mask, torch.arange(size) % 3 if labels else None)


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
    "lazy R1": Case(lambda: R1(every=16), True, False),
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
    case, real = TERMS[name], _batch(*SIZES[shape], **SHAPES[shape])
    torch.manual_seed(1)
    critic, reader = (ToyCritic(*SIZES[shape], outputs=outputs if n else 4).double() for n in (1, 0))
    critic.score.weight.data *= 30  # slopes above 1, for the one-sided penalty
    objective = Wasserstein() if outputs == 1 else Cramer()
    made = {}
    for player, plays in (("critic", case.critic), ("generator", case.generator)):
        turns = [_turn(critic, real, objective, constrainer=reader) for _ in range(2)]
        values = [getattr(case.make(), player)(turn) for turn in turns]
        assert (values[0] is not None) == plays, player
        if not plays:
            continue
        made[player] = value = values[0]
        assert value.shape == ()
        assert torch.isfinite(value)
        assert torch.equal(value, values[1])  # randomness from the turn's generator alone
        network = turns[0].networks[player]
        gradients = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in gradients), player
    assert made


def test_padding_has_no_influence_on_terms() -> None:
    """A cloud padded further gives the same penalties, except for what is drawn at random."""
    real = _batch(5, 3, masked=True)
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
    turn = _turn(Quadratic(a, b), _batch(*shape))
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
    real = _batch(2, size=1)
    critic = ToyCritic(2, outputs=3).double()
    turn = _turn(critic, real, Cramer())
    x = real.x.clone().requires_grad_()
    h, other = critic(x).score, turn.fake_output.score.detach()
    (slope,) = torch.autograd.grad((h - other).norm() - h.norm(), x)
    torch.testing.assert_close(R1().critic(turn), 0.5 * slope.square().sum())


def test_orthogonal_regularisation_by_hand() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    network[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    turn = replace(_turn(ToyCritic(2).double(), _batch(2)), networks={"critic": network})
    assert OrthogonalRegularisation().critic(turn).item() == 2 * (3 - 2) ** 2  # type: ignore[union-attr]
    assert OrthogonalRegularisation(players="generator").critic(turn) is None


def test_contrastive_loss_by_hand() -> None:
    turn = _turn(ToyCritic(4).double(), _batch(4))
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
    turn = _turn(ToyCritic(4).double(), _batch(4))
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
    term, real = LatentOptimisation(weight=2.0), _batch(4)
    layer, weight = networks["generator"].layer, networks["critic"].weight
    noise = torch.randn(6, 3, dtype=torch.float64)
    g = layer.weight.T @ weight
    step = 0.9 / (5 + g.square().sum()) * g
    torch.testing.assert_close(term.noise(noise, real, networks), noise + step)

    def score(w: Tensor, matrix: Tensor) -> Tensor:
        slope = matrix.T @ w
        change = 0.9 / (5 + slope @ slope) * slope
        return ((noise + change) @ matrix.T + layer.bias) @ w, change.square().sum()  # type: ignore[return-value]

    made = term.noise(noise, real, networks)
    outcome = networks["critic"](networks["generator"](made)).score[:, 0]
    expected, length = score(weight, layer.weight)
    torch.testing.assert_close(outcome, expected)
    for parameter in (weight, layer.weight):
        (one,), (two,) = (
            torch.autograd.grad(total.sum(), parameter, retain_graph=True) for total in (outcome, expected)
        )
        torch.testing.assert_close(one, two)
    for player, phase in (
        ("critic", CriticPhase(Wasserstein(), [term], torch.optim.SGD)),
        ("generator", GeneratorPhase(Wasserstein(), [term], torch.optim.SGD)),
    ):
        losses = phase.losses(networks, real, Tick(0, torch.Generator().manual_seed(0)))
        assert losses["LatentOptimisation"].item() == pytest.approx(2 * length.item())
        assert losses["objective"].requires_grad, player
    plain = CriticPhase(Wasserstein(), [], torch.optim.SGD)
    fake = plain.fake(networks, real, Tick(0, torch.Generator().manual_seed(0)))
    assert not fake.x.requires_grad  # as ever without the term
    with pytest.raises(PartiganError, match="damping = 0 of LatentOptimisation"):
        LatentOptimisation(damping=0)


def test_commitment_and_intensity_cut_by_hand() -> None:
    turn = _turn(Slope(4), _batch(4))
    expected = (turn.real.x.square().mean() + turn.fake.x.square().mean()) / 2
    torch.testing.assert_close(Commitment().critic(turn), expected)
    x = torch.tensor([-1.0, -0.75, -0.5, -0.26, -0.25, 0.9], dtype=torch.float64)[:, None]
    cut = IntensityCut().generator(replace(turn, fake=Batch(x)))
    assert cut.item() == pytest.approx((0.25**2 + 0.49**2) / 6)
    with pytest.raises(PartiganError, match=r"dark = 0\.0 of IntensityCut"):
        IntensityCut(dark=0.0)


def test_constrainer_reads_energies_and_classes() -> None:
    reader = ToyCritic(4, outputs=2).double()
    sample = replace(_batch(4, labels=False), condition=torch.ones(6, 2, dtype=torch.float64))
    expected = (reader(sample.x).score - 1).square().mean()
    torch.testing.assert_close(reading_error(reader, sample), expected)
    with pytest.raises(PartiganError, match="gives 2 numbers for the 3 of a condition"):
        reading_error(reader, replace(sample, condition=torch.ones(6, 3)))
    with pytest.raises(PartiganError, match="the data have none"):
        reading_error(reader, replace(sample, condition=None))


@pytest.mark.parametrize("augmentation", [Flip(-1), Flip(-2), Shift(-1, 0.5), Shift(-2, 0.25)])
def test_augmentations_move_pixels_of_some_samples(augmentation: Augmentation) -> None:
    images = Batch(torch.arange(40 * 2 * 4 * 8.0).view(40, 2, 4, 8))
    changed = augmentation(images, torch.Generator().manual_seed(0)).x
    moved = (changed != images.x).flatten(1).any(1)
    assert 10 < moved.sum() <= 40
    assert {*changed[5].flatten().tolist()} <= {*images.x[5].flatten().tolist()}  # no new values
    with pytest.raises(PartiganError, match="cannot change clouds"):
        augmentation(_batch(5, 3, masked=True), torch.Generator())


def test_shift_by_hand() -> None:
    rows = Batch(torch.arange(6.0).repeat(50, 1))
    found = {tuple(row) for row in Shift(-1, 0.4)(rows, torch.Generator().manual_seed(0)).x.tolist()}
    assert found == {
        (2, 3, 4, 5, 5, 4),
        (1, 2, 3, 4, 5, 5),
        (0, 1, 2, 3, 4, 5),
        (0, 0, 1, 2, 3, 4),
        (1, 0, 0, 1, 2, 3),
    }


def test_weight_clipping_acts_after_the_critics_step() -> None:
    critic = ToyCritic(2)
    phase = CriticPhase(Wasserstein(), [WeightClipping(0.01)], torch.optim.SGD)
    phase.after_step({"critic": critic})
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
    terms = [InstanceNoise(0.4)]
    for done, expected in ((0.0, 0.4), (0.5, 0.2), (1.0, 0.0)):
        for phase in (CriticPhase, GeneratorPhase):
            phase(RelativisticPairing(), terms, torch.optim.SGD).losses(
                networks, real, Tick(7, torch.Generator().manual_seed(0), done)
            )
        assert len(seen) == 4  # both players look at both samples
        assert [x.std().item() for x in seen] == pytest.approx([expected] * 4, rel=0.1)
        seen.clear()


def test_terms_end_are_lazy_and_are_annealed() -> None:
    term = MeanFieldMatching(until=10)
    assert term.active(9)
    assert not term.active(10)
    assert MeanFieldMatching().active(10**9)
    lazy = R1(weight=2.0, every=4)
    assert sum(lazy.factor(0.0) for step in range(12) if lazy.active(step)) == 12 * 2.0
    assert R1(3.0, annealing=WarmupCosine(0.0, 0.5)).factor(1.0) == pytest.approx(1.5)
    with pytest.raises(PartiganError, match="every = 0 of R1"):
        R1(every=0)


@pytest.mark.parametrize(
    ("term", "batch", "critic", "message"),
    [
        (MeanFieldMatching(), _batch(4), {"rich": False}, "needs a critic that returns features; ToyCritic returns"),
        (FeatureMatching(until=1), _batch(4), {"rich": False}, "FeatureMatching needs a critic that returns features"),
        (AuxiliaryClassifier(), _batch(4), {"rich": False}, "needs a critic that returns logits"),
        (
            AuxiliaryClassifier(),
            _batch(4, labels=False),
            {},
            "needs a class label for every sample; the data have none",
        ),
        (Contrastive(), _batch(4, labels=False), {}, "Contrastive needs a class label"),
        (Contrastive(), _batch(4), {"rich": False}, "needs a critic that returns embedding"),
        (Commitment(), _batch(4), {}, "needs a critic that returns commitment"),
        (Constraint(), _batch(4), {}, "give system.constrainer and its optimiser"),
        (Consistency([Flip()]), _batch(5, 3, masked=True), {}, "Flip moves pixels and cannot change clouds"),
        (R1(), _batch(3), {}, "fails on samples of shape"),
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
        [term],
    )
    before = {name: value.clone() for name, value in system.state_dict().items()}
    with pytest.raises(PartiganError, match=message):
        system.rehearse(batch)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
