"""pix2pix: a U-Net whose only noise is dropout, and a critic of patches.

References:
    P. Isola, J.-Y. Zhu, T. Zhou, A. Efros, Image-to-Image Translation with Conditional Adversarial Networks,
    arXiv:1611.07004, sections 3.2 and 6.1. The paper normalises by the statistics of the batch at test time, too; with
    its batches of one image that is instance normalisation.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, CuttingTranslator, NoisyTranslator
from partigan.nets.images.layers import Condition, Norm, maker, normalisation, with_maps
from partigan.nets.images.sizes import all_the_way
from partigan.nets.layers import Range, silent

WIDEST = 8  # feature maps over those of the first stage
NOISY = 3  # stages of the decoder with dropout

_make = maker(partial(nn.init.normal_, std=0.02))
_by_size = maker(
    partial(nn.init.kaiming_normal_, a=0.2)
)  # K. He et al., arXiv:1502.01852; needed where nothing is normed


class UNet(CuttingTranslator, NoisyTranslator):
    """Generator of pix2pix: strided convolutions to the smallest map and back, joined at every size.

    Every stage divides both sides of an image by 2, or by 3 where odd, as long as one of them divides. Dropout acts in
    the first three stages on the way back, in training and in generation.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes, shown as constant maps; 0 = none.
        conditions: number of float conditions, shown likewise; 0 = none.
        filters: feature maps after the first stage, doubled in the next ones up to 8 times as many.
        stages: of the encoder, at most; None = as many as the image allows.
        dropout: probability that a value is dropped.
        norm: normalisation of all stages but the first, the innermost and the last.
        residual: what comes out is added to the image, without bounds, and is zero at first: training begins at the
            identity; False = tanh at the end, as in the paper. Zeros of sparse images may lie where tanh is flat.
        noise: maps of normal noise beside the image, for changes that are random, pixel by pixel.
        fine: feature maps between two further convolutions at the size of the image, which see image and noise, too; 0
            = the last stage makes the image, as in the paper, from maps of half its size.

    Raises:
        PartiganError: neither side divides by 2 or 3, or no stage is asked for.

    References:
        arXiv:1611.07004, section 6.1.1.

    Example:
        >>> translator = UNet(channels=1, height=8, width=12, filters=4)
        >>> image, noise = torch.zeros(1, 1, 8, 12), translator.noise(torch.Generator().manual_seed(1))[None]
        >>> translator(image, noise=noise).shape
        torch.Size([1, 1, 8, 12])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 256,
        width: int = 256,
        classes: int = 0,
        conditions: int = 0,
        filters: int = 64,
        stages: int | None = None,
        dropout: float = 0.5,
        norm: Norm = "instance",
        residual: bool = False,
        noise: int = 0,
        fine: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise PartiganError(f"dropout = {dropout} of UNet; it must be at least 0 and below 1")
        factors, self.dropout, self.residual = all_the_way(height, width, stages), dropout, residual
        self.random = (noise, height, width)
        self.condition = Condition(classes, conditions)
        last, free = len(factors) - 1, norm == "none"
        make, ends = _by_size if free else _make, silent if residual else _make
        widths = [filters * min(2**stage, WIDEST) for stage in range(len(factors))]
        inputs = [channels + noise + self.condition.size, *widths[:-1]]
        outputs = [fine or channels, *widths[:-1]]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for stage, factor in enumerate(factors):
            plain = stage in (0, last)
            kernel, shape = (factor[0] + 2, factor[1] + 2), (inputs[stage], widths[stage])
            self.down.append(
                nn.Sequential(
                    nn.Identity() if stage == 0 else nn.LeakyReLU(0.2),
                    make(nn.Conv2d(*shape, kernel, factor, 1, bias=plain or free)),
                    nn.Identity() if plain else normalisation(norm, widths[stage]),
                )
            )
            shape = (widths[stage] * (1 if stage == last else 2), outputs[stage])
            self.up.append(
                nn.Sequential(
                    nn.ReLU(),
                    (make if stage or fine else ends)(
                        nn.ConvTranspose2d(*shape, kernel, factor, 1, bias=stage == 0 or free)
                    ),
                    (nn.Identity() if residual or fine else nn.Tanh())
                    if stage == 0
                    else normalisation(norm, outputs[stage]),
                )
            )
        self.fine = None
        if fine:
            first, leave = nn.Conv2d(fine + inputs[0], fine, 3, 1, 1), nn.Conv2d(fine, channels, 1)
            bound = nn.Identity() if residual else nn.Tanh()
            self.fine = nn.Sequential(nn.LeakyReLU(0.2), make(first), nn.LeakyReLU(0.2), ends(leave), bound)
        sizes = [(height, width)]
        for down, right in factors:
            sizes.append((sizes[-1][0] // down, sizes[-1][1] // right))
        noisy = range(max(last - NOISY + 1, 1), last + 1) if dropout else range(0)
        self.dropped = {stage: (outputs[stage], *sizes[stage]) for stage in noisy}
        self.range = Range(inward=True)

    def noise(self, rng: torch.Generator) -> Tensor:
        """Which values of one sample are kept, 0 or 1, and its maps of normal noise, ``(values,)``."""
        values, normal = sum(map(prod, self.dropped.values())), prod(self.random)
        kept = (torch.rand(values, generator=rng, device=rng.device) >= self.dropout).float()
        return torch.cat((kept, torch.randn(normal, generator=rng, device=rng.device)))

    def forward(
        self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Images ``(batch, channels, height, width)``, in (-1, 1) unless ``residual``."""
        if noise is None:
            noise = torch.stack([self.noise(_global(x.device)) for _ in x])
        *parts, normal = noise.to(x).split([*map(prod, self.dropped.values()), prod(self.random)], dim=1)
        kept = {
            stage: part.view(len(x), *shape) for (stage, shape), part in zip(self.dropped.items(), parts, strict=True)
        }
        beside = with_maps(x, self.condition(condition, x))
        beside = torch.cat((beside, normal.view(len(x), *self.random)), dim=1)
        maps = [beside.contiguous(memory_format=torch.channels_last)]  # faster on CPUs
        for down in self.down:
            maps.append(down(maps[-1]))
        y = maps.pop()
        for stage in reversed(range(len(self.up))):
            y = self.up[stage](y)
            if stage in kept:
                y = y * kept[stage] / (1 - self.dropout)
            if stage or self.fine is not None:
                y = torch.cat((maps.pop(), y), dim=1)
        if self.fine is not None:
            y = self.fine(y)
        images: Tensor = self.range(x + y if self.residual else y)
        return images


def _global(device: torch.device) -> torch.Generator:
    """Torch's own generator of a device, as plain dropout uses it."""
    if device.type == "cpu":
        return torch.default_generator
    generator: torch.Generator = getattr(torch, device.type).default_generators[device.index or 0]
    return generator


class PatchCritic(Critic):
    """Critic of pix2pix and CycleGAN: a score for each patch of an image, all by one small convolutional network.

    Features are the means of the last map. Three strided layers see patches of 70 x 70 pixels, two 34 x 34, one
    16 x 16, none single pixels.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes, shown as constant maps; 0 = none.
        conditions: number of float conditions, shown likewise; 0 = none.
        images: images that are joined along their channels; 2 = pairs, as the term
            `partigan.objectives.translation.WithSource` shows them.
        filters: feature maps after the first layer, doubled in the next ones up to 8 times as many.
        layers: strided layers; None = 3, or as many as have patches that fit into the image.
        norm: normalisation after all convolutions but the first and the last. CycleGAN's authors have no gain and bias
            in it, but biases before it, which do nothing.

    References:
        arXiv:1611.07004, sections 3.2.2 and 6.1.2; J.-Y. Zhu et al., arXiv:1703.10593, section 7.2.

    Example:
        >>> PatchCritic(channels=1, height=64, width=96, filters=4)(torch.zeros(2, 1, 64, 96)).score.shape
        torch.Size([2, 308])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 256,
        width: int = 256,
        classes: int = 0,
        conditions: int = 0,
        images: int = 1,
        filters: int = 64,
        layers: int | None = None,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.condition = Condition(classes, conditions)
        if layers is None:
            layers = max((n for n in (1, 2, 3) if 9 * 2**n - 2 <= min(height, width)), default=0)
        elif min(height, width) // 2**layers < 3 and layers:
            raise PartiganError(f"layers = {layers} leave nothing of images of {height} x {width} pixels; give fewer")
        inputs = images * channels + self.condition.size
        widths = [inputs, *(filters * min(2**layer, WIDEST) for layer in range(layers + 1 if layers else 2))]
        kernel, padding = (4, 1) if layers else (1, 0)
        body, make = list[nn.Module](), _by_size if norm == "none" else _make
        for layer, shape in enumerate(pairwise(widths)):
            stride = 2 if layer < layers else 1
            bias = layer == 0 or norm == "none"
            body += [
                make(nn.Conv2d(*shape, kernel, stride, padding, bias=bias)),
                nn.Identity() if layer == 0 else normalisation(norm, shape[1]),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*body)
        self.score = make(nn.Conv2d(widths[-1], 1, kernel, 1, padding))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores ``(batch, patches)`` and features ``(batch, maps)``."""
        maps = self.body(with_maps(x, self.condition(condition, x)))
        return CriticOutput(self.score(maps).flatten(1), maps.mean((2, 3)))
