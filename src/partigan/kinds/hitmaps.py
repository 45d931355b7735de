"""What the kinds of hitmaps share: observables, metrics and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hitmaps import MAXIMUM
from partigan.data.pxd import LAYER_OF, SENSORS
from partigan.errors import PartiganError
from partigan.kinds.kind import Columns, Evaluation, Observables, Values, event_weights, findings
from partigan.metrics.finding import Finding
from partigan.metrics.measurement import Measurement
from partigan.metrics.spectra import resampled, spectrum_distances
from partigan.metrics.weighted import Sample, Weighted
from partigan.observables.hitmaps import CLASSES, clusters, pair_correlation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = 64  # pixels; larger clusters count as this large
_CLUSTER_CHARGES = 1024  # ADU; clusters of more charge count as of this
_SHOWN = 400  # maps whose pair correlation is shown
_MAPS = 40  # maps that become sparse at a time

_LABELS = {
    "adu_ks": ("KS of the charge", 1.0),
    "adu_w1": ("W1 of the charge (ADU)", 1.0),
    "occupancy_1": ("Occupancy of layer 1, over the real one", 1.0),
    "occupancy_2": ("Occupancy of layer 2, over the real one", 1.0),
    "clusters": ("Clusters, over the real number", 1.0),
    "size_w1": ("W1 of the size of clusters (pixels)", 1.0),
    "charge_w1": ("W1 of the charge of clusters (ADU)", 1.0),
}


def sensors(sample: Batch) -> NDArray[np.int64]:
    """Index of the sensor of each map, from its class or from the first 40 features of its condition."""
    condition = sample.condition
    if condition is None:
        raise PartiganError("hitmaps need the sensor of each map as condition")
    index = condition[:, : len(SENSORS)].argmax(1) if condition.is_floating_point() else condition
    return np.asarray(index.numpy())


class HitmapObservables(Observables):
    """Occupancy, charges of hits, and clusters of each map."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Occupancy, number of clusters and mean charge."""
        return {
            "occupancy": ("occupancy of a map", ""),
            "clusters": ("clusters of a map", ""),
            "mean_charge": ("mean charge of a map's hits", "ADU"),
        }

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """Sensor, occupancy, spectra of hits and clusters of each map, and the sample's correlation of pixels."""
        shown = sample[:_SHOWN]
        image, u, v, _ = (np.concatenate(column) for column in zip(*_all_hits(shown), strict=True))
        shape = (sample.x.shape[2], sample.x.shape[3])
        return {
            **_counts(sample),
            **_clusters(sample),
            "pairs": pair_correlation(image, u, v, len(shown), shape),
        }


