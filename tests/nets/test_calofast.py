"""calo-fast: parameter counts, what its networks know of the transform, and what its critic sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry
from partigan.data.transforms.calorimeter_layers import LayerRatios
from partigan.data.transforms.calorimeters import EnergyShares
from partigan.errors import PartiganError
from partigan.nets.calofast import LayerCritic, LayerGenerator
from partigan.nets.contracts import introduce
from partigan.observables.calorimeters import shower_features
from partigan.simulate.calorimeter import Task

ENERGY = torch.tensor([[256.0], [4096.0], [65536.0]])


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def fitted() -> tuple[LayerRatios, Batch]:
    sample = Task.of("ds1-photons", None, "fixed, 16384").showers(200, np.random.default_rng(1))
    transform = LayerRatios()
    transform.fit(sample)
    return transform, sample


def test_calo_fast_is_small_and_begins_with_independent_layers() -> None:
    torch.manual_seed(0)
    generator, critic = LayerGenerator(), LayerCritic()
    assert parameters(generator) == 471_784
    assert parameters(critic) == 336_641
    noise = generator.noise(3, None, torch.Generator().manual_seed(1))
    x = generator(noise, ENERGY)
    assert x.shape == (3, 378)
    assert torch.allclose(x[:, :10], noise[:, :10], atol=1e-5)
    output = critic(x, ENERGY)
    assert output.features is not None
    assert output.features.shape == (3, 63)
    x.sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())
    with pytest.raises(PartiganError, match="a geometry that partigan knows by name"):
        LayerGenerator(geometry="")


def test_hits_and_thresholds_are_those_of_the_transform(fitted: tuple[LayerRatios, Batch]) -> None:
    """The generator hits as many voxels as the transform will, and none of them below the threshold."""
    transform, sample = fitted
    torch.manual_seed(0)
    generator = LayerGenerator(width=16, depth=1)
    introduce(generator, transform)
    with torch.no_grad():
        x = generator(generator.noise(200, None, torch.Generator().manual_seed(1)), sample.condition)
    made = transform.inverse(Batch(x, condition=sample.condition)).x
    assert torch.equal(x[:, 10:] > 0, made > 0)
    low, number = 1.0, (made > 0).sum(1, keepdim=True)
    assert made[made > 0].min() > low
    assert number.float().mean() == pytest.approx((sample.x > low).sum(1).float().mean().item(), rel=0.05)
    with pytest.raises(PartiganError, match="need the transform LayerRatios"):
        introduce(generator, EnergyShares())


def test_the_critic_sees_the_observables_of_layers(fitted: tuple[LayerRatios, Batch]) -> None:
    """From normalised features alone: energies, hits, centres and widths are those of the showers."""
    known, (transform, sample) = geometry("ds1-photons"), fitted
    critic = LayerCritic(width=8, depth=1)
    introduce(critic, transform)
    seen, hits, _ = critic.known.seen(transform.forward(sample).x, sample.condition)
    true = {name: part[:, 2].float() for name, part in shower_features(sample.x, known.cells, 1.0).items()}
    layer = seen[:, 2::5]  # the third of five, in which all showers have most of their energy
    assert sample.condition is not None
    assert hits.sum(1).tolist() == (sample.x > 1).sum(1).tolist()
    assert torch.allclose(((layer[:, 0] - 1) * 4).exp() * sample.condition[:, 0], true["energy"], rtol=0.02)
    assert torch.allclose((layer[:, 2] + 2) / 4, 1 - true["sparsity"], atol=1e-3)
    assert torch.allclose((layer[:, 7] + 1).exp() - 0.1, true["ec_r"], rtol=2e-3)
    width = ((layer[:, 9] + 1).mul(2).exp() - 0.01).sqrt()
    assert torch.allclose(width, true["width_r"], rtol=2e-3)
    assert torch.corrcoef(torch.stack((layer[:, 5], true["ec_eta"])))[0, 1] > 0.9


def test_likelihood_is_highest_for_what_the_model_makes(fitted: tuple[LayerRatios, Batch]) -> None:
    transform, _ = fitted
    torch.manual_seed(0)
    generator, rng = LayerGenerator(width=16, depth=1), torch.Generator().manual_seed(1)
    introduce(generator, transform)
    condition = torch.full((400, 1), 16384.0)
    with torch.no_grad():
        x = generator(generator.noise(400, None, rng), condition)
        own = generator.surprise(x, condition, None, rng).mean()
        brighter, layers, moved = x.clone(), x.clone(), x.clone()
        brighter[:, 10:] *= 1.3
        layers[:, :10] *= 1.5
        moved[:, 18:178] = moved[:, 18:178].flip(1)
        moved[:, 18:178] = torch.where(x[:, 18:178] > 0, 0.0, moved[:, 18:178])
        for other in (brighter, layers, moved):
            assert generator.surprise(other, condition, None, rng).mean() > own + 0.02


def test_layers_of_the_same_voxels_share_their_weights() -> None:
    """Data set 2: 6,480 voxels of 45 like layers, with fewer parameters than for 368 unlike ones."""
    torch.manual_seed(0)
    generator = LayerGenerator(features=6480, geometry="ds2")
    assert parameters(generator) == 310_632
    noise = generator.noise(2, None, torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = generator(noise, torch.full((2, 1), 50_000.0))
    assert x.shape == (2, 90 + 6480)
    _, number, _ = generator.known.layers(x, torch.full((2, 1), 50_000.0))
    assert torch.equal((x[:, 90:] > 0).unflatten(1, (45, 144)).sum(2), number.long())
