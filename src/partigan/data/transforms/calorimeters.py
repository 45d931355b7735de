"""Normalisations of calorimeter showers as rows of voxels: energies in a unit, and shares of the particle's energy."""

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
