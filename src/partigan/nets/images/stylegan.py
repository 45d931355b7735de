"""StyleGAN: noise makes a style that sets gain and bias of every map; noise maps add random detail.

It grows as in `partigan.nets.images.progressive`; the critic there, with ``blur``, is StyleGAN's.

References:
    T. Karras, S. Laine, T. Aila, A Style-Based Generator Architecture for Generative Adversarial Networks,
    arXiv:1812.04948, section 2 and figure 1; mixing: section 3.1; truncation: appendix B; training: appendix C.
    Truncation acts on all levels (the paper: on the coarse ones), and growing starts at the base (the paper: at 8 x 8).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.images.layers import Blur, Condition, PixelNorm, enlarged, equalised, linear
from partigan.nets.images.progressive import CAP, GrowingGenerator
from partigan.nets.images.sizes import Factor, Sizes

MEAN_DECAY = 0.995  # of the running mean of the style


class StyleLayer(nn.Module):
    """A convolution, then noise, bias, LeakyReLU and AdaIN (equation 1).

    Args:
        convolve: the convolution, to ``features`` maps.
        features: feature maps.
        style: length of the style.
    """

    def __init__(self, convolve: nn.Module, features: int, style: int) -> None:
        super().__init__()
        self.convolve = convolve
        self.strength, self.bias = (nn.Parameter(torch.zeros(features, 1, 1)) for _ in range(2))
        self.style = linear(nn.Linear(style, 2 * features))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Maps ``(batch, features, height, width)``; ``style`` ``(batch, style)``, ``noise`` ``(batch, pixels)``."""
        x = self.convolve(x)
        x = functional.leaky_relu(x + self.strength * noise.view(-1, 1, *x.shape[2:]) + self.bias, 0.2)
        gain, bias = self.style(style)[..., None, None].chunk(2, dim=1)
        x = functional.instance_norm(x) * (1 + gain) + bias
        return x


def _convolution(inputs: int, outputs: int) -> nn.Module:
    return equalised(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))


class StyleGANGenerator(GrowingGenerator):
    """Generator of StyleGAN.

    A row of noise holds the noise of the style, the noise of a second style for mixing, two numbers that decide whether
    and where styles are mixed, and two noise maps a level.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        style: length of the style and of its noise.
        depth: layers of the mapping network.
        mixing: in training, the probability that layers after a random one take the second style.
        filters: feature maps of the last level.
        multipliers: of ``filters`` at each level from the smallest; None = doubled towards the base, up to 32.
        factors: of height and width in each stage; None = see `Sizes.of`.
        grown: fraction of the run after which the last level is complete.

    Attributes:
        truncation: factor of the distance of styles from their mean; training needs 1.

    Raises:
        PartiganError: the size does not factor.

    References:
        arXiv:1812.04948, figure 1; its 1024 x 1024 network is the default.

    Example:
        >>> generator = StyleGANGenerator(channels=1, height=8, width=8, filters=4)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 1, 8, 8])
    """

    mean: Tensor
    truncation: float = 1.0

    def __init__(
        self,
        channels: int = 3,
        height: int = 1024,
        width: int = 1024,
        classes: int = 0,
        conditions: int = 0,
        style: int = 512,
        depth: int = 8,
        mixing: float = 0.9,
        filters: int = 16,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        grown: float = 0.5,
    ) -> None:
        sizes, condition = Sizes.of(height, width, factors), Condition(classes, conditions)
        widths = sizes.widths(filters, multipliers, CAP, sizes.stages + 1)
        pixels = [height * width for height, width in map(sizes.at, range(sizes.stages + 1))]
        parts = [style, style, 2, *[n for level in pixels for n in (level, level)]]
        super().__init__(sizes, channels, sum(parts), condition, widths, grown)
        self.parts = parts
        self.mixing = mixing
        inputs = [style + condition.size, *[style] * (depth - 1)]
        self.mapping = nn.Sequential(
            PixelNorm(),
            *[layer for n in inputs for layer in (equalised(nn.Linear(n, style), rate=0.01), nn.LeakyReLU(0.2))],
        )
        self.register_buffer("mean", torch.zeros(style))
        self.constant = nn.Parameter(torch.ones(widths[0], *sizes.base))
        convolutions = [(nn.Identity(), widths[0]), (_convolution(widths[0], widths[0]), widths[0])]
        for before, after in pairwise(widths):
            convolutions.append((nn.Sequential(_convolution(before, after), Blur()), after))
            convolutions.append((_convolution(after, after), after))
        self.layers = nn.ModuleList(StyleLayer(*convolution, style) for convolution in convolutions)

    def styles(self, first: Tensor, second: Tensor, cut: Tensor, condition: Tensor) -> Tensor:
        """The style of every layer, ``(batch, layers, style)``.

        Args:
            first: noise of the style, ``(batch, style)``.
            second: noise of the style after the cut, ``(batch, style)``; used in training only.
            cut: ``(batch, 2)``, standard normal: whether styles are mixed, and after which layer.
            condition: ``(batch, conditions)``.
        """
        style = self.mapping(torch.cat((first, condition), dim=1))
        layers = len(self.layers)
        styles: Tensor = style[:, None].expand(-1, layers, -1)
        if self.training:
            self.mean.lerp_(style.detach().mean(0).to(self.mean), 1 - MEAN_DECAY)
            level, fade = self.growth.level()
            working = 2 * (level + 1 + (fade > 0))
            mixed, where = torch.special.ndtr(cut).unbind(1)
            last = torch.where(mixed < self.mixing, 1 + (where * (working - 1)).floor(), layers)
            other = self.mapping(torch.cat((second, condition), dim=1))
            kept = torch.arange(layers, device=last.device) < last[:, None]
            styles = torch.where(kept[..., None], styles, other[:, None])
        return self.mean + self.truncation * (styles - self.mean)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)``."""
        first, second, cut, *noises = noise.split(self.parts, dim=1)
        styles = self.styles(first, second, cut, self.condition(condition, noise)).unbind(1)

        def maps() -> Iterator[Tensor]:
            x = self.constant.expand(len(noise), -1, -1, -1)
            for number, (layer, style, own) in enumerate(zip(self.layers, styles, noises, strict=True)):
                if number and number % 2 == 0:
                    x = enlarged(x, self.factors[number // 2 - 1])
                x = layer(x, style, own)
                if number % 2:
                    yield x

        return self.image(maps())
