"""Particle identification of a Cherenkov detector: tables of likelihoods, given momentum, pseudorapidity and tracks.

Conditions are ``P`` in MeV, ``ETA``, and further ones such as ``nTracks``; columns ``is_e``, ``is_mu``, ``is_pi``,
``is_K`` and ``is_p`` say which particle a row's sample is meant to hold. Features ``RichDLLk`` and ``RichDLLp`` are
logarithms of likelihoods over that of a pion.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds.conditions import LabelConditions
from partigan.kinds.kind import Columns, Kind, Values
from partigan.kinds.tables import TableEvaluation, TableFormat, TableObservables
from partigan.metrics.finding import Finding
from partigan.metrics.identification import Map, Particles, auc_map, efficiency, momentum_bins
from partigan.metrics.measurement import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = {"auc_k_pi": ("K", "pi"), "auc_p_k": ("p", "K")}
"""What is told from what, by the name of the metric."""
_EFFICIENCIES = {"efficiency_k": "auc_k_pi", "efficiency_p": "auc_p_k"}
_LABELS = {
    "auc_k_pi": "AUC of K against pi: largest difference in a bin",
    "auc_p_k": "AUC of p against K: largest difference in a bin",
    "efficiency_k": "K and pi taken for K against momentum: largest difference (%)",
    "efficiency_p": "p and K taken for p against momentum: largest difference (%)",
}
_FLAG = "is_"  # conditions that are 1 for a particle
_BESIDE = "condition:"  # columns of conditions among the observables


class CherenkovFormat(TableFormat):
    """Tables whose first conditions are a track."""

    def recognises(self, path: Path) -> bool:
        """Whether there are ``rows`` with the conditions ``P`` and ``ETA``."""
        return super().recognises(path) and {"P", "ETA"} <= {
            *self.describe(path).get("columns", {}).get("conditions", {})
        }


class CherenkovConditions(LabelConditions):
    """Conditions drawn row by row, of many rows: sWeights of a few would leave few tracks in a bin."""

    kept = 32_768

    def of_species(self, species: str, sample: Batch, description: dict[str, Any], where: str) -> Tensor:
        """Rows whose condition ``is_NAME`` is 1."""
        names = [*description.get("columns", {}).get("conditions", {})]
        flags = {name.removeprefix(_FLAG): column for column, name in enumerate(names) if name.startswith(_FLAG)}
        if species not in flags or sample.condition is None:
            found = f"there are {', '.join(flags)}" if flags else f"it has no conditions such as {_FLAG}{species}"
            raise PartiganError(f"{where} knows no species {species!r}; {found}")
        return sample.condition[:, flags[species]] > 0.5


class CherenkovObservables(TableObservables):
    """The features, and the conditions beside them."""

    def compute(self, sample: Batch, description: dict[str, Any]) -> Columns:
        """The rows, their columns by name, and those of the conditions as ``condition:name``."""
        found = super().compute(sample, description)
        names = description.get("columns", {}).get("conditions", {})
        if sample.condition is None or len(names) != sample.condition.shape[-1]:
            return found
        conditions = sample.condition.double().numpy().T
        return {**found, **{f"{_BESIDE}{name}": column for name, column in zip(names, conditions, strict=True)}}


class CherenkovEvaluation(TableEvaluation):
    """Distances of the features as of tables, and identification in bins."""

    names = (*TableEvaluation.names, *_LABELS)
    validated = 20_000

    def metrics(
        self, real: Values, fake: Values, protocol: dict[str, Any], smallest: int, seed: int
    ) -> dict[str, Finding | str]:
        """Those of tables; the largest differences of areas under ROC curves, and of efficiencies at equal odds."""
        found: dict[str, Finding | str] = {}
        if own := [name for name in protocol["metrics"] if name not in _LABELS]:
            found.update(super().metrics(real, fake, {**protocol, "metrics": own}, smallest, seed))
        for name in protocol["metrics"]:
            if name not in _LABELS:
                continue
            pair = PAIRS[_EFFICIENCIES.get(name, name)]
            if missing := _missing(real, pair):
                found[name] = missing
            elif name in PAIRS:
                found[name] = _largest(name, [identification(sample, pair) for sample in (real, fake)], 1.0)
            else:
                curves = [_stacked(efficiency_curves(real, sample, pair)) for sample in (real, fake)]
                found[name] = _largest(name, curves, 100.0)
        return found

    def figures(self, real: Values, fake: Values) -> dict[str, Figure]:
        """Areas in bins, efficiencies, and those of tables."""
        from partigan.report.identification import auc_differences, efficiencies

        figures = {}
        for pair in PAIRS.values():
            if _missing(real, pair) or _missing(fake, pair):
                continue
            both = [identification(sample, pair) for sample in (real, fake)]
            figures[f"{pair[0]} against {pair[1]}"] = auc_differences(*both)
            curves = [efficiency_curves(real, sample, pair) for sample in (real, fake)]
            named = {
                f"{name} as {pair[0]}": (one, two) for name, one, two in zip(pair, curves[0], curves[1], strict=True)
            }
            figures[f"Taken for {pair[0]}, of {pair[0]} and {pair[1]}"] = efficiencies(_edges(real), named)
        tables = [
            Values({name: x for name, x in sample.items() if not name.startswith(_BESIDE)}, sample.weight)
            for sample in (real, fake)
        ]
        return {**figures, **super().figures(*tables)}


def _missing(sample: Values, pair: tuple[str, str]) -> str:
    """What a sample lacks to tell two particles; nothing where it has all."""
    wanted = ["P", "ETA", *(f"{_FLAG}{name}" for name in pair)]
    if lacking := [name for name in wanted if f"{_BESIDE}{name}" not in sample]:
        return f"the conditions have no {', '.join(lacking)}"
    if lacking := [name for name in ("RichDLLk", "RichDLLp") if name not in sample]:
        return f"the features have no {', '.join(lacking)}"
    if lacking := [name for name in pair if not sample[f"{_BESIDE}{_FLAG}{name}"].any()]:
        return f"the sample has no {' and no '.join(lacking)}"
    return ""


def particles(sample: Values, name: str, against: tuple[str, str]) -> Particles:
    """Tracks of one particle, with the logarithm of the odds of the first particle of a pair over the second."""
    score: Floats = sample["RichDLLk"] if against == ("K", "pi") else sample["RichDLLp"] - sample["RichDLLk"]
    rows = sample[f"{_BESIDE}{_FLAG}{name}"] > 0.5
    return Particles(
        score[rows],
        sample[f"{_BESIDE}P"][rows] / 1000,
        sample[f"{_BESIDE}ETA"][rows],
        None if sample.weight is None else sample.weight[rows],
    )


def identification(sample: Values, pair: tuple[str, str]) -> Map:
    """Areas under the ROC curve of the first particle of a pair against the second, in bins."""
    return auc_map(*(particles(sample, name, pair) for name in pair))


def _edges(real: Values) -> Floats:
    """Bins of momentum, those of the real sample."""
    return momentum_bins(real[f"{_BESIDE}P"] / 1000)


def efficiency_curves(real: Values, sample: Values, pair: tuple[str, str]) -> tuple[Map, Map]:
    """Shares of both particles of a pair that are taken for the first, against momentum: where its odds are better."""
    first, second = (efficiency(particles(sample, name, pair), 0.0, _edges(real)) for name in pair)
    return first, second


def _stacked(curves: tuple[Map, Map]) -> Map:
    """Two curves as one map."""
    return Map(np.stack([curve.value for curve in curves]), np.stack([curve.error for curve in curves]))


def _largest(name: str, maps: list[Map], factor: float) -> Finding | str:
    """The largest difference of two maps."""
    if (found := maps[1].minus(maps[0]).largest()) is None:
        return "too few tracks in every bin"
    return Finding(_LABELS[name], factor * found.value, factor * found.error)


CHERENKOV = Kind("cherenkov", CherenkovFormat(), CherenkovConditions(), CherenkovObservables(), CherenkovEvaluation())
