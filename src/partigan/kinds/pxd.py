"""Hitmaps of the pixel vertex detector of Belle II, whole or in crops: x = charge in ADU, condition = the sensor.

Four kinds share observables and evaluation; they differ in their formats and conditions.

pxd           whole maps ``(1, 250, 768)``; the class is the index of the sensor
pxd-crop      one crop ``(1, 64, 96)`` of each map at a random place
pxd-clusters  trained on clusters, whole maps everywhere else: `partigan.kinds.pxd_clusters`
pxd-layers    the same with layer 2 in sequence after layer 1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data import hdf5
from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.hitmap_files import (
    SUFFIXES,
    events_of,
    hitmap_attributes,
    hitmaps_in_blocks,
    is_hitmaps,
    read_hitmaps,
    write_hitmaps,
)
from partigan.data.hitmaps import MAXIMUM, Hitmaps, crops
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.samples import checked, read_samples, write_samples
from partigan.data.splits import Rows
from partigan.data.transforms.hitmaps import padded
from partigan.errors import PartiganError
from partigan.kinds import classifiers
from partigan.kinds.hitmaps import HitmapEvaluation, HitmapObservables, sensors
from partigan.kinds.kind import Conditions, Format, Kind
from partigan.randomness import rng_for

CROP = (64, 96)  # columns and rows of a crop
_SPANS = ((COLUMNS, CROP[0]), (ROWS, CROP[1]))


def _corners(size: int, rng: torch.Generator) -> Tensor:
    """First column and row of random crops, ``(size, 2)``."""
    places = [torch.randint(whole - part + 1, (size,), generator=rng) for whole, part in _SPANS]
    return torch.stack(places, dim=1)


def _places(maps: Tensor, corners: Tensor) -> Tensor:
    """Conditions of crops: which of the 40 sensors, as 0 or 1, and the corner between -1 and 1, ``(maps, 42)``."""
    sensor = torch.nn.functional.one_hot(maps % len(SENSORS), len(SENSORS))
    span = torch.tensor([whole - part for whole, part in _SPANS])
    return torch.cat((sensor, 2 * corners / span - 1), dim=1).float()


def _images(charges: NDArray[np.uint8], condition: Tensor) -> Batch:
    """Maps in float16, which holds charges exactly."""
    return Batch(torch.from_numpy(charges).half()[:, None], condition=condition)


def _charges(sample: Batch, shape: tuple[int, int]) -> Batch:
    """Images ``(images, 1, *shape)`` of whole ADU given as an array, in float16."""
    x = sample.x[:, None] if sample.x.dim() == 3 else sample.x
    if x.shape[1:] != (1, *shape):
        raise PartiganError(
            f"these hitmaps have the shape (maps, 1, {shape[0]}, {shape[1]}), not {list(sample.x.shape)}"
        )
    if (bad := ((x < 0) | (x > MAXIMUM) | (x != x.floor())).flatten(1).any(1)).any():
        raise PartiganError(
            f"x row {int(bad.byte().argmax())}: charges that are not whole ADU from 0 to {MAXIMUM} "
            f"({int(bad.sum())} such rows); no pixel can have them"
        )
    return checked(replace(sample, x=x.half()))


def _events(split: Rows) -> Rows:
    """Events of maps, of which there are 40 in each."""
    return split if isinstance(split, str) else (split[0] // len(SENSORS), -(-split[1] // len(SENSORS)))


class MapFormat(Format):
    """Whole maps ``(1, 250, 768)`` in files of `partigan.data.hitmap_files`; the class is the sensor."""

    suffixes = SUFFIXES

    in_rows = False

    def recognises(self, path: Path) -> bool:
        """Whether it is a ROOT file, a folder of images, or HDF5 with ``counts``, ``u``, ``v`` and ``charge``."""
        return is_hitmaps(path)

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """All maps of the events of a split, sensor after sensor."""
        return self._images_of(read_hitmaps(path, _events(split)))

    @staticmethod
    def _images_of(hitmaps: Hitmaps) -> Batch:
        """All maps of events, with their conditions."""
        maps = torch.arange(hitmaps.counts.size)
        return _images(hitmaps.dense(maps.numpy()), maps % len(SENSORS))

    def blocks(self, path: Path, size: int) -> Iterator[Batch]:
        """All maps, some events at a time."""
        return map(self._images_of, hitmaps_in_blocks(path, max(size // len(SENSORS), 1)))

    def count(self, path: Path) -> int:
        """The number of maps."""
        return len(SENSORS) * events_of(path)

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write maps as events; the n-th map of each sensor belongs to event n of its chunk."""
        write_hitmaps(path, (Hitmaps.of_images(chunk.x[:, 0], sensors(chunk)) for chunk in chunks), attributes)

    def attributes(self, path: Path) -> dict[str, Any]:
        """What a file says of itself."""
        return {name: value for name, value in hitmap_attributes(path).items() if not name.startswith("split_")}

    def check(self, sample: Batch) -> Batch:
        """Maps ``(maps, 1, 250, 768)`` in whole ADU; without condition they are whole events, sensor after sensor."""
        sample = _charges(sample, (COLUMNS, ROWS))
        if sample.condition is None:
            if len(sample) % len(SENSORS):
                raise PartiganError(
                    f"{len(sample)} maps are no whole events of {len(SENSORS)}; give the sensors as labels"
                )
            return replace(sample, condition=torch.arange(len(sample)) % len(SENSORS))
        if (
            sample.condition.dim() != 1
            or sample.condition.is_floating_point()
            or sample.condition.max() >= len(SENSORS)
        ):
            raise PartiganError(f"the labels of hitmaps are their sensors, whole numbers from 0 to {len(SENSORS) - 1}")
        return sample


