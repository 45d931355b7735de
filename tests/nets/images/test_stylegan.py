"""StyleGAN beside its paper."""

from __future__ import annotations

import torch

from helpers import shaken
from partigan.nets.images.stylegan import StyleGANGenerator


def test_truncation_and_mixing() -> None:
    size = 6
    generator = shaken(StyleGANGenerator, 1, 16, 16, style=size, depth=2, filters=4, mixing=1.0)
    noise = generator.noise(4, None, torch.Generator().manual_seed(2)).double()
    noise[:, 2 * size :] = noise[0, 2 * size :]
    generator.mean.copy_(torch.linspace(-1, 1, size))
    generator.truncation = 0.0
    images = generator(noise)
    torch.testing.assert_close(images, images[:1].expand_as(images), rtol=0, atol=1e-12)
    generator.truncation = 0.5
    styles = generator.mapping(noise[:, :size])
    given = generator.styles(noise[:, :size], noise[:, size : 2 * size], noise[:, 12:14], noise[:, :0])
    torch.testing.assert_close(given, (0.5 * (styles + generator.mean))[:, None].expand_as(given))
    generator.truncation = 1.0
    swapped = noise.clone()
    swapped[:, size : 2 * size] += 1
    assert torch.equal(generator(noise), generator(swapped))

    generator.train()
    cut = torch.tensor([[0.0, 0.0]] * 4)  # in the middle: the third of six layers is the last of the first style
    given = generator.styles(noise[:, :size], noise[:, size : 2 * size], cut.double(), noise[:, :0])
    torch.testing.assert_close(given[:, :3], styles[:, None].expand(-1, 3, -1))
    torch.testing.assert_close(given[:, 3:], generator.mapping(noise[:, size : 2 * size])[:, None].expand(-1, 3, -1))
    expected = 0.995 * torch.linspace(-1, 1, size) + 0.005 * styles.mean(0)
    torch.testing.assert_close(generator.mean, expected)
