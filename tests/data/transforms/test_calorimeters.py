"""Layers as features of their own: energies and hits are exact whatever a network makes, and energies interpolate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry
from partigan.data.transforms.calorimeter_layers import LayerRatios
from partigan.data.transforms.calorimeters import EnergyShares
from partigan.errors import PartiganError
from partigan.simulate.calorimeter import Task

SIZES = [layer.size for layer in geometry("ds1-photons").layers]


def made(energies: str, size: int, seed: int) -> Batch:
    return Task.of("ds1-photons", None, energies).showers(size, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def fitted() -> tuple[LayerRatios, Batch]:
    sample = made("fixed, 1024, 16384, 262144", 3000, 1)
    transform = LayerRatios()
    transform.fit(sample)
    return transform, sample


def test_features_of_layers_are_normal_and_independent_on_the_training_sample(
    fitted: tuple[LayerRatios, Batch],
) -> None:
    transform, sample = fitted
    layers = transform.forward(sample).x[:, :10]
    assert layers.mean(0).abs().max() < 0.1
    assert (layers.std(0) - 1).abs().max() < 0.1
    assert (torch.corrcoef(layers.T) - torch.eye(10)).abs().max() < 0.1


def test_whatever_a_network_makes_no_hit_is_below_the_threshold_and_energies_add_up(
    fitted: tuple[LayerRatios, Batch],
) -> None:
    transform, sample = fitted
    rng = torch.Generator().manual_seed(1)
    wild = torch.randn(3000, 378, generator=rng) * torch.cat((torch.ones(10), torch.full((368,), 4.0)))
    found = transform.inverse(Batch(wild, condition=sample.condition)).x
    assert found.isfinite().all()
    assert found[found > 0].min() > 1
    assert found.min() == 0
    real = torch.where(sample.x > 1, sample.x, 0.0)
    assert sample.condition is not None
    energy = sample.condition[:, 0]
    for value in (1024, 16384, 262144):
        of = energy == value
        response, expected = (x[of].sum(1) / value for x in (found, real))
        error = (response.var() / of.sum() + expected.var() / of.sum()).sqrt()
        assert abs(response.mean() - expected.mean()) < 5 * error
        assert response.std() / expected.std() == pytest.approx(1, abs=0.2)
        for a, b in zip(found[of].split(SIZES, 1), real[of].split(SIZES, 1), strict=True):
            hits, wanted = ((x > 0).float().sum(1) for x in (a, b))
            assert abs(hits.mean() - wanted.mean()) < 5 * (2 * wanted.var() / of.sum()).sqrt() + 0.5


def test_energies_between_those_of_training_are_interpolated(fitted: tuple[LayerRatios, Batch]) -> None:
    transform, _ = fitted
    between = made("fixed, 65536", 400, 2)
    rng = torch.Generator().manual_seed(3)
    found = transform.inverse(Batch(torch.randn(400, 378, generator=rng), condition=between.condition)).x
    real = torch.where(between.x > 1, between.x, 0.0)
    assert found.sum(1).mean() / real.sum(1).mean() == pytest.approx(1, abs=0.01)
    assert (found > 0).float().mean() / (real > 0).float().mean() == pytest.approx(1, abs=0.06)


def test_random_numbers_are_those_of_the_generator(fitted: tuple[LayerRatios, Batch]) -> None:
    transform, sample = fitted
    held = transform.held(sample[:50])
    one, again, other = (transform.batch(held, torch.Generator().manual_seed(seed)).x for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(one[:, 10:], other[:, 10:])


def test_showers_that_cannot_be_normalised() -> None:
    sample = made("fixed, 1024", 50, 1)
    for transform in (LayerRatios(), EnergyShares()):
        with pytest.raises(PartiganError, match="energy of the particle as condition"):
            transform.fit(Batch(sample.x))
        with pytest.raises(PartiganError, match="no binning that partigan knows"):
            transform.fit(Batch(sample.x[:, :100], condition=sample.condition))
    with pytest.raises(PartiganError, match="no energy in any voxel"):
        EnergyShares().fit(Batch(0 * sample.x, condition=sample.condition))
