"""Jets in the JetNet layout: reading, checking and writing.

References:
    R. Kansal et al., Particle Cloud Generation with Message Passing Generative Adversarial Networks,
    NeurIPS 2021, arXiv:2106.11535 (the JetNet data set).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.hdf5 import open_hdf5, write_chunks
from partigan.data.splits import Rows, stored_rows
from partigan.data.stored import Opened, Stored, strings
from partigan.errors import PartiganError

PARTICLE_FEATURES = ("eta_rel", "phi_rel", "pt_rel", "mask")
JET_FEATURES = ("pt", "eta", "mass", "num_particles")
FEATURES = (*(f"particle {name}" for name in PARTICLE_FEATURES), *(f"jet {name}" for name in JET_FEATURES))
"""Features of both datasets, as messages and reports call them."""
LARGEST = {"eta_rel": 20.0, "phi_rel": 20.0, "pt_rel": 1e4}
"""Absolute values that no particle of a jet has: angles in degrees, or damage."""
ALIASES = {"etarel": "eta_rel", "phirel": "phi_rel", "ptrel": "pt_rel"}
"""Names of features in JetNet's own files."""
UNITS = {"pt": "GeV", "mass": "GeV"}
ABSOLUTE = 10  # sums of pt_rel above it cannot be relative
_MEANS = 2**20  # jets whose pt is averaged at a time
_BLOCK = 1000  # jets that are checked together: they stay in the processor's cache
LAYOUT = "jets are read from the JetNet layout"

Floats = NDArray[np.float32]


class JetTable(NamedTuple):
    """The two datasets of a JetNet file, and its attributes.

    Attributes:
        particles: ``(jets, particles, 4)`` float32: eta_rel, phi_rel, pt_rel = pt / pt(jet), mask (0 or 1);
            sorted by falling pt, zero-padded.
        jets: ``(jets, 4)`` float32: pt (GeV), eta, mass (GeV), num_particles.
        attributes: provenance and whatever else the file says of itself.
    """

    particles: Floats
    jets: Floats
    attributes: dict[str, Any]

    def batch(self) -> Batch:
        """The jets as a batch of clouds in physical units: x = (eta_rel, phi_rel, pt_rel)."""
        return Batch(
            x=torch.from_numpy(np.ascontiguousarray(self.particles[..., :3])),
            mask=torch.from_numpy(self.particles[..., 3] > 0.5),
        )


def read_jets(path: str | Path, split: Rows = "all", finite: bool = True) -> JetTable:
    """Read jets from a file in the JetNet layout and check every one of them.

    Args:
        path: an HDF5 file with ``particle_features`` (jets, particles, 4) and ``jet_features`` (jets, 4).
        split: ``train``, ``valid``, ``test``, ``all``, or rows. A file's own ``split_train`` ... attributes
            (first and one-past-last row) are obeyed; a file without them is cut 70/15/15 in its order.
        finite: refuse NaN and infinite values; False to count the failures of a generator.

    Raises:
        PartiganError: the file is missing, not HDF5, truncated, empty, of another shape or feature order, or
            holds a row that no jet can have; the message names the file, the dataset and the first bad row.
    """
    path = Path(path)
    with _open(path) as file:
        particle_set = _dataset(file, "particle_features", PARTICLE_FEATURES, dimensions=3)
        jet_set = _dataset(file, "jet_features", JET_FEATURES, dimensions=2)
        if len(particle_set) != len(jet_set):
            raise PartiganError(
                f"{path}: particle_features has {len(particle_set)} jets and jet_features {len(jet_set)}; "
                "the file is damaged, make or fetch it again"
            )
        if len(particle_set) == 0:
            raise PartiganError(f"{path}: particle_features holds no jets; simulate or fetch some")
        attributes = file.attributes
        first, last = stored_rows(attributes, len(particle_set), split, path, "jets")
        particles = particle_set.rows(first, last, np.float32)
        jets = jet_set.rows(first, last, np.float32)
    fine = np.isfinite(jets).all(1) & (jets[:, 0] > 0)
    if finite and not fine.all():
        raise PartiganError(
            f"{path}: jet_features row {first + int(np.argmin(fine))}: NaN, infinite values or pt not above 0 "
            f"({int((~fine).sum())} such jets); remove these jets"
        )
    return JetTable(checked_particles(particles, f"{path}: particle_features", first, finite), jets, attributes)


