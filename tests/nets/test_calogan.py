"""CaloGAN: layers and their order, what is carried over, the energy term."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.nets.calogan import CaloGANCritic, CaloGANGenerator, split
from partigan.nets.contracts import CriticOutput
from partigan.objectives.conditioning import EnergyBalance
from partigan.objectives.terms import Turn
from partigan.simulate.calorimeter import Task


@pytest.fixture(scope="module")
def showers() -> Batch:
    return Task.of("calogan", None, "").showers(12, np.random.default_rng(1))


def test_shapes_and_numbers_of_parameters(showers: Batch) -> None:
    generator = CaloGANGenerator()
    shapes, count = ((3, 96), (12, 12), (12, 6)), 0
    for number, (r, c) in enumerate(shapes):
        cells = (r + 2) * (c + 2)
        count += 1024 * cells * 36 + cells * 36 + (36 * 16 * 4 + 16) + 2 * 16
        count += (r + 1) * (c + 1) * (16 * 4 * 6 + 6) + r * c * 6 * 4
        count += r * c * (2 * 9 * 2 + 2) if number else 0
    assert sum(parameter.numel() for parameter in generator.parameters()) == count
    x = generator(generator.noise(12, None, torch.Generator().manual_seed(1)), showers.condition)
    assert x.shape == (12, 504)
    assert (x >= 0).all()
    assert [part.shape[2:] for part in split(x, shapes)] == [*shapes]
    assert CaloGANCritic()(x, showers.condition).score.shape == (12, 1)
    for network in (CaloGANGenerator, CaloGANCritic):
        with pytest.raises(PartiganError, match="calogan has 504 cells; these showers have 368"):
            network(features=368)
        with pytest.raises(PartiganError, match="a geometry that partigan knows by name"):
            network(geometry="")
    with pytest.raises(PartiganError, match="energy of the particle as condition"):
        generator(torch.zeros(2, 1024))


def test_nothing_is_carried_over_at_first_and_energy_scales_the_noise() -> None:
    torch.manual_seed(0)
    generator = CaloGANGenerator(latent=8).eval()
    noise = generator.noise(3, None, torch.Generator().manual_seed(1))
    found = generator(noise, torch.full((3, 1), 50_000.0))
    own = [image(noise * 0.5).relu().flatten(1) for image in generator.images]
    torch.testing.assert_close(found, torch.cat(own, dim=1), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        for attention in generator.attention:
            attention.maps.bias[..., 1] = 50.0  # type: ignore[union-attr, index]
    first, second, _ = split(generator(noise, torch.full((3, 1), 50_000.0)), generator.shapes)
    carried = generator.images[0](noise * 0.5).repeat_interleave(4, dim=2).unflatten(3, (12, 8)).mean(4).relu()
    torch.testing.assert_close(second, carried, atol=1e-4, rtol=1e-4)
    assert first.shape == (3, 1, 3, 96)


def test_the_energy_term_is_in_gev(showers: Batch) -> None:
    output = CriticOutput(torch.zeros(12, 1))
    turn = Turn(None, showers, showers, output, output, torch.Generator(), physical=lambda x: x)  # type: ignore[arg-type]
    assert showers.condition is not None
    expected = (showers.x.sum(1) - showers.condition[:, 0]).abs().mean() / 1000
    assert EnergyBalance().generator(turn).item() == pytest.approx(expected.item())
    poor = Batch(showers.x)
    with pytest.raises(PartiganError, match="EnergyBalance needs the energy"):
        EnergyBalance().generator(
            Turn(None, poor, poor, output, output, torch.Generator(), physical=lambda x: x)  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("name", ["calogan", "ds1-photons", "testbeam"])
def test_the_preset_adapts_to_the_geometry_of_its_data(name: str) -> None:
    showers = Task.of(name, None, "").showers(12, np.random.default_rng(1))
    arguments = find("calorimeter").conditions.arguments(showers)
    config = read("calo-gan", {"system.networks.generator.latent": 8})
    system, transform, _ = build(resolve(config, arguments))
    transform.fit(showers)
    system.rehearse({"data": transform.forward(showers[:6])}, transform.inverse)
    assert system.phases["generator"].steps == 2
