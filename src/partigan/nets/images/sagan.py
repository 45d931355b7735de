"""SAGAN: residual networks with self-attention, spectral normalisation in both.

References:
    H. Zhang, I. Goodfellow, D. Metaxas, A. Odena, Self-Attention Generative Adversarial Networks, arXiv:1805.08318.
"""

from __future__ import annotations

from partigan.nets.images.heads import Conditioning
from partigan.nets.images.residual import ResidualCritic, ResidualGenerator
from partigan.nets.images.sizes import Factor


class SAGANGenerator(ResidualGenerator):
    """Generator of SAGAN, with conditional batch normalisation.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        latent: length of the noise.
        filters: feature maps before the image.
        multipliers: of ``filters`` at the base and after each stage; None = doubled towards the base, up to 16.
        factors: of height and width in each stage; None = see `Sizes.of`.
        attention: self-attention stands this many stages before the image (2: at 32 x 32 of 128 x 128); 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1805.08318, sections 3 and 4.

    Example:
        >>> import torch
        >>> generator = SAGANGenerator(channels=1, height=8, width=8, filters=4, attention=1)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 128,
        width: int = 128,
        classes: int = 0,
        conditions: int = 0,
        latent: int = 128,
        filters: int = 64,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 2,
    ) -> None:
        super().__init__(
            channels, height, width, classes, conditions, latent, filters, multipliers, factors, True, attention
        )


class SAGANCritic(ResidualCritic):
    """Critic of SAGAN.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps after the first stage.
        multipliers: of ``filters`` from the last block to the first; None = doubled after the first, up to 16.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        attention: self-attention stands this many stages after the image; 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1805.08318, sections 3 and 4.

    Example:
        >>> import torch
        >>> SAGANCritic(channels=1, height=8, width=8, filters=4, attention=1)(torch.randn(2, 1, 8, 8)).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 3,
        height: int = 128,
        width: int = 128,
        classes: int = 0,
        conditions: int = 0,
        conditioning: Conditioning = "projection",
        filters: int = 64,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 2,
    ) -> None:
        super().__init__(
            channels,
            height,
            width,
            classes,
            conditions,
            conditioning,
            filters,
            multipliers,
            factors,
            wide=True,
            attention=attention,
        )