def _clusters(sample: Batch) -> Columns:
    """Number of clusters, and spectra of their sizes, charges and classes, of each map."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("clusters", "size", "charge", "kind")}
    for first, (image, u, v, charge) in _hits(sample):
        maps = min(_MAPS, len(sample) - first)
        groups = clusters(image, u, v, charge)
        parts["clusters"].append(np.bincount(groups.image, minlength=maps))
        for name, values, limit in (
            ("size", groups.size, _SIZES),
            ("charge", groups.charge, _CLUSTER_CHARGES),
            ("kind", groups.kind + 1, len(CLASSES)),
        ):
            address = groups.image * (limit + 1) + np.minimum(values, limit)
            parts[name].append(np.bincount(address, minlength=maps * (limit + 1)).reshape(maps, limit + 1))
    return {name: np.concatenate(part) for name, part in parts.items()}


def _counts(sample: Batch) -> Columns:
    """Sensor, occupancy, spectrum and mean charge (0 without hits) of each map; quick."""
    spectra = np.zeros((len(sample), MAXIMUM + 1), np.int64)
    for first, (image, _, _, charge) in _hits(sample):
        np.add.at(spectra, (first + image, charge), 1)
    pixels = sample.x.shape[2] * sample.x.shape[3]
    hits = spectra.sum(1)
    return {
        "sensor": sensors(sample),
        "occupancy": hits / pixels,
        "spectrum": spectra,
        "mean_charge": spectra @ np.arange(MAXIMUM + 1) / np.maximum(hits, 1),
    }


def _hits(sample: Batch) -> Iterator[tuple[int, tuple[NDArray[Any], ...]]]:
    """First map of a part, and image (from there), u, v and charge of its hits."""
    for first in range(0, len(sample), _MAPS):
        x = sample.x[first : first + _MAPS, 0]
        if x.min() < 0 or x.max() > MAXIMUM or (x != x.floor()).any():
            raise PartiganError(f"maps have charges that are not whole ADU from 0 to {MAXIMUM}; no pixel can have them")
        image, u, v = (part.numpy() for part in torch.nonzero(x, as_tuple=True))
        yield first, (image, u, v, x.numpy()[image, u, v].astype(np.int64))


def _all_hits(sample: Batch) -> Iterator[tuple[NDArray[Any], ...]]:
    for first, (image, *rest) in _hits(sample):
        yield first + image, *rest


class HitmapEvaluation(Evaluation):
    """Charges, occupancies and clusters.

    Args:
        classifier: configuration of the network that tells the sensors.
        validated: samples of the valid split that a validation uses; None = all.
    """

    selection = ("adu_w1", "occupancy")
    names = tuple(_LABELS)
    weighted = True

    def __init__(self, classifier: dict[str, Any], validated: int | None = None) -> None:
        self.classifier, self.validated = classifier, validated

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """W1 and KS of the charge, and the mean distance of the occupancies of the sensors from the real ones."""
        found = [Values(_counts(sample), event_weights(sample)) for sample in (real, fake)]
        spectra = (sample.weighted(sample["spectrum"]) for sample in found)
        ks, w1 = spectrum_distances(*spectra, rng=np.random.default_rng(0))
        means = [_by_sensor(sample) for sample in found]
        seen = np.isfinite(means[0]) & np.isfinite(means[1]) & (means[0] > 0)
        off = np.abs(means[1][seen] / means[0][seen] - 1)
        return {"adu_w1": w1.value, "adu_ks": ks.value, "occupancy": float(off.mean())}

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding | str]:
        """KS and W1 of the charge, occupancies of both layers, number, size and charge of clusters.

        As many maps of both samples are compared as the smallest one has, whole events of 40 where there are some.
        """
        rng = np.random.default_rng(seed)
        size = min(real.size, fake.size, smallest)
        a, b = (_whole_events(sample, sample.worth(size)) for sample in (real, fake))

        def distances(name: str) -> tuple[Measurement, Measurement]:
            return spectrum_distances(a.weighted(a[name]), b.weighted(b[name]), rng=rng)

        found: dict[str, Measurement] = {}
        reasons: dict[str, Finding | str] = {}
        found["adu_ks"], found["adu_w1"] = distances("spectrum")
        for layer in (1, 2):
            values = [_rows(sample, "occupancy", LAYER_OF[sample["sensor"]] == layer) for sample in (a, b)]
            if values[0].x.any() and len(values[1]):
                found[f"occupancy_{layer}"] = _ratio(values[0], values[1], rng)
            else:
                whose = "generated" if values[0].x.any() else "real"
                reasons[f"occupancy_{layer}"] = f"the {whose} sample has no hits in layer {layer}"
        if a["clusters"].any():
            found["clusters"] = _ratio(_rows(a, "clusters"), _rows(b, "clusters"), rng)
        else:
            reasons["clusters"] = "the real sample has no hits"
        for name in ("size", "charge"):
            found[f"{name}_w1"] = distances(name)[1]
        return reasons | findings(found, _LABELS)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Charge, occupancy of each sensor, clusters and their classes, and the correlation of pixels."""
        from partigan.report.distributions import by_class, compare, images

        figures = {}
        for title, name, label in (
            ("Charge", "spectrum", "charge of a pixel, ADU"),
            ("Size of clusters", "size", "pixels of a cluster"),
            ("Charge of clusters", "charge", "charge of a cluster, ADU"),
        ):
            values = [_single(sample, name) for sample in (real, fake)]
            if all(len(value.x) for value in values):
                figures[title] = compare((values[0], values[1]), label, log=True, integer=name != "charge")
        occupancies = [(sample["sensor"], sample.weighted(100 * sample["occupancy"])) for sample in (real, fake)]
        figures["Occupancy of the sensors"] = by_class(
            occupancies[0], occupancies[1], "occupancy of a sensor, %", "sensor"
        )
        kinds = [_single(sample, "kind", -1) for sample in (real, fake)]
        figures["Classes of clusters"] = compare(
            (kinds[0], kinds[1]), f"-1 = none, 0, 1, 2 = {', '.join(CLASSES)}", integer=True
        )
        reach = len(real["pairs"]) - 1
        extent = (-reach - 0.5, reach + 0.5, -0.5, reach + 0.5)
        labels = ("dv, pixels", "du, pixels", "pairs over independent pixels")
        figures["Pairs of pixels"] = images(real["pairs"], fake["pairs"], extent, labels)
        return figures


