from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.tables import TableCritic
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
from partigan.objectives.penalties import GradientPenalty
from partigan.objectives.terms import Turn

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
    weight, rows = torch.tensor([1.5, 0.5]), [0, 0, 0, 1]
    if isinstance(objective, Cramer):  # copies would be pairs of their own: weigh by hand
        expected = 2 * (1.5 * (1 + 3) + 0.5 * (1 + 1)) / 4 - 1.5 * 0.5 * 2 - 2
        assert energy_distance(REAL, FAKE, weight).item() == pytest.approx(expected, abs=1e-5)
        assert objective.critic(REAL, FAKE, weight).item() == pytest.approx((2 - 1) - (1.75 - 1.5), abs=1e-5)
        return
    fakes = FAKE[rows] if isinstance(objective, RelativisticPairing) else FAKE
    torch.testing.assert_close(objective.critic(REAL, FAKE, weight), objective.critic(REAL[rows], fakes))


@OBJECTIVES
def test_generated_samples_carry_weights_too(objective: Objective) -> None:
    """As copies; and those of weights that add up to 0 in a batch, or are negative, are finite."""
    weight, rows = torch.tensor([1.5, 0.5]), [0, 0, 0, 1]
    if not objective.compares:
        torch.testing.assert_close(objective.critic(REAL, FAKE, None, weight), objective.critic(REAL, FAKE[rows]))
        torch.testing.assert_close(objective.generator(None, FAKE, None, weight), objective.generator(None, FAKE[rows]))
    if isinstance(objective, Cramer):
        torch.testing.assert_close(energy_distance(REAL, FAKE, weight), energy_distance(FAKE, REAL, None, weight))
        assert objective.witness(REAL, FAKE, weight).tolist() == pytest.approx([-0.5, 1], abs=1e-5)
    for zero in (torch.tensor([1.0, -1.0]), torch.zeros(2)):
        for loss in (objective.critic, objective.generator):
            assert loss(REAL, FAKE, zero, zero).isfinite()


def test_distances_of_many_scores_are_those_of_their_differences() -> None:
    """With their slopes, also where samples are close."""
    rng = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(6, 40, generator=rng) for _ in range(2))
    fake = torch.cat((fake, real[:2] + 1e-3 * torch.randn(2, 40, generator=rng))).requires_grad_()

    def between(a: Tensor, b: Tensor) -> Tensor:
        return ((a[:, None] - b).square().sum(2) + 1e-12).sqrt()

    exact = fake.detach().double().requires_grad_()
    twice = real.double()
    expected = 2 * between(twice, exact).mean() - between(twice, twice).sum() / 30 - between(exact, exact).sum() / 56
    found = energy_distance(real, fake)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    slopes = [torch.autograd.grad(value, x)[0].double() for value, x in ((found, fake), (expected, exact))]
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-4, rtol=1e-3)


def test_energy_distance_is_unbiased_and_takes_negative_weights() -> None:
    """Background under a signal, subtracted with sWeights: what is left is the signal."""
    rng = torch.Generator().manual_seed(1)

    def normal(mean: float, size: int) -> Tensor:
        return torch.randn(size, 2, generator=rng) + mean

    null = torch.stack([energy_distance(normal(0, 20), normal(0, 20)) for _ in range(400)])
    assert abs(null.mean()) < 4 * null.std() / 20
    mixed = torch.cat((normal(0, 1000), normal(3, 500), normal(3, 500)))
    weight = 2 * torch.cat((torch.ones(1500), -torch.ones(500)))
    assert energy_distance(mixed, normal(0, 1500), weight) < 0.05
    assert energy_distance(mixed, normal(0, 1500)) > 1.0
    with pytest.raises(PartiganError, match="at least two samples"):
        energy_distance(normal(0, 1), normal(0, 3))


def test_the_critics_estimate_is_the_wasserstein_distance() -> None:
    """Two Gaussians at a distance d: at the optimum the penalised critic finds d (1 + d / (2 lambda))."""
    distance, rows = 2.0, torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    critic = TableCritic(features=2, width=32, depth=2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    shift = torch.tensor([distance, 0.0])
    penalty, objective = GradientPenalty(), Wasserstein()
    for _ in range(300):
        real, fake = (Batch(torch.randn(256, 2, generator=rows) + s) for s in (shift, 0.0))
        outputs = critic(real.x), critic(fake.x)
        loss = objective.critic(outputs[0].score, outputs[1].score)
        (loss + 100 * penalty.critic(Turn(critic, real, fake, *outputs, rows))).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    plain = torch.randn(50_000, 2, generator=rows)
    with torch.no_grad():
        estimate = -objective.critic(critic(plain + shift).score, critic(plain).score)
    assert estimate.item() == pytest.approx(distance, rel=0.05)
