"""Time traces of particle detectors: x = signal in VEM, ``(channel, bins)``.

Files are in the layout of `partigan.data.samples`, with ``traces (samples, channel, bins)``. ``conditions`` are what a
reconstruction knows, such as distance and zenith angle; ``truth`` is what it is asked for, such as the energy. Both
have names and units (attributes ``features`` and ``units``). The attribute ``bin_ns`` is the width of a bin; 25 ns
where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from partigan.data.batch import Batch
from partigan.data.hdf5 import holds, number_of
from partigan.data.samples import checked, feature_units, file_attributes, read_samples, write_samples
from partigan.data.splits import Rows
from partigan.documents import Rule
from partigan.errors import PartiganError
from partigan.kinds.classifiers import TRACE
from partigan.kinds.conditions import LabelConditions
from partigan.kinds.kind import Columns, Format, Kind, Observables, Values
from partigan.kinds.tables import TableEvaluation
from partigan.metrics.weighted import Weighted
from partigan.observables.traces import trace_observables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BIN_NS = 25.0
_SCALARS = {
    "signal": ("total signal", "lg VEM"),
    "peak": ("largest bin", "lg VEM"),
    "start": ("start, 10 % of the signal", "ns"),
    "rise": ("rise time, 10 to 50 %", "ns"),
    "fall": ("fall time, 50 to 90 %", "ns"),
    "area_over_peak": ("area over peak", "ns"),
    "baseline": ("mean of the 20 lowest bins", "VEM"),
    "noise": ("spread of the 20 lowest bins", "VEM"),
}


class TraceFormat(Format):
    """Traces in the layout of `partigan.data.samples`."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``traces``."""
        return holds(path, "traces")

    def read(self, path: Path, split: Rows, finite: bool = True) -> Batch:
        """Traces of a split."""
        return _not_negative(read_samples(path, split, "traces", 3, finite), f"{path}: traces", finite)

    def count(self, path: Path) -> int:
        """The number of traces."""
        return number_of(path, "traces")

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write traces with conditions and truth, and the names of both."""
        said = {"bin_ns": state.get("bin_ns", BIN_NS), **attributes}
        write_samples(path, "traces", chunks, said, beside=state.get("columns", {}))

    def attributes(self, path: Path) -> dict[str, Any]:
        """The attributes of the file."""
        return file_attributes(path)

    def describe(self, path: Path) -> dict[str, Any]:
        """Width of a bin in ns, and the columns of conditions and truth with their units."""
        columns = {name: feature_units(path, name) for name in ("conditions", "truth") if holds(path, name)}
        return {"bin_ns": float(file_attributes(path).get("bin_ns", BIN_NS)), "columns": columns}

    def check(self, sample: Batch) -> Batch:
        """Traces ``(samples, channel, bins)``, or ``(samples, bins)`` of one channel."""
        x = sample.x[:, None] if sample.x.dim() == 2 else sample.x
        if x.dim() != 3:
            raise PartiganError(f"traces have the shape (samples, channel, bins), not {list(sample.x.shape)}")
        return _not_negative(checked(replace(sample, x=x)), "traces", finite=True)

    def assume(self, sample: Batch) -> dict[str, Any]:
        """Bins of 25 ns, conditions and truth without names."""
        parts = {"conditions": sample.condition, "truth": sample.truth}
        return {
            "bin_ns": BIN_NS,
            "columns": {
                name: {str(column): "" for column in range(values.shape[1])}
                for name, values in parts.items()
                if values is not None and values.dim() == 2
            },
        }


def _not_negative(sample: Batch, where: str, finite: bool) -> Batch:
    """The same sample; raises a `PartiganError` for signals below 0, where generated ones are not counted."""
    if finite and (bad := (sample.x < 0).flatten(1).any(1)).any():
        raise PartiganError(
            f"{where}: {int(bad.sum())} traces have signals below 0, the first in row {int(bad.byte().argmax())}; "
            "subtract no baseline, or cut at 0"
        )
    return sample


class TraceConditions(LabelConditions):
    """Conditions drawn row by row, as often as in training."""

    schema = MappingProxyType(
        {
            **LabelConditions.schema,
            "bin_ns?": Rule(float, lambda width: 0 < width < inf, "a number above 0"),
        }
    )

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """``channels`` and ``bins``, the number of ``classes`` and of float ``conditions``; 0 where there are none."""
        found = super().arguments(replace(sample, x=sample.x.flatten(1)))
        del found["features"]
        return {"channels": sample.x.shape[1], "bins": sample.x.shape[2], **found}

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Conditions to draw from, and what the file holds beside its traces."""
        return {**super().state(sample, {}), **description}


class TraceObservables(Observables):
    """Signal, times and baseline; see `partigan.observables.traces`."""

    def scalars(self, description: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """All of them."""
        return _SCALARS

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """The scalars, all of them together as ``rows``, and the traces."""
        found = trace_observables(sample.x.double(), description.get("bin_ns", BIN_NS))
        rows = torch.stack(list(found.values()), dim=1)
        arrays = {name: values.numpy() for name, values in (found | {"rows": rows}).items()}
        return {**arrays, "traces": sample.x.numpy()}


class TraceEvaluation(TableEvaluation):
    """Distances of the observables, as of the features of a table."""

    classifier = judge = TRACE
    targets: Mapping[str, Literal["value", "class"]] = MappingProxyType({"log_energy": "value", "mass": "class"})

    def validate(self, real: Batch, fake: Batch) -> dict[str, float]:
        """Sliced W1 and mean W1 of the observables."""
        seen = TraceObservables().compute
        rows = (replace(sample, x=torch.from_numpy(seen(sample, {})["rows"])) for sample in (real, fake))
        return super().validate(*rows)

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """A histogram of each observable, and the mean trace."""
        from partigan.report.distributions import by_class, compare

        figures = {
            label.capitalize(): compare((real.weighted(real[name]), fake.weighted(fake[name])), f"{label} ({unit})")
            for name, (label, unit) in _SCALARS.items()
        }
        bins = [_by_bin(sample) for sample in (real, fake)]
        return {"Mean trace": by_class(bins[0], bins[1], "mean signal (VEM)", "bin"), **figures}


def _by_bin(sample: Values) -> tuple[NDArray[Any], Weighted]:
    """Numbers of the bins of all traces, and their signals."""
    traces = sample["traces"].sum(1)
    weight = sample.repeated(traces.shape[1])
    return np.tile(np.arange(traces.shape[1]), len(traces)), Weighted(traces.ravel(), weight)


TRACES = Kind("traces", TraceFormat(), TraceConditions(), TraceObservables(), TraceEvaluation())