class ClusterEvaluation(HitmapEvaluation):
    """The same for generators of clusters: checkpoints are chosen by charges of pixels, since much else is counted."""

    selection = ("adu_ks", "adu_w1")

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Those of all hitmaps, and W1 of size and charge of clusters."""
        found = [Values(_clusters(sample), event_weights(sample)) for sample in (real, fake)]
        more = {}
        for name in ("size", "charge"):
            spectra = (sample.weighted(sample[name]) for sample in found)
            more[f"{name}_w1"] = spectrum_distances(*spectra, rng=np.random.default_rng(0))[1].value
        return {**super().validate(real, fake), **more}


def _whole_events(sample: Values, size: int) -> Values:
    """The first maps, whole events of 40 where there are some."""
    size -= size % len(SENSORS) if size >= len(SENSORS) else 0
    if size < 2:
        raise PartiganError(f"{size} maps are too few to compare; give whole events of {len(SENSORS)}")
    weight = None if sample.weight is None else sample.weight[:size]
    return Values({name: value[:size] for name, value in sample.items()}, weight)


def _rows(sample: Values, name: str, rows: NDArray[np.bool_] | slice = slice(None)) -> Sample:
    """An observable of some maps."""
    return Sample(sample[name], sample.weight)[rows]


def _single(sample: Values, name: str, first: int = 0) -> Weighted:
    """The hits or clusters of a spectrum ``(maps, values)`` one by one, counted from ``first``."""
    spectrum = sample[name]
    value = np.arange(first, first + spectrum.shape[1])
    if sample.weight is None:
        return Weighted(np.repeat(value, spectrum.sum(0)))
    return Weighted(np.repeat(np.tile(value, len(spectrum)), spectrum.ravel()), sample.repeated(spectrum.sum(1)))


def _by_sensor(sample: Values) -> NDArray[Any]:
    """``(40,)``: mean occupancy of the maps of each sensor, NaN where there are none."""
    number = np.bincount(sample["sensor"], sample.weight, len(SENSORS))
    occupancy = _rows(sample, "occupancy")
    total = np.bincount(sample["sensor"], occupancy.times(occupancy.x), len(SENSORS))
    return np.asarray(np.divide(total, number, out=np.full(len(SENSORS), np.nan), where=number > 0))


def _ratio(real: Sample, fake: Sample, rng: np.random.Generator) -> Measurement:
    """Mean of ``fake`` over the mean of ``real``, with the bootstrap's error over maps."""
    replicas = []
    for sample in (real, fake):
        times = resampled(len(sample), rng)
        replicas.append(times @ sample.times(sample.x) / (times @ sample.weights))
    return Measurement(float(fake.mean() / real.mean()), float((replicas[1] / replicas[0]).std()))
