"""Mixtures of normals, feature by feature: their density is the one that samples are drawn from."""

from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.nets.mixtures import MixtureGenerator
from partigan.systems.losses import LikelihoodLoss
from partigan.systems.system import Tick


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.fixture
def generator() -> MixtureGenerator:
    torch.manual_seed(0)
    return MixtureGenerator(features=2, conditions=1, components=3, width=16)


def density(generator: MixtureGenerator, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """At rows of two features."""
    return (-2 * generator.surprise(x, condition, None, rng())).exp()


@torch.no_grad()
def test_the_density_is_that_of_the_samples(generator: MixtureGenerator) -> None:
    """It adds up to 1 on a grid, and the shares of samples in the grid's quarters are its sums there."""
    axis = torch.linspace(-9, 9, 241)
    grid, condition = torch.cartesian_prod(axis, axis), torch.tensor([[0.5]])
    mass = density(generator, grid, condition.expand(len(grid), 1)) * (axis[1] - axis[0]) ** 2
    assert mass.sum().item() == pytest.approx(1, abs=0.01)
    made = generator(generator.noise(20_000, None, rng()), condition.expand(20_000, 1))
    regions = (lambda x: (x > 0.5).all(1), lambda x: (x < -0.5).all(1), lambda x: (x[:, 0] > 0) & (x[:, 1] < x[:, 0]))
    for inside in regions:
        assert inside(made).double().mean().item() == pytest.approx(mass[inside(grid)].sum().item(), abs=0.015)


def test_features_follow_each_other_and_rows_have_the_shape(generator: MixtureGenerator) -> None:
    noise, condition = generator.noise(7, None, rng()), torch.zeros(7, 1)
    made = generator(noise, condition)
    assert made.shape == (7, 2)
    noise[:, [1, 3]] += 1  # what belongs to the second feature
    assert torch.equal(generator(noise, condition)[:, 0], made[:, 0])
    labelled = MixtureGenerator(features=1, classes=4)
    assert labelled(labelled.noise(5, None, rng()), torch.arange(5) % 4).shape == (5, 1)
    assert sum(p.numel() for p in MixtureGenerator(5, conditions=8).parameters()) == 63_480


@pytest.mark.parametrize(("weighted", "ceiling"), [(False, 4.0), (True, 4.0), (True, 1e9)])
def test_likelihood_learns_two_peaks_and_weights_take_one_away(weighted: bool, ceiling: float) -> None:
    """Peaks at -2 and 2; rows at -2 may have weights of -1 and 0.9. Without a ceiling the density falls without end."""
    draw = rng()
    peak = torch.arange(400) % 2 * 4.0 - 2
    x = peak[:, None] + 0.3 * torch.randn(400, 1, generator=draw)
    cancelling = torch.tensor([0.9, -1.0]).repeat_interleave(2).repeat(100)
    weight = torch.where(peak > 0, 2.0, cancelling) if weighted else None
    torch.manual_seed(0)
    generator = MixtureGenerator(features=1, components=3, width=8, depth=1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.03)
    loss = LikelihoodLoss(ceiling=ceiling)
    for step in range(150):
        tick = Tick(step, draw, 0.0, None)
        (value,) = loss.parts({"generator": generator}, {"data": Batch(x, weight=weight)}, tick).values()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    made = generator(generator.noise(2000, None, draw)).detach()
    if ceiling > 1e3:
        assert value < -10 or made.abs().max() > 10
        return
    assert (made > 0).double().mean().item() == pytest.approx(1 - 0.5 * (not weighted), abs=0.06)
    assert made[made > 0].mean().item() == pytest.approx(2, abs=0.1)
    assert made[made > 0].std().item() == pytest.approx(0.3, abs=0.1)


def test_a_critic_moves_the_normals(generator: MixtureGenerator) -> None:
    made = generator(generator.noise(50, None, rng()), torch.zeros(50, 1))
    made[:, 1].sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generator.parts[1].parameters())
