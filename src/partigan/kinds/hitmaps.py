"""Hitmaps of the pixel vertex detector of Belle II, whole or in crops: x = charge in ADU, condition = the sensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.hitmap_files import hitmap_attributes, read_hitmaps, write_hitmaps
from partigan.data.hitmaps import MAXIMUM, Hitmaps, crops, padded
from partigan.data.pxd import COLUMNS, LAYER_OF, PIXELS, ROWS, SENSORS
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError
from partigan.kinds.kind import Kind, Observables, classification
from partigan.metrics.measurement import Measurement
from partigan.metrics.spectra import resampled, spectrum_distances
from partigan.observables.hitmaps import CLASSES, clusters, pair_correlation
from partigan.randomness import rng_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CROP = (64, 96)  # columns and rows of a crop
_SIZES = 64  # pixels; larger clusters count as this large
_CLUSTER_CHARGES = 1024  # ADU; clusters of more charge count as of this
_SHOWN = 400  # maps whose pair correlation is shown
_PART = 40  # maps that become sparse at a time
_PARTS_OF_MAP = 4  # crops of a map in the training sample of `PXDParts`
_VALIDATED = 3  # events that it is validated with


def _classifier(kind: str, filters: int, batch_size: int) -> dict[str, Any]:
    """Configuration of a small convolutional network that tells the sensors (PE-GAN, section 5)."""
    return classification(
        kind,
        "Convolutional network that tells the sensors",
        "ours",
        "not tuned",
        "partigan.data.hitmaps.LogIntensity",
        "partigan.nets.images.classifier.ImageClassifier",
        arguments={"filters": filters},
        batch_size=batch_size,
        max_steps=2000,
        validations=10,
    )


class PXD(Kind):
    """Whole hitmaps ``(1, 250, 768)`` of the 40 sensors; the class is the index of the sensor."""

    name: ClassVar[str] = "pxd"
    chunk: ClassVar[int] = 400
    group: ClassVar[int] = 8
    selection: ClassVar[tuple[str, str]] = ("adu_w1", "occupancy")
    labels: ClassVar[dict[str, tuple[str, float]]] = {
        "adu_ks": ("KS of the charge", 1.0),
        "adu_w1": ("W1 of the charge (ADU)", 1.0),
        "occupancy_1": ("Occupancy of layer 1, over the real one", 1.0),
        "occupancy_2": ("Occupancy of layer 2, over the real one", 1.0),
        "clusters": ("Clusters, over the real number", 1.0),
        "size_w1": ("W1 of the size of clusters (pixels)", 1.0),
        "charge_w1": ("W1 of the charge of clusters (ADU)", 1.0),
    }
    scalars: ClassVar[dict[str, tuple[str, str]]] = {
        "occupancy": ("occupancy of a map", ""),
        "clusters": ("clusters of a map", ""),
        "mean_charge": ("mean charge of a map's hits", "ADU"),
    }
    classifier: ClassVar[dict[str, Any]] = _classifier("pxd", filters=8, batch_size=20)

    def read(self, path: Path, split: str) -> Batch:
        """All maps of the events of a split, sensor after sensor; float16, which holds charges exactly."""
        hitmaps = read_hitmaps(path, split)
        sensors = torch.arange(len(SENSORS)).repeat(len(hitmaps))
        return Batch(torch.from_numpy(hitmaps.dense(np.arange(len(sensors)))).half()[:, None], condition=sensors)

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write maps as events; the n-th map of each sensor belongs to event n of its chunk."""
        write_hitmaps(path, (Hitmaps.of_images(chunk.x[:, 0], self._sensors(chunk)) for chunk in chunks), attributes)

    def network_arguments(self, sample: Batch) -> dict[str, Any]:
        """Channels, height (250 columns are padded to 256), width, 40 classes, and their mean occupancies as prior."""
        channels, height, width = padded(sample.x[:1]).shape[1:]
        return {
            "channels": channels,
            "height": height,
            "width": width,
            **self._conditioning(sample),
            "prior": self._prior(sample),
        }

    @staticmethod
    def _conditioning(sample: Batch) -> dict[str, int]:
        return {"classes": len(SENSORS), "conditions": 0}

    def _prior(self, sample: Batch) -> list[float]:
        hit = torch.stack([(x > 0).float().mean() for x in sample.x]).numpy()
        sensor = self._sensors(sample)
        number = np.bincount(sensor, minlength=len(SENSORS))
        means: list[float] = (np.bincount(sensor, hit, minlength=len(SENSORS)) / np.maximum(number, 1)).tolist()
        return means

    @staticmethod
    def _sensors(sample: Batch) -> NDArray[np.int64]:
        """Indices of the sensors of a sample."""
        assert sample.condition is not None
        return np.asarray(sample.condition.numpy())

    def classes(self, sample: Batch) -> Tensor | None:
        """The sensor of each map."""
        return torch.from_numpy(self._sensors(sample))

    def conditions(self, path: Path) -> dict[str, Any]:
        """Nothing: an event has each sensor once."""
        return {}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Whole events: each sensor once, in the one order, again and again."""
        return torch.arange(size) % len(SENSORS), None

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """W1 and KS of the charge, and the mean distance of the occupancies of the sensors from the real ones."""
        found = [self._counts(sample) for sample in (real, fake)]
        ks, w1 = spectrum_distances(found[0]["spectrum"], found[1]["spectrum"], rng=np.random.default_rng(0))
        means = [self._by_sensor(sample) for sample in found]
        seen = np.isfinite(means[0]) & np.isfinite(means[1]) & (means[0] > 0)
        off = np.abs(means[1][seen] / means[0][seen] - 1)
        return {"adu_w1": w1.value, "adu_ks": ks.value, "occupancy": float(off.mean())}

    @staticmethod
    def _by_sensor(sample: Observables) -> NDArray[Any]:
        """``(40,)``: mean occupancy of the maps of each sensor, NaN where there are none."""
        number = np.bincount(sample["sensor"], minlength=len(SENSORS))
        total = np.bincount(sample["sensor"], sample["occupancy"], minlength=len(SENSORS))
        return np.asarray(np.divide(total, number, out=np.full(len(SENSORS), np.nan), where=number > 0))

    def observables(self, sample: Batch) -> Observables:
        """Sensor, occupancy, spectra of hits and clusters of each map, and the sample's correlation of pixels."""
        found = self._counts(sample)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("clusters", "size", "charge", "kind")}
        for first, (image, u, v, charge) in self._hits(sample):
            maps = min(_PART, len(sample) - first)
            groups = clusters(image, u, v, charge)
            parts["clusters"].append(np.bincount(groups.image, minlength=maps))
            for name, values, limit in (
                ("size", groups.size, _SIZES),
                ("charge", groups.charge, _CLUSTER_CHARGES),
                ("kind", groups.kind + 1, len(CLASSES)),
            ):
                address = groups.image * (limit + 1) + np.minimum(values, limit)
                parts[name].append(np.bincount(address, minlength=maps * (limit + 1)).reshape(maps, limit + 1))
        shown = sample[:_SHOWN]
        image, u, v, _ = (np.concatenate(column) for column in zip(*self._all_hits(shown), strict=True))
        shape = (sample.x.shape[2], sample.x.shape[3])
        return {
            **found,
            **{name: np.concatenate(part) for name, part in parts.items()},
            "pairs": pair_correlation(image, u, v, len(shown), shape),
        }

    def _counts(self, sample: Batch) -> Observables:
        """Sensor, occupancy, spectrum and mean charge (0 without hits) of each map; quick."""
        spectra = np.zeros((len(sample), MAXIMUM + 1), np.int64)
        for first, (image, _, _, charge) in self._hits(sample):
            np.add.at(spectra, (first + image, charge), 1)
        pixels = sample.x.shape[2] * sample.x.shape[3]
        hits = spectra.sum(1)
        return {
            "sensor": self._sensors(sample),
            "occupancy": hits / pixels,
            "spectrum": spectra,
            "mean_charge": spectra @ np.arange(MAXIMUM + 1) / np.maximum(hits, 1),
        }

    @staticmethod
    def _hits(sample: Batch) -> Iterator[tuple[int, tuple[NDArray[Any], ...]]]:
        """First map of a part, and image (from there), u, v and charge of its hits."""
        for first in range(0, len(sample), _PART):
            x = sample.x[first : first + _PART, 0]
            if x.min() < 0 or x.max() > MAXIMUM or (x != x.floor()).any():
                raise PartiganError(
                    f"maps have charges that are not whole ADU from 0 to {MAXIMUM}; no pixel can have them"
                )
            image, u, v = (part.numpy() for part in torch.nonzero(x, as_tuple=True))
            yield first, (image, u, v, x.numpy()[image, u, v].astype(np.int64))

    def _all_hits(self, sample: Batch) -> Iterator[tuple[NDArray[Any], ...]]:
        for first, (image, *rest) in self._hits(sample):
            yield first + image, *rest

    def metrics(
        self, real: Observables, fake: Observables, protocol: str, smallest: int, seed: int
    ) -> dict[str, Measurement]:
        """KS and W1 of the charge, occupancies of both layers, number, size and charge of clusters.

        As many maps of both samples are compared as the smallest one has, whole events of 40 where there are some.
        """
        rng = np.random.default_rng(seed)
        size = min(len(real["sensor"]), len(fake["sensor"]), smallest)
        size -= size % len(SENSORS) if size >= len(SENSORS) else 0
        if size < 2:
            raise PartiganError(f"{size} maps are too few to compare; give whole events of {len(SENSORS)}")
        a, b = ({name: value[:size] for name, value in sample.items()} for sample in (real, fake))
        found = {}
        found["adu_ks"], found["adu_w1"] = spectrum_distances(a["spectrum"], b["spectrum"], rng=rng)
        for layer in (1, 2):
            values = [sample["occupancy"][LAYER_OF[sample["sensor"]] == layer] for sample in (a, b)]
            if values[0].any() and len(values[1]):
                found[f"occupancy_{layer}"] = _ratio(values[0], values[1], rng)
        if a["clusters"].any():
            found["clusters"] = _ratio(a["clusters"], b["clusters"], rng)
        for name in ("size", "charge"):
            found[f"{name}_w1"] = spectrum_distances(a[name], b[name], rng=rng)[1]
        return found

    def figures(self, real: Observables, fake: Observables) -> dict[str, Figure]:
        """Charge, occupancy of each sensor, clusters and their classes, and the correlation of pixels."""
        from partigan.report.distributions import by_class, compare, images

        figures = {}
        for title, name, label in (
            ("Charge", "spectrum", "charge of a pixel, ADU"),
            ("Size of clusters", "size", "pixels of a cluster"),
            ("Charge of clusters", "charge", "charge of a cluster, ADU"),
        ):
            totals = [sample[name].sum(0) for sample in (real, fake)]
            values = [np.repeat(np.arange(len(total)), total) for total in totals]
            if all(len(value) for value in values):
                figures[title] = compare((values[0], values[1]), label, log=True, integer=name != "charge")
        occupancies = [(sample["sensor"], 100 * sample["occupancy"]) for sample in (real, fake)]
        figures["Occupancy of the sensors"] = by_class(
            occupancies[0], occupancies[1], "occupancy of a sensor, %", "sensor"
        )
        kinds = [np.repeat(np.arange(-1, len(CLASSES)), sample["kind"].sum(0)) for sample in (real, fake)]
        figures["Classes of clusters"] = compare(
            (kinds[0], kinds[1]), f"-1 = none, 0, 1, 2 = {', '.join(CLASSES)}", integer=True
        )
        reach = len(real["pairs"]) - 1
        extent = (-reach - 0.5, reach + 0.5, -0.5, reach + 0.5)
        labels = ("dv, pixels", "du, pixels", "pairs over independent pixels")
        figures["Pairs of pixels"] = images(real["pairs"], fake["pairs"], extent, labels)
        return figures

    def provenance(self, path: Path) -> dict[str, Any]:
        """The attributes of a file of hitmaps."""
        return {name: value for name, value in hitmap_attributes(path).items() if not name.startswith("split_")}


