"""Files of calorimeter showers: the CaloChallenge's HDF5, and CaloGAN's.

CaloChallenge  ``incident_energies`` (showers, 1) and ``showers`` (showers, voxels), MeV, see
               `partigan.data.calorimeter` for the order of voxels; ``impact`` (showers, 2), where the particle hits, in
               mm, optional
CaloGAN        ``energy`` (showers, 1) in GeV, ``layer_0`` (showers, 3, 96), ``layer_1`` (showers, 12, 12), ``layer_2``
               (showers, 12, 6) in MeV; written with ``overflow`` (showers, 3), which is 0

The files of both groups say no more. Ours name the binning in the attribute ``geometry``: one of
`partigan.data.calorimeter.names`, or the XML of another. Without it the number of voxels tells which one it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.calorimeter import Geometry, geometry, geometry_of
from partigan.data.hdf5 import holds, open_hdf5, write_chunks
from partigan.data.splits import Rows, stored_rows
from partigan.data.stored import Opened, Stored
from partigan.errors import PartiganError

CHALLENGE = ("incident_energies", "showers")
CALOGAN = ("energy", "layer_0", "layer_1", "layer_2")
LAYOUT = "showers and incident_energies, or CaloGAN's energy and layer_0 to layer_2, are needed"
ROWS = 100  # in a block of HDF5


def is_showers(path: Path) -> bool:
    """Whether a path is a file of showers."""
    return holds(path, *CHALLENGE) or holds(path, *CALOGAN)


def shower_geometry(path: Path) -> Geometry:
    """The geometry of a file.

    Raises:
        PartiganError: the file has no showers, or its binning is none that partigan knows or has not as many voxels.
    """
    with open_hdf5(path, LAYOUT) as file:
        return _geometry(file)


def read_showers(path: Path, split: Rows, finite: bool = True) -> Batch:
    """Showers of a split, checked.

    Args:
        path: the file.
        split: train, valid, test, all, or rows; see `partigan.data.splits.stored_rows`.
        finite: refuse NaN, infinite and negative energies in voxels; False to count the failures of a generator.

    Returns:
        x: energies ``(showers, voxels)``; condition: energy of the particle in MeV and, where the file has it, the
        place where it hits in mm, ``(showers, 1 or 3)``.

    Raises:
        PartiganError: a dataset is missing or has not the shape of this layout, or a row that no shower has; the
            message names the file, the dataset and the first bad row.
    """
    with open_hdf5(path, LAYOUT) as file:
        known = _geometry(file)
        parts = _parts(file)
        energies = file.dataset("energy" if "energy" in file.names and "showers" not in file.names else CHALLENGE[0])
        if len(energies) != len(parts[0]) or energies.dtype.kind not in "fiu" or energies.shape[1:] not in ((), (1,)):
            raise PartiganError(f"{energies.where} is {energies.text}; give one number for each of {len(parts[0])}")
        first, last = stored_rows(file.attributes, len(parts[0]), split, path, "showers")
        x = np.concatenate([part.rows(first, last, np.float32).reshape(last - first, -1) for part in parts], axis=1)
        unit = 1000.0 if energies.name == "energy" else 1.0
        columns = [(unit * energies.rows(first, last, np.float64)).reshape(-1, 1).astype(np.float32)]
        if "impact" in file.names:
            columns.append(_impact(file, len(parts[0])).rows(first, last, np.float32))
        weight = file.dataset("weights").rows(first, last, np.float32) if "weights" in file.names else None
    sample = Batch(
        torch.from_numpy(x),
        condition=torch.from_numpy(np.concatenate(columns, axis=1)),
        weight=None if weight is None else torch.from_numpy(weight),
    )
    assert sample.x.shape[1] == known.voxels
    return checked_showers(sample, f"{path}: ", energies.name, first, finite)


def checked_showers(
    sample: Batch, where: str = "", name: str = "incident_energies", first: int = 0, finite: bool = True
) -> Batch:
    """The same showers; their energies are finite, those of particles above 0 and those of voxels not below.

    Args:
        sample: showers with the energies of the particles as condition.
        where: file, for messages.
        name: of the energies of particles, for messages.
        first: number of the first row, for messages.
        finite: look at the energies of voxels, too.

    Raises:
        PartiganError: with the number of the first bad row.
    """
    condition = sample.condition
    if condition is None or condition.dim() != 2 or condition.shape[1] not in (1, 3) or len(condition) != len(sample):
        raise PartiganError(
            f"{where}showers need conditions (showers, 1), the energy of the particle in MeV, or (showers, 3) with the "
            "place where it hits in mm"
        )

    def refuse(bad: torch.Tensor, part: str, what: str) -> None:
        if bad.any():
            row = first + int(bad.byte().argmax())
            raise PartiganError(f"{where}{part} row {row}: {what} ({int(bad.sum())} such rows); remove these showers")

    refuse(~condition.isfinite().all(1), name, "NaN or infinite values")
    refuse(condition[:, 0] <= 0, name, "an energy that is not above 0")
    if finite:
        refuse(~sample.x.isfinite().all(1), "showers", "NaN or infinite energies")
        refuse((sample.x < 0).any(1), "showers", "energies below 0")
    if sample.weight is not None:
        refuse(~sample.weight.isfinite(), "weights", "NaN or infinite values")
    return sample


def write_showers(path: Path, chunks: Iterable[Batch], attributes: Mapping[str, Any], label: str) -> None:
    """Write showers chunk by chunk, compressed and atomically, CaloGAN's in its own layout.

    Args:
        path: the file to make.
        chunks: showers in physical units.
        attributes: provenance.
        label: of the geometry, see `Geometry.label`.

    Raises:
        PartiganError: a chunk has another number of voxels than the geometry, or the place cannot be written.
    """
    known = geometry(label)
    said = {"particle": known.particle, "unit": known.unit, **attributes, "geometry": label}
    write_chunks(path, (_datasets(chunk, known) for chunk in chunks), said, {}, rows=ROWS, compression="gzip")


def _datasets(chunk: Batch, known: Geometry) -> dict[str, NDArray[Any]]:
    """What a file holds of some showers."""
    if chunk.x.shape[1:] != (known.voxels,):
        raise PartiganError(
            f"showers have {list(chunk.x.shape[1:])} voxels, the binning {known.name} {known.voxels}; give its own"
        )
    assert chunk.condition is not None
    energy, place = chunk.condition[:, :1].numpy(), chunk.condition[:, 1:].numpy()
    beside = ({"impact": place} if place.shape[1] else {}) | (
        {} if chunk.weight is None else {"weights": chunk.weight.numpy()}
    )
    if known.name != "calogan":
        return {CHALLENGE[0]: energy, CHALLENGE[1]: chunk.x.numpy(), **beside}
    ends = np.cumsum([layer.size for layer in known.layers])[:-1]
    parts = np.split(chunk.x.numpy(), ends, axis=1)
    layers = {
        f"layer_{number}": part.reshape(-1, *layer.shape)
        for number, (part, layer) in enumerate(zip(parts, known.layers, strict=True))
    }
    gev = (energy.astype(np.float64) / 1000).astype(np.float32)
    return {"energy": gev, **layers, "overflow": np.zeros((len(chunk), 3), np.float32), **beside}


def _parts(file: Opened) -> list[Stored]:
    """The datasets that hold energies of voxels, in their order."""
    if "showers" in file.names or not {*CALOGAN} <= {*file.names}:
        showers = file.dataset("showers")
        if len(showers.shape) != 2 or showers.dtype.kind not in "fiu" or 0 in showers.shape:
            raise PartiganError(f"{showers.where} is {showers.text}, not numbers (showers, voxels); {LAYOUT}")
        return [showers]
    layers = geometry("calogan").layers
    found = [file.dataset(name) for name in CALOGAN[1:]]
    for part, layer in zip(found, layers, strict=True):
        if part.shape[1:] != layer.shape or len(part) != len(found[0]) or part.dtype.kind not in "fiu":
            raise PartiganError(f"{part.where} is {part.text}; CaloGAN's has the shape (showers, {layer.shape})")
    return found


def _geometry(file: Opened) -> Geometry:
    """The geometry that a file names, or that its number of voxels tells."""
    voxels = sum(int(np.prod(part.shape[1:])) for part in _parts(file))
    named = file.attributes.get("geometry")
    if named is None:
        return geometry_of(voxels, f"{file.path}: showers")
    known = geometry(str(named))
    if known.voxels != voxels:
        raise PartiganError(
            f"{file.path}: showers has {voxels} voxels, but the binning that it names, {known.name}, {known.voxels}; "
            "mend the attribute 'geometry'"
        )
    return known


def _impact(file: Opened, showers: int) -> Stored:
    """Where particles hit."""
    found = file.dataset("impact")
    if found.shape != (showers, 2) or found.dtype.kind not in "fiu":
        raise PartiganError(f"{found.where} is {found.text}; it must be two numbers for each of {showers} showers")
    return found
