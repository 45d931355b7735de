"""Air showers on an array of stations: x = maps of signals in VEM and, optionally, arrival times in ns.

``airshower`` has the channels of the file and, as conditions, lg(E/EeV), zenith angle in rad and ln A.
``airshower-labelled`` reads the same files without the times, ``airshower-signal`` without times and conditions, as the
tutorial's networks see them. A silent station is 0 in every channel. Networks see lg(1 + signal) and times in standard
deviations, 0 where silent (`partigan.data.transforms.airshowers`). Files: `partigan.data.airshowers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.airshowers import (
    channels_of_arrays,
    columns_of_arrays,
    is_arrays,
    number_in_arrays,
    read_showers,
    sensible,
)
from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.samples import feature_units, file_attributes, write_samples
from partigan.data.splits import Rows
from partigan.data.stored import strings
from partigan.documents import Rule
from partigan.kinds.classifiers import SHOWER
from partigan.kinds.conditions import LabelConditions
from partigan.kinds.images import ImageEvaluation
from partigan.kinds.kind import Columns, Format, Kind, Observables, Values, findings
from partigan.metrics.dependence import dependence
from partigan.metrics.finding import Finding
from partigan.metrics.wasserstein import w1, wasserstein_1d
from partigan.metrics.weighted import Sample, Weighted
from partigan.observables.airshowers import (
    CURVED,
    LAYOUTS,
    axis_distance,
    front_axis,
    front_delay,
    shower_observables,
    station_positions,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPACING = 1500.0  # m, where a file says nothing
TINY = 1e-9  # VEM
PIECE = 5000  # showers whose observables are computed at once
PERIOD = 1e4  # ns; unit of times in images that are compared
DEPENDENCE_ROWS = 200  # least showers whose dependence on conditions is compared
BINS = 8  # of a condition, over which the report shows means
DISTANCES = np.arange(0, 6001, 500.0)  # edges of the lateral distribution of the report, m
_SCALARS = {
    "total": ("total signal", "lg VEM"),
    "stations": ("triggered stations", ""),
    "largest": ("largest signal", "lg VEM"),
    "slope": ("slope of the lateral distribution", ""),
    "s1000": ("signal in 1000 m", "lg VEM"),
    "zenith": ("zenith angle by a plane front", "degrees"),
    "curvature": ("curvature of the front", "1/km"),
    "spread": ("spread of the arrival times", "ns"),
}
_COLUMNS = {"energy": "log_energy", "zenith": "zenith"}  # arguments of networks, and conditions in files
_OF_TIMES = ("zenith", "curvature", "spread")
_CONDITIONS = ("lg(E/EeV)", "zenith angle (rad)", "ln A")
_SHOWN = ("total", "stations", "slope", "curvature")  # whose dependence on conditions the report shows


class ShowerFormat(Format):
    """Maps in HDF5, and the ``.npz`` files of others."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``maps``, ``shower_maps``, or ``signal`` of a ``.npz`` file."""
        return is_arrays(path) or holds(path, "maps")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Showers of a split."""
        return read_showers(path, split, finite)

    def count(self, path: Path) -> int:
        """The number of showers."""
        return number_in_arrays(path) if path.suffix == ".npz" else number_of(path, "maps")

    def blocks(self, path: Path, size: int) -> Iterator[Batch]:
        """All showers, ``size`` at a time; a ``.npz`` file is read once."""
        if path.suffix != ".npz":
            yield from super().blocks(path, size)
            return
        everything = self.read(path, "all")
        yield from (everything[first : first + size] for first in range(0, len(everything), size))

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write maps with conditions, and what the training sample said of its array."""
        said = {name: state[name] for name in ("channels", "layout", "spacing_m") if name in state}
        write_samples(path, "maps", chunks, said | attributes, beside=state.get("columns", {}))

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of the file; ``.npz`` files have none."""
        return {} if path.suffix == ".npz" else file_attributes(path)

    def describe(self, path: Path) -> dict[str, Any]:
        """Channels, layout and spacing of the array, and the columns of conditions and truth with their units."""
        if path.suffix == ".npz":
            channels, named = channels_of_arrays(path), columns_of_arrays(path)
            found = _described(channels, "offset" if len(channels) > 1 else "cartesian", SPACING)
            return found | {"columns": {"conditions": named} if named else {}}
        said = file_attributes(path)
        channels = strings(said.get("channels", ["signal"]))
        columns = {name: feature_units(path, name) for name in ("conditions", "truth") if holds(path, name)}
        layout, spacing = str(said.get("layout", "cartesian")), float(said.get("spacing_m", SPACING))
        return _described(channels, layout, spacing) | {"columns": columns}

    def check(self, sample: Batch) -> Batch:
        """Maps ``(showers, channels, rows, columns)``, or ``(showers, rows, columns)`` of signals."""
        return sensible(replace(sample, x=sample.x[:, None]) if sample.x.dim() == 3 else sample)

    def assume(self, sample: Batch) -> dict[str, Any]:
        """Cartesian stations in 1500 m, conditions and truth without names."""
        parts = {"conditions": sample.condition, "truth": sample.truth}
        columns = {
            name: {str(column): "" for column in range(values.shape[1])}
            for name, values in parts.items()
            if values is not None and values.dim() == 2
        }
        channels = ["signal", "time"][: sample.x.shape[1]]
        return _described(channels, "cartesian", SPACING) | {"columns": columns}


class LabelledFormat(ShowerFormat):
    """The same files without the times."""

    also = ("airshower",)
    described: ClassVar[dict[str, Any]] = {"channels": ["signal"]}

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Signals of a split."""
        return self.of(super().read(path, split, finite))

    def describe(self, path: Path) -> dict[str, Any]:
        """One channel."""
        return super().describe(path) | self.described

    def check(self, sample: Batch) -> Batch:
        """Signals ``(showers, 1, rows, columns)``."""
        return self.of(super().check(sample))

    def assume(self, sample: Batch) -> dict[str, Any]:
        """One channel."""
        return super().assume(sample) | self.described

    def of(self, sample: Batch) -> Batch:
        """What networks see of showers."""
        return replace(sample, x=sample.x[:, :1])


