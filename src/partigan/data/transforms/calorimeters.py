"""Normalisations of calorimeter showers: shares of the particle's energy, and layers with their numbers of hits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry_of
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError

MOST = 20  # different energies that are knots one by one
WINDOWS = 24  # of energies otherwise
QUANTILES = 33
REACH = 4.0  # quantiles are tabled at evenly spaced normal levels from -4 to 4
FEW = 20  # showers in a window, below which those of all windows are taken
OFFSET, SCALE = 4.5, 2.5  # of a hit: OFFSET + ln(energy over the layer's mean hit) / SCALE
LEAST = 0.2  # of a hit; voxels without are 0 or below
MARGIN = 1e-4  # hits are so much above the threshold on average, relative to it
ABOVE = 1e-6  # and at least so much
DIMMEST = 1.5  # largest energy of a voxel that would be below the threshold, in units of it
TINY = 1e-12


def energies(sample: Batch) -> Tensor:
    """Energies of the particles, ``(showers,)``, in MeV.

    Raises:
        PartiganError: showers without conditions.
    """
    if sample.condition is None or sample.condition.dim() != 2:
        raise PartiganError("showers need the energy of the particle as condition, (showers, 1)")
    return sample.condition[:, 0]


class EnergyShares(Transform):
    """Energies of voxels over that of the particle, times a common factor that gives them a mean of 1.

    Args:
        least: energies up to it, in the unit of the file, are left out, as those of voxels that count as 0 in
            evaluations; None = the threshold of the geometry.

    References:
        M. Faucci Giannelli, R. Zhang, CaloShowerGAN, arXiv:2309.06515, section 3 (voxels over the kinetic energy).

    Example:
        >>> showers = Batch(torch.rand(9, 368) * 50, condition=torch.full((9, 1), 5000.0))
        >>> transform = EnergyShares(least=0.0)
        >>> transform.fit(showers)
        >>> torch.allclose(transform.inverse(transform.forward(showers)).x, showers.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("factor", "threshold")

    def __init__(self, least: float | None = None) -> None:
        super().__init__()
        self.least, self.factor, self.threshold = least, 1.0, 0.0

    def fit(self, sample: Batch) -> None:
        """Take the mean share.

        Raises:
            PartiganError: there is no energy in any voxel.
        """
        known = None if self.least is not None else geometry_of(sample.x.shape[1], "the training sample")
        self.threshold = float(self.least) if known is None else known.threshold  # type: ignore[arg-type]
        mean = float((self._cut(sample.x) / energies(sample)[:, None]).double().mean())
        if mean <= 0:
            raise PartiganError("the training sample has no energy in any voxel")
        self.factor = 1 / mean

    def forward(self, sample: Batch) -> Batch:
        """Shares; those of voxels up to the threshold are 0."""
        return replace(sample, x=self._cut(sample.x) * (self.factor / energies(sample)[:, None]))

    def inverse(self, sample: Batch) -> Batch:
        """Energies, not below 0; those up to the threshold are 0."""
        return replace(sample, x=self._cut(sample.x.clamp_min(0) * (energies(sample)[:, None] / self.factor)))

    def _cut(self, x: Tensor) -> Tensor:
        return torch.where(x > self.threshold, x, 0.0)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        if values["factor"] <= 0:
            yield "factor", "is not above 0"
        if values["threshold"] < 0:
            yield "threshold", "is below 0"


class VoxelEnergies(Transform):
    """Energies of voxels in a unit, without a logarithm.

    Args:
        unit: in that of the file, such as 1000 MeV.

    Example:
        >>> showers = Batch(torch.rand(9, 1260) * 50)
        >>> transform = VoxelEnergies(unit=10.0)
        >>> transform.fit(showers)
        >>> bool(transform.forward(showers).x.max() < 5)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("threshold",)

    def __init__(self, unit: float = 1.0) -> None:
        super().__init__()
        if not 0 < unit < math.inf:
            raise PartiganError(f"unit = {unit} of VoxelEnergies; it must be above 0")
        self.unit, self.threshold = unit, 0.0

    def fit(self, sample: Batch) -> None:
        """Take the threshold of the geometry, up to which generated energies are left out."""
        self.threshold = geometry_of(sample.x.shape[1], "the training sample").threshold

    def forward(self, sample: Batch) -> Batch:
        """Energies in the unit."""
        return replace(sample, x=sample.x / self.unit)

    def inverse(self, sample: Batch) -> Batch:
        """Energies in the unit of the file; those up to the threshold are 0."""
        x = sample.x.clamp_min(0) * self.unit
        return replace(sample, x=torch.where(x > self.threshold, x, 0.0))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        if values["threshold"] < 0:
            yield "threshold", "is below 0"


class LayerRatios(Transform):
    """Layer energies and numbers of hits as normal features of their own, voxels relative to their layer.

    A shower of L layers and V voxels becomes 2 L + V features.

    - The total energy over the particle's, u_0 = ln sum E_i / E; in each layer but the last its part of what is left,
      logit E_i / sum_{j >= i} E_j; and in each layer the number n_i of voxels above the threshold, plus a random number
      between 0 and 1. Monotone functions, tabled at energies of particles and interpolated in ln E between them, map
      each of the 2 L to a normal distribution; a linear map, tabled and interpolated likewise, removes their
      correlations. So independent normal numbers are already showers of right layer energies and numbers of hits, but
      for what is not a Gaussian copula.
    - A hit voxel: 4.5 + ln(E_v n_i / E_i) / 2.5, at least 0.2; others 0.

    The inverse takes the n_i largest features of each layer for its hits, whatever they are, gives each the threshold
    and shares out what is left of the layer's energy; what would be below the threshold is mirrored at it, in the
    logarithm. So energies and numbers of hits are exact by construction, no hit
    is below the threshold, and on the training sample the inverse is exact. A layer that is not hit has no features of
    its energy; they are drawn, as the random numbers are, for each batch anew.

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
        self.register_buffer("levels", torch.linspace(-REACH, REACH, QUANTILES), persistent=False)
        for name in self.constants[1:]:
            self.register_buffer(name, torch.zeros(0))

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
        values = log_e.unique()
        inner = (values[1:] + values[:-1]) / 2
        if len(values) > MOST:
            inner = torch.quantile(log_e, torch.arange(1, WINDOWS, dtype=torch.float64) / WINDOWS)
        window = torch.bucketize(log_e, inner)
        share = 0.5 * (1 + torch.erf(self.levels.double() / 2**0.5))
        share[0], share[-1] = 0.0, 1.0
        numbers = range(len(inner) + 1)
        means = [log_e[window == number].mean() for number in numbers]
        self.knots = torch.stack(means).float()
        self.seen = torch.stack([_table(raw, raw[window == number], share) for number in numbers]).float()
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

    def inverse(self, sample: Batch) -> Batch:
        """Energies of voxels."""
        layers = len(self.sizes)
        mixed = (self._at(energies(sample), self.mixing) @ sample.x[:, : 2 * layers, None])[..., 0]
        tables = self._at(energies(sample), self.seen)
        raw = _mapped(mixed.clamp(-REACH, REACH), self.levels.expand_as(tables), tables)
        sizes = self.sizes.to(sample.x)
        number = torch.minimum(raw[:, layers:].floor().clamp_min(0), sizes)
        energy = self._layer_energies(raw[:, 0].exp() * energies(sample), raw[:, 1:layers], number > 0)
        number = torch.minimum(number, (energy / (self.threshold * (1 + MARGIN))).floor())
        parts, first = [], 2 * layers
        for layer, size in enumerate(self._sizes):
            y = sample.x[:, first : first + size]
            parts.append(self._filled(y, energy[:, layer], number[:, layer]))
            first += size
        return replace(sample, x=torch.cat(parts, dim=1))

    def _filled(self, y: Tensor, energy: Tensor, number: Tensor) -> Tensor:
        """Energies of the voxels of a layer, of which the ``number`` largest are hit."""
        rank = y.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        hit = rank < number[:, None]
        weight = torch.where(hit, ((y.clamp_min(LEAST) - OFFSET) * SCALE).exp(), 0.0)
        wanted = energy[:, None] * weight / weight.sum(1, keepdim=True).clamp_min(TINY)
        low = wanted < self.threshold
        mirrored = torch.where(low, self.threshold**2 / wanted.clamp_min(self.threshold / DIMMEST), wanted)
        excess = torch.where(hit, (mirrored - self.threshold).clamp_min(MARGIN * self.threshold), 0.0)
        left = (energy - number * self.threshold).clamp_min(0)
        scale = left / excess.sum(1).clamp_min(TINY)
        found = self.threshold + excess * scale[:, None]
        return torch.where(hit, found.clamp_min(self.threshold * (1 + ABOVE)), 0.0)

    @staticmethod
    def _layer_energies(total: Tensor, logits: Tensor, hit: Tensor) -> Tensor:
        """Energies of layers; the last that is hit takes what is left."""
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
        rest = energy.flip(1).cumsum(1).flip(1) - energy
        ratio = torch.where((energy > 0) & (rest > 0), energy.log() - rest.log(), torch.nan)[:, :-1]
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
        found = _mapped(torch.nan_to_num(raw), tables, self.levels.expand_as(tables))
        return torch.where(raw.isnan(), drawn, found)

    def _at(self, energy: Tensor, tables: Tensor) -> Tensor:
        """Tables at energies, linear in ln E between knots and constant beyond them."""
        log_e = energy.to(tables).log().clamp(self.knots[0], self.knots[-1])
        if len(self.knots) == 1:
            return tables.expand(len(energy), *tables.shape[1:])
        above = torch.bucketize(log_e, self.knots).clamp(1, len(self.knots) - 1)
        low, high = self.knots[above - 1], self.knots[above]
        part = ((log_e - low) / (high - low)).reshape(-1, *[1] * (tables.dim() - 1))
        return tables[above - 1] * (1 - part) + tables[above] * part

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


def _table(everywhere: Tensor, rows: Tensor, share: Tensor) -> Tensor:
    """Quantiles of features that may be NaN, ``(features, quantiles)``."""
    found = []
    for column in range(rows.shape[1]):
        values = rows[:, column][~rows[:, column].isnan()]
        if len(values) < FEW:
            values = everywhere[:, column][~everywhere[:, column].isnan()]
        if len(values) < FEW:
            values = torch.linspace(0, 1, FEW, dtype=rows.dtype)
        found.append(torch.quantile(values, share))
    return torch.stack(found)


def _mapped(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear functions, one for each entry of ``x`` ``(rows, columns)``; constant beyond their ends.

    Args:
        x: where.
        knots: rising, ``(rows, columns, k)``.
        values: at the knots.
    """
    x = torch.minimum(torch.maximum(x, knots[..., 0]), knots[..., -1])[..., None]
    above = torch.searchsorted(knots.contiguous(), x.detach()).clamp(1, knots.shape[-1] - 1)
    x0, x1 = knots.gather(-1, above - 1), knots.gather(-1, above)
    y0, y1 = values.gather(-1, above - 1), values.gather(-1, above)
    width = x1 - x0
    return (y0 + (x - x0) / torch.where(width > 0, width, 1.0) * (y1 - y0))[..., 0]
