"""Metrics of a user's own, by import path."""

from __future__ import annotations

from collections.abc import Iterable
from pkgutil import resolve_name
from typing import Any

from partigan.blame import said
from partigan.errors import PartiganError
from partigan.evaluation.metric import Answer, Metric, Rng
from partigan.evaluation.samples import Samples
from partigan.metrics.finding import Finding


def own_metrics(names: Iterable[str], trust: bool) -> dict[str, Metric]:
    """The metrics among names that are import paths, such as ``mymodule.angle``.

    Such a metric is a function of `Samples` and a `numpy.random.Generator` that gives a `Finding`. It is taken of the
    generated sample and, in its place, of other real ones. Where there are event weights, both samples hold rows drawn
    by hit or miss, so that such a function need not know of weights.

    Args:
        names: of metrics.
        trust: import modules outside partigan.

    Raises:
        PartiganError: a function that is not trusted or not there.
    """
    found = {}
    for path in names:
        if "." not in path:
            continue
        if not trust:
            raise PartiganError(f"the metric {path} is not part of partigan; look at its code, then give --trust")
        try:
            function = resolve_name(path)
        except Exception as error:  # whatever the user's module does
            raise PartiganError(
                f"the metric {path} cannot be imported: {said(error)}; check the path, and PYTHONPATH"
            ) from error
        found[path] = _metric(path, function)
    return found


def _metric(path: str, function: Any) -> Metric:
    def call(samples: Samples, rng: Rng) -> Answer:
        try:
            finding = function(samples, rng)
        except PartiganError:
            raise
        except Exception as error:  # whatever the user's function does
            raise PartiganError(f"{path} fails: {said(error)}") from error
        if not isinstance(finding, Finding):
            raise PartiganError(f"{path} gives a {type(finding).__name__}; it must give a Finding(label, value, error)")
        return Answer({"": finding})

    return Metric(call, weights="hit or miss")
