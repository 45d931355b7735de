"""Samples of fixed size, tables and images, in HDF5: one dataset, and beside it what belongs to each sample.

rows or images  (samples, features) or (samples, channel, height, width), floating point
labels          (samples,) integers from 0, class labels; optional
conditions      (samples, features) floating point, in place of labels; optional
weights         (samples,) floating point, event weights such as sWeights; optional
truth           (samples, features) floating point, what a reconstruction is asked for; networks never see it; optional
source          as the samples, what each of them was made from: pairs of a translation; optional
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import open_hdf5, write_chunks
from partigan.data.splits import Rows, stored_rows
from partigan.data.stored import Opened, Stored
from partigan.errors import PartiganError

CLASSES = 2**16
"""Labels are below it: there is a row of weights and a count for each class."""
_BESIDE = {"labels": (1, "iu"), "conditions": (2, "fiu"), "weights": (1, "fiu"), "truth": (2, "fiu")}
"""Dimensions and types of what belongs to each sample."""

_PARTS = {"labels": "condition", "conditions": "condition", "weights": "weight", "truth": "truth", "source": "source"}
"""Parts of a batch, by the dataset that holds them."""


def read_samples(path: str | Path, split: Rows, name: str, dimensions: int, finite: bool = True) -> Batch:
    """Samples of a split, checked.

    Args:
        path: the file.
        split: train, valid, test, all, or rows; see `partigan.data.splits.stored_rows`.
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
        samples = file.dataset(name)
        if samples.shape[:1] == (0,):
            raise PartiganError(f"{samples.where} is empty; there must be samples")
        if len(samples.shape) != dimensions or samples.dtype.kind not in "fiu" or 0 in samples.shape:
            raise PartiganError(f"{samples.where} is {samples.text}; {layout}")
        if "source" in file.names and (found := file.dataset("source")).shape[1:] != samples.shape[1:]:
            raise PartiganError(f"{found.where} is {found.text}, {name} {samples.text}; pairs need one shape")
        first, last = stored_rows(file.attributes, len(samples), split, path, "samples")
        x = samples.rows(first, last, np.float32)
        beside = {
            other: _beside(file, other, samples).rows(first, last, None if other == "labels" else np.float32)
            for other in _PARTS
            if other in file.names
        }
    if "labels" in beside and "conditions" in beside:
        raise PartiganError(f"{path}: there are labels and conditions; remove one of them")
    if "labels" in beside:  # checked as they are stored: huge unsigned numbers would turn negative
        beside["labels"] = _classes(beside["labels"], f"{path}: ", first)
    parts = {_PARTS[other]: torch.from_numpy(values) for other, values in beside.items()}
    return checked(Batch(torch.from_numpy(x), **parts), f"{path}: ", name, first, finite)


def _classes(labels: NDArray[Any], where: str, first: int) -> NDArray[np.int64]:
    """Labels that count classes from 0."""
    if (bad := (labels < 0) | (labels >= CLASSES)).any():
        row = int(bad.argmax())
        raise PartiganError(
            f"{where}labels row {first + row} is {labels[row]}; count classes from 0, below {CLASSES:,}"
        )
    return labels.astype(np.int64)


def _beside(file: Opened, name: str, samples: Stored) -> Stored:
    """What belongs to the samples of a file."""
    found, (dimensions, types) = file.dataset(name), _BESIDE.get(name, (len(samples.shape), "fiu"))
    if len(found.shape) != dimensions or len(found) != len(samples) or found.dtype.kind not in types:
        wanted = "integers" if name == "labels" else "numbers"
        raise PartiganError(
            f"{found.where} is {found.text}; it must be {wanted} of {dimensions} dimensions, one row for each of "
            f"{len(samples)} samples"
        )
    return found


def checked(sample: Batch, where: str = "", name: str = "x", first: int = 0, finite: bool = True) -> Batch:
    """The same sample; its values are finite and its labels count from 0.

    Args:
        sample: in physical units.
        where: the file, for messages.
        name: what messages call ``x``.
        first: number of the first row, for messages.
        finite: refuse NaN and infinite values of ``x``.

    Raises:
        PartiganError: with the number of the first bad row.
    """
    condition, weight = sample.condition, sample.weight
    labels = None if condition is None or condition.is_floating_point() else condition
    if labels is not None:
        _classes(labels.numpy(), where, first)
    floats = {name: sample.x if finite else None, "conditions": None if labels is not None else condition}
    for part, values in (floats | {"weights": weight, "truth": sample.truth, "source": sample.source}).items():
        fine = torch.ones(1, dtype=torch.bool) if values is None else values.reshape(len(values), -1).isfinite().all(1)
        if not fine.all():
            bad = first + int(fine.byte().argmin())
            raise PartiganError(
                f"{where}{part} row {bad}: NaN or infinite values ({int((~fine).sum())} such rows); "
                "remove these samples"
            )
    return sample


def write_samples(
    path: str | Path,
    name: str,
    chunks: Iterable[Batch],
    attributes: Mapping[str, Any],
    features: Mapping[str, str] | None = None,
    beside: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write samples in this layout, chunk by chunk and atomically.

    Args:
        path: the file to make.
        name: of the dataset.
        chunks: batches in physical units.
        attributes: provenance.
        features: names of the last axis of the dataset, with their units.
        beside: the same of conditions and truth.
    """

    def datasets(batch: Batch) -> dict[str, NDArray[Any]]:
        found = {name: batch.x.numpy()}
        if batch.condition is not None:
            found["conditions" if batch.condition.is_floating_point() else "labels"] = batch.condition.numpy()
        others = {"weights": batch.weight, "truth": batch.truth, "source": batch.source}
        return found | {other: part.numpy() for other, part in others.items() if part is not None}

    columns = dict(beside or {}) | ({} if features is None else {name: features})
    write_chunks(path, map(datasets, chunks), attributes, columns)


def feature_units(path: str | Path, name: str) -> dict[str, str]:
    """The names of the last axis of a dataset, numbers where the file gives none, and their units.

    Raises:
        PartiganError: the file has no such dataset, or not a name of its own for each feature.
    """
    with open_hdf5(Path(path), f"a dataset {name} is needed") as file:
        found = file.dataset(name)
        if not found.shape:
            raise PartiganError(f"{found.where} is a single value, not rows of numbers")
        features = found.features
        if len(features) != found.shape[-1]:
            raise PartiganError(
                f"{path}: {name} has {found.shape[-1]} features, but the attribute 'features' has {len(features)} "
                "different names; give each its own"
            )
        return features


def file_attributes(path: str | Path) -> dict[str, Any]:
    """What a file says of itself."""
    with open_hdf5(Path(path), "an HDF5 file is needed") as file:
        return {key: value for key, value in file.attributes.items() if not key.startswith("split_")}
