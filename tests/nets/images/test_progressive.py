"""Progressive growing beside the figures of its paper."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers import shaken, values
from partigan.nets.contracts import Generator
from partigan.nets.images.layers import (
    enlarged,
    reduced,
)
from partigan.nets.images.progressive import ProgressiveCritic, ProgressiveGenerator
from partigan.nets.images.stylegan import StyleGANGenerator

NETWORKS: dict[str, Callable[..., Any]] = {
    "progressive generator": ProgressiveGenerator,
    "progressive critic": ProgressiveCritic,
    "stylegan generator": partial(StyleGANGenerator, style=6, depth=2),
    "stylegan critic": partial(ProgressiveCritic, blur=True),
}


def _input(network: nn.Module) -> Tensor:
    """Noise, or images of 16 x 16 pixels."""
    rng = torch.Generator().manual_seed(2)
    if isinstance(network, Generator):
        return network.noise(4, None, rng).double()
    return torch.randn(4, 1, 16, 16, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_fading_in_is_continuous(name: str) -> None:
    """Where a level begins and where it is complete; and something does change between."""
    size = (1, 16, 16)  # two stages, so complete at 1/8, fading to 1/4, complete to 3/8, fading to 1/2
    network = shaken(NETWORKS[name], *size, 3, filters=4)
    x, given = _input(network), torch.tensor([0, 2, 1, 2])

    def at(done: float) -> Tensor:
        network.set_progress(done)
        return values(network(x, given)).detach()

    for border in (0.125, 0.25, 0.375, 0.5):
        torch.testing.assert_close(at(border - 1e-7), at(border + 1e-7), rtol=1e-4, atol=1e-4)
    assert torch.equal(at(0.0), at(0.12))
    assert torch.equal(at(0.5), at(1.0))
    assert not torch.allclose(at(0.15), at(0.2), rtol=1e-3)
    stored = copy.deepcopy(network)
    stored.set_progress(0.3)
    network.load_state_dict(stored.state_dict())
    torch.testing.assert_close(values(network(x, given)), values(stored(x, given)))


def test_the_critic_compares_the_images_of_the_paper() -> None:
    """Generated images faded, real images blended, both at the size of the level: written out here as in figure 2."""
    size, factor, fade = (1, 16, 16), (2, 2), 0.25
    generator, critic = shaken(ProgressiveGenerator, *size, filters=4), shaken(ProgressiveCritic, *size, filters=4)
    for network in (generator, critic):
        network.set_progress(0.125 + fade * 0.125)
    noise, real = _input(generator), _input(critic)

    def score(images: Tensor) -> Tensor:  # of images of 8 x 8 that are already blended
        high = reduced(critic.levels[0](critic.from_image[1](images)), factor)
        low = critic.from_image[0](reduced(images, factor))
        return critic.head(critic.last((1 - fade) * low + fade * high), None).score

    small = generator.first(noise[..., None, None])
    faded = (1 - fade) * enlarged(generator.to_image[0](small), factor)
    faded = faded + fade * generator.to_image[1](generator.levels[0](enlarged(small, factor)))
    torch.testing.assert_close(generator.eval()(noise), enlarged(faded, factor))
    torch.testing.assert_close(critic(generator.train()(noise)).score, score(faded))
    real8 = functional.avg_pool2d(real, 2)
    blended = (1 - fade) * enlarged(functional.avg_pool2d(real8, 2), factor) + fade * real8
    torch.testing.assert_close(critic(real).score, score(blended))
