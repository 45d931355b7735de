from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput
from partigan.objectives.losses import LeastSquares, NonSaturating, Objective, Wasserstein
from partigan.objectives.matching import MeanFieldMatching
from partigan.objectives.penalties import GradientPenalty
from partigan.objectives.terms import Turn

REAL, FAKE = torch.tensor([[2.0], [0.0]]), torch.tensor([[1.0], [-1.0]])


@pytest.mark.parametrize(
    ("objective", "critic", "generator"),
    [
        (LeastSquares(), 0.5 * 1 + 0.5 * 1, 0.5 * 2),
        (Wasserstein(), 0 - 1, 0),
        (
            NonSaturating(),
            (math.log1p(math.exp(-2)) + math.log(2) + math.log1p(math.e) + math.log1p(math.exp(-1))) / 2,
            (math.log1p(math.exp(-1)) + math.log1p(math.e)) / 2,
        ),
    ],
)
def test_values_by_hand(objective: Objective, critic: float, generator: float) -> None:
    assert objective.critic(REAL, FAKE).item() == pytest.approx(critic, abs=1e-6)
    assert objective.generator(None, FAKE).item() == pytest.approx(generator, abs=1e-6)


@pytest.mark.parametrize("objective", [LeastSquares(), Wasserstein(), NonSaturating()])
def test_weights_act_as_copies(objective: Objective) -> None:
    weighted = objective.critic(REAL, FAKE, torch.tensor([3.0, 1.0]))
    copied = objective.critic(REAL[[0, 0, 0, 1]], FAKE)
    torch.testing.assert_close(weighted, copied)


class LinearCritic(Critic):
    """score = slope . sum of the particles."""

    def __init__(self, slope: list[float]) -> None:
        super().__init__()
        self.slope = torch.tensor(slope)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput((x.sum(1) @ self.slope)[:, None], x.mean(1) if self.slope[0] else None)


def _turn(critic: Critic) -> Turn:
    rng = torch.Generator().manual_seed(0)
    real, fake = (Batch(torch.randn(8, 4, 2, generator=rng), torch.ones(8, 4, dtype=torch.bool)) for _ in range(2))
    return Turn(critic, real, fake, critic(real.x), critic(fake.x), rng)


@pytest.mark.parametrize("slope", [[0.3, 0.4], [3.0, -4.0]])
def test_gradient_penalty_of_a_linear_critic(slope: list[float]) -> None:
    norm = math.hypot(*slope) * 2  # four particles with the same slope
    assert GradientPenalty().critic(_turn(LinearCritic(slope))).item() == pytest.approx((norm - 1) ** 2, rel=1e-5)


def test_matching_compares_mean_fields_jet_by_jet() -> None:
    turn = _turn(LinearCritic([1.0, 1.0]))
    expected = ((turn.real.x.mean(1) - turn.fake.x.mean(1)) ** 2).mean()
    torch.testing.assert_close(MeanFieldMatching().generator(turn), expected)
    assert MeanFieldMatching().critic(turn) is None
    with pytest.raises(PartiganError, match="needs a critic that returns features; LinearCritic returns none"):
        MeanFieldMatching().generator(_turn(LinearCritic([0.0, 1.0])))


def test_terms_end() -> None:
    term = MeanFieldMatching(until=10)
    assert term.active(9)
    assert not term.active(10)
    assert MeanFieldMatching().active(10**9)
