"""Metrics of what a classifier of the domain sees in samples."""

from __future__ import annotations

from partigan.errors import PartiganError
from partigan.evaluation.metric import Answer, Metric, Rng
from partigan.evaluation.samples import Pair, Samples
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import fpd
from partigan.metrics.inception import inception_score, kid
from partigan.metrics.modes import class_modes
from partigan.metrics.weighted import Weighted


def _fpnd(samples: Samples, _: Rng) -> Answer:
    if samples.distance is None:
        raise PartiganError("it needs a classifier with real samples of one class: give --fpnd or --classifier")
    return Answer({"": Finding("FPND", *samples.distance())})


def _seen(samples: Samples) -> Pair:
    if samples.seen is None:
        raise PartiganError("it needs a classifier of the domain: 'partigan fit-classifier', then --classifier RUN")
    return samples.seen


def _fid(samples: Samples, rng: Rng) -> Answer:
    real, fake, _ = _seen(samples)
    return Answer({"": Finding("FID", *fpd(real.of_activations, fake.of_activations, rng=rng, normalise=False))})


def _kid(samples: Samples, rng: Rng) -> Answer:
    real, fake, _ = _seen(samples)
    return Answer({"": Finding("KID", *kid(real.of_activations, fake.of_activations, rng=rng))})


def _inception_score(samples: Samples, _: Rng) -> Answer:
    seen = _seen(samples)
    if not seen.many:
        raise PartiganError("the samples are of one class, among which there is nothing to score")
    classes = seen.fake.probabilities.shape[1]
    return Answer({"": Finding(f"Inception score (at most {classes})", *inception_score(seen.fake.of_probabilities))})


def _class_modes(samples: Samples, _: Rng) -> Answer:
    real, fake, _many = _seen(samples)
    found = class_modes(*(Weighted(sample.probabilities.argmax(1), sample.weight) for sample in (real, fake)))
    note = f"missing: {', '.join(map(str, found.missing)) or 'none'}"
    label = f"Classes that differ, of {real.probabilities.shape[1]}"
    return Answer({"": Finding(label, *found.different, found.p_value, False, note)}, found)


METRICS: dict[str, Metric] = {
    "fpnd": Metric(_fpnd, cheap=False, of="classifier"),
    "fid": Metric(_fid, cheap=False, of="classifier"),
    "kid": Metric(_kid, cheap=False, of="classifier"),
    "inception-score": Metric(_inception_score, cheap=False, of="classifier"),
    "class-modes": Metric(_class_modes, cheap=False, of="classifier"),
}
