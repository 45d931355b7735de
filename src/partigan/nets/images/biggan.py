"""BigGAN and BigGAN-deep: one class embedding for all conditional norms, noise at every stage, orthogonal weights.

References:
    A. Brock, J. Donahue, K. Simonyan, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
    arXiv:1809.11096, appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from partigan.nets.images.fused import FusedDeepUpBlock
from partigan.nets.images.heads import Conditioning
from partigan.nets.images.layers import Condition, ConditionalBatchNorm, Make, enlarged, maker, reduced
from partigan.nets.images.residual import DownBlock, Extras, ResidualCriticStack, ResidualStack, UpBlock
from partigan.nets.images.sizes import Factor, Sizes


def _embedding(condition: Condition, shared: int) -> tuple[nn.Module, int]:
    """The embedding that all norms share, without spectral normalisation, and its length; 0 without a condition."""
    if condition.size == 0:
        return nn.Identity(), 0
    return maker(nn.init.orthogonal_)(nn.Linear(condition.size, shared, bias=False)), shared


class _Truncated(ResidualStack):
    """A generator with noise within ``truncation`` standard deviations (section 3.1 of the paper)."""

    truncation: float = math.inf

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal within the truncation, ``(size, latent)``."""
        if self.truncation == math.inf:
            return super().noise(size, mask, rng)
        low = torch.special.ndtr(torch.tensor(-self.truncation, dtype=torch.float64, device=rng.device))
        uniform = torch.rand(size, self.latent, generator=rng, device=rng.device, dtype=torch.float64)
        noise: Tensor = torch.special.ndtri(torch.lerp(low, 1 - low, uniform)).float()
        return noise


class BigGANGenerator(_Truncated):
    """Generator of BigGAN.

    The noise is cut into equal chunks. The first makes the smallest map; each of the others, joined with the shared
    class embedding, conditions the norms of one stage.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        chunk: noise for each stage and for the smallest map.
        shared: length of the shared embedding.
        filters: feature maps before the image (the paper's ch).
        multipliers: of ``filters`` at the base and after each stage; None = doubled towards the base, up to 16.
        factors: of height and width in each stage; None = see `Sizes.of`.
        attention: self-attention stands this many stages before the image; 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1809.11096, appendix B.1, figure 15 and table 4.

    Example:
        >>> generator = BigGANGenerator(channels=1, height=8, width=8, filters=4)
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
        chunk: int = 20,
        shared: int = 128,
        filters: int = 96,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 1,
    ) -> None:
        sizes, condition = Sizes.of(height, width, factors), Condition(classes, conditions)
        make, maps = maker(nn.init.orthogonal_, spectral=True), sizes.stages + 1
        embed, embedded = _embedding(condition, shared)
        super().__init__(
            sizes,
            channels,
            chunk * maps,
            condition,
            chunk,
            sizes.widths(filters, multipliers, 16, maps),
            attention,
            make,
            lambda inputs, outputs, factor: [UpBlock(inputs, outputs, factor, chunk + embedded, make, make)],
        )
        self.embed = embed

    def prepare(self, noise: Tensor, condition: Tensor | None) -> tuple[Tensor, Sequence[Tensor]]:
        """The first chunk, and each of the others joined with the embedding."""
        embedded = self.embed(self.condition(condition, noise))
        first, *others = noise.chunk(len(self.stages) + 1, dim=1)
        return first, [torch.cat((embedded, chunk), dim=1) for chunk in others]


class BigGANCritic(ResidualCriticStack):
    """Critic of BigGAN.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps after the first stage (the paper's ch).
        multipliers: of ``filters`` from the last block to the first; None = doubled after the first, up to 16.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        attention: self-attention stands this many stages after the image; 0 = none.
        extras: layers between the last block and the head.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1809.11096, appendix B.1, figure 15 and table 4.

    Example:
        >>> BigGANCritic(channels=1, height=8, width=8, filters=4)(torch.randn(2, 1, 8, 8)).score.shape
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
        filters: int = 96,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 1,
        extras: Extras = Extras(),  # noqa: B008 - it is frozen
    ) -> None:
        sizes, make = Sizes.of(height, width, factors), maker(nn.init.orthogonal_, spectral=True)
        super().__init__(
            sizes,
            channels,
            0,
            sizes.widths(filters, multipliers, 16, sizes.stages + 1)[::-1],
            attention,
            make,
            lambda inputs, outputs, factor, first: [DownBlock(inputs, outputs, factor, make, first)],
            Condition(classes, conditions),
            conditioning,
            extras,
        )


