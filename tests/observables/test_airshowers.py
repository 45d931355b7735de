from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from partigan.observables.airshowers import (
    SPEED,
    axis_distance,
    centre,
    front_axis,
    front_delay,
    shower_observables,
    station_positions,
)

POSITIONS = station_positions("cartesian", 9, 9).double()


def planted(zenith: float, azimuth: float, curvature: float, slope: float = -4.0) -> tuple[Tensor, Tensor]:
    """A shower through the middle: signals by a power of the distance from the axis, times of a curved front."""
    axis = np.sin(zenith) * torch.tensor([[np.cos(azimuth), np.sin(azimuth)]], dtype=torch.float64)
    ones = torch.ones(1, 9, 9, dtype=torch.float64)
    distance = axis_distance(ones, POSITIONS, axis)
    signal = 1000 * (distance.clamp_min(100) / 1000) ** slope
    time = (-(POSITIONS * axis[0]).sum(-1) + distance**2 * curvature / 2000) / SPEED
    hit = distance < 4000
    return signal * hit, (time + 10) * hit


@pytest.mark.parametrize("azimuth", [0.3, 2.5, -1.9])
def test_observables_of_a_known_shower(azimuth: float) -> None:
    signal, time = planted(0.6, azimuth, 0.1)
    found = {name: values.item() for name, values in shower_observables(signal, time, POSITIONS).items()}
    assert found["total"] == pytest.approx(np.log10(signal.sum().item()))
    assert found["stations"] == (signal > 0).sum()
    assert found["largest"] == pytest.approx(7)
    assert found["slope"] == pytest.approx(-4, abs=0.02)
    assert found["s1000"] == pytest.approx(3, abs=0.02)
    assert found["zenith"] == pytest.approx(np.degrees(0.6), abs=0.5)
    assert found["curvature"] == pytest.approx(0.1, abs=0.01)
    assert found["spread"] < 20
    plain = shower_observables(signal, None, POSITIONS)
    assert [*plain] == ["total", "stations", "largest", "slope", "s1000"]


def test_delays_are_those_of_a_curved_front() -> None:
    signal, time = planted(0.6, 0.3, 0.1)
    late = front_delay(signal, time, POSITIONS)
    distance = axis_distance(signal, POSITIONS, front_axis(signal, time, POSITIONS))
    hit = signal > 0
    wanted = distance**2 * 0.1 / 2000 / SPEED
    torch.testing.assert_close(late[hit], wanted[hit], rtol=0.1, atol=20)
    assert (late[~hit] == 0).all()
    few = torch.zeros_like(signal)
    few[:, 4:6, 4:6] = signal[:, 4:6, 4:6]
    assert (front_delay(few, time * (few > 0), POSITIONS) == 0).all()


def test_spread_is_that_of_the_times() -> None:
    signal, time = planted(0.3, 1.0, 0.08)
    rng = torch.Generator().manual_seed(1)
    many = signal.expand(400, 9, 9)
    noise = 150 * torch.randn(many.shape, generator=rng, dtype=torch.float64) * (many > 0)
    spread = shower_observables(many, time + noise, POSITIONS)["spread"]
    assert spread.square().mean().sqrt().item() == pytest.approx(150, rel=0.04)


def test_directions_in_all_layouts() -> None:
    for layout in ("axial", "offset", "cartesian"):
        positions = station_positions(layout, 9, 9).double()
        axis = torch.tensor([[0.3, -0.5]], dtype=torch.float64)
        time = -(positions * axis[0]).sum(-1)[None] / SPEED + 77
        torch.testing.assert_close(front_axis(torch.ones_like(time), time, positions), axis, atol=1e-4, rtol=0)


def test_few_stations_and_none_give_zeros() -> None:
    signal = torch.zeros(3, 9, 9)
    signal[1, 4, 4], signal[2, 4, 3:5] = 500.0, 300.0
    found = shower_observables(signal, signal, POSITIONS.float())
    assert all(values.isfinite().all() for values in found.values())
    for name in ("slope", "s1000", "zenith", "curvature", "spread"):
        assert (found[name] == 0).all(), name
    assert found["stations"].tolist() == [0, 1, 2]
    in_line = torch.zeros(1, 9, 9)
    in_line[0, :, 4] = 400.0
    assert all(values.isfinite().all() for values in shower_observables(in_line, in_line, POSITIONS.float()).values())


def test_they_are_differentiable() -> None:
    signal, time = (part.clone().requires_grad_() for part in planted(0.5, 0.7, 0.1))
    found = shower_observables(signal, time, POSITIONS)
    slopes = torch.autograd.grad(sum(values.sum() for values in found.values()), (signal, time))
    assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)


def test_the_centre_is_near_the_core() -> None:
    shifted = 1000 * ((POSITIONS - torch.tensor([400.0, -300.0])).norm(dim=-1)[None] / 1000) ** -4.0
    found = centre(shifted * (shifted > 100), POSITIONS)[0]
    assert (found - torch.tensor([400.0, -300.0])).norm() < 300
