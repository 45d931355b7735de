"""Showers in calorimeters: x = energies of all voxels, condition = energy of the particle in MeV.

Files are the CaloChallenge's and CaloGAN's, see `partigan.data.calorimeter_files`; where they have the place where the
particle hits, the condition has it, too, in mm.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from partigan.data.batch import Batch
from partigan.data.calorimeter import Geometry, geometry, geometry_of
from partigan.data.calorimeter_files import (
    CALOGAN,
    checked_showers,
    is_showers,
    read_showers,
    shower_geometry,
    write_showers,
)
from partigan.data.hdf5 import holds, number_of
from partigan.data.samples import file_attributes
from partigan.data.splits import Rows
from partigan.documents import Rule
from partigan.errors import PartiganError
from partigan.kinds.calorimeter_evaluation import CalorimeterEvaluation
from partigan.kinds.conditions import LabelConditions
from partigan.kinds.kind import Columns, Format, Kind, Observables
from partigan.observables.calorimeters import above, shower_features, whole_features

_SCALARS = {
    "energy": ("energy of the particle", "lg MeV"),
    "response": ("energy in the calorimeter over the particle's", ""),
    "occupancy": ("share of voxels above the threshold", ""),
    "depth": ("mean layer", "layers"),
    "depth_width": ("width in depth", "layers"),
    "radius": ("root mean square radius", "mm"),
    "spread": ("root mean square width of layers in r", "mm"),
}


_CONDITIONS = {"energy": "MeV", "place of impact in x": "mm", "place of impact in y": "mm"}


class CalorimeterFormat(Format):
    """Showers in the CaloChallenge's layout, or CaloGAN's."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``incident_energies`` and ``showers``, or CaloGAN's layers."""
        return is_showers(path)

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Showers of a split."""
        return read_showers(path, split, finite)

    def count(self, path: Path) -> int:
        """The number of showers."""
        return number_of(path, "showers" if holds(path, "showers") else CALOGAN[1])

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write showers of the training sample's geometry."""
        write_showers(path, chunks, attributes, state["geometry"])

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of the file."""
        return file_attributes(path)

    def describe(self, path: Path) -> dict[str, Any]:
        """The geometry, and as the feature what showers of which particle in what unit they are."""
        said, known = file_attributes(path), shower_geometry(path)
        return _described(known, str(said.get("particle", known.particle)))

    def check(self, sample: Batch) -> Batch:
        """Showers ``(showers, voxels)`` with conditions ``(showers, 1 or 3)``."""
        if sample.x.dim() != 2:
            raise PartiganError(f"showers have the shape (showers, voxels), not {list(sample.x.shape)}")
        geometry_of(sample.x.shape[1], "the array")
        return checked_showers(sample, name="condition")

    def doubts(self, sample: Batch) -> list[str]:
        """Responses far from 1."""
        assert sample.condition is not None
        ratio = float((sample.x.sum(1) / sample.condition[:, 0]).median())
        if 1e-2 < ratio < 10 or _units(sample).unit != "MeV":
            return []
        return [
            f"the voxels of the median shower have {ratio:.3g} of the particle's energy; are both in MeV, and are "
            "these energies calibrated?"
        ]

    def assume(self, sample: Batch) -> dict[str, Any]:
        """The geometry of that number of voxels, and its particle."""
        known = geometry_of(sample.x.shape[1], "the array")
        return _described(known, known.particle)


def _described(known: Geometry, particle: str) -> dict[str, Any]:
    return {"geometry": known.label, "features": {f"{particle} showers in {known.name}": known.unit}}


def _units(sample: Batch) -> Geometry:
    """The geometry of samples, by their number of voxels."""
    try:
        return geometry_of(sample.x.shape[1], "")
    except PartiganError:  # of another binning
        return Geometry("", "electron", ())


class CalorimeterConditions(LabelConditions):
    """Energies of particles, and where they hit, drawn row by row as in training."""

    fixed = ("geometry", "features")
    schema = MappingProxyType(
        {
            **LabelConditions.schema,
            "geometry": Rule(str, lambda label: bool(geometry(label).voxels), "a geometry, or the XML of one"),
        }
    )

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """``features`` (voxels), ``conditions``, the name of the ``geometry`` and the lowest and highest ``energies``.

        The name is empty for a binning of one's own.
        """
        assert sample.condition is not None
        energy = sample.condition[:, 0]
        return {
            **super().arguments(sample),
            "geometry": _units(sample).name,
            "energies": [float(energy.min()), float(energy.max())],
        }

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Conditions to draw from with their names, and the geometry."""
        assert sample.condition is not None
        named = dict(list(_CONDITIONS.items())[: sample.condition.shape[1]])
        columns = {"columns": {"conditions": named}}
        return {**super().state(sample, description | columns), "geometry": description["geometry"]}


class CalorimeterObservables(Observables):
    """High-level features of the CaloChallenge; see `partigan.observables.calorimeters`."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Energy of the particle, response, occupancy, depth and radius with their widths."""
        return _SCALARS

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """The scalars; features of layers ``(showers, layers)``; the showers, above the threshold; the geometry.

        The geometry is an array of the bytes of its label, see `partigan.data.calorimeter.Geometry`.
        """
        known = geometry(description["geometry"])
        assert sample.condition is not None
        incident = sample.condition[:, 0].double()
        x = above(sample.x, known.threshold)
        layers = shower_features(x, known.cells, known.threshold)
        whole = whole_features(
            {name: part.double() for name, part in layers.items()}, known.cells, incident / known.mev
        )
        layers["layer_energy"] = layers.pop("energy")
        found = {"energy": incident.log10(), "incident": incident, **whole, **layers, "showers": x}
        label = np.frombuffer(known.label.encode(), np.uint8)
        return {**{name: part.numpy() for name, part in found.items()}, "geometry": label}


CALORIMETER = Kind(
    "calorimeter",
    CalorimeterFormat(),
    CalorimeterConditions(),
    CalorimeterObservables(),
    CalorimeterEvaluation(),
)