class DeepUpBlock(nn.Module):
    """Residual block of BigGAN-deep's generator: 1x1 to a quarter, enlarge, 3x3, 3x3, 1x1, each after norm and ReLU.

    The skip connection keeps the first ``outputs`` maps.

    Args:
        inputs: feature maps before, at least ``outputs``.
        outputs: feature maps after.
        factor: what height and width are multiplied by.
        vector: length of the condition vector of the norms.
        make: finishes layers.

    References:
        arXiv:1809.11096, figure 16.
    """

    def __init__(self, inputs: int, outputs: int, factor: Factor, vector: int, make: Make) -> None:
        super().__init__()
        self.factor, self.outputs, narrow = factor, outputs, max(inputs // 4, 1)
        self.norms = nn.ModuleList(ConditionalBatchNorm(n, vector, make) for n in (inputs, narrow, narrow, narrow))
        self.convs = nn.ModuleList(
            make(nn.Conv2d(before, after, size, padding=size // 2))
            for before, after, size in (
                (inputs, narrow, 1),
                (narrow, narrow, 3),
                (narrow, narrow, 3),
                (narrow, outputs, 1),
            )
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Enlarged maps ``(batch, outputs, height, width)``."""
        change = x
        for number, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            change = norm(change, vector).relu()
            change = conv(enlarged(change, self.factor) if number == 1 else change)
        return enlarged(x[:, : self.outputs], self.factor) + change

    def fused(self) -> FusedDeepUpBlock:
        """The form for one large image."""
        return FusedDeepUpBlock(self)


class DeepDownBlock(nn.Module):
    """Residual block of BigGAN-deep's critic: 1x1 to a quarter, 3x3, 3x3, reduce, 1x1, each after a ReLU.

    The skip connection keeps its maps; a 1x1 convolution makes the missing ones.

    Args:
        inputs: feature maps before, at most ``outputs``.
        outputs: feature maps after.
        factor: what height and width are divided by.
        make: finishes layers.

    References:
        arXiv:1809.11096, figure 16.
    """

    def __init__(self, inputs: int, outputs: int, factor: Factor, make: Make) -> None:
        super().__init__()
        self.factor, narrow = factor, max(outputs // 4, 1)
        self.change = nn.Sequential(
            nn.ReLU(),
            make(nn.Conv2d(inputs, narrow, 1)),
            nn.ReLU(),
            make(nn.Conv2d(narrow, narrow, 3, padding=1)),
            nn.ReLU(),
            make(nn.Conv2d(narrow, narrow, 3, padding=1)),
            nn.ReLU(),
        )
        self.last = make(nn.Conv2d(narrow, outputs, 1))
        self.more = make(nn.Conv2d(inputs, outputs - inputs, 1)) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Reduced maps ``(batch, outputs, height, width)``."""
        change: Tensor = self.last(reduced(self.change(x), self.factor))
        x = reduced(x, self.factor)
        return change + (x if self.more is None else torch.cat((x, self.more(x)), dim=1))


class BigGANDeepGenerator(_Truncated):
    """Generator of BigGAN-deep: two blocks in each stage, all conditioned on noise and class embedding.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        latent: length of the noise.
        shared: length of the shared embedding.
        filters: feature maps before the image (the paper's ch).
        multipliers: of ``filters`` at the base and after each stage, not growing; None = doubled towards the base,
            up to 16.
        factors: of height and width in each stage; None = see `Sizes.of`.
        attention: self-attention stands this many stages before the image; 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1809.11096, appendix B.2, figure 16 and table 7.

    Example:
        >>> generator = BigGANDeepGenerator(channels=1, height=8, width=8, filters=4)
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
        shared: int = 128,
        filters: int = 128,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 1,
    ) -> None:
        sizes, condition = Sizes.of(height, width, factors), Condition(classes, conditions)
        make = maker(nn.init.orthogonal_, spectral=True)
        embed, embedded = _embedding(condition, shared)
        vector = latent + embedded
        super().__init__(
            sizes,
            channels,
            latent,
            condition,
            vector,
            sizes.widths(filters, multipliers, 16, sizes.stages + 1),
            attention,
            make,
            lambda inputs, outputs, factor: [
                DeepUpBlock(inputs, inputs, (1, 1), vector, make),
                DeepUpBlock(inputs, outputs, factor, vector, make),
            ],
        )
        self.embed = embed

    def prepare(self, noise: Tensor, condition: Tensor | None) -> tuple[Tensor, Sequence[Tensor]]:
        """Noise and embedding joined, for the smallest map and all norms."""
        vector = torch.cat((self.embed(self.condition(condition, noise)), noise), dim=1)
        return vector, [vector] * len(self.stages)


class BigGANDeepCritic(ResidualCriticStack):
    """Critic of BigGAN-deep: two blocks in each stage.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps after the first convolution (the paper's ch).
        multipliers: of ``filters`` from the last stage to the first convolution, not growing; None = doubled after
            the first convolution, up to 16.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        attention: self-attention stands this many stages after the image; 0 = none.
        extras: layers between the last block and the head.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1809.11096, appendix B.2, figure 16 and table 7.

    Example:
        >>> BigGANDeepCritic(channels=1, height=8, width=8, filters=4)(torch.randn(2, 1, 8, 8)).score.shape
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
        filters: int = 128,
        multipliers: list[int] | None = None,
        factors: list[Factor] | None = None,
        attention: int = 1,
        extras: Extras = Extras(),  # noqa: B008 - it is frozen
    ) -> None:
        sizes, make = Sizes.of(height, width, factors), maker(nn.init.orthogonal_, spectral=True)
        lift, *widths = sizes.widths(filters, multipliers, 16, sizes.stages + 1)[::-1]
        super().__init__(
            sizes,
            channels,
            lift,
            widths,
            attention,
            make,
            lambda inputs, outputs, factor, _: [
                DeepDownBlock(inputs, outputs, factor, make),
                DeepDownBlock(outputs, outputs, (1, 1), make),
            ],
            Condition(classes, conditions),
            conditioning,
            extras,
        )