def _ratio(real: NDArray[Any], fake: NDArray[Any], rng: np.random.Generator) -> Measurement:
    """Mean of ``fake`` over the mean of ``real``, with the bootstrap's error over maps."""
    replicas = [resampled(len(values), rng) @ values / len(values) for values in (real, fake)]
    return Measurement(float(fake.mean() / real.mean()), float((replicas[1] / replicas[0]).std()))


class PXDCrops(PXD):
    """Crops ``(1, 64, 96)`` of hitmaps at their own pitch, for small networks.

    The condition has 42 features: which of the 40 sensors it is, as 0 or 1, and the places of the crop's first column
    and first row between -1 and 1. Files are those of whole hitmaps, of which every map gives one crop at a random
    place, or what was generated: images and conditions in the layout of `partigan.data.samples`.
    """

    name: ClassVar[str] = "pxd-crop"
    made_of: ClassVar[str] = PXD.name
    chunk: ClassVar[int] = 20_000
    group: ClassVar[int] = 256
    classifier: ClassVar[dict[str, Any]] = _classifier("pxd-crop", filters=16, batch_size=64)

    def read(self, path: Path, split: str) -> Batch:
        """One crop of each map, at a place that depends on the number of the map in the split alone."""
        if Path(path).is_file() and h5py.is_hdf5(path):
            with h5py.File(path) as file:
                generated = "images" in file
            if generated:
                return read_samples(path, split, "images", 4)
        hitmaps = read_hitmaps(path, split)
        maps = np.arange(hitmaps.counts.size)
        corners = self._corners(len(maps), rng_for("crops", len(maps)))
        x = crops(hitmaps, maps, corners.numpy(), *CROP)
        return Batch(torch.from_numpy(x).half()[:, None], condition=self._condition(torch.from_numpy(maps), corners))

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write crops and their conditions."""
        write_samples(path, "images", chunks, attributes)

    @staticmethod
    def _corners(size: int, rng: torch.Generator) -> Tensor:
        places = [torch.randint(whole - part + 1, (size,), generator=rng) for whole, part in _SPANS]
        return torch.stack(places, dim=1)

    @staticmethod
    def _condition(maps: Tensor, corners: Tensor) -> Tensor:
        sensor = torch.nn.functional.one_hot(maps % len(SENSORS), len(SENSORS))
        span = torch.tensor([whole - part for whole, part in _SPANS])
        return torch.cat((sensor, 2 * corners / span - 1), dim=1).float()

    @staticmethod
    def _conditioning(sample: Batch) -> dict[str, int]:
        return {"classes": len(SENSORS), "conditions": 2}

    @staticmethod
    def _sensors(sample: Batch) -> NDArray[np.int64]:
        assert sample.condition is not None
        return np.asarray(sample.condition[:, : len(SENSORS)].argmax(1).numpy())

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Each sensor in turn, at random places."""
        return self._condition(torch.arange(size), self._corners(size, rng)), None


