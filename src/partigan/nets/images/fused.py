"""Inference forms of residual generators of large images: the same images with less arithmetic and memory.

But for the smallest maps an image goes through alone, so that a conditional norm is one gain and one bias for each map.
Where a norm follows a convolution they are folded into its weights. A convolution of 3 x 3 pixels after every pixel was
repeated is one of 2 x 2 on the small map for each of four phases, 4/9 of the products, as in sub-pixel convolutions (W.
Shi et al., arXiv:1609.05158). Attention goes over queries in blocks. The last convolution, to few channels, is one
product of matrices and sums of shifted maps. Maps lie in memory with channels last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.images.sizes import Factor, Sizes

SMALL = 2048  # pixels, of maps whose stages take a whole batch at a time
QUERIES = 128  # of attention at a time: their weights stay in the cache


def taps(factor: int) -> Tensor:
    """Which pixel of the small map a tap of three sees, ``(phase, pixel, tap)``, 0 or 1, after pixels are repeated.

    The first pixel is the one before, in the last phase of several the pixel itself.

    Args:
        factor: how often.
    """
    seen = (torch.arange(factor)[:, None] + torch.arange(3) + factor - 1) // factor  # 0 = the pixel before
    if factor > 1:
        seen = seen - (torch.arange(factor)[:, None] == factor - 1).long()
    return (seen[:, None] == torch.arange(3 if factor == 1 else 2)[:, None]).float()


def convolved(conv: nn.Conv2d, x: Tensor, gain: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """A convolution of one image, and the gain and bias that follow it.

    Args:
        conv: of stride 1.
        x: ``(1, inputs, height, width)``.
        gain: ``(outputs,)``; None = 1.
        bias: ``(outputs,)``, with ``gain``.
    """
    weight, own = conv.weight, conv.bias
    if gain is not None and bias is not None:
        weight = weight * gain[:, None, None, None]
        own = bias if own is None else own * gain + bias
    if conv.kernel_size == (1, 1):  # a product of matrices: pixels lie with channels last
        pixels, matrix = x.permute(0, 2, 3, 1).flatten(0, 2), weight.flatten(1).T.to(x)
        made = pixels @ matrix if own is None else torch.addmm(own.to(x), pixels, matrix)
        return made.view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)
    return functional.conv2d(x, weight.to(x), None if own is None else own.to(x), padding=conv.padding)


class EnlargingConvolution(nn.Module):
    """`enlarged` and a convolution of 3 x 3 pixels, then gain, bias and ReLU.

    Args:
        conv: 3 x 3, padded.
        factor: of height and width.
    """

    weight: Tensor

    def __init__(self, conv: nn.Conv2d, factor: Factor) -> None:
        super().__init__()
        self.factor = factor
        rows, columns = (taps(each).to(conv.weight) for each in factor)
        phases = torch.einsum("oiyx,ary,bsx->aboirs", conv.weight, rows, columns)
        self.register_buffer("weight", phases.flatten(0, 2))
        self.bias = conv.bias

    def forward(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        """``(1, outputs, height * factor, width * factor)``."""
        (down, across), (height, width) = self.factor, x.shape[2:]
        phases = down * across
        own = bias if self.bias is None else self.bias * gain + bias
        weight = self.weight * gain.repeat(phases)[:, None, None, None]
        made = functional.conv2d(x, weight.to(x), own.repeat(phases).to(x), padding=1)
        size = (1, len(gain), height * down, width * across)
        out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for phase, part in enumerate(made.split(len(gain), dim=1)):
            a, b = divmod(phase, across)
            top, left = int(a == down - 1 > 0), int(b == across - 1 > 0)
            seen = part[:, :, top : top + height, left : left + width]
            torch.clamp_min(seen, 0, out=out[:, :, a::down, b::across])
        return out


def normalised(norm: Any, x: Tensor, vector: Tensor) -> Tensor:
    """A conditional norm and ReLU of one image."""
    gain, bias = (part[0, :, None, None].to(x) for part in norm.affine(vector))
    return torch.addcmul(bias, x, gain).relu_()


def add_enlarged(x: Tensor, small: Tensor, factor: Factor) -> Tensor:
    """``x`` plus `enlarged` of a smaller map, in place."""
    down, across = factor
    x.unflatten(3, (-1, across)).unflatten(2, (-1, down)).add_(small[:, :, :, None, :, None])
    return x


class FusedUpBlock(nn.Module):
    """`UpBlock` of one image.

    Args:
        block: in evaluation mode, with plain weights.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block, self.first = block, EnlargingConvolution(block.conv1, block.factor)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Enlarged maps."""
        block = self.block
        gain, bias = (part[0] for part in block.norm2.affine(vector))
        change = self.first(normalised(block.norm1, x, vector), gain, bias)
        skip = x if isinstance(block.skip, nn.Identity) else convolved(block.skip, x)
        return add_enlarged(convolved(block.conv2, change), skip, block.factor)


class FusedDeepUpBlock(nn.Module):
    """`DeepUpBlock` of one image.

    Args:
        block: in evaluation mode, with plain weights.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block, self.second = block, EnlargingConvolution(block.convs[1], block.factor)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Enlarged maps."""
        convs, factor, outputs = self.block.convs, self.block.factor, self.block.outputs
        first, *others = self.block.norms
        affine = [[part[0] for part in norm.affine(vector)] for norm in others]
        change = convolved(convs[0], normalised(first, x, vector), *affine[0]).relu_()
        change = convolved(convs[2], self.second(change, *affine[1]), *affine[2]).relu_()
        return add_enlarged(convolved(convs[3], change), x[:, :outputs], factor)


class BlockedAttention(nn.Module):
    """`SelfAttention` of one image, with queries in blocks.

    Args:
        attention: in evaluation mode, with plain weights.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        """Maps of the same shape."""
        parts = self.attention
        query = convolved(parts.query, x)[0].flatten(1).T
        key, value = (
            functional.max_pool2d(convolved(part, x), 2, ceil_mode=True)[0].flatten(1)
            for part in (parts.key, parts.value)
        )
        value = value.T.contiguous()
        attended = torch.empty(len(query), value.shape[1], dtype=x.dtype, device=x.device)
        for rows, out in zip(query.split(QUERIES), attended.split(QUERIES), strict=True):
            torch.mm((rows @ key).softmax(1), value, out=out)
        maps = attended.view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)
        return x + convolved(parts.out, maps, parts.gain.expand(x.shape[1]), parts.gain.new_zeros(x.shape[1]))


