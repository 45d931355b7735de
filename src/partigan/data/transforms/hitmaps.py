"""Normalisations of hitmaps: charges in whole ADU, 0 where there is no hit.

References:
    H. Hashemi et al., PE-GAN (the images, the padding to 256 x 768 and the cut at 7 ADU after generation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from partigan.data.batch import Batch
from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import COLUMNS
from partigan.data.transforms.transform import Transform, wrong_shapes
from partigan.errors import PartiganError
from partigan.randomness import rng_for

LEAST_SHARE = 2e-5  # least share of the hits that an equalised charge takes; well above float32's resolution
PADDED = 256  # to which the 250 columns are padded for networks that halve images again and again


class LogIntensity(Transform):
    """Charges between -1 and 1 on a logarithmic scale, with dequantisation; 250 columns are padded to 256.

    x = 2 ln(1 + q + d) / ln 256 - 1. The noise d is uniform between 0 and ``dequantisation`` times 255 ADU, at most
    0.99, so that the inverse, which rounds down, gives every charge back. Generated charges below the threshold are cut
    (PE-GAN, section 4.2).

    Args:
        dequantisation: upper end of the noise in units of the full scale of 255 ADU; 0 = none.
        threshold: least charge in ADU of a generated hit.
        seed: of the noise of `forward`; batches of a training have noise of their own.

    References:
        PE-GAN, section 4.2; the map and its noise are those of the authors' published configuration.

    Example:
        >>> maps = Batch(torch.tensor([0.0, 7.0, 255.0]).expand(1, 1, 250, 3))
        >>> transform = LogIntensity()
        >>> transform.fit(maps)
        >>> transform.forward(maps).x.shape
        torch.Size([1, 1, 256, 3])
        >>> torch.equal(transform.inverse(transform.forward(maps)).x, maps.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("height",)

    def __init__(self, dequantisation: float = 0.004, threshold: int = THRESHOLD, seed: int = 1) -> None:
        super().__init__()
        self.noise = min(dequantisation * MAXIMUM, 0.99)
        self.threshold, self.seed = threshold, seed
        self.height = 0

    def fit(self, sample: Batch) -> None:
        """Take the height of images; everything else is fixed."""
        self.height = sample.x.shape[2]

    def forward(self, sample: Batch) -> Batch:
        """ADU to the log intensity, padded."""
        return self.batch(sample, rng_for("dequantisation", self.seed))

    def held(self, sample: Batch) -> Batch:
        """The charges as they are, in whatever type, to save memory: a normalised map takes 0.8 MB."""
        return sample

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """`forward` with noise from ``rng``."""
        charge = padded(held.x.float())
        noise = torch.rand(charge.shape, generator=rng).mul_(self.noise).to(charge.device)
        return replace(held, x=noise.add_(charge).log1p_().mul_(2 / log(MAXIMUM + 1)).sub_(1))

    def inverse(self, sample: Batch) -> Batch:
        """Log intensity to whole ADU, without padding; charges below the threshold become 0."""
        charge = torch.expm1((sample.x + 1) * (log(MAXIMUM + 1) / 2))
        charge = torch.floor(charge + 1e-3).clamp_max(MAXIMUM)
        charge = torch.where(charge < self.threshold, 0.0, charge)
        return replace(sample, x=unpadded(charge, self.height))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        height = values["height"]
        if height < 1 or height != height.floor():
            yield "height", "is not a whole number above 0"


class EqualisedCharge(Transform):
    """The share of training hits with less charge, between 0 and 1; -1 for pixels without hit.

    The charges of hits become uniform, so that a network sees every part of their steep spectrum equally well. The gap
    between -1 and 0 is for generators that decide which pixels are hit: what is below 0 is no hit. Within one ADU the
    share is drawn uniformly; the inverse gives whole ADU and is exact. It takes whole maps even if the fit saw crops.

    Args:
        seed: of the uniform shares.

    Example:
        >>> maps = Batch(torch.tensor([[[[0.0, 7.0], [9.0, 255.0]]]]))
        >>> transform = EqualisedCharge()
        >>> transform.fit(maps)
        >>> transform.forward(maps).x[0, 0, 0, 0].item()
        -1.0
        >>> transform.inverse(transform.forward(maps)).x.flatten().tolist()
        [0.0, 7.0, 9.0, 255.0]
    """

    constants: ClassVar[tuple[str, ...]] = ("edges",)
    edges: Tensor

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.seed = seed
        self.register_buffer("edges", torch.zeros(0))

    def fit(self, sample: Batch) -> None:
        """Count the charges of hits; every charge from the least to 255 ADU gets a little more, so that it has a share.

        Raises:
            PartiganError: there are no hits.
        """
        counts = torch.bincount(sample.x[sample.x > 0].long(), minlength=MAXIMUM + 1).double()
        if not counts.any():
            raise PartiganError("the training sample has no hits; their charges cannot be normalised")
        counts[int(counts.nonzero()[0]) :] += LEAST_SHARE * counts.sum()
        self.edges = (counts.cumsum(0) / counts.sum()).float()  # upper edge of each charge

    def forward(self, sample: Batch) -> Batch:
        """ADU to shares."""
        hit = sample.x > 0
        charge = sample.x[hit].long()
        rng = rng_for("dequantisation", self.seed)
        inside = torch.rand(charge.shape, generator=rng).clamp(0.01, 0.99).to(charge.device)
        x = torch.full(sample.x.shape, -1.0, device=charge.device)
        x[hit] = torch.lerp(self.edges[charge - 1], self.edges[charge], inside)
        return replace(sample, x=x)

    def inverse(self, sample: Batch) -> Batch:
        """Shares to whole ADU."""
        hit = sample.x >= 0
        charge = torch.zeros_like(sample.x)
        charge[hit] = torch.bucketize(sample.x[hit], self.edges, right=True).clamp_max(MAXIMUM).to(charge)
        return replace(sample, x=charge)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from wrong_shapes(values, ("edges", (MAXIMUM + 1,)))
        edges = values["edges"]
        rise = edges.diff()
        if (rise < 0).any() or not (rise[edges[:-1] > 0] > 0).all():
            yield "edges", "does not rise from the least charge on"
        if edges[0] < 0 or edges[-1] != 1:
            yield "edges", "does not go from 0 to 1"


def padded(x: Tensor) -> Tensor:
    """Images ``(..., 250, width)`` with zeros on both sides, ``(..., 256, width)``; other images unchanged."""
    if x.shape[-2] != COLUMNS:
        return x
    before = (PADDED - COLUMNS) // 2
    return pad(x, (0, 0, before, PADDED - COLUMNS - before))


def unpadded(x: Tensor, height: int) -> Tensor:
    """The inverse of `padded` for images of ``height``; images that were not padded unchanged."""
    if x.shape[-2] != PADDED:
        return x
    before = (PADDED - height) // 2
    return x[..., before : before + height, :]
