"""Footprints: sizes, geometry that is exact, and slopes that stay small."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import shaken
from partigan.errors import PartiganError
from partigan.nets.airshowers import FootprintCritic, FootprintGenerator
from partigan.observables.airshowers import front_axis, station_positions

KNOWN: dict[str, Any] = {"conditions": 3, "energy": 0, "zenith": 1}


def conditions(number: int, zenith: float = 0.7, energy: float = 1.5) -> Tensor:
    return torch.tensor([[energy, zenith, 1.4]]).expand(number, 3)


def made(generator: FootprintGenerator, number: int, condition: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        x: Tensor = generator(generator.noise(number, None, torch.Generator().manual_seed(1)), condition)
    return x


def test_sizes() -> None:
    networks = FootprintGenerator(**KNOWN), FootprintCritic(conditions=3, zenith=1)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [10_835, 33_409]


@pytest.mark.parametrize("layout", ["cartesian", "axial", "offset"])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_array_with_and_without_conditions(layout: str, channels: int) -> None:
    options: dict[str, Any] = {"channels": channels, "height": 5, "width": 7, "layout": layout, "spacing": 900.0}
    for known, condition in (({}, None), ({"conditions": 3, "zenith": 1}, conditions(4).double())):
        generator, critic = shaken(FootprintGenerator, **options, **known), shaken(FootprintCritic, **options, **known)
        noise = generator.noise(4, None, torch.Generator().manual_seed(1)).double()
        x = generator(noise, condition)
        assert x.shape == (4, channels, 5, 7)
        torch.testing.assert_close(generator.deployed()(noise, condition), x)
        output = critic(x, condition)
        assert output.score.shape == (4, 1)
        if condition is not None:
            assert not torch.allclose(critic(x, condition + 0.2).score, output.score)


def test_a_new_generator_has_the_zenith_angle_and_the_energy_that_are_asked_for() -> None:
    generator, positions = FootprintGenerator(**KNOWN), station_positions("cartesian", 9, 9)
    for zenith in (0.2, 0.9):
        x = made(generator, 400, conditions(400, zenith, 2.0))
        axis = front_axis(x[:, 0], 1000 * x[:, 1], positions)
        assert axis.norm(dim=1).asin().median() == pytest.approx(zenith, abs=0.02)
        assert axis.mean(0).abs().max() < 0.1  # any azimuth
    low, high = (made(generator, 400, conditions(400, 0.5, energy))[:, 0] for energy in (0.5, 1.5))
    there = (low > 2) & (high < 4)  # far above the trigger, far below what fills a station
    assert (high - low)[there].mean().item() == pytest.approx(1, abs=0.05)
    assert (high > 0).sum() > (low > 0).sum()


def test_silent_stations_have_no_time() -> None:
    x = made(FootprintGenerator(**KNOWN), 100, conditions(100))
    assert 0.02 < (x[:, 0] > 0).float().mean() < 0.5
    assert (x[:, 1][x[:, 0] == 0] == 0).all()


def test_the_critics_slope_is_small_and_none_at_silent_stations() -> None:
    """A silent station has the time 0, which would tilt every front: as a hit it would be a large slope."""
    torch.manual_seed(0)
    critic, condition = FootprintCritic(conditions=3, zenith=1), conditions(200)
    x = made(FootprintGenerator(**KNOWN), 200, condition).requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, condition).score.sum(), x, create_graph=True)
    assert (slope[x == 0] == 0).all()
    assert (slope != 0).any()
    squared = slope.square().sum((1, 2, 3))
    assert squared.max() < 100
    empty = torch.zeros(3, 2, 9, 9, requires_grad=True)  # showers without any hit
    (none,) = torch.autograd.grad(critic(empty, condition[:3]).score.sum(), empty, create_graph=True)
    squared = torch.cat((squared, none.square().sum((1, 2, 3))))
    second = torch.autograd.grad(squared.mean(), [*critic.parameters()], allow_unused=True)
    assert all(part.isfinite().all() and part.abs().max() < 100 for part in second if part is not None)


def test_the_critic_sees_whether_the_zenith_angle_is_the_one_asked_for() -> None:
    x = made(FootprintGenerator(**KNOWN), 300, conditions(300))
    critic = FootprintCritic(conditions=3, zenith=1)
    right, wrong = (critic(x, conditions(300, zenith)).features[:, 9] for zenith in (0.7, 0.5))  # type: ignore[index]
    assert right.mean().abs() < 0.3
    assert wrong.mean() > 1


def test_a_column_that_there_is_not() -> None:
    with pytest.raises(PartiganError, match="zenith = 3 is no column of 3 conditions"):
        FootprintGenerator(conditions=3, zenith=3)
