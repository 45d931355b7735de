from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import Shifted
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.clouds.observing import ObservableCritic
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.selection import SelectingGenerator
from partigan.systems.losses import JudgeLoss, LikelihoodLoss
from partigan.systems.system import Tick


def learned(generator: SelectingGenerator, data: Batch, steps: int) -> list[float]:
    """The judge's losses in its phase."""
    loss_of = JudgeLoss()
    optimizer = torch.optim.Adam(generator.judge.parameters(), 1e-2)
    losses = []
    for step in range(steps):
        tick = Tick(step, torch.Generator().manual_seed(step))
        (loss,) = loss_of.parts({"generator": generator}, {"data": data}, tick).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


class Line(Critic):
    """A straight line of the first feature."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput(self.line(x[:, 0, :1]))


def test_the_judge_learns_the_logarithm_of_the_odds() -> None:
    """Between normal distributions a distance of 0.7 apart they are a line of the slope -0.7, 0 in the middle."""
    torch.manual_seed(1)
    generator = SelectingGenerator(Shifted(particles=1), judge := Line())
    learned(generator, Batch(torch.randn(20_000, 1, 3, generator=torch.Generator().manual_seed(3))), 300)
    assert float(judge.line.weight.detach()) == pytest.approx(-0.7, abs=0.03)
    assert float(judge.line.bias.detach()) == pytest.approx(0.245, abs=0.03)


def test_the_judge_learns_and_the_generator_does_not_in_its_turn() -> None:
    torch.manual_seed(1)
    generator = SelectingGenerator(Shifted(particles=1), ObservableCritic(1, 16))
    data = Batch(0.6 * torch.randn(512, 1, 3, generator=torch.Generator().manual_seed(3)))
    losses = learned(generator, data, 150)
    assert all(parameter.grad is None for parameter in generator.generator.parameters())
    assert losses[0] > 1.3
    far = Batch(data.x.clone()[:2])
    far.x[0] *= 30
    usual, beyond = (generator.judge.log_odds(generator.judge(x)) for x in (data.x, far.x))
    assert beyond[0] < usual.min() - 100 < beyond[1]
    assert np.mean(losses[-20:]) < 1.35  # 1.386 for one that knows nothing


def test_likelihoods_need_an_explicit_model() -> None:
    data = {"data": Batch(torch.zeros(4, 3))}
    with pytest.raises(PartiganError, match="which Linear is not"):
        LikelihoodLoss().parts({"generator": torch.nn.Linear(3, 3)}, data, Tick(0, torch.Generator()))
    assert LikelihoodLoss("other").needs() == ({"other"}, {"data"})