class SignalFormat(LabelledFormat):
    """The same files without times and conditions."""

    described: ClassVar[dict[str, Any]] = {"channels": ["signal"], "columns": {}}

    def of(self, sample: Batch) -> Batch:
        """Signals alone."""
        return replace(super().of(sample), condition=None, truth=None)


def _described(channels: list[str], layout: str, spacing: float) -> dict[str, Any]:
    return {"channels": channels, "layout": layout, "spacing_m": spacing}


class ShowerConditions(LabelConditions):
    """Conditions drawn row by row, as often as in training."""

    fixed = ("channels", "layout", "spacing_m")
    schema = MappingProxyType(
        {
            **LabelConditions.schema,
            "channels?": [str],
            "layout?": Rule(str, lambda name: name in LAYOUTS, f"one of {', '.join(LAYOUTS)}"),
            "spacing_m?": Rule(float, lambda length: 0 < length < inf, "a number above 0"),
            "columns?": {"conditions?": {str: str}, "truth?": {str: str}},
        }
    )

    def of_file(self, description: dict[str, Any]) -> dict[str, Any]:
        """``layout`` and ``spacing`` of the array, columns of ``energy`` and ``zenith`` among the conditions, or -1."""
        known = [*description.get("columns", {}).get("conditions", {})]
        columns = {name: known.index(key) if key in known else -1 for name, key in _COLUMNS.items()}
        return {"layout": description["layout"], "spacing": description["spacing_m"], **columns}

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Conditions to draw from, and what the file says of its array."""
        return {**super().state(sample, {}), **description}


class ShowerObservables(Observables):
    """Signals, lateral distribution and front; see `partigan.observables.airshowers`."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """All of them; those of the front where there are times."""
        timed = "time" in description.get("channels", ["signal"])
        return {name: label for name, label in _SCALARS.items() if timed or name not in _OF_TIMES}

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """The scalars, maps as ``images`` (lg(1 + signal), times in 10 us), ``maps``, ``distance`` and conditions."""
        rows, columns = sample.x.shape[2:]
        positions = station_positions(
            description.get("layout", "cartesian"), rows, columns, description.get("spacing_m", SPACING)
        )
        pieces = [_observed(piece, positions) for piece in sample.x.split(PIECE)]
        found = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        if sample.condition is not None and sample.condition.is_floating_point():
            found["conditions"] = sample.condition.double().numpy()
        return {**found, "maps": sample.x.numpy(), "images": images_of(sample.x).numpy()}


def _observed(maps: torch.Tensor, positions: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Observables of some showers, and the distances of all stations from the axis."""
    signal, time = maps[:, 0].double(), maps[:, 1].double() if maps.shape[1] > 1 else None
    axis = None if time is None else front_axis(signal, time, positions)
    found = shower_observables(signal, time, positions) | {"distance": axis_distance(signal, positions, axis)}
    if time is not None:
        found["delay"] = front_delay(signal, time, positions)
    return {name: values.numpy() for name, values in found.items()}


