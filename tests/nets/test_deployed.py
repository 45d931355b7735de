"""One contract for the deployed form of every generator and translator."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

import partigan.nets
from helpers import shaken
from partigan.nets.airshowers import FootprintGenerator
from partigan.nets.calofast import LayerGenerator
from partigan.nets.calogan import CaloGANGenerator
from partigan.nets.calorimeters import VoxelGenerator
from partigan.nets.clouds.epic import EPiCGenerator
from partigan.nets.clouds.gaps import JetFirst, JetFirstGenerator
from partigan.nets.clouds.gapt import GAPTGenerator
from partigan.nets.clouds.graphcnn import GraphCNNGenerator
from partigan.nets.clouds.hits import HitGenerator
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.clouds.mpgan import MPGenerator, MPLFCGenerator
from partigan.nets.clouds.rgan import RGANGenerator
from partigan.nets.clouds.treegan import TreeGANGenerator
from partigan.nets.clouds.turning import TurnedGenerator, TurningGenerator
from partigan.nets.contracts import Generator, NoisyTranslator, Product
from partigan.nets.images.airshower import ShowerGenerator, StationGenerator
from partigan.nets.images.biggan import BigGANDeepGenerator, BigGANGenerator
from partigan.nets.images.clusters import Events, SparseGenerator
from partigan.nets.images.cyclegan import ResNetTranslator
from partigan.nets.images.dcgan import DCGANGenerator
from partigan.nets.images.pegan import PEGANGenerator
from partigan.nets.images.pix2pix import UNet
from partigan.nets.images.progressive import ProgressiveGenerator
from partigan.nets.images.residual import ResidualGenerator, ResidualStack
from partigan.nets.images.sagan import SAGANGenerator
from partigan.nets.images.stylegan import StyleGANGenerator
from partigan.nets.mixtures import MixtureGenerator
from partigan.nets.tables import TableGenerator, TableTranslator
from partigan.nets.testbeam import TestBeamGenerator
from partigan.nets.traces import TraceDecoder, TraceEncoder, TraceTranslator
from partigan.nets.translation import BothWays, SharedEncoder

SMALL = {"height": 8, "width": 8, "filters": 4}
MAKERS: dict[str, Callable[..., Any]] = {
    "mdma": partial(MDMAGenerator, blocks=2),
    "epic": partial(EPiCGenerator, layers=2),
    "gapt": partial(GAPTGenerator, blocks=2),
    "graphcnn": GraphCNNGenerator,
    "mpgan": partial(MPGenerator, edge=(7, 6), node=(5,)),
    "mpgan, mask feature": partial(MPGenerator, edge=(7, 6), node=(5,), masking="feature"),
    "mpgan-lfc": partial(MPLFCGenerator, edge=(7, 6), node=(5,)),
    "rgan": RGANGenerator,
    "treegan": partial(TreeGANGenerator, latent=8, hidden=8),
    "turning": lambda: TurningGenerator(MDMAGenerator(blocks=1)),
    "jet first": lambda: JetFirst(MDMAGenerator(blocks=1, conditions=4), MixtureGenerator(4, conditions=1, width=8)),
    "airshower": partial(ShowerGenerator, 2, 9, 9, latent=5, dense=6, filters=(6, 5, 4, 3)),
    "airshower, stations": lambda: StationGenerator(DCGANGenerator(2, 8, 8, filters=4)),
    "dcgan": partial(DCGANGenerator, **SMALL),
    "residual": partial(ResidualGenerator, **SMALL),
    "sagan": partial(SAGANGenerator, attention=1, **SMALL),
    "biggan": partial(BigGANGenerator, **SMALL),
    "biggan-deep": partial(BigGANDeepGenerator, **SMALL),
    "progressive": partial(ProgressiveGenerator, **SMALL),
    "stylegan": partial(StyleGANGenerator, style=8, depth=2, **SMALL),
    "pe-gan": partial(PEGANGenerator, attention=1, **SMALL),
    "pix2pix": partial(UNet, **SMALL),
    "cyclegan": partial(ResNetTranslator, blocks=1, **SMALL),
    "table": partial(TableGenerator, batch_norm=True),
    "mixtures": partial(MixtureGenerator, components=3, width=8),
    "table translator": TableTranslator,
    "calogan": partial(CaloGANGenerator, latent=4),
    "test beam": TestBeamGenerator,
    "footprint": FootprintGenerator,
    "hits": partial(HitGenerator, latent=8, hidden=8, heads=2, blocks=1),
    "layer generator": partial(LayerGenerator, width=8, depth=1),
    "voxel generator": partial(VoxelGenerator, factor=1),
    "refiner": partial(TraceTranslator, bins=16, width=4, blocks=1),
    "both ways": lambda: BothWays(*(TraceTranslator(bins=16, width=4) for _ in "ab")),
    "shared encoder": lambda: SharedEncoder(TraceEncoder(width=4), *(TraceDecoder(bins=16, width=4) for _ in "ab")),
}
SHAPES = {"pix2pix": (3, 8, 8), "cyclegan": (3, 8, 8), "table translator": (2,)}  # of a translator's sample
MORE = ("turning", "selecting")  # their deployed form is another function of more noise


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _made(name: str) -> Product:
    """A small network in training mode, with running means of its own."""
    network: Product = shaken(MAKERS[name])
    _call(network.train(), name)
    return network


def _call(network: Product, name: str) -> tuple[Tensor, Tensor]:
    """Input, from the same seed, and samples."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        x = network.noise(4, None, rng).double()
    else:
        x = torch.randn(4, *SHAPES.get(name, (1, 16)), generator=rng).double()
    condition = None
    if isinstance(network, (LayerGenerator, HitGenerator, VoxelGenerator, CaloGANGenerator, TestBeamGenerator)):
        columns = 3 if isinstance(network, TestBeamGenerator) else 1
        condition = torch.full((4, columns), 1000.0, dtype=torch.float64)
    noise = {}
    if isinstance(network, NoisyTranslator):
        noise["noise"] = torch.stack([network.noise(rng) for _ in x])
    return x, network(x, condition, **noise)


