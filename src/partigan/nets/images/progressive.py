"""Progressive growing: generator and critic start with small images and fade in one level after another.

The rest of the library sees images of one size. With E = `enlarged` (pixels repeated), R = `reduced` (means of
blocks), P = E R and a level that fades in with weight a:

- The generator enlarges its images to full size, and the critic reduces its input to the current level. R E = 1, so
  the critic sees exactly the generated image of that level, and real images averaged to it.
- The paper shows the critic real images ``P x + a (1 - P) x`` and generated ones ``y = (1 - a) E low + a high``. The
  critic here blends both in the first way, B = P + a (1 - P). In training the generator therefore gives
  ``y + (1 - a) (1 - P) high``, whose blend B is y, so the critic compares the same images as in the paper. In
  evaluation mode the generator gives y itself, which is continuous where a level begins (a = 0) and where it is
  complete (a = 1).

A gradient penalty acts on images of full size: before the last level its unit slope refers to distances of full-size
images, which exceed those of reduced images by the square root of the ratio of pixels.

References:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, Progressive Growing of GANs for Improved Quality, Stability, and
    Variation, arXiv:1710.10196, sections 2 to 4, figure 2 and table 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor, nn

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.images.heads import Conditioning, Head
from partigan.nets.images.layers import (
    Blur,
    Condition,
    ImageGenerator,
    MinibatchDeviation,
    PixelNorm,
    enlarged,
    equalised,
    linear,
    reduced,
)
from partigan.nets.images.sizes import Factor, Sizes

CAP = 32  # largest multiplier of the feature maps: 512 maps of 1024 x 1024 images that end with 16


class Growth(nn.Module):
    """The current level, given the fraction of the run that is done.

    The first level takes one part of the growing time. Every other level takes two parts of the same length: the
    fade-in of figure 2, then full weight. The last level stays to the end of the run.

    Args:
        stages: number of levels above the smallest.
        grown: fraction of the run after which the last level is complete.

    Raises:
        PartiganError: the fraction is not in (0, 1].
    """

    done: Tensor

    def __init__(self, stages: int, grown: float) -> None:
        super().__init__()
        if not 0 < grown <= 1:
            raise PartiganError(f"grown = {grown}; give a fraction of the run, above 0 and up to 1")
        self.stages, self.grown = stages, grown
        self.register_buffer("done", torch.ones(()))

    def level(self) -> tuple[int, float]:
        """The last complete level, 0 = smallest, and the weight in [0, 1) of the one above it."""
        position = 2 * self.stages * min(float(self.done) / self.grown, 1.0)
        level = int(position / 2)
        return level, max(position - 2 * level - 1, 0.0)


class GrowingGenerator(ImageGenerator):
    """A generator that can make images from its maps at every level.

    Args:
        sizes: of the maps.
        channels: channels of an image.
        latent: length of the noise.
        condition: makes the condition vector.
        widths: feature maps at each level.
        grown: fraction of the run after which the last level is complete.
    """

    def __init__(
        self, sizes: Sizes, channels: int, latent: int, condition: Condition, widths: Sequence[int], grown: float
    ) -> None:
        super().__init__(latent, condition)
        self.factors, self.growth = sizes.factors, Growth(sizes.stages, grown)
        self.to_image = nn.ModuleList(linear(nn.Conv2d(n, channels, 1)) for n in widths)

    def set_progress(self, done: float) -> None:
        """Set the fraction of the run that is done; a new network is complete, as for 1."""
        self.growth.done.fill_(done)

    def image(self, maps: Iterator[Tensor]) -> Tensor:
        """The image of full size at the current level.

        Args:
            maps: feature maps ``(batch, features, height, width)`` level by level.
        """
        level, fade = self.growth.level()
        image: Tensor = self.to_image[level](next(islice(maps, level, None)))
        if fade:
            factor = self.factors[level]
            level += 1
            high = self.to_image[level](next(maps))
            image = enlarged(image, factor).lerp(high, fade)
            if self.training:
                image = image + (1 - fade) * (high - enlarged(reduced(high, factor), factor))
        for factor in self.factors[level:]:
            image = enlarged(image, factor)
        return image


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    return [equalised(nn.Conv2d(inputs, outputs, 3, padding=1)), nn.LeakyReLU(0.2)]


class ProgressiveGenerator(GrowingGenerator):
    """Generator of progressive growing: equalised learning rate, pixel norm, a linear output.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        latent: length of the noise.
        filters: feature maps of the last level.
        multipliers: of ``filters`` at each level from the smallest; None = doubled towards the base, up to 32.
        factors: of height and width in each stage; None = see `Sizes.of`.
        grown: fraction of the run after which the last level is complete.

    Raises:
        PartiganError: the size does not factor.

    References:
        arXiv:1710.10196, table 2; its 1024 x 1024 network is the default.

    Example:
        >>> generator = ProgressiveGenerator(channels=1, height=8, width=8, filters=4)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 1024,
        width: int = 1024,
        classes: int = 0,
        conditions: int = 0,
        latent: int = 512,
        filters: int = 16,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        grown: float = 0.5,
    ) -> None:
        sizes, condition = Sizes.of(height, width, factors), Condition(classes, conditions)
        widths = sizes.widths(filters, multipliers, CAP, sizes.stages + 1)
        super().__init__(sizes, channels, latent, condition, widths, grown)
        self.first = nn.Sequential(
            PixelNorm(),
            equalised(nn.ConvTranspose2d(latent + condition.size, widths[0], sizes.base)),
            nn.LeakyReLU(0.2),
            PixelNorm(),
            *_layer(widths[0], widths[0]),
            PixelNorm(),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*_layer(inputs, outputs), PixelNorm(), *_layer(outputs, outputs), PixelNorm())
            for inputs, outputs in pairwise(widths)
        )

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)``."""
        row = torch.cat((noise, self.condition(condition, noise)), dim=1)

        def maps() -> Iterator[Tensor]:
            x = self.first(row[..., None, None])
            yield x
            for factor, level in zip(self.factors, self.levels, strict=True):
                x = level(enlarged(x, factor))
                yield x

        return self.image(maps())


class ProgressiveCritic(Critic):
    """Critic of progressive growing and of StyleGAN; the features are those before the score.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps of the last level.
        multipliers: of ``filters`` at each level from the smallest; None = doubled towards the base, up to 32.
        factors: of height and width in each stage; None = see `Sizes.of`.
        grown: fraction of the run after which the last level is complete; the same as the generator's.
        blur: low-pass filter before maps are reduced (StyleGAN).

    Raises:
        PartiganError: the size does not factor.

    References:
        arXiv:1710.10196, table 2; blur: arXiv:1812.04948, section 2.

    Example:
        >>> ProgressiveCritic(channels=1, height=8, width=8, filters=4)(torch.randn(2, 1, 8, 8)).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 1024,
        width: int = 1024,
        classes: int = 0,
        conditions: int = 0,
        conditioning: Conditioning = "projection",
        filters: int = 16,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        grown: float = 0.5,
        blur: bool = False,
    ) -> None:
        super().__init__()
        sizes = Sizes.of(height, width, factors)
        widths = sizes.widths(filters, multipliers, CAP, sizes.stages + 1)
        self.factors, self.growth = sizes.factors, Growth(sizes.stages, grown)
        self.from_image = nn.ModuleList(
            nn.Sequential(equalised(nn.Conv2d(channels, n, 1)), nn.LeakyReLU(0.2)) for n in widths
        )
        smooth = [Blur()] if blur else []
        self.levels = nn.ModuleList(
            nn.Sequential(*_layer(large, large), *smooth, *_layer(large, small)) for small, large in pairwise(widths)
        )
        last = widths[0]
        self.last = nn.Sequential(
            MinibatchDeviation(),
            *_layer(last + 1, last),
            equalised(nn.Conv2d(last, last, sizes.base)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.head = Head(last, Condition(classes, conditions), conditioning, linear)

    def set_progress(self, done: float) -> None:
        """Set the fraction of the run that is done; a new network is complete, as for 1."""
        self.growth.done.fill_(done)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, features ``(batch, features)`` and outputs of the ``conditioning``."""
        level, fade = self.growth.level()
        top = level + 1 if fade else level
        for factor in self.factors[top:][::-1]:
            x = reduced(x, factor)
        if fade:
            factor = self.factors[level]
            low = reduced(x, factor)
            blend = enlarged(low, factor).lerp(x, fade)
            high = reduced(self.levels[level](self.from_image[top](blend)), factor)
            x = self.from_image[level](low).lerp(high, fade)
        else:
            x = self.from_image[level](x)
        for below in range(level - 1, -1, -1):
            x = reduced(self.levels[below](x), self.factors[below])
        output: CriticOutput = self.head(self.last(x), condition)
        return output
