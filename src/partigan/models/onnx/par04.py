"""A generator of showers as Geant4's example Par04 takes it: one vector in, shares of the energy in its order out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.calorimeter import Geometry, geometry
from partigan.errors import PartiganError
from partigan.models.model import EXAMPLES, Model
from partigan.models.onnx.exporting import files_of, physical_of
from partigan.nets.contracts import Generator
from partigan.randomness import rng_for

LARGEST = 1024e3  # MeV; Par04 gives energies in it


class Par04Generator(Generator):
    """Showers as shares of the energy of the particle, r slowest, then phi, then z.

    Its noise is Par04's input: normal numbers, energy over 1024 GeV, angle over 90 degrees and two numbers for the
    geometry, of which it uses the energy alone.

    Args:
        physical: makes energies of voxels of noise and energy in MeV.
        shape: of the calorimeter.
        latent: how many normal numbers it takes.
        energies: lowest and highest of training, MeV.

    Raises:
        PartiganError: layers differ in their bins.

    References:
        Geant4, examples/extended/parameterisations/Par04.
    """

    order: Tensor
    equivariant: ClassVar[bool] = False

    def __init__(self, physical: Generator, shape: Geometry, latent: int, energies: tuple[float, float]) -> None:
        super().__init__()
        self.physical, self.latent, self.energies, self.mev = physical, latent, energies, shape.mev
        self.register_buffer("order", torch.from_numpy(shape.par04_order()))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Par04's input, of energies as in training and an angle of 90 degrees."""
        low, high = self.energies
        energy = low * (high / low) ** torch.rand(size, 1, generator=rng) / LARGEST
        rest = torch.tensor([1.0, 0.0, 1.0]).expand(size, -1)
        return torch.cat((self.physical.noise(size, None, rng).flatten(1), energy, rest), dim=1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Shares ``(batch, voxels)``."""
        energy = noise[:, self.latent : self.latent + 1] * LARGEST
        made: Tensor = self.physical(noise[:, : self.latent], energy, None)
        return made[:, self.order] * (self.mev / energy)


def par04_files(model: Model) -> dict[str, str | bytes]:
    """A generator of showers for Par04, by name of the file.

    Args:
        model: of calorimeter showers that depend on the energy alone.

    Raises:
        PartiganError: it makes no such showers, or has no form in ONNX.
    """
    label = model.conditions.get("geometry")
    condition, _ = model.kind.conditions.draw(model.conditions, EXAMPLES, rng_for("par04"))
    if not label or condition is None or condition.shape[1] != 1:
        raise PartiganError("Par04 takes showers in calorimeters that depend on the energy alone")
    physical = physical_of(model)
    noise = physical.noise(1, None, rng_for("par04"))
    if noise.dim() != 2:
        raise PartiganError(f"Par04 gives noise as one row; this network takes the shape {list(noise.shape[1:])}")
    ends = float(condition.min()), float(condition.max())
    return files_of(model, Par04Generator(physical, geometry(label), noise.shape[1], ends).eval(), None, None)
