"""Layers shared by image networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from partigan.errors import PartiganError
from partigan.nets.contracts import Generator
from partigan.nets.images.fused import BlockedAttention
from partigan.nets.images.sizes import Factor
from partigan.nets.layers import one_hot

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
Make = Callable[[Layer], nn.Module]
Norm = Literal["batch", "layer", "instance", "none"]


def maker(initialise: Callable[[Tensor], Any], spectral: bool = False) -> Make:
    """Make the function that finishes layers: initial weights, zero biases and, on request, spectral normalisation.

    Args:
        initialise: sets the weights in place.
        spectral: divide the weights by an estimate of their largest singular value, which every call in training
            improves by one power iteration (T. Miyato et al., arXiv:1802.05957, algorithm 1).
    """

    def make(layer: Layer) -> nn.Module:
        initialise(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        return spectral_norm(layer) if spectral else layer

    return make


class _Scaled(nn.Module):
    """A parameter times a constant."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scale


def equalised(layer: Layer, gain: float = 2**0.5, rate: float = 1.0) -> nn.Module:
    """Equalise a layer's learning rate: weights have unit variance and are multiplied by He's constant at every use.

    Args:
        layer: the layer; a transposed convolution must act on a map of one pixel.
        gain: sqrt(2) before a rectifier, 1 before nothing.
        rate: factor of the learning rate; stored weights are larger by its inverse.

    References:
        T. Karras et al., arXiv:1710.10196, section 4.1; the rate: arXiv:1812.04948, appendix C.
    """
    nn.init.normal_(layer.weight, std=1 / rate)
    inputs = layer.weight.shape[0] if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].numel()
    register_parametrization(layer, "weight", _Scaled(gain * inputs**-0.5 * rate))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        if rate != 1:
            register_parametrization(layer, "bias", _Scaled(rate))
    return layer


def linear(layer: Layer) -> nn.Module:
    """Equalise the learning rate of a layer without a rectifier after it."""
    return equalised(layer, gain=1.0)


def enlarged(x: Tensor, factor: Factor) -> Tensor:
    """Every pixel repeated ``factor`` times in height and width."""
    return x if factor == (1, 1) else functional.interpolate(x, scale_factor=factor)


def reduced(x: Tensor, factor: Factor) -> Tensor:
    """Means of blocks of ``factor`` pixels, the inverse of `enlarged`."""
    return x if factor == (1, 1) else functional.avg_pool2d(x, factor)


def normalisation(kind: Norm, features: int) -> nn.Module:
    """Batch, layer or instance normalisation of feature maps, or none.

    Raises:
        PartiganError: an unknown name.
    """
    match kind:
        case "batch":
            return nn.BatchNorm2d(features)
        case "layer":
            return nn.GroupNorm(1, features)
        case "instance":
            return nn.GroupNorm(features, features)
        case "none":
            return nn.Identity()
    raise PartiganError(f"norm = {kind!r}; it must be batch, layer, instance or none")


class Condition(nn.Module):
    """The condition as a vector: classes are one-hot, so a linear layer of it is an embedding.

    With classes and other conditions the condition is a float tensor: the one-hot class first, then the others.

    Args:
        classes: number of classes; 0 = none.
        conditions: number of float conditions besides the class; 0 = none.

    Attributes:
        size: length of the vector; 0 = unconditional.
    """

    def __init__(self, classes: int = 0, conditions: int = 0) -> None:
        super().__init__()
        self.classes, self.conditions, self.size = classes, conditions, classes + conditions

    def forward(self, condition: Tensor | None, like: Tensor) -> Tensor:
        """``(batch, size)``, of the type and on the device of ``like``.

        Raises:
            PartiganError: the condition is missing or has a wrong shape, or a class does not exist.
        """
        if self.size == 0:
            return like.new_zeros(len(like), 0)
        wanted = (len(like), self.size) if self.conditions else (len(like),)
        if condition is None or condition.shape != wanted:
            given = "none" if condition is None else f"one of shape {tuple(condition.shape)}"
            raise PartiganError(f"the network needs a condition of shape {wanted}, not {given}")
        if self.conditions:
            return condition.to(like)
        return one_hot(condition, self.size, like)