_SPANS = ((COLUMNS, CROP[0]), (ROWS, CROP[1]))


class PXDParts(PXDCrops):
    """Crops to train on, whole maps for everything else: for generators that are convolutional.

    The training split gives several crops ``(1, 64, 96)`` of each map at random places, all others whole maps
    ``(1, 250, 768)``; of the validation split the first events only. The condition has 43 features: those of
    `PXDCrops`, where a whole map begins at (-1, -1), and the logarithm of the number of clusters in 1000 pixels of the
    whole map. Generation draws these numbers from the training sample, event by event. Generated files are whole
    hitmaps in the layout of `PXD`.
    """

    name: ClassVar[str] = "pxd-parts"
    chunk: ClassVar[int] = 200
    group: ClassVar[int] = 1

    def read(self, path: Path, split: str) -> Batch:
        """Crops of the training split, whole maps of the others."""
        hitmaps = read_hitmaps(path, split)
        if split == "valid":
            hitmaps = hitmaps.events(0, min(len(hitmaps), _VALIDATED))
        maps = torch.arange(hitmaps.counts.size)
        rate = self._rate(torch.from_numpy(cluster_numbers(hitmaps)).flatten())
        if split != "train":
            condition = self._condition(maps, torch.zeros(len(maps), 2))
            x = hitmaps.dense(maps.numpy())
        else:
            maps, rate = maps.repeat(_PARTS_OF_MAP), rate.repeat(_PARTS_OF_MAP)
            corners = self._corners(len(maps), rng_for("crops", len(maps)))
            condition = self._condition(maps, corners)
            x = crops(hitmaps, maps.numpy(), corners.numpy(), *CROP)
        return Batch(torch.from_numpy(x).half()[:, None], condition=torch.cat((condition, rate[:, None]), dim=1))

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write whole maps as events, a file of `PXD`."""
        PXD.write(self, path, chunks, {**attributes, "kind": PXD.name}, state)

    @staticmethod
    def _rate(clusters: Tensor) -> Tensor:
        """Logarithm of the clusters in 1000 pixels; none at all counts as half of one."""
        return (clusters.clamp_min(0.5) * (1000 / PIXELS)).log().float()

    def network_arguments(self, sample: Batch) -> dict[str, Any]:
        """Those of crops, and the size of the whole map."""
        return {**super().network_arguments(sample), "whole": [COLUMNS, ROWS]}

    @staticmethod
    def _conditioning(sample: Batch) -> dict[str, int]:
        return {"classes": 0, "conditions": len(SENSORS) + 3}

    def conditions(self, path: Path) -> dict[str, Any]:
        """Numbers of clusters of the 40 maps of each training event."""
        return {"clusters": cluster_numbers(read_hitmaps(path, "train")).tolist()}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """Whole events, each with the numbers of clusters of a training event."""
        known = torch.tensor(state["clusters"])
        rows = torch.randint(len(known), (-(-size // len(SENSORS)),), generator=rng)
        condition = self._condition(torch.arange(size), torch.zeros(size, 2))
        return torch.cat((condition, self._rate(known[rows].flatten()[:size])[:, None]), dim=1), None


def cluster_numbers(hitmaps: Hitmaps) -> NDArray[np.int64]:
    """``(events, 40)``: numbers of clusters."""
    numbers = [
        np.bincount(clusters(one.map, one.u, one.v, one.charge).image, minlength=len(SENSORS))
        for one in (hitmaps.events(event, event + 1) for event in range(len(hitmaps)))
    ]
    return np.stack(numbers)
