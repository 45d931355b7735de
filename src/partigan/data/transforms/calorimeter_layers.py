"""Normalisation of calorimeter showers layer by layer: energies and numbers of hits are exact by construction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.calorimeter import Geometry, geometry_of
from partigan.data.transforms.calorimeters import energies
from partigan.data.transforms.quantile_tables import (
    LEVELS,
    QUANTILES,
    REACH,
    between,
    mapped,
    quantile_table,
    windows,
)
from partigan.data.transforms.transform import Transform

OFFSET, SCALE = 4.5, 2.5  # of a hit: OFFSET + ln(energy over the layer's mean hit) / SCALE
LEAST = 0.2  # of a hit; voxels without are 0 or below
MARGIN = 1e-4  # hits are so much above the threshold on average, relative to it
ABOVE = 1e-6  # and at least so much
TINY = 1e-12


class LayerRatios(Transform):
    """Layer energies and numbers of hits as normal features of their own, voxels relative to their layer.

    A shower of L layers and V voxels becomes 2 L + V features.

    - The total energy over the particle's, ln sum E_i / E; in each layer but the last its part of what is left, logit
      X_i / sum_{j >= i} X_j, where X_i = E_i - n_i E_0 is what its hits have above the threshold E_0; and in each layer
      the number n_i of hits, voxels above the threshold, plus a random number between 0 and 1. Monotone functions,
      tabled at energies of particles and interpolated in ln E between them, map each of the 2 L to a normal
      distribution; a linear map, tabled and interpolated likewise, removes their correlations. So independent normal
      numbers are already showers of right layer energies and numbers of hits, but for what is not a Gaussian copula.
    - A hit: 4.5 + ln(E_v n_i / E_i) / 2.5, at least 0.2; other voxels 0.

    The inverse takes the n_i largest features of each layer for its hits, whatever they are, and scales what they have
    above the threshold to X_i. So energies and numbers of hits are exact by construction, no hit is below the
    threshold, and on the training sample the inverse is exact. A layer that is not hit has no features of its energy;
    they are drawn, as the random numbers are, for each batch anew.

    Networks may ask for the energies and numbers of hits that features stand for (`layers`); see
    `partigan.nets.contracts.introduce`.

    References:
        Ours. Layer energies as ratios: C. Krause, D. Shih, CaloFlow, arXiv:2106.05285; with voxels normalised in each
        layer: arXiv:2312.09290. Numbers of hits as features: CaloChallenge 2022, arXiv:2410.21611, section 5 (the entry
        of MDMA models the number of points).
    """

    constants: ClassVar[tuple[str, ...]] = ("threshold", "sizes", "knots", "seen", "mixing")
    threshold: float
    levels: Tensor
    sizes: Tensor
    knots: Tensor
    seen: Tensor
    mixing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.threshold = 0.0
        self.register_buffer("levels", LEVELS.clone(), persistent=False)
        for name in self.constants[1:]:
            self.register_buffer(name, torch.zeros(0), persistent=False)

    @classmethod
    def plain(cls, known: Geometry) -> LayerRatios:
        """One that is not fitted: all energy seen, layers of like energies, any number of hits as likely as another."""
        made = cls()
        layers = len(known.layers)
        made.threshold = known.threshold or 1e-3
        made.sizes = torch.tensor([float(layer.size) for layer in known.layers])
        made.knots = torch.zeros(1)
        share = 0.5 * (1 + torch.erf(made.levels / 2**0.5))
        unit = torch.full((1, QUANTILES), -math.log(known.mev)) + 0.01 * made.levels
        made.seen = torch.cat((unit, made.levels.expand(layers - 1, -1), made.sizes[:, None] * share))[None]
        made.mixing = torch.eye(2 * layers)[None]
        return made

    @property
    def _sizes(self) -> list[int]:
        return [int(size) for size in self.sizes]

    def fit(self, sample: Batch) -> None:
        """Take the tables of the training sample's geometry.

        Raises:
            PartiganError: showers without energies of particles, or of a binning that partigan does not know by name.
        """
        known = geometry_of(sample.x.shape[1], "the training sample")
        self.threshold = known.threshold or max(1e-6 * float(sample.x.max()), 1e-9)
        self.sizes = torch.tensor([float(layer.size) for layer in known.layers])
        log_e, rng = energies(sample).double().log(), torch.Generator().manual_seed(0)
        raw = self._dequantised(self._raw(sample), rng)
        window = windows(log_e)
        numbers = range(int(window.max()) + 1)
        means = [log_e[window == number].mean() for number in numbers]
        self.knots = torch.stack(means).float()
        self.seen = torch.stack([quantile_table(raw, raw[window == number]) for number in numbers]).float()
        self.mixing = torch.eye(raw.shape[1]).repeat(len(self.knots), 1, 1)
        normal = self._normal(raw.float(), energies(sample), rng).double()
        for number in numbers:
            rows = normal[window == number]
            if len(rows) > 10 * rows.shape[1]:
                covariance = torch.corrcoef(rows.T) + 1e-3 * torch.eye(rows.shape[1])
                self.mixing[number] = torch.linalg.cholesky(covariance).float()

    def held(self, sample: Batch) -> Batch:
        """Features before they are made normal; NaN for those that have no meaning."""
        return replace(sample, x=torch.cat((self._raw(sample).float(), self._voxels(sample)), dim=1))

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """Normal features; what is random is drawn from ``rng``."""
        width = 2 * len(self.sizes)
        raw = self._dequantised(held.x[:, :width].double(), rng).float()
        normal = self._normal(raw, energies(held), rng)
        mixing = self._at(energies(held), self.mixing)
        plain = torch.linalg.solve_triangular(mixing, normal[..., None], upper=False)[..., 0]
        return replace(held, x=torch.cat((plain, held.x[:, width:]), dim=1))

    def forward(self, sample: Batch) -> Batch:
        """Normal features, always with the same random numbers."""
        rng = torch.Generator(sample.x.device if sample.x.device.type != "meta" else "cpu").manual_seed(0)
        return self.batch(self.held(sample), rng)

    def layers(self, features: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
        """What the features of layers stand for.

        Args:
            features: ``(showers, 2 layers or more)``, as `forward` gives them.
            energy: of the particles, MeV.

        Returns:
            Energies and numbers of hits, ``(showers, layers)`` each. The energies are differentiable.
        """
        layers = len(self.sizes)
        mixed = (self._at(energy, self.mixing) @ features[:, : 2 * layers, None])[..., 0]
        tables = self._at(energy, self.seen)
        raw = mapped(mixed.clamp(-REACH, REACH), self.levels.expand_as(tables), tables)
        number = torch.minimum(raw[:, layers:].detach().floor().clamp_min(0), self.sizes.to(raw))
        total = raw[:, :1].exp() * energy[:, None]
        room = total.detach() / (self.threshold * (1 + MARGIN) * number.sum(1, keepdim=True)).clamp_min(TINY)
        number = torch.where(room < 1, (number * room).floor(), number)
        left = (total - self.threshold * number.sum(1, keepdim=True)).clamp_min(0)
        return number * self.threshold + self._shared(left[:, 0], raw[:, 1:layers], number > 0), number

    def inverse(self, sample: Batch) -> Batch:
        """Energies of voxels."""
        energy, number = self.layers(sample.x, energies(sample))
        parts, first = [], 2 * len(self.sizes)
        for layer, size in enumerate(self._sizes):
            y = sample.x[:, first : first + size]
            parts.append(self._filled(y, energy[:, layer : layer + 1], number[:, layer : layer + 1]))
            first += size
        return replace(sample, x=torch.cat(parts, dim=1))

    def _filled(self, y: Tensor, energy: Tensor, number: Tensor) -> Tensor:
        """Energies of the voxels of a layer, of which the ``number`` largest are hit."""
        rank = y.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        hit = rank < number
        relative = ((y.clamp_min(LEAST) - OFFSET) * SCALE).exp() * (energy / number.clamp_min(1))
        above = torch.where(hit, (relative - self.threshold).clamp_min(MARGIN * self.threshold), 0.0)
        left = (energy - number * self.threshold).clamp_min(0)
        found = self.threshold + above * (left / above.sum(1, keepdim=True).clamp_min(TINY))
        return torch.where(hit, found.clamp_min(self.threshold * (1 + ABOVE)), 0.0)

    @staticmethod
    def _shared(total: Tensor, logits: Tensor, hit: Tensor) -> Tensor:
        """An energy shared out among the layers that are hit; the last of them takes what is left."""
        later = hit.flip(1).cumsum(1).flip(1) - hit.long()
        rest, parts = total, []
        for layer in range(hit.shape[1]):
            share = torch.ones_like(rest) if layer == hit.shape[1] - 1 else logits[:, layer].sigmoid()
            share = torch.where(later[:, layer] > 0, share, 1.0)
            parts.append(torch.where(hit[:, layer], rest * share, 0.0))
            rest = rest - parts[-1]
        return torch.stack(parts, dim=1)

    def _cut(self, sample: Batch) -> list[Tensor]:
        """Voxels of the layers, above the threshold."""
        x = torch.where(sample.x > self.threshold, sample.x, 0.0)
        return [*x.split(self._sizes, dim=1)]

    def _raw(self, sample: Batch) -> Tensor:
        """Layer energies and numbers of hits, ``(showers, 2 layers)``; NaN for those of layers that are not hit."""
        parts = self._cut(sample)
        energy = torch.stack([part.double().sum(1) for part in parts], dim=1)
        number = torch.stack([(part > 0).double().sum(1) for part in parts], dim=1)
        above = (energy - number * self.threshold).clamp_min(0)
        rest = above.flip(1).cumsum(1).flip(1) - above
        ratio = torch.where((above > 0) & (rest > 0), above.log() - rest.log(), torch.nan)[:, :-1]
        total = energy.sum(1)
        share = torch.where(total > 0, total.log() - energies(sample).double().log(), torch.nan)
        return torch.cat((share[:, None], ratio, number), dim=1)

    def _voxels(self, sample: Batch) -> Tensor:
        """Voxels relative to their layer, ``(showers, voxels)``."""
        found = []
        for part in self._cut(sample):
            number, energy = (part > 0).sum(1, keepdim=True), part.sum(1, keepdim=True)
            relative = part * number / energy.clamp_min(TINY)
            y = OFFSET + relative.clamp_min(TINY).log() / SCALE
            found.append(torch.where(part > 0, y.clamp_min(LEAST), 0.0))
        return torch.cat(found, dim=1)

    def _dequantised(self, raw: Tensor, rng: torch.Generator) -> Tensor:
        """Numbers of hits plus a random number between 0.02 and 0.98."""
        layers = len(self.sizes)
        drawn = torch.rand(len(raw), layers, generator=rng, device=rng.device).to(raw)
        return torch.cat((raw[:, :layers], raw[:, layers:] + 0.02 + 0.96 * drawn), dim=1)

    def _normal(self, raw: Tensor, energy: Tensor, rng: torch.Generator) -> Tensor:
        """Raw features mapped to normal ones, drawn where they have no meaning."""
        tables = self._at(energy, self.seen)
        drawn = torch.randn(raw.shape, generator=rng, device=rng.device).to(raw).clamp(-REACH, REACH)
        found = mapped(torch.nan_to_num(raw), tables, self.levels.expand_as(tables))
        return torch.where(raw.isnan(), drawn, found)

    def _at(self, energy: Tensor, tables: Tensor) -> Tensor:
        """Tables at energies of particles."""
        return between(energy.to(tables).log(), self.knots, tables)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        knots, sizes = values["knots"], values["sizes"]
        if sizes.dim() != 1 or len(sizes) == 0 or (sizes < 1).any():
            yield "sizes", "is not a list of numbers of voxels"
            return
        if knots.dim() != 1 or len(knots) == 0 or (knots.diff() <= 0).any():
            yield "knots", "is not a rising list"
        width = 2 * len(sizes)
        for name, shape in (("seen", (len(knots), width, QUANTILES)), ("mixing", (len(knots), width, width))):
            if values[name].shape != shape:
                wrong = "knots" if values[name].dim() == 3 and values[name].shape[0] > len(knots) else name
                wrong = "sizes" if values[name].dim() == 3 and values[name].shape[1] > width else wrong
                yield wrong, f"does not fit {len(knots)} energies and {len(sizes)} layers"
        if values["seen"].dim() == 3 and (values["seen"].diff(dim=2) < 0).any():
            yield "seen", "has quantiles that fall"
        if values["threshold"] <= 0:
            yield "threshold", "is not above 0"
