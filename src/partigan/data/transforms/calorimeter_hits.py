"""Normalisation of calorimeter showers as clouds of hit voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.calorimeter import Geometry, geometry_of
from partigan.data.transforms.calorimeters import energies
from partigan.data.transforms.quantile_tables import LEVELS, REACH, between, mapped, quantile_table, windows
from partigan.data.transforms.transform import Transform

FEATURES = 4  # of a hit: energy, layer, angle or row, radius or column
EDGE = 1e-4  # places in bins stay so far off the ends of all bins
ABOVE = 1e-6  # hits are at least so much above the threshold, relative to it
TINY = 1e-12


class HitCloud(Transform):
    """The hits of a shower, voxels above the threshold, as a cloud of as many points as any shower of training has.

    A hit has ln E_v over the threshold, and three places: the number of its layer, of its bin in the angle (or row) and
    of its bin in the radius (or column), each plus a random number between 0 and 1, over how many there are, as a
    logit. All four are standardised. A fifth feature is 1 for hits and 0 for padding.

    The numbers of hits are tabled as quantiles at energies of particles. So a normal number stands for a number of hits
    (`number`), and networks may ask for it; see `partigan.nets.contracts.introduce`. The inverse adds up the energies
    of points in the same voxel; of showers themselves it is exact.

    References:
        CaloChallenge 2022, arXiv:2410.21611, section 5 (the entry of MDMA), after B. Käch, I.-A. Melzer-Pellmann,
        arXiv:2305.15254. There the energies have a Box-Cox transform, the number of hits a power law with a flow.
    """

    constants: ClassVar[tuple[str, ...]] = ("threshold", "voxels", "shapes", "points", "mean", "width", "knots", "seen")
    threshold: float
    voxels: int
    points: int
    shapes: Tensor
    mean: Tensor
    width: Tensor
    knots: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.threshold, self.voxels, self.points = 0.0, 0, 0
        for name in ("shapes", "mean", "width", "knots", "seen"):
            self.register_buffer(name, torch.zeros(0), persistent=False)

    @classmethod
    def plain(cls, known: Geometry) -> HitCloud:
        """One that is not fitted: any number of hits is as likely as another."""
        made = cls()
        made._take(known)
        made.points, made.threshold = known.voxels, known.threshold or 1e-3
        made.mean, made.width, made.knots = torch.zeros(FEATURES), torch.ones(FEATURES), torch.zeros(1)
        made.seen = (known.voxels * 0.5 * (1 + torch.erf(LEVELS / 2**0.5)))[None]
        return made

    def _take(self, known: Geometry) -> None:
        self.voxels = known.voxels
        self.shapes = torch.tensor([[float(n) for n in layer.shape] for layer in known.layers])

    def fit(self, sample: Batch) -> None:
        """Take places, tables and the largest number of hits.

        Raises:
            PartiganError: showers without energies of particles, or of a binning that partigan does not know by name.
        """
        known = geometry_of(sample.x.shape[1], "the training sample")
        self._take(known)
        self.threshold = known.threshold or max(1e-6 * float(sample.x.max()), 1e-9)
        number = (sample.x > self.threshold).sum(1)
        self.points = max(int(number.max()), 1)
        rng = torch.Generator().manual_seed(0)
        log_e = energies(sample).double().log()
        window = windows(log_e)
        raw = (number + torch.rand(len(number), generator=rng) * 0.96 + 0.02)[:, None].double()
        numbers = range(int(window.max()) + 1)
        self.knots = torch.stack([log_e[window == k].mean() for k in numbers]).float()
        self.seen = torch.cat([quantile_table(raw, raw[window == k]) for k in numbers]).float()
        cloud, real = self._cloud(sample[:20_000], rng)
        rows = cloud[real].double()
        self.mean, self.width = rows.mean(0).float(), rows.std(0).clamp_min(1e-3).float()

    def number(self, normal: Tensor, energy: Tensor) -> Tensor:
        """Numbers of hits that normal numbers stand for, ``(showers,)`` each.

        Args:
            normal: independent normal numbers.
            energy: of the particles, MeV.
        """
        tables = between(energy.to(self.seen).log(), self.knots, self.seen)[:, None]
        levels = LEVELS.to(tables).expand_as(tables)
        found: Tensor = mapped(normal[:, None].clamp(-REACH, REACH), levels, tables)[:, 0]
        return found.floor().clamp(0, self.points).long()

    def held(self, sample: Batch) -> Batch:
        """The showers; clouds are made of them batch by batch."""
        return sample

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """Clouds ``(showers, points, 5)``."""
        cloud, real = self._cloud(held, rng)
        normal = (cloud - self.mean) / self.width
        return replace(held, x=torch.cat((normal, torch.ones_like(normal[..., :1])), dim=2) * real[..., None])

    def forward(self, sample: Batch) -> Batch:
        """Clouds, always with the same random numbers."""
        device = sample.x.device if sample.x.device.type != "meta" else "cpu"
        return self.batch(sample, torch.Generator(device).manual_seed(0))

    def inverse(self, sample: Batch) -> Batch:
        """Energies of voxels."""
        x = sample.x[..., :FEATURES] * self.width + self.mean
        energy = self.threshold * x[..., 0].clamp_max(40).exp().clamp_min(1 + ABOVE)
        place = x[..., 1:].sigmoid()
        layer = (place[..., 0] * len(self.shapes)).long().clamp_max(len(self.shapes) - 1)
        shape = self.shapes[layer]
        row, column = (torch.minimum((place[..., 1:] * shape).floor(), shape - 1)).long().unbind(-1)
        sizes = self.shapes.prod(1).long()
        voxel = (sizes.cumsum(0) - sizes)[layer] + row * shape[..., 1].long() + column
        made = torch.zeros(len(x), self.voxels, dtype=x.dtype, device=x.device)
        return replace(sample, x=made.scatter_add(1, voxel, torch.where(sample.x[..., FEATURES] > 0.5, energy, 0.0)))

    def _cloud(self, sample: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Hits before they are standardised, ``(showers, points, 4)``, and where there are some."""
        hit = sample.x > self.threshold
        voxel = hit.byte().argsort(dim=1, descending=True, stable=True)[:, : self.points]
        real = hit.gather(1, voxel)
        energy = (sample.x.gather(1, voxel) / self.threshold).clamp_min(TINY).log()
        layers = torch.arange(len(self.shapes), device=voxel.device).repeat_interleave(self.shapes.prod(1).long())
        sizes = self.shapes.prod(1).long()
        inside = voxel - (sizes.cumsum(0) - sizes)[layers[voxel]]
        rows, columns = self.shapes[layers[voxel]].unbind(-1)
        places = (layers[voxel], inside // columns.long(), inside % columns.long())
        found = [energy]
        for place, many in zip(places, (torch.full_like(rows, len(self.shapes)), rows, columns), strict=True):
            drawn = torch.rand(place.shape, generator=rng, device=rng.device).to(energy)
            found.append(((place + 0.02 + 0.96 * drawn) / many).clamp(EDGE, 1 - EDGE).logit())
        return torch.stack(found, dim=2) * real[..., None], real

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        if values["threshold"] <= 0:
            yield "threshold", "is not above 0"
        if values["points"] < 1 or values["points"] != values["points"].floor():
            yield "points", "is not a number of points"
        shapes = values["shapes"]
        if shapes.dim() != 2 or shapes.shape[1:] != (2,) or len(shapes) == 0 or (shapes < 1).any():
            yield "shapes", "is not a list of rows and columns"
        elif shapes.prod(1).sum() != values["voxels"]:
            yield "shapes", f"does not make {values['voxels'].item():g} voxels"
        for name in ("mean", "width"):
            if values[name].shape != (FEATURES,):
                yield name, f"has the shape {tuple(values[name].shape)}, not {(FEATURES,)}"
        if (values["width"] <= 0).any():
            yield "width", "is not above 0"
        knots = values["knots"]
        if knots.dim() != 1 or len(knots) == 0 or (knots.diff() <= 0).any():
            yield "knots", "is not a rising list"
        elif values["seen"].shape != (len(knots), len(LEVELS)):
            yield "knots" if len(values["seen"]) > len(knots) else "seen", "does not fit the tables"
        elif (values["seen"].diff(dim=1) < 0).any():
            yield "seen", "has quantiles that fall"
