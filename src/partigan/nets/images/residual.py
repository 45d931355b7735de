"""Residual networks of WGAN-GP and SNGAN, and the parts shared with SAGAN and BigGAN.

References:
    I. Gulrajani et al., Improved Training of Wasserstein GANs, arXiv:1704.00028, appendix F;
    T. Miyato et al., Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957, appendix B.4;
    T. Miyato, M. Koyama, cGANs with Projection Discriminator, arXiv:1802.05637, section 4.
    Features are summed over pixels (WGAN-GP takes the mean, which only scales the head's weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, frozen
from partigan.nets.images.fused import FusedStack, FusedUpBlock
from partigan.nets.images.heads import Conditioning, Head
from partigan.nets.images.layers import (
    Condition,
    ConditionalBatchNorm,
    ImageGenerator,
    Make,
    MinibatchDiscrimination,
    Norm,
    SelfAttention,
    enlarged,
    maker,
    normalisation,
    reduced,
)
from partigan.nets.images.quantisation import FeatureQuantisation
from partigan.nets.images.sizes import Factor, Sizes

LARGE = 2**14  # pixels of images whose blocks are fused: smaller ones are faster in batches
UpStage = Callable[[int, int, Factor], Sequence[nn.Module]]
DownStage = Callable[[int, int, Factor, bool], Sequence[nn.Module]]


@dataclass(frozen=True)
class Extras:
    """Layers between the last block of a critic and its head, remedies against collapse.

    Attributes:
        codes: number of codes of feature quantisation (arXiv:2004.02088; add the term `Commitment`); 0 = none.
        kernels: of minibatch discrimination (arXiv:1606.03498, section 3.2); 0 = none.
        dropout: probability that a pooled feature becomes 0 (arXiv:1809.11096, section 4.2).
    """

    codes: int = 0
    kernels: int = 0
    dropout: float = 0.0


class UpBlock(nn.Module):
    """Residual block of a generator: norm, ReLU, enlarge, 3x3, norm, ReLU, 3x3.

    Args:
        inputs: feature maps before.
        outputs: feature maps after.
        factor: what height and width are multiplied by.
        vector: length of the condition vector of the norms.
        make: finishes convolutions.
        make_norm: finishes the linear layers of conditional norms.
    """

    def __init__(self, inputs: int, outputs: int, factor: Factor, vector: int, make: Make, make_norm: Make) -> None:
        super().__init__()
        self.factor = factor
        self.norm1, self.norm2 = (ConditionalBatchNorm(n, vector, make_norm) for n in (inputs, outputs))
        self.conv1, self.conv2 = (make(nn.Conv2d(n, outputs, 3, padding=1)) for n in (inputs, outputs))
        same = inputs == outputs and factor == (1, 1)
        self.skip = nn.Identity() if same else make(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Enlarged maps ``(batch, outputs, height, width)``."""
        change: Tensor = self.conv1(enlarged(self.norm1(x, vector).relu(), self.factor))
        change = self.conv2(self.norm2(change, vector).relu())
        return enlarged(self.skip(x), self.factor) + change

    def fused(self) -> FusedUpBlock:
        """The form for one large image."""
        return FusedUpBlock(self)


class DownBlock(nn.Module):
    """Residual block of a critic: norm, ReLU, 3x3, norm, ReLU, 3x3, means of blocks of pixels.

    Args:
        inputs: feature maps before.
        outputs: feature maps after.
        factor: what height and width are divided by.
        make: finishes convolutions.
        first: the block sees the image and starts with a convolution.
        wide: the number of maps changes in the first convolution, not in the second.
        norm: normalisation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        factor: Factor,
        make: Make,
        first: bool,
        wide: bool = True,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.factor = factor
        between = outputs if first or wide else inputs
        self.start = nn.Identity() if first else nn.Sequential(normalisation(norm, inputs), nn.ReLU())
        self.conv1 = make(nn.Conv2d(inputs, between, 3, padding=1))
        self.norm = normalisation(norm, between)
        self.conv2 = make(nn.Conv2d(between, outputs, 3, padding=1))
        same = inputs == outputs and factor == (1, 1)
        self.skip = nn.Identity() if same else make(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Reduced maps ``(batch, outputs, height, width)``."""
        change = self.conv2(self.norm(self.conv1(self.start(x))).relu())
        x = self.skip(reduced(x, self.factor))
        return x + reduced(change, self.factor)