def _without_array(maps: torch.Tensor) -> NDArray[Any]:
    """Observables for which the places of the stations need not be known, ``(showers, 3 or 4)``."""
    signal, time = maps[:, 0].double(), maps[:, 1:].double() / 1000
    stations = (signal > 0).sum((1, 2))
    found = [signal.sum((1, 2)).clamp_min(1).log10(), stations, signal.amax((1, 2)).clamp_min(1).log10()]
    found += [(time.square().sum((1, 2, 3)) / stations.clamp_min(1)).sqrt()] * (maps.shape[1] > 1)
    return torch.stack(found, 1).numpy()


def images_of(maps: torch.Tensor) -> torch.Tensor:
    """Maps as they are compared: lg(1 + signal), and times in 10 us."""
    return torch.cat(((1 + maps[:, :1].clamp_min(0)).log10(), maps[:, 1:] / PERIOD), 1)


class ShowerEvaluation(ImageEvaluation):
    """Distances of the maps in lg(1 + signal), of the observables, and how they depend on conditions."""

    selection = ("observables", "frechet")
    names = (*ImageEvaluation.names, "observables", "dependence")
    classifier = judge = SHOWER
    targets: Mapping[str, Literal["value", "class"]] = MappingProxyType({"xmax": "value"})

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Fréchet distance of principal components and sliced W1, of lg(1 + signal), and the mean W1 of observables.

        Observables are those for which the array need not be known: total and largest signal, stations, root mean
        square of the times; in standard deviations of the real ones.
        """
        found = super().validate(*(replace(sample, x=images_of(sample.x)) for sample in (real, fake)))
        weights = [None if each.weight is None else each.weight.double().numpy() for each in (real, fake)]
        a, b = (Sample(_without_array(each.x), weight) for each, weight in zip((real, fake), weights, strict=True))
        width = np.where(a.std() > 0, a.std(), 1)
        columns = zip((a.x / width).T, (b.x / width).T, strict=True)
        distances = [
            wasserstein_1d(*(Weighted(x, weight) for x, weight in zip(pair, weights, strict=True))) for pair in columns
        ]
        return found | {"observables": float(np.mean(distances))}

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding]:
        """Those of images, the mean W1 of the observables, and the difference of their dependence on conditions.

        The Fréchet distance and the dependence are left out below 200 showers.
        """
        found = super().metrics(real, fake, protocol, smallest, seed)
        rng, names = np.random.default_rng(seed), [name for name in _SCALARS if name in real]
        tables = [np.stack([sample[name] for name in names], 1) for sample in (real, fake)]
        width = Sample(tables[0], real.weight).std()
        rows = [
            sample.weighted(table / np.where(width > 0, width, 1))
            for sample, table in zip((real, fake), tables, strict=True)
        ]
        measured = {"observables": w1(rows[0], rows[1], samples=min(real.size, smallest), rng=rng)}
        labels = {"observables": ("mean W1 of the observables (standard deviations)", 1.0)}
        if "conditions" in real and "conditions" in fake and min(real.size, smallest) >= DEPENDENCE_ROWS:
            measured["dependence"] = dependence((rows[0], real["conditions"]), (rows[1], fake["conditions"]), rng)
            labels["dependence"] = ("difference of the means in bins of conditions (standard deviations)", 1.0)
        return found | findings(measured, labels)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Galleries, mean maps, the observables, the lateral distribution, and the dependence on conditions."""
        from partigan.report.distributions import compare, images
        from partigan.report.samples import gallery

        shown, made = real["images"][:, 0], fake["images"][:, 0]
        box = (0.0, float(shown.shape[2]), 0.0, float(shown.shape[1]))
        figures = {
            "Events, lg(1 + signal)": gallery(shown, made, float(shown.max())),
            "Mean map of lg(1 + signal)": images(
                real.mean(shown), fake.mean(made), box, ("column", "row", "mean lg(1 + signal)")
            ),
            "Share of triggered stations": images(
                real.mean(shown > 0), fake.mean(made > 0), box, ("column", "row", "share of the showers")
            ),
        }
        if real["maps"].shape[1] > 1:
            late, later = _late(real), _late(fake)
            figures["Events, arrival times after the first station (us)"] = gallery(late, later, float(late.max()))
        for name, (label, unit) in _SCALARS.items():
            if name in real and name in fake:
                title = f"{label} ({unit})" if unit else label
                pair = (real.weighted(real[name]), fake.weighted(fake[name]))
                figures[label.capitalize()] = compare(pair, title, integer=name == "stations")
        return figures | _over_distance(real, fake) | _over_conditions(real, fake)


