"""Metrics of refined simulation: is a reconstruction that learned on it better on data, and are its labels kept?"""

from __future__ import annotations

from partigan.errors import PartiganError
from partigan.evaluation.metric import Answer, Metric, Rng
from partigan.evaluation.rows import normal_p
from partigan.evaluation.samples import Samples
from partigan.metrics.classifier import classify
from partigan.metrics.downstream import Worlds, reconstruction, remaining, separation
from partigan.metrics.finding import Finding
from partigan.metrics.measurement import Measurement


def _known(samples: Samples) -> Worlds:
    if samples.worlds is None:
        raise PartiganError(
            "it needs refined samples with their 'source', the truth of these and of real ones, and a training split"
        )
    return samples.worlds


def _downstream(samples: Samples, rng: Rng) -> Answer:
    """Reconstructions that learned on raw and refined simulation and on data, applied to data."""
    worlds, found = _known(samples), {}
    learned = ("raw", "refined", "data")
    for name in worlds.truth:
        test = worlds.of(name, "test")
        if name in worlds.classes:
            for sample in learned:
                area = separation(worlds.of(name, sample), test, rng)
                found[f"{name}.auc.{sample}"] = Finding(f"AUC of {name}, learned on {sample}", *area, None, False)
            continue
        results = {sample: reconstruction(worlds.of(name, sample), test, rng) for sample in learned}
        for part, title in (("bias", "Bias"), ("resolution", "Resolution")):
            numbers: list[Measurement] = [getattr(results[sample], part) for sample in learned]
            for sample, number in zip(learned, numbers, strict=True):
                label = f"{title} of {name}, learned on {sample}"
                found[f"{name}.{part}.{sample}"] = Finding(label, *number, None, False)
            if (gap := remaining(*numbers)) is not None:
                label = f"{title} of {name}: share of the gap that is left"
                found[f"{name}.{part}.gap"] = Finding(label, *gap, None, False, "1 = as raw, 0 = as data")
    return Answer(found)


def _labels(samples: Samples, rng: Rng) -> Answer:
    """A reconstruction that learned on data finds the labels of refined simulation as well as those of data."""
    worlds, found = _known(samples), {}
    for name in worlds.truth:
        if name in worlds.classes:
            continue
        refined, test = (
            reconstruction(worlds.of(name, "data"), worlds.of(name, sample), rng) for sample in ("refined", "test")
        )
        for part, title in (("bias", "Shift of"), ("resolution", "Blurring of")):
            one, two = getattr(refined, part), getattr(test, part)
            change = Measurement(one.value - two.value, (one.error**2 + two.error**2) ** 0.5)
            label = f"{title} {name} by refining"
            found[f"{name}.{part}"] = Finding(label, *change, normal_p(change), False)
    return Answer(found)


def _unrefined(samples: Samples, rng: Rng) -> Answer:
    """How well boosted trees tell the simulation as it was from data."""
    worlds = _known(samples)
    area = classify(worlds.features["test"], worlds.features["raw"][: len(samples.fake)], rng=rng).auc
    return Answer({"": Finding("Classifier AUC before refining", *area, None, False)})


METRICS: dict[str, Metric] = {
    "downstream": Metric(_downstream, cheap=False, in_sample=False, of="samples", weights="rows"),
    "labels": Metric(_labels, cheap=False, in_sample=False, of="samples", weights="rows"),
    "unrefined": Metric(_unrefined, cheap=False, in_sample=False, of="samples", weights="rows"),
}
