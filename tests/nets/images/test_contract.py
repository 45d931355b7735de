"""One contract for every network of images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from helpers import shaken, values
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, Generator, Product
from partigan.nets.images.biggan import (
    BigGANCritic,
    BigGANDeepCritic,
    BigGANDeepGenerator,
    BigGANGenerator,
)
from partigan.nets.images.cyclegan import ResNetTranslator
from partigan.nets.images.dcgan import DCGANCritic, DCGANGenerator
from partigan.nets.images.pegan import PEGANCritic, PEGANGenerator
from partigan.nets.images.pix2pix import PatchCritic, UNet
from partigan.nets.images.progressive import ProgressiveCritic, ProgressiveGenerator
from partigan.nets.images.residual import ResidualCritic, ResidualGenerator
from partigan.nets.images.sagan import SAGANCritic, SAGANGenerator
from partigan.nets.images.stylegan import StyleGANGenerator


@dataclass(frozen=True)
class Case:
    """A network: small for the contract, and as published with its number of parameters."""

    make: Callable[..., Any]
    small: dict[str, Any]
    published: dict[str, Any]
    parameters: int
    figure: float | None = None  # as published
    idle: tuple[str, ...] = field(default=())  # parts of names of parameters that cannot matter


IMAGENET = {"classes": 1000}
CIFAR = {"height": 32, "width": 32, "multipliers": [1, 1, 1, 1]}
PXD = {"classes": 40}
PRIOR = {"prior": [0.01, 0.03, 0.02]}
CASES = {
    # the figures of DCGAN are those of PyTorch's example, whose networks have 64 filters
    "dcgan generator": Case(DCGANGenerator, {"latent": 5, "filters": 4}, {"filters": 64}, 3_576_707, 3_576_704),
    "dcgan critic": Case(DCGANCritic, {"filters": 4, "kernels": 3}, {"filters": 64}, 2_765_633, 2_765_568),
    "residual generator": Case(ResidualGenerator, {"latent": 5, "filters": 4}, {"filters": 256, **CIFAR}, 4_276_739),
    "residual critic": Case(
        ResidualCritic, {"filters": 4}, {"filters": 128, "factors": [(2, 2), (2, 2)], **CIFAR}, 1_053_825
    ),
    "wgan-gp critic": Case(ResidualCritic, {"filters": 4, "spectral": False, "norm": "layer"}, {}, 29_017_857),
    "sagan generator": Case(SAGANGenerator, {"latent": 5, "filters": 4, "attention": 1}, IMAGENET, 42_078_852),
    "sagan critic": Case(SAGANCritic, {"filters": 4, "attention": 1}, IMAGENET, 39_463_618),
    # arXiv:1809.11096, appendix B.2
    "biggan generator": Case(BigGANGenerator, {"chunk": 3, "shared": 4, "filters": 4}, IMAGENET, 70_433_988, 70.4e6),
    "biggan critic": Case(BigGANCritic, {"filters": 4}, IMAGENET, 87_982_370, 88.0e6),
    "biggan-deep generator": Case(
        BigGANDeepGenerator, {"latent": 5, "shared": 4, "filters": 4}, IMAGENET, 50_244_484, 50.4e6
    ),
    "biggan-deep critic": Case(BigGANDeepCritic, {"filters": 4}, IMAGENET, 34_590_210, 34.6e6),
    # arXiv:1710.10196, table 2
    "progressive generator": Case(ProgressiveGenerator, {"latent": 5, "filters": 4}, {}, 23_079_115, 23.1e6),
    "progressive critic": Case(ProgressiveCritic, {"filters": 4}, {}, 23_087_249, 23.1e6),
    # arXiv:1812.04948, section 2
    "stylegan generator": Case(StyleGANGenerator, {"style": 6, "depth": 2, "filters": 4}, {}, 26_219_627, 26.2e6),
    "stylegan critic": Case(ProgressiveCritic, {"filters": 4, "blur": True}, {"blur": True}, 23_087_249),
    # PE-GAN's section 3.1 and Table 1
    "pe-gan generator": Case(
        PEGANGenerator, {"latent": 5, "shared": 4, "filters": 4, "attention": 1, **PRIOR}, PXD, 11_630_242, 11.6e6
    ),
    "pe-gan critic": Case(PEGANCritic, {"filters": 4, "dimension": 8, **PRIOR}, PXD, 3_308_737),
    # figures of the authors' code, whose CycleGAN has biases before its norms in place of gains and biases in them
    "pix2pix translator": Case(UNet, {"filters": 3, "dropout": 0.0}, {}, 54_414_531, 54.414e6),
    "pix2pix critic": Case(PatchCritic, {"filters": 3}, {"images": 2}, 2_768_705, 2.769e6),
    "cyclegan translator": Case(ResNetTranslator, {"filters": 3, "blocks": 2}, {}, 11_383_427, 11.378e6),
    "cyclegan critic": Case(PatchCritic, {"filters": 3, "layers": 1}, {}, 2_765_633, 2.765e6),
}
SIZES = [(1, 8, 8), (3, 32, 32), (1, 64, 96), (2, 9, 9), (1, 3, 96)]
CONDITIONS: dict[str, tuple[dict[str, int], Tensor | None]] = {
    "unconditional": ({}, None),
    "classes": ({"classes": 3}, torch.tensor([0, 2, 1, 2])),
    "features": ({"conditions": 2}, torch.linspace(-1, 1, 8).view(4, 2)),
    "both": (
        {"classes": 3, "conditions": 2},
        torch.cat((torch.eye(3)[[0, 2, 1, 2]], torch.linspace(-1, 1, 8).view(4, 2)), dim=1),
    ),
}
GROWING = [name for name in CASES if "progressive" in name or "stylegan" in name]
every = pytest.mark.parametrize("name", CASES)


def _made(name: str, size: tuple[int, int, int] = (1, 8, 8), condition: str = "classes") -> Any:
    """A small network."""
    return shaken(CASES[name].make, *size, **CONDITIONS[condition][0], **CASES[name].small)


def _input(network: nn.Module, size: tuple[int, int, int] = (1, 8, 8)) -> Tensor:
    """Four samples of what the network is called with."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        return network.noise(4, None, rng).double()
    return torch.randn(4, *size, generator=rng, dtype=torch.float64)