def _over_distance(real: Values, fake: Values) -> dict[str, Figure]:
    """Lateral distribution, and delays behind the plane front, with their ratios."""
    from partigan.report.distributions import by_class

    axis = "distance from the axis (km)"
    a, b = (_by_distance(sample, np.log10(sample["maps"][:, 0].clip(TINY))) for sample in (real, fake))
    figures = {"Lateral distribution": by_class(a, b, "mean signal (VEM)", axis, ratio=True, decades=True)}
    if "delay" in real and "delay" in fake:
        a, b = (_by_distance(sample, _delays(sample)) for sample in (real, fake))
        label = "mean time after the plane front (us)"
        figures["Front of arrival times"] = by_class(a, b, label, axis, ratio=True)
    return figures


def _delays(sample: Values) -> NDArray[Any]:
    """Times after the plane front, us; NaN where too few stations have triggered."""
    enough = (sample["stations"] >= CURVED)[:, None, None]
    return np.where(enough, sample["delay"] / 1000, np.nan)


def _late(sample: Values) -> NDArray[Any]:
    """Times after the first station, us; stations are at least 0.05 us late, silent ones 0."""
    signal, time = sample["maps"][:36, 0], sample["maps"][:36, 1] / 1000
    first = np.where(signal > 0, time, np.inf).min((1, 2), keepdims=True)
    return np.where(signal > 0, time - np.where(np.isfinite(first), first, 0) + 0.05, 0)


def _by_distance(sample: Values, values: NDArray[Any]) -> tuple[NDArray[Any], Weighted]:
    """Middles of the bins of distance of all triggered stations, km, and their values ``(showers, rows, columns)``."""
    signal, distance = sample["maps"][:, 0], sample["distance"]
    place = np.digitize(distance, DISTANCES) - 1
    kept = (signal > 0) & (place < len(DISTANCES) - 1) & np.isfinite(values)
    middles = (DISTANCES[1:] + DISTANCES[:-1]) / 2000
    weight = None if sample.weight is None else np.broadcast_to(sample.weight[:, None, None], signal.shape)[kept]
    return middles[place[kept]], Weighted(values[kept], weight)


def _over_conditions(real: Values, fake: Values) -> dict[str, Figure]:
    """Means of some observables in bins of each condition."""
    from partigan.report.distributions import by_class

    if "conditions" not in real or "conditions" not in fake:
        return {}
    figures = {}
    for column, title in zip(range(real["conditions"].shape[1]), _CONDITIONS, strict=False):
        values = real["conditions"][:, column]
        edges = np.linspace(values.min(), values.max() + 1e-6, BINS + 1)
        for name in (name for name in _SHOWN if name in real and name in fake):
            sides = [_in_bins(sample, sample["conditions"][:, column], sample[name], edges) for sample in (real, fake)]
            label, unit = _SCALARS[name]
            axis = f"mean {label} ({unit})" if unit else f"mean {label}"
            figures[f"{label.capitalize()} over {title}"] = by_class(sides[0], sides[1], axis, title)
    return figures


def _in_bins(
    sample: Values, condition: NDArray[Any], values: NDArray[Any], edges: NDArray[Any]
) -> tuple[NDArray[Any], Weighted]:
    """Middles of the bins of a condition in which samples lie, and their values."""
    place = np.digitize(condition, edges) - 1
    kept = (place >= 0) & (place < len(edges) - 1)
    weight = None if sample.weight is None else sample.weight[kept]
    return ((edges[1:] + edges[:-1]) / 2)[place[kept]], Weighted(values[kept], weight)


AIRSHOWER = Kind("airshower", ShowerFormat(), ShowerConditions(), ShowerObservables(), ShowerEvaluation())
AIRSHOWER_LABELLED = Kind(
    "airshower-labelled", LabelledFormat(), ShowerConditions(), ShowerObservables(), ShowerEvaluation()
)
AIRSHOWER_SIGNAL = Kind("airshower-signal", SignalFormat(), ShowerConditions(), ShowerObservables(), ShowerEvaluation())
