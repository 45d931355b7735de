from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers import shaken
from partigan.nets.images import fused, residual
from partigan.nets.images.biggan import BigGANDeepGenerator, BigGANGenerator
from partigan.nets.images.fused import EnlargingConvolution, last_image
from partigan.nets.images.layers import SelfAttention
from partigan.nets.images.pegan import PEGANGenerator
from partigan.nets.images.residual import ResidualGenerator, ResidualStack
from partigan.nets.images.sagan import SAGANGenerator
from partigan.nets.images.sizes import Factor

SIZE = {"height": 16, "width": 48, "filters": 8, "classes": 3}
MAKERS: dict[str, Callable[..., ResidualStack]] = {
    "pe-gan": partial(PEGANGenerator, 1, prior=[0.01, 0.02, 0.03], attention=1, **SIZE),
    "biggan-deep": partial(BigGANDeepGenerator, 1, attention=0, **SIZE),
    "biggan": partial(BigGANGenerator, 1, attention=1, **SIZE),
    "sagan": partial(SAGANGenerator, 1, attention=1, **SIZE),
    "wgan-gp, three channels, thirds": partial(
        ResidualGenerator, 3, height=24, width=12, filters=4, factors=[(3, 1), (2, 3)]
    ),
}


def made(name: str) -> ResidualStack:
    """A generator with other norms than a fresh one, which attends."""
    network: ResidualStack = shaken(MAKERS[name])
    for part in network.modules():
        if isinstance(part, SelfAttention):
            part.gain.data.fill_(0.8)
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
    return network


@pytest.mark.parametrize("small", [0, 2048])
@pytest.mark.parametrize("name", MAKERS)
def test_images_are_those_of_training(name: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residual, "LARGE", 0)
    monkeypatch.setattr(fused, "SMALL", small)
    monkeypatch.setattr(fused, "QUERIES", 50)
    network = made(name)
    deployed = network.deployed()
    assert deployed.fused is not None
    noise = network.noise(3, None, torch.Generator().manual_seed(1)).double()
    condition = torch.tensor([0, 2, 1]) if network.condition.size else None
    with torch.no_grad():
        wanted, found = network(noise, condition), deployed(noise, condition)
        assert wanted.std() > 0.05
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0)
        torch.testing.assert_close(network.plain()(noise, condition), wanted, atol=1e-10, rtol=0)
        network.precision = "bfloat16"
        rounded = network.deployed()(noise, condition)
        assert rounded.dtype == torch.float64
        assert 0 < (rounded - wanted).abs().mean() < 0.02


def test_large_images_are_fused() -> None:
    large = ResidualGenerator(1, 128, 128, filters=1)
    assert large.deployed().fused is not None
    assert large.plain().fused is None  # what exports follow
    assert ResidualGenerator(1, 64, 96, filters=1).deployed().fused is None


@pytest.mark.parametrize("factor", [(1, 1), (2, 2), (1, 2), (3, 2)])
def test_enlarging_and_convolving_at_once(factor: Factor) -> None:
    torch.manual_seed(1)
    conv, x, gain, bias = nn.Conv2d(4, 5, 3, padding=1), torch.randn(1, 4, 6, 7), torch.randn(5), torch.randn(5)
    plain = conv(functional.interpolate(x, scale_factor=factor))
    wanted = (plain * gain[:, None, None] + bias[:, None, None]).relu()
    with torch.no_grad():
        torch.testing.assert_close(EnlargingConvolution(conv, factor)(x, gain, bias), wanted, atol=1e-5, rtol=0)


def test_the_last_convolution() -> None:
    torch.manual_seed(1)
    conv, x = nn.Conv2d(6, 2, 3, padding=1), torch.randn(1, 6, 5, 8)
    with torch.no_grad():
        torch.testing.assert_close(last_image(conv, x), conv(x), atol=1e-5, rtol=0)
