from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import shaken
from partigan import generate, presets, train
from partigan.config import build, read, resolve
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.nets.images.airshower import (
    ShowerConstrainer,
    ShowerCritic,
    ShowerGenerator,
    StationGenerator,
    triggered,
)
from partigan.nets.images.stylegan import StyleGANGenerator
from partigan.nets.layers import Rectifier
from partigan.simulate.airshower import simulate_airshower

SMALL: dict[str, Any] = {"latent": 5, "dense": 6, "filters": (6, 5, 4, 3)}
PRESETS = [name for name in presets.names() if name.startswith("airshower")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_airshower(160, tmp_path_factory.mktemp("showers") / "a.h5")


def test_sizes_of_the_tutorial() -> None:
    networks = ShowerGenerator(), ShowerCritic()
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [1_345_537, 1_402_497]


def test_rectifiers_have_the_gradients_of_leaky_relu_also_the_second_ones() -> None:
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, generator=rng, dtype=torch.float64)

    def penalty(rectify: torch.nn.Module) -> list[torch.Tensor]:
        at = x.clone().requires_grad_()
        score = rectify(rectify(at @ weight) @ weight)
        (slope,) = torch.autograd.grad(score.sum(), at, create_graph=True)
        return [score, slope, *torch.autograd.grad(slope.square().sum(), weight)]

    torch.testing.assert_close(penalty(Rectifier(0.3)), penalty(torch.nn.LeakyReLU(0.3)))


@pytest.mark.parametrize("size", [(1, 9, 9), (2, 9, 9), (2, 11, 11), (1, 14, 14)])
@pytest.mark.parametrize("options", [{}, {"conditions": 3}, {"classes": 2}])
def test_networks_take_arrays_of_any_size_with_conditions(size: tuple[int, int, int], options: dict[str, int]) -> None:
    condition = {
        "conditions": torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3),
        "classes": torch.arange(4) % 2,
    }.get(next(iter(options), ""))
    generator = shaken(ShowerGenerator, *size, **options, **SMALL)
    critic = shaken(ShowerCritic, *size, **options, filters=(4, 5), strides=(1, 2), hidden=6, spectral=True)
    noise = generator.noise(4, None, torch.Generator().manual_seed(1)).double()
    made = generator(noise, condition)
    assert made.shape == (4, *size)
    torch.testing.assert_close(generator.deployed()(noise, condition), made)
    x = torch.randn(4, *size, dtype=torch.float64)
    assert critic(x, condition).score.shape == (4, 1)
    if condition is not None:
        assert not torch.allclose(generator(noise, condition.flip(0)), made)
        assert not torch.allclose(critic(x, condition.flip(0)).score, critic(x, condition).score)
    assert shaken(ShowerConstrainer, *size, conditions=3)(x, None).score.shape == (4, 3)


def test_silent_stations_have_no_time_and_times_have_gradients() -> None:
    maps = torch.randn(3, 2, 9, 9, requires_grad=True)
    made = triggered(maps)
    silent = made[:, :1] == 0
    assert 0.3 < silent.float().mean() < 0.7
    assert (made[:, 1:][silent] == 0).all()
    (slope,) = torch.autograd.grad(made[:, 1].sum(), maps)
    assert torch.equal(slope[:, 1:] != 0, ~silent)


def test_other_generators_make_stations_too() -> None:
    inner = StyleGANGenerator(2, 9, 9, style=6, depth=2, filters=4)
    generator = StationGenerator(inner)
    noise = generator.noise(4, None, torch.Generator().manual_seed(1))
    made = generator.eval()(noise)
    assert torch.equal(made, triggered(inner(noise)))
    torch.testing.assert_close(generator.deployed()(noise), made)
    assert generator.truncation == 1.0
    generator.truncation = 0.0
    assert torch.allclose(generator(noise)[0, 0] > 0, generator(noise)[1, 0] > 0) or inner.truncation == 0.0
    generator.set_progress(0.25)
    assert inner.growth.done == 0.25
    StationGenerator(ShowerGenerator(**SMALL)).set_progress(0.5)  # nothing grows


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShowerGenerator(channels=3), "channels = 3"),
        (lambda: ShowerGenerator(filters=(1, 2)), r"filters = \[1, 2\]"),
        (lambda: ShowerCritic(filters=(4,), strides=(1, 2)), "1 convolutions and 2 strides"),
    ],
)
def test_networks_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        make()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_their_data(name: str, file: Path) -> None:
    """One turn of every phase; what the data decide is filled in."""
    config = read(name)
    kind = find(config["kind"])
    sample = kind.format.training(file)
    arguments = kind.conditions.arguments(sample) | kind.conditions.of_file(kind.format.describe(file))
    system, transform, _ = build(resolve(config, arguments))
    transform.fit(sample)
    system.rehearse({"data": transform.forward(sample[:4])})
    if name == "airshower-wgan-gp":
        counts = [sum(p.numel() for p in system.networks[role].parameters()) for role in ("generator", "critic")]
        assert counts == [1_345_537, 1_402_497]


def test_a_conditional_training_from_end_to_end(file: Path, tmp_path: Path) -> None:
    small = {
        "system.generator.filters": [6, 5, 4, 3],
        "system.critic.filters": [4, 4, 4, 4, 4],
        "system.critic.hidden": 8,
        "trainer.batch_size": 16,
        "trainer.max_steps": 4,
        "trainer.validations": 1,
        "trainer.accelerator": "cpu",
    }
    run = train("airshower-conditional", file, tmp_path / "r", threads=1, overrides=small)
    from partigan import load

    model = load(run.path)
    made = model.sample(30, seed=1)
    assert made.x.shape == (30, 1, 9, 9)  # signals alone
    assert made.condition is not None
    assert made.condition.shape == (30, 3)
    assert model.conditions["layout"] == "cartesian"
    axial = simulate_airshower(20, tmp_path / "axial.h5", layout="axial")
    with pytest.raises(PartiganError, match=r"axial.h5 has layout = axial, the run .* was trained with cartesian"):
        generate(run.path, 10, tmp_path / "g.h5", conditions=axial)