def _open(path: Path) -> AbstractContextManager[Opened]:
    return open_hdf5(path, f"{LAYOUT}, particle_features and jet_features (see docs/jets.md)")


def _dataset(file: Opened, name: str, features: tuple[str, ...], dimensions: int) -> Stored:
    found = file.dataset(name)
    names = tuple(strings(found.attributes.get("features", ())))
    known = tuple(ALIASES.get(one, one) for one in names)
    if names and known != features:
        same = sorted(known) == sorted(features)
        remedy = "reorder the last axis" if same else "take others out, and rename what is called otherwise"
        raise PartiganError(
            f"{found.where} has the features {', '.join(names)}; "
            f"needed are {', '.join(features)}, in this order: {remedy}"
        )
    if len(found.shape) != dimensions or found.shape[-1] != len(features) or found.dtype.kind not in "fiu":
        expected = ("(jets, particles, 4)", "(jets, 4)")[dimensions == 2]
        raise PartiganError(f"{found.where} is {found.text}, not float {expected} = {', '.join(features)}")
    return found


def checked_particles(particles: Floats, where: str, first_row: int = 0, finite: bool = True) -> Floats:
    """The same particles with the real ones first and phi_rel between -pi and pi.

    Args:
        particles: ``(jets, particles, 4)`` = eta_rel, phi_rel, pt_rel, mask.
        where: file and dataset, for messages.
        first_row: number of the first jet, for messages.
        finite: refuse NaN and infinite values.

    Raises:
        PartiganError: a jet that cannot be one; the message names the first.
    """
    bad: dict[tuple[str, str], NDArray[np.bool_]] = {}
    sums = np.zeros(len(particles), np.float32)
    ordered = True
    for start in range(0, len(particles), _BLOCK):
        rows = slice(start, start + _BLOCK)
        columns = np.ascontiguousarray(np.moveaxis(particles[rows], 2, 0))
        mask = columns[3] > 0.5
        for what, remedy, entries in _faults(columns, mask, finite):
            if entries.any():
                bad.setdefault((what, remedy), np.zeros(len(particles), bool))[rows] |= entries.any(1)
        sums[rows] = (columns[2] * mask).sum(1)
        ordered &= bool((mask[:, :-1] >= mask[:, 1:]).all())
    for (what, remedy), jets in bad.items():
        row = first_row + int(np.argmax(jets))
        raise PartiganError(f"{where} row {row}: {what} ({int(jets.sum())} such jets); {remedy}")
    if finite and (median := float(np.median(sums))) > ABSOLUTE:
        raise PartiganError(
            f"{where}: pt_rel sums to {median:,.4g} in the median jet, where 1 is expected; this looks like pt in GeV: "
            "divide it by the pt of the jet, and subtract eta and phi of the jet from those of its particles"
        )
    if not ordered:
        order = np.argsort(particles[..., 3] <= 0.5, axis=1, kind="stable")
        particles = np.take_along_axis(particles, order[..., None], axis=1)
    return wrapped(particles)


def _faults(columns: Floats, mask: NDArray[np.bool_], finite: bool) -> Iterator[tuple[str, str, Any]]:
    """What no jet can have, the remedy, and where it is: ``(jets, particles)``.

    Args:
        columns: ``(4, jets, particles)``.
        mask: real particles, ``(jets, particles)``.
        finite: whether values are held against their limits.
    """
    eta, phi, pt, flag = columns
    if finite:  # what a bad generator makes is counted and shown, not refused
        for column in columns:
            yield "NaN or infinite values", "remove these jets", ~np.isfinite(column)
        for column, (name, limit) in zip(columns, LARGEST.items(), strict=False):
            yield f"{name} beyond {limit:g}", "check the order and the units of the features", np.abs(column) > limit
    yield "a mask that is neither 0 nor 1", "the last feature must be the mask", (flag != 0) & (flag != 1)
    yield "negative pt_rel", "check the order eta_rel, phi_rel, pt_rel, mask", mask & (pt < 0)
    yield "a real particle (mask 1) without pt", "set its mask to 0", mask & (pt == 0)
    padded = ~mask & ((eta != 0) | (phi != 0) | (pt != 0))
    yield "a padded particle (mask 0) that is not zero", "set its mask to 1 or zero it", padded
    yield "a jet of no particles", "remove these jets", ~mask.any(1, keepdims=True)


