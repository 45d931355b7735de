"""DCGAN: strided convolutions both ways, batch normalisation, no pooling.

References:
    A. Radford, L. Metz, S. Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks, arXiv:1511.06434, section 3 and figure 1. Kernels have two pixels more than their stride,
    4 x 4 at stride 2 as in the authors' published code (figure 1 writes 5 x 5).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.images.heads import Conditioning, Head
from partigan.nets.images.layers import (
    Condition,
    ImageGenerator,
    MinibatchDiscrimination,
    Norm,
    maker,
    normalisation,
)
from partigan.nets.images.sizes import Factor, Sizes

_normal = partial(nn.init.normal_, std=0.02)


class DCGANGenerator(ImageGenerator):
    """Generator of DCGAN: noise and condition make the smallest map, transposed convolutions enlarge it; tanh.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        latent: length of the noise.
        filters: feature maps before the image (128 in figure 1).
        multipliers: of ``filters`` from the base to the map before the image; None = doubled towards the base, up to 8.
        factors: of height and width in each stage; None = see `Sizes.of`.
        norm: normalisation.

    Raises:
        PartiganError: the size does not factor.

    References:
        arXiv:1511.06434, figure 1.

    Example:
        >>> generator = DCGANGenerator(channels=1, height=8, width=8, filters=4)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 64,
        width: int = 64,
        classes: int = 0,
        conditions: int = 0,
        latent: int = 100,
        filters: int = 128,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(latent, Condition(classes, conditions))
        sizes, make = Sizes.of(height, width, factors), maker(_normal)
        widths = sizes.widths(filters, multipliers, 8, sizes.stages)
        free = norm == "none"
        layers: list[nn.Module] = [
            make(nn.ConvTranspose2d(latent + self.condition.size, widths[0], sizes.base, bias=free))
        ]
        for stage, (inputs, factor) in enumerate(zip(widths, sizes.factors, strict=True), start=1):
            last = stage == sizes.stages
            kernel, outputs = (factor[0] + 2, factor[1] + 2), channels if last else widths[stage]
            layers += [normalisation(norm, inputs), nn.ReLU()]
            layers.append(make(nn.ConvTranspose2d(inputs, outputs, kernel, factor, 1, bias=free or last)))
        self.body = nn.Sequential(*layers, nn.Tanh())

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)`` in (-1, 1)."""
        row = torch.cat((noise, self.condition(condition, noise)), dim=1)
        images: Tensor = self.body(row[..., None, None])
        return images


class DCGANCritic(Critic):
    """Critic of DCGAN; the features are the last map, flattened.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps after the first convolution.
        multipliers: of ``filters`` from the last convolution to the first; None = doubled after the first, up to 8.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        norm: normalisation after all convolutions but the first; with a gradient penalty use another than ``batch``.
        spectral: spectral normalisation of every layer.
        kernels: kernels of minibatch discrimination before the head; 0 = none.

    Raises:
        PartiganError: the size does not factor.

    References:
        arXiv:1511.06434, section 3; minibatch discrimination: arXiv:1606.03498, section 3.2.

    Example:
        >>> DCGANCritic(channels=1, height=8, width=8, filters=4)(torch.randn(2, 1, 8, 8)).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 64,
        width: int = 64,
        classes: int = 0,
        conditions: int = 0,
        conditioning: Conditioning = "projection",
        filters: int = 128,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        norm: Norm = "batch",
        spectral: bool = False,
        kernels: int = 0,
    ) -> None:
        super().__init__()
        sizes, make = Sizes.of(height, width, factors), maker(_normal, spectral)
        widths = sizes.widths(filters, multipliers, 8, sizes.stages)[::-1]
        layers: list[nn.Module] = []
        for inputs, outputs, factor in zip([channels, *widths], widths, sizes.factors[::-1], strict=False):
            kind: Norm = norm if layers else "none"
            layers.append(
                make(nn.Conv2d(inputs, outputs, (factor[0] + 2, factor[1] + 2), factor, 1, bias=kind == "none"))
            )
            layers += [normalisation(kind, outputs), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        features = widths[-1] * sizes.base[0] * sizes.base[1]
        self.neighbours = MinibatchDiscrimination(features, kernels) if kernels else nn.Identity()
        self.head = Head(features + kernels, Condition(classes, conditions), conditioning, make)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, features and outputs of the ``conditioning``."""
        output: CriticOutput = self.head(self.neighbours(self.body(x)), condition)
        return output