def test_every_generator_and_translator_is_here() -> None:
    found = set()
    for module in pkgutil.walk_packages(partigan.nets.__path__, "partigan.nets."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Product) and not inspect.isabstract(kind) and not kind.__name__.startswith("_"):
                found.add(kind)
    elsewhere = {JetFirstGenerator, ResidualStack, TurnedGenerator, SparseGenerator, Events}
    assert found - elsewhere == {type(make()) for make in MAKERS.values()}


def test_noise_is_as_normal_as_the_network_says(name: str) -> None:
    network = _made(name).deployed()
    if not isinstance(network, Generator) or network.normal is None:
        return
    noise = network.noise(4000, None, torch.Generator().manual_seed(3)).flatten(1)[:, :5]
    mean, width = network.normal
    torch.testing.assert_close(noise.mean(0), torch.full((noise.shape[1],), mean), rtol=0, atol=5 * width / 4000**0.5)
    torch.testing.assert_close(noise.std(0), torch.full((noise.shape[1],), width), rtol=0.06, atol=0)
    assert (noise.abs() > 1.5 * width + mean).any()


def test_the_deployed_form_makes_the_same_samples(name: str) -> None:
    network = _made(name)
    deployed = network.deployed()
    x, samples = _call(network.eval(), name)
    again, made = _call(deployed, name)
    assert made.isfinite().all()
    if name in MORE:
        assert again.shape[1] > x.shape[1] or again.shape[2] > x.shape[2]
    else:
        assert torch.equal(again, x)
        torch.testing.assert_close(made, samples, rtol=1e-12, atol=1e-12)
    assert torch.equal(_call(deployed.deployed(), name)[1], made)
    with torch.inference_mode():
        torch.testing.assert_close(_call(deployed, name)[1], made)


def test_the_deployed_form_has_plain_weights_without_gradients(name: str) -> None:
    network = _made(name)
    for source in (network, network.requires_grad_(False)):
        with torch.inference_mode():
            deployed = source.deployed()
        for module in deployed.modules():
            assert not module.training
            assert not is_parametrized(module)
            assert isinstance(getattr(module, "weight", None), nn.Parameter | None)
        assert not any(p.requires_grad or p.is_inference() for p in deployed.parameters())


def test_the_training_form_stays_as_it_is(name: str) -> None:
    network = _made(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    kinds = [type(module) for module in network.modules()]
    deployed = network.deployed()
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()
    assert all(module.training for module in network.modules())
    assert [type(module) for module in network.modules()] == kinds
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    _call(network, name)[1].square().sum().backward()
    assert all(p.requires_grad for p in network.parameters())
    assert any(p.grad is not None for p in network.parameters())


def test_modes_never_change_shapes(name: str) -> None:
    network = _made(name)
    shapes = [[part.shape for part in _call(network.train(mode), name)] for mode in (True, False)]
    assert shapes[0] == shapes[1]
