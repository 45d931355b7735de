"""Layers and functions that several networks share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from partigan.errors import PartiganError

SLOPE = 0.2  # of LeakyReLU in all networks of MPGAN's authors


class Range(nn.Module):
    """Cuts values at the ends of a range, of which nothing is known at first.

    Values between the lowest and the second lowest that a sample has become the lowest: zero-suppressed images have
    nothing between 0 and the threshold of the read-out. Gradients pass as if nothing were cut, so that training can
    still move what lies outside. With ``inward`` only those do that lead back into the range: networks without norms
    may run away outside, where nothing that is made changes.

    Args:
        inward: of gradients outside, let only those pass that lead back.

    Attributes:
        ends: the same in physical units, ``(2,)``.

    Example:
        >>> within = Range()
        >>> within.set((-1.0, -0.8, 1.0), (0.0, 255.0))
        >>> within(torch.tensor([-3.0, -0.9, 0.5, 2.0])).tolist()
        [-1.0, -1.0, 0.5, 1.0]
    """

    low: Tensor
    second: Tensor
    high: Tensor
    ends: Tensor

    def __init__(self, inward: bool = False) -> None:
        super().__init__()
        self.inward = inward
        for name, value in (
            ("low", -torch.inf),
            ("second", -torch.inf),
            ("high", torch.inf),
            ("ends", (-torch.inf, torch.inf)),
        ):
            self.register_buffer(name, torch.tensor(value))

    def set(self, normalised: tuple[float, float, float], physical: tuple[float, float]) -> None:
        """Set the lowest, second lowest and highest value."""
        for end, value in zip((self.low, self.second, self.high), normalised, strict=True):
            end.fill_(value)
        self.ends.copy_(torch.tensor(physical))

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape."""
        if self.inward and x.requires_grad:
            low, high = x.detach() < self.low, x.detach() > self.high
            x.register_hook(lambda slope: slope.masked_fill((low & (slope > 0)) | (high & (slope < 0)), 0.0))
        cut = torch.where(x < self.second, self.low, x.clamp_max(self.high))
        return x + (cut - x).detach()


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels as rows of zeros with a one, ``(batch, classes)``.

    Args:
        labels: whole numbers from 0, ``(batch,)``.
        classes: how many there are.
        like: a tensor of the kind wanted.

    Raises:
        PartiganError: a class does not exist.
    """
    try:
        return functional.embedding(labels, torch.eye(classes, device=labels.device).to(like))
    except IndexError as error:
        raise PartiganError(f"the network has classes from 0 to {classes - 1}: {error}") from error


class Rectifier(nn.Module):
    """LeakyReLU for critics whose slope is penalised: the same values and gradients, and less work for the second ones.

    Second derivatives of LeakyReLU are 0. torch makes them and sends them back through all layers; here there are none.

    Args:
        slope: below 0.

    Example:
        >>> Rectifier(0.3)(torch.tensor([-1.0, 2.0])).tolist()
        [-0.30000001192092896, 2.0]
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape."""
        return x * torch.where(x.detach() > 0, 1.0, self.slope).to(x)


Layer = TypeVar("Layer", bound=nn.Module)


def silent(layer: Layer) -> Layer:
    """The same layer, which gives zero until it has learned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def weight_normalised(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weight normalisation (T. Salimans, D. Kingma, arXiv:1602.07868)."""
    layer: nn.Linear = weight_norm(nn.Linear(inputs, outputs))
    return layer


SMALL_NOISE = (0.0, 0.2)


def small_noise(*shape: int, rng: torch.Generator) -> Tensor:
    """Normal noise of mean 0 and width 0.2, as MPGAN's authors use in all trainings on jets."""
    return SMALL_NOISE[1] * torch.randn(*shape, generator=rng, device=rng.device)


def binarised(probability: Tensor) -> Tensor:
    """Round to 0 or 1 and keep the gradient of ``probability`` (Y. Bengio et al., arXiv:1308.3432)."""
    return probability + ((probability > 0.5).to(probability.dtype) - probability).detach()


def dropped(x: Tensor, probability: float) -> Tensor:
    """Dropout from one random byte a value, several times as fast on CPUs as torch's own.

    Args:
        x: any shape.
        probability: that a value becomes 0, in steps of 1/256; the others are scaled to keep the mean.

    References:
        N. Srivastava et al., Dropout, JMLR 15 (2014) 1929.
    """
    below = round(256 * probability)
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= below
    return x * kept.to(x.dtype).mul_(256 / (256 - below))


def nearest_neighbours(x: Tensor, k: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Find the nearest neighbours of each particle.

    Args:
        x: coordinates, ``(batch, particles, dimensions)``.
        k: number of neighbours; fewer where there are fewer particles.
        mask: ``(batch, particles)``, True for real particles; padding has no neighbours and is none.

    Returns:
        Indices of the neighbours, ``(batch, particles, min(k, particles - 1))``, unordered, and a tensor of the same
        shape that is True where particle and neighbour are real; None = everywhere.
    """
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")  # the same for any number of threads
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    if mask is not None:
        distance.masked_fill_(~(mask[:, None] & mask[..., None]), torch.inf)
    nearest, neighbours = distance.topk(min(k, x.shape[1] - 1), largest=False, sorted=False)
    valid = nearest.isfinite()
    return neighbours, None if valid.numel() and valid.all() else valid


def gathered(x: Tensor, index: Tensor) -> Tensor:
    """Select particles by index, ``(batch, n, k, features)``.

    Args:
        x: ``(batch, particles, features)``.
        index: ``(batch, n, k)``.
    """
    rows: Tensor = x.gather(1, index.flatten(1)[..., None].expand(-1, -1, x.shape[2])).unflatten(1, index.shape[1:])
    return rows


def dense(widths: Sequence[int], slope: float = SLOPE) -> nn.Sequential:
    """Linear layers of these widths, input first, each followed by LeakyReLU."""
    return nn.Sequential(*(part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.LeakyReLU(slope))))


def with_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """Append mask - 1/2 as one more feature; None = the particles have it already."""
    return x if mask is None else torch.cat((x, mask[..., None].to(x.dtype) - 0.5), dim=2)
