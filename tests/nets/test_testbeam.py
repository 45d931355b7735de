"""The calorimeter WGAN with constrainers: shapes, numbers of parameters, dead cells, constrainers of columns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.nets.testbeam import LocallyConnected, TestBeamConstrainer, TestBeamCritic, TestBeamGenerator
from partigan.objectives.conditioning import reading_error
from partigan.simulate.calorimeter import Task


@pytest.fixture(scope="module")
def showers() -> Batch:
    return Task.of("testbeam", None, "").showers(12, np.random.default_rng(1))


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_shapes_and_numbers_of_parameters(showers: Batch) -> None:
    generator, critic = TestBeamGenerator(), TestBeamCritic()
    one = (13 * 10 + 10) + (10 * 192 + 192)
    one += (16 * 16 * 9 + 16) + (16 * 32 * 9 + 32) + (32 * 64 * 9 + 64) + 2 * (16 + 32 + 64) + (64 * 45 + 1)
    joined = (7 * 64 * 9 + 64) + (64 * 128 * 30 + 128) + (128 * 14 * 9 + 14) + 180 * (14 * 9 * 7 + 7)
    assert parameters(generator) == 7 * one + joined
    widths = [8, 256, 128, 64, 32, 16]
    convolutions = sum(a * b * (25 if b == 256 else 9) + b + 2 * b * 180 for a, b in itertools.pairwise(widths))
    assert parameters(critic) == (3 * 10 + 10 + 10 * 180 + 180) + convolutions + (16 * 180 * 10 + 10) + 11
    noise = generator.noise(12, None, torch.Generator().manual_seed(1))
    assert noise.abs().max() <= 1
    x = generator(noise, showers.condition)
    assert x.shape == (12, 1260)
    dead = x.view(12, 7, 12, 15)[:, :, 0, [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]]
    assert not dead.any()
    assert critic(x, showers.condition).score.shape == (12, 1)
    for network in (TestBeamGenerator, TestBeamCritic, TestBeamConstrainer):
        with pytest.raises(PartiganError, match="for the 1260 cells"):
            network(features=368)
    with pytest.raises(PartiganError, match="there are energy and place"):
        TestBeamConstrainer(reads="mass")
    with pytest.raises(PartiganError, match="the place where it hits"):
        critic(x, torch.ones(12, 1))


def test_locally_connected_layers_are_convolutions_with_weights_of_each_place() -> None:
    layer, x = LocallyConnected(3, 2, (5, 4), (3, 2), (2, 1)), torch.randn(2, 3, 5, 4)
    found = layer(x)
    assert layer.bias is not None
    for row, column in ((0, 0), (1, 2)):
        patch = x[:, :, 2 * row : 2 * row + 3, column : column + 2].flatten(1)
        place = row * 3 + column
        torch.testing.assert_close(found[:, :, row, column], patch @ layer.weight[place] + layer.bias[place])


def test_constrainers_read_their_own_columns(showers: Batch) -> None:
    energy, place = TestBeamConstrainer(), TestBeamConstrainer(reads="place")
    assert reading_error(energy, showers, [0]).isfinite()
    assert reading_error(place, showers, [1, 2]).isfinite()
    with pytest.raises(PartiganError, match="gives 1 numbers for the 3"):
        reading_error(energy, showers)
    with pytest.raises(PartiganError, match="reads column 5 of 3"):
        reading_error(energy, showers, [5])


def test_the_preset_fits_its_data_and_freezes_constrainers_after_a_third(showers: Batch) -> None:
    arguments = find("calorimeter").conditions.arguments(showers)
    system, transform, _ = build(resolve(read("calo-wgan"), arguments))
    transform.fit(showers)
    system.rehearse({"data": transform.forward(showers[:3])}, transform.inverse)
    assert [*system.phases] == ["energy", "place", "critic", "generator"]
    assert [system.phases["energy"].rate(done) for done in (0.0, 0.3, 0.34, 1.0)] == [1, 1, 0, 0]