def _condition(condition: str) -> Tensor | None:
    value = CONDITIONS[condition][1]
    return value.double() if value is not None and value.is_floating_point() else value


@every
def test_parameters_are_counted_and_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.nets.images.layers.spectral_norm", lambda layer: layer)  # slow on large layers
    case = CASES[name]
    with torch.device("meta"):
        network = case.make(**case.published)
    assert sum(p.numel() for p in network.parameters()) == case.parameters
    if case.figure is not None:
        assert case.parameters == pytest.approx(case.figure, rel=0.004)


@every
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shapes(name: str, size: tuple[int, int, int]) -> None:
    if name == "cyclegan critic" and min(size[1:]) < 6:  # its patches are larger
        with pytest.raises(PartiganError, match="layers = 1 leave nothing of images of 3 x 96"):
            _made(name, size)
        return
    network = _made(name, size, "unconditional" if size[0] == 3 else "classes")
    output = network(_input(network, size), None if size[0] == 3 else _condition("classes"))
    if isinstance(network, Product):
        assert output.shape == (4, *size)
    elif isinstance(network, PatchCritic):
        assert output.score.shape[0] == 4
        assert output.features.shape == (4, network.score.in_channels)
    else:
        assert isinstance(network, Critic)
        assert output.score.shape == (4, 1)
        assert output.features.shape == (4, network.head.score.in_features)


@every
@pytest.mark.parametrize("condition", CONDITIONS)
def test_contract(name: str, condition: str) -> None:
    """Gradients reach every parameter and all noise; copies and float32 agree; the condition matters."""
    network = _made(name, condition=condition)
    x, given = _input(network).requires_grad_(), _condition(condition)
    assert torch.equal(x, _input(network))
    for done in (0.0, 0.4, 1.0) if name in GROWING else (1.0,):
        if name in GROWING:
            network.set_progress(done)
        output = values(network(x, given))
        (output - 1).square().sum().backward()
    idle = {n for n, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert not idle
    assert x.grad is not None
    used = (x.grad.abs() > 0).all(0)
    if name == "stylegan generator":  # the second style is for training
        used = torch.cat((used[:6], used[14:]))
    assert used.all()

    other = _made(name, condition=condition)
    other.load_state_dict({key: torch.zeros_like(value) for key, value in network.state_dict().items()})
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(values(other(x, given)), output, rtol=0, atol=0)
    single = values(
        copy.deepcopy(network).float()(x.float(), given.float() if condition in ("features", "both") else given)  # type: ignore[union-attr]
    )
    torch.testing.assert_close(single.double(), output, rtol=1e-3, atol=1e-3)
    if given is not None:
        assert not torch.allclose(values(network(x, given.flip(0))), output)
        with pytest.raises(PartiganError, match="condition of shape"):
            network(x, None)


@pytest.mark.parametrize("name", [name for name in CASES if "critic" in name])
def test_double_backward(name: str) -> None:
    """The gradient of a gradient penalty is that of finite differences."""
    network, given = _made(name), _condition("classes")
    if name in GROWING:
        network.set_progress(0.4)
    x = _input(network)

    def penalty() -> Tensor:
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(point, given).score.sum(), point, create_graph=True)
        return slope.flatten(1).norm(dim=1).sub(1).square().sum()

    penalty().backward()
    parameters = [p for p in network.parameters() if p.grad is not None]
    along = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, along, strict=True))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(parameters, along, strict=True):
                p.add_(sign * step * d)
            with torch.enable_grad():
                values.append(penalty().detach())
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sagan generator", "residual critic", "biggan generator", "biggan-deep critic"])
def test_spectral_norm_converges_to_1(name: str) -> None:
    network = _made(name).train()
    normalised = [m for m in network.modules() if is_parametrized(m, "weight")]
    assert normalised
    for module in normalised:
        for _ in range(500):
            weight = module.weight
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_stages_without_attention_or_time_to_grow_are_refused() -> None:
    with pytest.raises(PartiganError, match="attention = 2; there are 1 stages"):
        SAGANGenerator(height=8, width=8, filters=2)
    with pytest.raises(PartiganError, match="grown = 0"):
        ProgressiveCritic(height=8, width=8, grown=0.0)