class CropFormat(MapFormat):
    """Crops ``(1, 64, 96)`` of hitmaps at their own pitch, for small networks.

    The condition has 42 features: which of the 40 sensors it is, as 0 or 1, and the places of the crop's first column
    and first row between -1 and 1. Files are those of whole hitmaps, of which every map gives one crop, or what was
    generated: images and conditions in the layout of `partigan.data.samples`.
    """

    also = ("pxd",)
    suffixes = hdf5.SUFFIXES

    def recognises(self, path: Path) -> bool:
        """Whether it is a file of whole maps, or has ``images`` and ``conditions``."""
        return super().recognises(path) or holds(path, "images", "conditions")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """One crop of each map, at a place that depends on the number of the map in the split alone."""
        if holds(path, "images"):
            return self.check(read_samples(path, split, "images", 4, finite))
        return self._images_of(read_hitmaps(path, _events(split)))

    @staticmethod
    def _images_of(hitmaps: Hitmaps) -> Batch:
        """A crop of each map of events, with its place."""
        maps = torch.arange(hitmaps.counts.size)
        corners = _corners(len(maps), rng_for("crops", len(maps)))
        return _images(crops(hitmaps, maps.numpy(), corners.numpy(), *CROP), _places(maps, corners))

    def blocks(self, path: Path, size: int) -> Iterator[Batch]:
        """All crops, some at a time."""
        return Format.blocks(self, path, size) if holds(path, "images") else super().blocks(path, size)

    def count(self, path: Path) -> int:
        """The number of crops."""
        return number_of(path, "images") if holds(path, "images") else super().count(path)

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write crops and their conditions."""
        write_samples(path, "images", chunks, attributes)

    def check(self, sample: Batch) -> Batch:
        """Crops ``(crops, 1, 64, 96)`` in whole ADU with conditions ``(crops, 42)``."""
        sample = _charges(sample, CROP)
        if sample.condition is None or sample.condition.shape[1:] != (len(SENSORS) + 2,):
            raise PartiganError(f"crops need conditions of {len(SENSORS) + 2} features (see docs/pxd.md)")
        return sample


class MapConditions(Conditions):
    """Whole events: each sensor once, in the one order."""

    whole = 40
    block = 40
    chunk = 400
    group = 8

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """Channels, height (250 columns are padded to 256), width, 40 classes, and their mean occupancies as prior."""
        channels, height, width = padded(sample.x[:1]).shape[1:]
        return {
            "channels": channels,
            "height": height,
            "width": width,
            **self._numbers(),
            "prior": self._prior(sample),
        }

    def _numbers(self) -> dict[str, int]:
        return {"classes": len(SENSORS), "conditions": 0}

    @staticmethod
    def _prior(sample: Batch) -> list[float]:
        hit = torch.stack([(x > 0).float().mean() for x in sample.x]).numpy()
        sensor = sensors(sample)
        number = np.bincount(sensor, minlength=len(SENSORS))
        means: list[float] = (np.bincount(sensor, hit, minlength=len(SENSORS)) / np.maximum(number, 1)).tolist()
        return means

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Nothing: an event has each sensor once."""
        return {}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Each sensor in turn."""
        return torch.arange(size) % len(SENSORS), None

    def classes(self, sample: Batch) -> Tensor | None:
        """The sensor of each map."""
        return torch.from_numpy(sensors(sample))


class CropConditions(MapConditions):
    """Each sensor in turn, at random places."""

    whole = 1
    block = 1000
    chunk = 20_000
    group = 256

    def _numbers(self) -> dict[str, int]:
        return {"classes": len(SENSORS), "conditions": 2}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Each sensor in turn, at random places."""
        return _places(torch.arange(size), _corners(size, rng)), None


PXD = Kind("pxd", MapFormat(), MapConditions(), HitmapObservables(), HitmapEvaluation(classifiers.sensors(8, 20)))
PXD_CROP = Kind(
    "pxd-crop", CropFormat(), CropConditions(), HitmapObservables(), HitmapEvaluation(classifiers.sensors(16, 64))
)


def makes_events(kind: Kind) -> bool:
    """Whether generators of a kind make whole events of hitmaps, sensor after sensor."""
    return isinstance(kind.conditions, MapConditions) and kind.conditions.whole == len(SENSORS)