def wrapped(particles: Floats) -> Floats:
    """The same particles ``(jets, particles, 3 or more)`` with phi_rel in (-pi, pi]: angles are periodic."""
    outside = np.abs(particles[..., 1]) > np.float32(np.pi)
    outside &= np.isfinite(particles[..., 1])
    if not outside.any():
        return particles
    phi = particles[outside, 1].astype(np.float64)
    particles = particles.copy()
    particles[outside, 1] = phi - 2 * np.pi * np.ceil((phi - np.pi) / (2 * np.pi))
    return particles


def write_jets(path: str | Path, chunks: Iterable[tuple[Floats, Floats]], attributes: dict[str, Any]) -> None:
    """Write jets in the JetNet layout, chunk by chunk and atomically.

    Args:
        path: the file to make.
        chunks: pairs of ``particle_features`` (jets, particles, 4) and ``jet_features`` (jets, 4).
        attributes: provenance, written as HDF5 attributes of the file.

    Raises:
        PartiganError: the disk is full or the place cannot be written; nothing is left behind.
    """
    tables = ({"particle_features": particles, "jet_features": jets} for particles, jets in chunks)
    names = {"particle_features": PARTICLE_FEATURES, "jet_features": JET_FEATURES}
    features = {part: {name: UNITS.get(name, "") for name in of_part} for part, of_part in names.items()}
    write_chunks(path, tables, attributes, features)


def attributes(path: str | Path) -> dict[str, Any]:
    """What a JetNet file says of itself."""
    with _open(Path(path)) as file:
        return file.attributes


def units(path: str | Path) -> dict[str, str]:
    """The features of particles and jets, and their units where the file says them."""
    with _open(Path(path)) as file:
        sets = (file.dataset("particle_features"), file.dataset("jet_features"))
        found = [unit for part in sets for unit in part.features.values()]
    return dict(zip(FEATURES, found, strict=False))


def mean_pt(path: str | Path) -> float:
    """Mean pt in GeV of the jets of the training split, of all jets where a file has no training split."""
    path = Path(path)
    with _open(path) as file:
        jets = _dataset(file, "jet_features", JET_FEATURES, dimensions=2)
        try:
            first, last = stored_rows(file.attributes, len(jets), "train", path, "jets")
        except PartiganError:
            first, last = 0, len(jets)
        starts = range(first, last, _MEANS)
        parts = [jets.rows(start, min(start + _MEANS, last), np.float32)[:, 0] for start in starts]
        return float(np.average([float(part.mean()) for part in parts], weights=[len(part) for part in parts]))


def read_parts(paths: Iterable[Path]) -> Iterator[tuple[Floats, Floats]]:
    """The chunks of several JetNet files, one after the other, as `write_jets` takes them."""
    for path in paths:
        table = read_jets(path)
        yield table.particles, table.jets


def jet_features(batch: Batch, pt: float | Tensor, mass: Tensor) -> Floats:
    """``jet_features`` of jets that have no event around them: pt (GeV), eta 0, mass (GeV), num_particles.

    Args:
        batch: clouds in physical units.
        pt: jet pt in GeV that pt_rel refers to.
        mass: ``(batch,)`` relative mass m / pt.
    """
    assert batch.mask is not None
    pt = torch.as_tensor(pt, dtype=mass.dtype).expand_as(mass)
    columns = (pt, torch.zeros_like(mass), mass * pt, batch.mask.sum(1).to(mass.dtype))
    return torch.stack(columns, dim=1).float().numpy()