class ResidualStack(ImageGenerator):
    """A linear layer to the smallest map, stages of residual blocks, normalisation, ReLU, 3x3, tanh.

    Args:
        sizes: of the maps.
        channels: channels of an image.
        latent: length of the noise.
        condition: makes the condition vector.
        start: length of the row that `prepare` makes for the linear layer.
        widths: feature maps at the base and after each stage.
        attention: self-attention stands this many stages before the image; 0 = none.
        make: finishes layers.
        stage: the blocks of a stage.

    Raises:
        PartiganError: there are fewer stages than ``attention`` asks for.
    """

    precision = "float32"

    def __init__(
        self,
        sizes: Sizes,
        channels: int,
        latent: int,
        condition: Condition,
        start: int,
        widths: Sequence[int],
        attention: int,
        make: Make,
        stage: UpStage,
    ) -> None:
        super().__init__(latent, condition)
        self.sizes, self.base = sizes, sizes.base
        self.fused: FusedStack | None = None
        self.start = make(nn.Linear(start, widths[0] * self.base[0] * self.base[1]))
        stages = [
            list(stage(inputs, outputs, factor))
            for (inputs, outputs), factor in zip(pairwise(widths), sizes.factors, strict=True)
        ]
        if _attends(attention, sizes):
            stages[-attention].insert(0, SelfAttention(widths[-1 - attention], make))
        self.stages = nn.ModuleList(nn.ModuleList(blocks) for blocks in stages)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = make(nn.Conv2d(widths[-1], channels, 3, padding=1))

    def prepare(self, noise: Tensor, condition: Tensor | None) -> tuple[Tensor, Sequence[Tensor]]:
        """The row for the linear layer, and for each stage the condition vector of its norms."""
        return noise, [self.condition(condition, noise)] * len(self.stages)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)`` in (-1, 1)."""
        row, vectors = self.prepare(noise, condition)
        x = self.start(row).view(len(noise), -1, *self.base)
        if self.fused is not None:
            made: Tensor = self.fused(x, vectors)
            return made
        for blocks, vector in zip(self.stages, vectors, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, vector)
        images: Tensor = self.out(self.norm(x).relu()).tanh()
        return images

    def plain(self) -> ResidualStack:
        """The inference form in the operations of training."""
        return frozen(self)

    def deployed(self) -> ResidualStack:
        """The inference form; of images of at least `LARGE` pixels, or in bfloat16, with fused blocks."""
        twin = frozen(self)
        if math.prod(self.sizes.image) >= LARGE or self.precision != "float32":
            kind = None if self.precision == "float32" else torch.bfloat16
            twin.fused = FusedStack(twin.stages, twin.sizes, twin.norm, twin.out, kind)
        return twin


class ResidualCriticStack(Critic):
    """Stages of residual blocks, then blocks of the last size, ReLU, extras, sum over pixels, head.

    Args:
        sizes: of the maps.
        channels: channels of an image.
        lift: feature maps of a first 3x3 convolution; 0 = none.
        widths: feature maps after each stage, and after each further block.
        attention: self-attention stands this many stages after the image; 0 = none.
        make: finishes layers.
        stage: makes the blocks of a stage; its last argument is True where they see the image.
        condition: makes the condition vector.
        conditioning: how it is used, see `Head`.
        extras: layers between the last block and the head.

    Attributes:
        features: number of features before the head.
        head: score and conditioning.

    Raises:
        PartiganError: there are fewer stages than ``attention`` asks for.
    """

    def __init__(
        self,
        sizes: Sizes,
        channels: int,
        lift: int,
        widths: Sequence[int],
        attention: int,
        make: Make,
        stage: DownStage,
        condition: Condition,
        conditioning: Conditioning,
        extras: Extras = Extras(),
    ) -> None:
        super().__init__()
        body: list[nn.Module] = [make(nn.Conv2d(channels, lift, 3, padding=1))] if lift else []
        factors = [*sizes.factors[::-1], *[(1, 1)] * (len(widths) - sizes.stages)]
        for done, (inputs, outputs, factor) in enumerate(
            zip([lift or channels, *widths], widths, factors, strict=False), start=1
        ):
            body += stage(inputs, outputs, factor, not body)
            if _attends(attention, sizes) and done == attention:
                body.append(SelfAttention(outputs, make))
        self.body = nn.Sequential(*body, nn.ReLU())
        self.quantise = FeatureQuantisation(widths[-1], extras.codes) if extras.codes else None
        near = MinibatchDiscrimination(widths[-1], extras.kernels) if extras.kernels else nn.Identity()
        self.pooled = nn.Sequential(near, nn.Dropout(extras.dropout))
        self.features = widths[-1] + extras.kernels
        self.head: nn.Module = Head(self.features, condition, conditioning, make)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, features summed over pixels, and outputs of the conditioning."""
        maps, commitment = self.body(x), None
        if self.quantise is not None:
            maps, commitment = self.quantise(maps)
        output: CriticOutput = self.head(self.pooled(maps.sum((2, 3))), condition)
        return output._replace(commitment=commitment)


