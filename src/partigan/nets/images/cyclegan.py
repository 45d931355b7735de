"""CycleGAN: residual translators; the critics of patches are pix2pix's.

References:
    J.-Y. Zhu, T. Park, P. Isola, A. Efros, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
    Networks, arXiv:1703.10593, sections 4 and 7.2; J. Johnson, A. Alahi, L. Fei-Fei, arXiv:1603.08155.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from partigan.nets.contracts import CuttingTranslator
from partigan.nets.images.layers import Condition, Norm, maker, normalisation
from partigan.nets.images.sizes import Factor, divisors
from partigan.nets.layers import Range, silent

STAGES = 2  # between the image and the map of the residual blocks

_make = maker(partial(nn.init.normal_, std=0.02))


class ResNetTranslator(CuttingTranslator):
    """Generator of CycleGAN: two strided stages, residual blocks, two transposed stages.

    A stage divides both sides by 2, or by 3 where odd; a side that has neither stays as it is. Conditions change gain
    and bias of the first maps after their norm: constant maps beside the image, the norm would take out.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        filters: feature maps after the first convolution; doubled by each stage.
        blocks: residual blocks; None = 9 for images of 256 x 256 pixels and larger, 6 for smaller ones.
        norm: normalisation of all convolutions but the last. The authors have no gain and bias in it, but biases before
            it, which do nothing.
        residual: what comes out is added to the image, without bounds, and is zero at first: training begins at the
            identity; False = tanh at the end, as in the paper. Zeros of sparse images may lie where tanh is flat.

    References:
        arXiv:1703.10593, section 7.2.

    Example:
        >>> import torch
        >>> ResNetTranslator(channels=2, height=8, width=9, filters=4)(torch.zeros(1, 2, 8, 9)).shape
        torch.Size([1, 2, 8, 9])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 256,
        width: int = 256,
        classes: int = 0,
        conditions: int = 0,
        filters: int = 64,
        blocks: int | None = None,
        norm: Norm = "instance",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.condition, self.residual = Condition(classes, conditions), residual
        blocks = (9 if min(height, width) >= 256 else 6) if blocks is None else blocks
        sizes, factors = [(height, width)], list[Factor]()
        for _ in range(STAGES):
            factors.append(divisors(*sizes[-1], least=2))
            sizes.append((sizes[-1][0] // factors[-1][0], sizes[-1][1] // factors[-1][1]))
        widths = [filters * 2**stage for stage in range(STAGES + 1)]
        stages = [*zip(widths[:-1], widths[1:], factors, strict=True)]
        self.first = nn.Sequential(_padded(channels, filters, 7, sizes[0], norm), normalisation(norm, filters))
        if self.condition.size:
            self.modulation = _make(nn.Linear(self.condition.size, 2 * filters, bias=False))
        last = _padded(filters, channels, 7, sizes[0], "none")  # with a bias
        self.body = nn.Sequential(
            nn.ReLU(),
            *(part for wide, deep, factor in stages for part in _normalised(norm, _smaller(wide, deep, factor, norm))),
            *(_Block(norm, widths[-1], sizes[-1]) for _ in range(blocks)),
            *(
                part
                for wide, deep, factor in reversed(stages)
                for part in _normalised(norm, _larger(deep, wide, factor, norm))
            ),
            silent(last) if residual else last,
            nn.Identity() if residual else nn.Tanh(),
        )
        self.range = Range(inward=True)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)``, in (-1, 1) unless ``residual``."""
        maps = self.first(x)
        vector = self.condition(condition, x)
        if self.condition.size:
            gain, bias = self.modulation(vector)[..., None, None].chunk(2, dim=1)
            maps = (1 + gain) * maps + bias
        images: Tensor = self.body(maps)
        images = self.range(x + images if self.residual else images)
        return images


class _Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, norm: Norm, maps: int, size: Factor) -> None:
        super().__init__()
        first, second = (_padded(maps, maps, 3, size, norm) for _ in range(2))
        self.body = nn.Sequential(*_normalised(norm, first), second, normalisation(norm, maps))

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        y: Tensor = x + self.body(x)
        return y


def _normalised(norm: Norm, layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """A convolution with what follows it."""
    return [layer, normalisation(norm, layer.out_channels), nn.ReLU()]


def _padded(inputs: int, outputs: int, kernel: int, size: Factor, norm: Norm) -> nn.Conv2d:
    """A convolution that keeps the size; a map is reflected at its edge, or the edge is repeated where it is small."""
    mode: Literal["reflect", "replicate"] = "reflect" if min(size) > kernel // 2 else "replicate"
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode=mode, bias=norm == "none")
    _make(layer)
    return layer


def _smaller(inputs: int, outputs: int, factor: Factor, norm: Norm) -> nn.Conv2d:
    """A convolution that divides the sides."""
    layer = nn.Conv2d(inputs, outputs, 3, factor, _edges(factor), bias=norm == "none")
    _make(layer)
    return layer


def _larger(inputs: int, outputs: int, factor: Factor, norm: Norm) -> nn.ConvTranspose2d:
    """Its reverse."""
    further = (int(factor[0] == 2), int(factor[1] == 2))
    layer = nn.ConvTranspose2d(inputs, outputs, 3, factor, _edges(factor), further, bias=norm == "none")
    _make(layer)
    return layer


def _edges(factor: Factor) -> Factor:
    """Padding with which a side is divided exactly."""
    return int(factor[0] < 3), int(factor[1] < 3)
