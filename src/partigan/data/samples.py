"""Samples of fixed size, tables and images, in HDF5: one dataset, and beside it what belongs to each sample.

rows or images  (samples, features) or (samples, channel, height, width), floating point
labels          (samples,) integers from 0, class labels; optional
conditions      (samples, features) floating point, in place of labels; optional
weights         (samples,) floating point, event weights such as sWeights; optional
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import dataset, features_of, open_hdf5, stored_rows, write_chunks
from partigan.errors import PartiganError


def read_samples(path: str | Path, split: str, name: str, dimensions: int, finite: bool = True) -> Batch:
    """Samples of a split, checked.

    Args:
        path: the file.
        split: train, valid, test or all; see `partigan.data.hdf5.stored_rows`.
        name: of the dataset.
        dimensions: of the dataset, with that of the samples.
        finite: refuse NaN and infinite values; False to count the failures of a generator.

    Raises:
        PartiganError: the file is missing or damaged, a dataset has not the shape of this layout, or a value is not
            finite; the message names the file, the dataset and the first bad row.
    """
    path = Path(path)
    layout = f"{name} with {dimensions} dimensions and, optionally, labels, conditions and weights are needed"
    with open_hdf5(path, layout) as file:
        samples = dataset(file, path, name, layout)
        if len(samples.shape) != dimensions or samples.dtype.kind not in "fiu" or 0 in samples.shape:
            raise PartiganError(f"{path}: {name} is {samples.dtype}{list(samples.shape)}; {layout}")
        first, last = stored_rows(file.attrs, len(samples), split, path, "samples")
        parts = {name: _part(samples, path, name, first, last, dimensions, "f", len(samples), finite)}
        for other, (ndim, kind) in {"labels": (1, "iu"), "conditions": (2, "f"), "weights": (1, "f")}.items():
            if other in file:
                parts[other] = _part(file[other], path, other, first, last, ndim, kind, len(samples))
    if "labels" in parts and "conditions" in parts:
        raise PartiganError(f"{path}: there are labels and conditions; remove one of them")
    labels, weights = parts.get("labels"), parts.get("weights")
    if labels is not None and labels.min() < 0:
        raise PartiganError(f"{path}: labels row {first + int((labels < 0).argmax())} is below 0; count classes from 0")
    condition = None if labels is None else labels.astype(np.int64)
    if condition is None:
        condition = parts.get("conditions")
    return Batch(
        torch.from_numpy(parts[name]),
        condition=None if condition is None else torch.from_numpy(condition),
        weight=None if weights is None else torch.from_numpy(weights),
    )


def _part(
    found: Any,
    path: Path,
    name: str,
    first: int,
    last: int,
    dimensions: int,
    kind: str,
    samples: int,
    finite: bool = True,
) -> NDArray[Any]:
    """Rows of a dataset, floating point ones as float32."""
    if (
        not isinstance(found, h5py.Dataset)
        or len(found.shape) != dimensions
        or len(found) != samples
        or (kind == "iu" and found.dtype.kind not in kind)
    ):
        wanted = "integers" if kind == "iu" else "numbers"
        raise PartiganError(f"{path}: {name} must be {wanted} of {dimensions} dimensions, one row for each sample")
    try:
        rows = np.asarray(found[first:last])
    except OSError as error:
        raise PartiganError(f"{path}: truncated or damaged ({error}); make or fetch it again") from error
    if kind == "f":
        rows = rows.astype(np.float32)
        fine = np.isfinite(rows).reshape(len(rows), -1).all(1)
        if finite and not fine.all():
            raise PartiganError(
                f"{path}: {name} row {first + int(np.argmin(fine))}: NaN or infinite values "
                f"({int((~fine).sum())} such rows); remove these samples"
            )
    return rows


def write_samples(
    path: str | Path,
    name: str,
    chunks: Iterable[Batch],
    attributes: Mapping[str, Any],
    features: Mapping[str, str] | None = None,
) -> None:
    """Write samples in this layout, chunk by chunk and atomically.

    Args:
        path: the file to make.
        name: of the dataset.
        chunks: batches in physical units.
        attributes: provenance.
        features: names of the last axis of the dataset, with their units.
    """

    def datasets(batch: Batch) -> dict[str, NDArray[Any]]:
        found = {name: batch.x.numpy()}
        if batch.condition is not None:
            found["conditions" if batch.condition.is_floating_point() else "labels"] = batch.condition.numpy()
        if batch.weight is not None:
            found["weights"] = batch.weight.numpy()
        return found

    write_chunks(path, map(datasets, chunks), attributes, {} if features is None else {name: features})


def feature_units(path: str | Path, name: str) -> dict[str, str]:
    """The names of the last axis of a dataset, numbers where the file gives none, and their units.

    Raises:
        PartiganError: the file has no such dataset, or not a name of its own for each feature.
    """
    with open_hdf5(Path(path), f"a dataset {name} is needed") as file:
        found = dataset(file, Path(path), name, "it is needed")
        features = features_of(found)
        if len(features) != found.shape[-1]:
            raise PartiganError(
                f"{path}: {name} has {found.shape[-1]} features, but the attribute 'features' has {len(features)} "
                "different names; give each its own"
            )
        return features


def file_attributes(path: str | Path) -> dict[str, Any]:
    """What a file says of itself."""
    with open_hdf5(Path(path), "an HDF5 file is needed") as file:
        return {key: value for key, value in file.attrs.items() if not key.startswith("split_")}