def _attends(attention: int, sizes: Sizes) -> bool:
    """Whether there is self-attention; refuses a stage that does not exist."""
    if not 0 <= attention <= sizes.stages:
        raise PartiganError(f"attention = {attention}; there are {sizes.stages} stages, give 0 to {sizes.stages}")
    return attention > 0


class ResidualGenerator(ResidualStack):
    """Generator of WGAN-GP and SNGAN: residual blocks with (conditional) batch normalisation.

    The defaults are SNGAN's for 128 x 128; use ``filters=256, multipliers=[1, 1, 1, 1]`` for CIFAR.

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
        spectral: spectral normalisation of every layer (SAGAN).
        attention: self-attention stands this many stages before the image (SAGAN); 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1704.00028, appendix F; arXiv:1802.05957, appendix B.4.

    Example:
        >>> import torch
        >>> generator = ResidualGenerator(channels=1, height=8, width=8, filters=4)
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
        spectral: bool = False,
        attention: int = 0,
    ) -> None:
        sizes, condition = Sizes.of(height, width, factors), Condition(classes, conditions)
        make, make_norm = maker(nn.init.xavier_uniform_, spectral), maker(nn.init.zeros_)
        super().__init__(
            sizes,
            channels,
            latent,
            condition,
            latent,
            sizes.widths(filters, multipliers, 16, sizes.stages + 1),
            attention,
            make,
            lambda inputs, outputs, factor: [UpBlock(inputs, outputs, factor, condition.size, make, make_norm)],
        )


class ResidualCritic(ResidualCriticStack):
    """Critic of WGAN-GP and SNGAN: residual blocks with spectral or another normalisation.

    The defaults are SNGAN's for 128 x 128. CIFAR's are ``filters=128, multipliers=[1, 1, 1, 1], factors=[[2, 2],
    [2, 2]]``: two blocks that halve the image and two that keep its size. For WGAN-GP switch ``spectral`` off.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        conditioning: how the condition is used, see `Head`.
        filters: feature maps after the first stage.
        multipliers: of ``filters`` from the last block to the first; blocks beyond the stages keep the size
            of the base; None = one such block, doubled after the first, up to 16.
        factors: of height and width in each stage from the base on; None = see `Sizes.of`.
        spectral: spectral normalisation of every layer.
        norm: normalisation inside the blocks; with a gradient penalty use another than ``batch``.
        wide: the number of maps changes in a block's first convolution, not in its second.
        attention: self-attention stands this many stages after the image (SAGAN); 0 = none.

    Raises:
        PartiganError: the size does not factor, or there are fewer stages than ``attention``.

    References:
        arXiv:1704.00028, appendix F; arXiv:1802.05957, appendix B.4.

    Example:
        >>> import torch
        >>> ResidualCritic(channels=1, height=8, width=8, filters=4)(torch.randn(2, 1, 8, 8)).score.shape
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
        spectral: bool = True,
        norm: Norm = "none",
        wide: bool = False,
        attention: int = 0,
    ) -> None:
        sizes, make = Sizes.of(height, width, factors), maker(nn.init.xavier_uniform_, spectral)
        blocks = max(len(multipliers or ()), sizes.stages + 1)
        super().__init__(
            sizes,
            channels,
            0,
            sizes.widths(filters, multipliers, 16, blocks)[::-1],
            attention,
            make,
            lambda inputs, outputs, factor, first: [DownBlock(inputs, outputs, factor, make, first, wide, norm)],
            Condition(classes, conditions),
            conditioning,
        )
