"""Metrics of translated samples, one by one: against their truth, and there and back."""

from __future__ import annotations

from partigan.errors import PartiganError
from partigan.evaluation.metric import Answer, Metric, Rng
from partigan.evaluation.samples import Samples
from partigan.metrics.finding import Finding
from partigan.metrics.translation import translation_error


def _pairs(samples: Samples, _: Rng) -> Answer:
    if samples.pairs is None:
        raise PartiganError("it needs pairs: real samples with a 'source', and what was made of these, in their order")
    found = translation_error(*samples.pairs)
    note = f"{found.share:.3g} of the lower of the two others, p = {max(found.p_value, 1e-300):.2g}"
    label = "Mean absolute error of"
    return Answer(
        {
            "error": Finding(f"{label} translated samples", *found.error, None, False, note),
            "identity": Finding(f"{label} sources as they are", *found.identity, None, False),
            "shift": Finding(f"{label} sources, means shifted", *found.shift, None, False),
        },
        found,
    )


def _cycle(samples: Samples, _: Rng) -> Answer:
    if samples.cycle is None:
        raise PartiganError("it needs the translator: give --run")
    return Answer({"": Finding("Mean absolute error there and back", *samples.cycle(), None, False)})


METRICS: dict[str, Metric] = {
    "pairs": Metric(_pairs, cheap=False, in_sample=False, of="samples"),
    "cycle": Metric(_cycle, cheap=False, in_sample=False, of="samples"),
}