def last_image(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A padded convolution of 3 x 3 pixels to few channels, of one image, in numbers of its weights."""
    height, width = x.shape[2:]
    pixels = x.permute(0, 2, 3, 1).reshape(height * width, -1)
    taps = conv.weight.permute(2, 3, 0, 1).flatten(0, 2)  # (9 * channels, inputs)
    parts = (taps.to(x) @ pixels.T).to(taps).view(3, 3, -1, height, width)
    out = functional.pad(parts[1, 1], (1, 1, 1, 1))
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                out[:, 2 - down : 2 - down + height, 2 - across : 2 - across + width] += parts[down, across]
    out = out[:, 1 : 1 + height, 1 : 1 + width]
    return (out if conv.bias is None else out + conv.bias[:, None, None])[None]


class FusedStack(nn.Module):
    """What a `ResidualStack` makes of the smallest map, image by image.

    Args:
        stages: of the stack in evaluation mode, with plain weights; their blocks have ``fused``.
        sizes: of their maps.
        norm: before the image.
        out: to the image.
        kind: of the numbers to compute with; None = that of the weights.
    """

    def __init__(self, stages: Any, sizes: Sizes, norm: nn.BatchNorm2d, out: Any, kind: torch.dtype | None) -> None:
        super().__init__()
        pixels = accumulate((math.prod(factor) for factor in sizes.factors), mul, initial=math.prod(sizes.base))
        small = max(sum(each <= SMALL for each in pixels) - 1, 0)
        self.first = nn.ModuleList(stages[:small])
        self.stages = nn.ModuleList(nn.ModuleList(block.fused() for block in blocks) for blocks in stages[small:])
        self.norm, self.out, self.kind = norm, out, kind

    def forward(self, x: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        """Images in (-1, 1) of maps ``(batch, features, *base)`` and the vector of each stage."""
        for blocks, vector in zip(self.first, vectors, strict=False):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, vector)
        x, vectors = x.to(self.kind or x.dtype, memory_format=torch.channels_last), vectors[len(self.first) :]
        return torch.cat([self._image(x[n : n + 1], [each[n : n + 1] for each in vectors]) for n in range(len(x))])

    def _image(self, x: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        for blocks, vector in zip(self.stages, vectors, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, vector)
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
        bias = norm.bias - norm.running_mean * gain
        x = torch.addcmul(bias[:, None, None].to(x), x, gain[:, None, None].to(x)).relu_()
        return last_image(self.out, x).tanh_()
