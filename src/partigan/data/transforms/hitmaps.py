"""Normalisations of hitmaps: charges in whole ADU, 0 where there is no hit.

References:
    H. Hashemi et al., PE-GAN (the images, the padding to 256 x 768 and the cut at 7 ADU after generation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from partigan.data.batch import Batch
from partigan.data.clusters import FRAMES, PIXELS
from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import COLUMNS, ROWS
from partigan.data.sparse_rows import full, short
from partigan.data.spectra import KINDS, ROLES, SPECTRA, of_strips
from partigan.data.sticks import CONTEXTS, PRECISION, SLICES, Sticks, broken, edges_of, inside, parted
from partigan.data.transforms.transform import Transform, wrong_shapes
from partigan.errors import PartiganError
from partigan.randomness import rng_for

LEAST_SHARE = 5e-7  # least share of the hits that a charge takes; above what rounding in float32 needs
ALIKE = 20.0  # hits of each spectrum that are spread as those of all zones
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


class ClusterShares(Transform):
    """Charges of clusters as two values a pixel: whether it is hit, and a share from 0 to 1.

    In tracks the share is that of the training hits with less charge. Each spectrum that is counted apart
    (`partigan.data.spectra`) has a table of its own, so that the shares of each are uniform. In small clusters, whose
    charge is known, the share stands for the part that a pixel takes of what is left (`partigan.data.sticks`). Within
    one ADU both are drawn uniformly; the inverse gives whole ADU and is exact. Rows of pixels ``(samples, pixels)``, a
    small cluster and a part of a track, become ``(samples, 2 * pixels)``, all hits before all shares, which are 0
    without hit. Generators of whole maps give their hits as addresses and charges ``(maps, 2, hits)`` (see
    `partigan.nets.images.clusters.Events`), and the inverse makes the maps. Whole maps become shares by the table of
    all hits, -1 without hit, and so do the hits of rows without conditions.

    Args:
        seed: of the uniform shares.
    """

    constants: ClassVar[tuple[str, ...]] = ("counts", "breaks")
    packs = True
    counts: Tensor
    edges: Tensor
    breaks: Tensor

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.seed = seed
        self.register_buffer("counts", torch.zeros(SPECTRA, 0))
        self.register_buffer("edges", torch.zeros(SPECTRA, 0), persistent=False)
        self.register_buffer("breaks", torch.zeros(CONTEXTS, 0))

    def fit(self, sample: Batch) -> None:
        """Count the charges of the hits of each spectrum, and how small clusters share theirs."""
        address = _spectra(sample.x, sample.condition) * (MAXIMUM + 1) + sample.x.long()
        counts = torch.bincount(address[sample.x > 0], minlength=SPECTRA * (MAXIMUM + 1)).reshape(SPECTRA, -1)
        counts[0] = counts.sum(0)
        if not counts.any():
            raise PartiganError("the training sample has no hits; their charges cannot be normalised")
        self.counts = counts.float()
        self.edges = _edges(self.counts)
        frame = sample.x.new_zeros(0, FRAMES[0]) if sample.condition is None else sample.condition
        self.breaks = edges_of(sample.x[: len(frame), : PIXELS[0]].long(), self.sticks(frame))

    def sticks(self, frame: Tensor) -> Sticks:
        """Small clusters of frames, see `Sticks.of`."""
        return Sticks.of(frame, self.breaks, least_charge(self.edges))

    def state(self) -> dict[str, Any]:
        """The counts as `sparse_rows`, the breaks as whole numbers of steps between their edges."""
        breaks = (self.breaks.double() * PRECISION).round().long().diff().tolist()
        return {"counts": [short(row) for row in self.counts.long().cpu().numpy()], "breaks": breaks}

    def load_state(self, state: dict[str, Any]) -> None:
        """Set the constants, and what follows from them."""
        super().load_state(state)
        self.edges = _edges(self.counts)

    def _read(self, name: str, value: Any) -> Tensor:
        """Tables of counts and breaks from what `state` gives."""
        if name == "breaks":
            steps = super()._read(name, value).double()
            return (pad(steps.cumsum(-1), (1, 0)) / PRECISION).to(self.breaks) if steps.dim() else steps
        if name != "counts" or not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            return super()._read(name, value)
        try:
            return torch.from_numpy(full(value, MAXIMUM + 1)).to(self.counts)
        except (PartiganError, TypeError, ValueError) as error:
            raise self._refused(name, f"is no table of counts ({error})") from error

    def forward(self, sample: Batch) -> Batch:
        """ADU to hits and shares."""
        rng = rng_for("dequantisation", self.seed)
        return self.batch(sample, rng) if sample.x.dim() == 2 else _equalised(sample, self.edges[0], rng)

    def held(self, sample: Batch) -> Batch:
        """The charges as they are, to save memory."""
        return sample

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """`forward` with shares from ``rng``."""
        charge = held.x.long()
        hit, spectrum = (charge > 0).float(), _spectra(held.x, held.condition)
        values = [hit]
        if held.condition is not None:
            values.append(parted(charge[:, : PIXELS[0]], self.sticks(held.condition), rng))
            charge, hit, spectrum = (each[:, PIXELS[0] :] for each in (charge, hit, spectrum))
        low, high = self.edges[spectrum, (charge - 1).clamp_min(0)], self.edges[spectrum, charge]
        return replace(held, x=torch.cat((*values, hit * inside(low, high, rng)), dim=1))

    def inverse(self, sample: Batch) -> Batch:
        """Hits and shares to whole ADU; addresses and charges to whole maps ``(maps, 1, 250, 768)``, float16."""
        if sample.x.dim() == 2:
            hit, share = sample.x.split(sum(PIXELS), dim=1)
            charge = hit * charges_of(share, _spectra(hit, sample.condition), self.edges)
            if sample.condition is not None:
                small = slice(PIXELS[0])
                charge[:, small] = hit[:, small] * broken(share[:, small], self.sticks(sample.condition))[0]
            return replace(sample, x=charge)
        maps = torch.zeros(len(sample), 1 + COLUMNS * ROWS, dtype=torch.float16, device=sample.x.device)
        maps.scatter_(1, sample.x[:, 0].long(), sample.x[:, 1].half())
        return replace(sample, x=maps[:, 1:].unflatten(1, (1, COLUMNS, ROWS)))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        shapes = (("counts", (SPECTRA, MAXIMUM + 1)), ("breaks", (CONTEXTS, SLICES + 1)))
        yield from wrong_shapes(values, *shapes)
        counts = values["counts"]
        if (counts < 0).any() or (counts != counts.floor()).any() or not counts[0].any():
            yield "counts", "are not whole numbers of hits"
        ends = values["breaks"]
        if not ((ends.diff() > 0).all() and (ends[:, 0] == 0).all() and (ends[:, -1] == 1).all()):
            yield "breaks", "does not rise from 0 to 1"


def charges_of(share: Tensor, spectrum: Tensor, edges: Tensor) -> Tensor:
    """Whole ADU of shares, shaped like them.

    Args:
        share: from 0 to 1.
        spectrum: number of the table of each.
        edges: see `ClusterShares`.
    """
    first = 2.0 * torch.arange(len(edges), device=edges.device, dtype=torch.float64)
    flat = (edges + first[:, None]).flatten()
    place = torch.bucketize(share + first[spectrum], flat, right=True)
    return (place - spectrum * edges.shape[1]).clamp(0, MAXIMUM)


def _spectra(x: Tensor, frames: Tensor | None) -> Tensor:
    """The table of each pixel; that of all hits for small clusters, and without frames."""
    spectrum = torch.zeros(x.shape, dtype=torch.long, device=x.device)
    if frames is not None:
        spectrum[:, PIXELS[0] :] = of_strips(x[:, PIXELS[0] :], frames[:, FRAMES[0] :])
    return spectrum


def least_charge(edges: Tensor) -> int:
    """The least charge of training hits, ADU; edges as in `ClusterShares`."""
    return int((edges[0] > 0).nonzero()[0])


def _edges(counts: Tensor) -> Tensor:
    """Upper edge of the share of each charge in each spectrum, ``(spectra, 256)``.

    Spectra of few hits are like those of all zones. Charges that hardly occur, from the least to 255 ADU, get a least
    share.

    Args:
        counts: hits of each spectrum and charge, ``(spectra, 256)``.
    """
    first = int(counts.any(0).nonzero()[0])
    of_all = counts[:1].double() / counts[0].sum()
    table = counts[1:].double().unflatten(0, (*KINDS, ROLES))
    alike = table.sum(0, keepdim=True) + of_all
    table = (table + ALIKE * alike / alike.sum(-1, keepdim=True)).flatten(0, -2)
    shares = torch.cat((of_all, table / table.sum(1, keepdim=True)))
    shares[:, first:].clamp_min_(LEAST_SHARE)
    edges = shares.cumsum(1)
    return (edges / edges[:, -1:]).float()


def _equalised(sample: Batch, edges: Tensor, rng: torch.Generator) -> Batch:
    """ADU to shares, drawn uniformly within one ADU; -1 without hit."""
    hit = sample.x > 0
    charge = sample.x[hit].long()
    x = torch.full(sample.x.shape, -1.0, device=charge.device)
    x[hit] = inside(edges[charge - 1], edges[charge], rng)
    return replace(sample, x=x)


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
