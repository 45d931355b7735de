"""What a metric of the suite is, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from partigan.evaluation.samples import Samples
from partigan.metrics.finding import Finding

Rng = np.random.Generator


class Answer(NamedTuple):
    """What a metric finds: findings by name, and its whole result for figures."""

    findings: dict[str, Finding]
    result: Any = None


class Metric(NamedTuple):
    """A metric of the suite.

    Attributes:
        call: the metric.
        cheap: whether it runs unless others are asked for: a second or less for 20,000 rows.
        single: whether it has a finding for each observable.
        in_sample: whether other real samples can take the place of the generated one.
        of: what it is taken of: the kind's observables, the samples themselves, or what a classifier of the domain
            sees in them.
        weights: what becomes of event weights: the metric takes them as they are; it is taken of rows that are drawn by
            hit or miss, which cannot be where some are negative; or it is about rows, which count once.
    """

    call: Callable[[Samples, Rng], Answer]
    cheap: bool = True
    single: bool = False
    in_sample: bool = True
    of: Literal["observables", "samples", "classifier"] = "observables"
    weights: Literal["taken", "hit or miss", "rows"] = "taken"
