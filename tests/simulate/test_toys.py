from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers import rng
from partigan.data.samples import file_attributes, read_samples
from partigan.errors import PartiganError
from partigan.metrics.sliced import sliced_w1
from partigan.objectives.losses import NonSaturating
from partigan.simulate.toys import (
    TOYS,
    covered_modes,
    divergences_of_lines,
    estimated_divergences,
    optimal_discriminator,
    simulate_toy,
    w2,
)


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_what_they_say(name: str) -> None:
    toy = TOYS[name]
    rows = toy.draw(20_000, rng())
    assert rows.shape == (20_000, len(toy.features))
    if len(toy.modes):
        modes, share = covered_modes(toy, rows)
        assert modes == len(toy.modes)
        dimensions = rows.shape[1]
        inside = math.erf(3 / math.sqrt(2)) if dimensions == 1 else 1 - math.exp(-4.5)
        assert share == pytest.approx(inside, abs=0.003)


def test_modes_are_covered_by_a_quarter_of_their_share() -> None:
    grid = TOYS["grid"]
    rows = grid.modes[np.repeat(np.arange(24), 100)]  # one mode is missing
    some = np.concatenate((rows, grid.modes[[24] * 25], grid.modes[[0] * 75]))
    few = np.concatenate((rows, grid.modes[[24] * 24], grid.modes[[0] * 76]))
    off = np.concatenate((rows, grid.modes[[24] * 100] + 0.2))  # more than three standard deviations away
    assert [covered_modes(grid, sample)[0] for sample in (some, few, off)] == [25, 24, 24]
    assert covered_modes(grid, off)[1] == 0.96
    assert covered_modes(grid, rng().uniform(-5, 5, (2500, 2)))[0] == 0  # noise covers nothing


def test_distances_of_samples() -> None:
    a = rng().normal(size=(400, 2))
    shift = np.array([3.0, 4.0])
    assert w2(a, a[::-1] + shift) == pytest.approx(5.0)
    assert w2(a, a) == 0
    mean = np.mean(np.abs(5 * np.cos(np.linspace(0, 2 * np.pi, 10_001))))  # of |shift . direction|
    assert sliced_w1(a, a + shift, rng(), 2000) == pytest.approx(mean, rel=0.05)
    assert sliced_w1(a[:, :1], a[:, :1] + 2, rng()) == pytest.approx(2.0)
    with pytest.raises(PartiganError, match="400 and 3 rows"):
        w2(a, a[:3])


def test_only_wasserstein_sees_how_far_disjoint_lines_are_apart() -> None:
    height = np.stack((np.zeros(400), rng().random(400)), axis=1)
    other = np.stack((np.zeros(400), rng(1).random(400)), axis=1)
    for theta in (0.0, 0.25, -0.5, 1.0):
        exact, found = divergences_of_lines(theta), estimated_divergences(height, other + np.array([theta, 0]))
        assert found["w1"] == pytest.approx(exact["w1"], abs=0.08)
        assert found["js"] == pytest.approx(exact["js"], abs=0.05)
        assert math.isinf(found["kl"]) == math.isinf(exact["kl"])


def test_a_trained_discriminator_is_the_optimal_one() -> None:
    """Two peaks against a generator that knows only one of them (the lecture's picture of mode collapse)."""
    toy, generator = TOYS["two-peaks"], torch.Generator().manual_seed(0)
    real = torch.tensor(toy.draw(20_000, rng())).float()
    fake = 5 + 0.8 * torch.randn(20_000, 1, generator=generator)
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        rows = torch.randint(20_000, (2, 2000), generator=generator)
        NonSaturating().critic(critic(real[rows[0]] / 5), critic(fake[rows[1]] / 5)).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    x = np.linspace(-10, 10, 300)

    def normal(mean: float, sigma: float) -> Any:
        return np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))

    p, q = 0.7 * normal(5, 0.8) + 0.3 * normal(-4, 1), normal(5, 0.8)
    seen = p + q > 0.02  # elsewhere there are next to no samples to learn from
    found = torch.sigmoid(critic(torch.tensor(x[seen, None] / 5).float())).detach().numpy()[:, 0]
    assert np.abs(found - optimal_discriminator(p, q)[seen]).max() < 0.05


def test_simulations_are_reproducible_and_refuse(tmp_path: Path) -> None:
    files = [simulate_toy("ring", 50, tmp_path / f"{n}.h5", seed=3) for n in "ab"]
    first, second = (read_samples(path, "all", "rows", 2).x for path in files)
    assert torch.equal(first, second)
    assert file_attributes(files[0])["kind"] == "tables"
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        simulate_toy("ring", 50, files[0])
    with pytest.raises(PartiganError, match="unknown toy 'square'; there are two-peaks, ring"):
        simulate_toy("square", 50, tmp_path / "c.h5")  # type: ignore[arg-type]