def with_maps(x: Tensor, vector: Tensor) -> Tensor:
    """Images with a vector ``(batch, size)`` joined to their channels, as constant maps."""
    maps = vector[..., None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat((x, maps), dim=1)


class ImageGenerator(Generator):
    """A generator whose noise is one normal row an image.

    Args:
        latent: length of the row.
        condition: makes the condition vector.
    """

    def __init__(self, latent: int, condition: Condition) -> None:
        super().__init__()
        self.latent, self.condition = latent, condition

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, latent)``."""
        return torch.randn(size, self.latent, generator=rng, device=rng.device)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with gain and bias linear in a vector; plain batch normalisation without a vector.

    Args:
        features: feature maps.
        vector: length of the vector; 0 = plain batch normalisation.
        make: finishes the two linear layers.

    References:
        H. de Vries et al., arXiv:1707.00683, section 3.
    """

    def __init__(self, features: int, vector: int, make: Make) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features, affine=vector == 0)
        self.gain, self.bias = (
            (make(nn.Linear(vector, features, bias=False)) if vector else nn.Identity()) for _ in range(2)
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Normalise maps ``(batch, features, height, width)``, given a vector ``(batch, vector)``.

        In evaluation mode, normalisation, gain and bias are one linear function of x.
        """
        if self.norm.affine:
            x = self.norm(x)
            return x
        if self.training or self.norm.running_mean is None:
            gain, bias = 1 + self.gain(vector)[..., None, None], self.bias(vector)[..., None, None]
            modulated: Tensor = self.norm(x) * gain + bias
            return modulated
        gain, bias = (part[..., None, None] for part in self.affine(vector))
        return torch.addcmul(bias, x, gain)

    def affine(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """What it is in evaluation mode: the gain and the bias of each map, ``(batch, features)``."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        if norm.affine:
            gain, bias = (part.expand(len(vector), -1) for part in (norm.weight * scale, norm.bias))
        else:
            gain, bias = (1 + self.gain(vector)) * scale, self.bias(vector)
        return gain, bias - norm.running_mean * gain


class SelfAttention(nn.Module):
    """Every pixel attends to a map reduced by 2; the result is added with a gain that starts at 0.

    As in the authors' published code, keys and values are max-pooled and values have half of the features (in the paper
    an eighth, without pooling).

    Args:
        features: feature maps.
        make: finishes the four convolutions.

    References:
        H. Zhang et al., arXiv:1805.08318, section 3.
    """

    def __init__(self, features: int, make: Make) -> None:
        super().__init__()
        small, half = max(features // 8, 1), max(features // 2, 1)
        self.query, self.key = (make(nn.Conv2d(features, small, 1, bias=False)) for _ in range(2))
        self.value = make(nn.Conv2d(features, half, 1, bias=False))
        self.out = make(nn.Conv2d(half, features, 1, bias=False))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        """Maps of the same shape; ``vector`` is not used."""
        query = self.query(x).flatten(2)
        key, value = (functional.max_pool2d(part(x), 2, ceil_mode=True).flatten(2) for part in (self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(2)  # (batch, pixels, pooled pixels)
        attended: Tensor = self.out((value @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:]))
        return x + self.gain * attended

    def fused(self) -> BlockedAttention:
        """The form for one large image."""
        return BlockedAttention(self)


class PixelNorm(nn.Module):
    """Features divided by their root mean square (T. Karras et al., arXiv:1710.10196, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(batch, features, ...)`` of mean square 1 in every pixel."""
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class MinibatchDeviation(nn.Module):
    """Append one map: the standard deviation over the batch, averaged over features and pixels.

    References:
        T. Karras et al., arXiv:1710.10196, section 3.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, features + 1, height, width)`` of ``(batch, features, height, width)``."""
        deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
        return torch.cat((x, deviation.expand_as(x[:, :1])), dim=1)


class MinibatchDiscrimination(nn.Module):
    """Append features: how close a sample is to the others of its batch, one a kernel.

    Args:
        features: features of a sample.
        kernels: number of kernels B.
        dimension: dimension C of the space in which a kernel compares samples.

    References:
        T. Salimans et al., arXiv:1606.03498, section 3.2, without the sample itself, which would add 1 to every kernel.
    """

    def __init__(self, features: int, kernels: int, dimension: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * dimension, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, features + kernels)`` of ``(batch, features)``."""
        rows = self.project(x).unflatten(1, (self.kernels, -1))
        close = torch.exp(-(rows[:, None] - rows[None]).abs().sum(3))  # (batch, batch, kernels)
        return torch.cat((x, close.sum(1) - 1), dim=1)


class Blur(nn.Module):
    """The binomial filter [1, 2, 1] / 4 in both directions, with zeros around the map.

    References:
        R. Zhang, arXiv:1904.11486; T. Karras et al., arXiv:1812.04948, section 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        line = x.new_tensor([0.25, 0.5, 0.25])
        kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(x, kernel, padding=1, groups=x.shape[1])
