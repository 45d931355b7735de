"""The evaluation suite: every metric of a table of observables, for any kind of data, under the name it is called by.

What the metrics are and what they miss is written at each of them in `partigan.metrics`, and in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

from partigan.errors import PartiganError
from partigan.metrics.amplification import EquivalentEvents, equivalent_events
from partigan.metrics.classifier import Classification, FitPredict, Reliability, classify, reliability
from partigan.metrics.critic import held_out_critic
from partigan.metrics.finding import Finding
from partigan.metrics.frechet import fpd
from partigan.metrics.inception import inception_score, kid
from partigan.metrics.likelihood import kernel_density_likelihood
from partigan.metrics.manifold import density_coverage, prd, precision_recall
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.memorisation import birthday, memorisation
from partigan.metrics.modes import class_modes, cluster_modes
from partigan.metrics.two_sample import (
    adjusted,
    chi2,
    correlation_difference,
    kolmogorov_smirnov,
    location_and_width,
    separation_power,
)
from partigan.metrics.wasserstein import w1
from partigan.models.classifier import Seen

Rng = np.random.Generator

LEVEL = 0.05  # p-values after Benjamini and Hochberg above it: the samples agree
SURE = 1e-6  # p-values after Holm above it: a difference is not established
_FOLDS = 2  # of a network, whose training takes long
_CALIBRATION = 75  # events of either kind at least
NEAR = 1.1  # ratio to the in-sample value up to which an established difference is small


class Pair(NamedTuple):
    """What a classifier of the domain sees in both samples.

    Attributes:
        real: in the real sample.
        fake: in the generated one, or in other real ones.
        many: whether it knows several classes in one sample; otherwise the samples are of a single one of its classes.
    """

    real: Seen
    fake: Seen
    many: bool


@dataclass(frozen=True)
class Samples:
    """Observables of the samples that are compared, one number a sample each.

    Attributes:
        names: of the observables, with label and unit.
        real: ``(rows, observables)``.
        fake: the generated sample, or other real ones in its place, ``(others, observables)``.
        training: what the generator was trained on, where that is not part of ``real``.
        seen: what a classifier of the domain sees, where there is one.
        judge: fits a network to raw samples, given by their row numbers, those of ``fake`` upon those of ``real``.
        rebuild: gives the median distance of samples from the nearest that the generator can make: real ones that it
            never saw, or training samples in their place.
    """

    names: dict[str, tuple[str, str]]
    real: Floats
    fake: Floats
    training: Floats | None = None
    seen: Pair | None = None
    judge: FitPredict | None = None
    rebuild: Callable[[Rng], Measurement] | None = None


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
    """

    call: Callable[[Samples, Rng], Answer]
    cheap: bool = True
    single: bool = False
    in_sample: bool = True
    of: Literal["observables", "samples", "classifier"] = "observables"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


def _singles(samples: Samples, findings: Iterable[Finding]) -> Answer:
    """A finding for each observable, under its name."""
    return Answer(dict(zip(samples.names, findings, strict=True)))


def _w1(samples: Samples, rng: Rng) -> Answer:
    columns = zip(samples.names.values(), samples.real.T, samples.fake.T, strict=True)
    return _singles(samples, (Finding(_with_unit("W1", unit), *w1(a, b, rng=rng)) for (_, unit), a, b in columns))


def _ks(samples: Samples, rng: Rng) -> Answer:
    tests = kolmogorov_smirnov(samples.real, samples.fake, rng=rng)
    return _singles(samples, (Finding("KS", test.statistic, None, test.p_value) for test in tests))


def _chi2(samples: Samples, _: Rng) -> Answer:
    tests = chi2(samples.real, samples.fake)
    return _singles(samples, (Finding("chi2", test.statistic, None, test.p_value, False) for test in tests))


def _separation(samples: Samples, _: Rng) -> Answer:
    found = separation_power(samples.real, samples.fake)
    return _singles(samples, (Finding("separation power", *power, None, False) for power in found))


def _moments(samples: Samples, rng: Rng) -> Answer:
    found = location_and_width(samples.real, samples.fake, rng=rng)
    return Answer(
        {
            f"{name}.{moment}": Finding(
                _with_unit(f"difference of {title}", unit),
                *found[moment][column],
                _normal_p(found[moment][column]),
                False,
            )
            for column, (name, (_, unit)) in enumerate(samples.names.items())
            for moment, title in (("mean", "means"), ("std", "standard deviations"), ("iqr", "quartile ranges"))
        }
    )


def _normal_p(difference: Measurement) -> float:
    """P-value of a difference from 0."""
    if difference.error > 0:
        return float(2 * stats.norm.sf(abs(difference.value) / difference.error))
    return float(difference.value == 0)


def _correlations(samples: Samples, rng: Rng) -> Answer:
    found = correlation_difference(samples.real, samples.fake, rng=rng)
    pulls = np.divide(found.value, found.error, out=np.zeros_like(found.value), where=found.error > 0)
    row, column = np.unravel_index(np.abs(pulls).argmax(), pulls.shape)
    titles = [title for title, _ in samples.names.values()]
    note = f"{titles[row]} with {titles[column]}"
    difference = Measurement(float(found.value[row, column]), float(found.error[row, column]))
    return Answer(
        {"": Finding("Correlations: most significant difference", *difference, found.p_value, False, note)}, found
    )


def calibration(found: Classification) -> Reliability | None:
    """Reliability of a classifier's probabilities on equally many events of both kinds; None for too few events."""
    size = min(len(found.real), len(found.fake))
    return reliability(found.real[:size], found.fake[:size]) if size >= _CALIBRATION else None


def _classifier(samples: Samples, rng: Rng) -> Answer:
    return _classified("Classifier AUC (boosted trees)", classify(samples.real, samples.fake, rng=rng))


def _classified(label: str, found: Classification) -> Answer:
    note = ""
    if (error := calibration(found)) is not None:
        note = (
            f"calibration error {error.expected_calibration_error.value:.3f}, "
            f"{error.if_calibrated:.3f} expected if calibrated (p = {max(error.p_value, 1e-300):.2g})"
        )
    return Answer({"": Finding(label, *found.auc, found.p_value, False, note)}, found)


def _network(samples: Samples, rng: Rng) -> Answer:
    if samples.judge is None:
        raise PartiganError("this kind of data names no network")
    n, m = len(samples.real), len(samples.fake)
    found = classify(np.arange(n), np.arange(n, n + m), rng=rng, fit_predict=samples.judge, folds=_FOLDS)
    return _classified("Classifier AUC (network on raw samples)", found)


def _precision_recall(samples: Samples, rng: Rng) -> Answer:
    found = precision_recall(samples.real, samples.fake, rng=rng)
    return Answer({"precision": Finding("Precision", *found.fidelity), "recall": Finding("Recall", *found.diversity)})


def _density_coverage(samples: Samples, rng: Rng) -> Answer:
    found = density_coverage(samples.real, samples.fake, rng=rng)
    return Answer({"density": Finding("Density", *found.fidelity), "coverage": Finding("Coverage", *found.diversity)})


def _prd(samples: Samples, rng: Rng) -> Answer:
    found = prd(samples.real, samples.fake, rng=rng)
    return Answer({"f8": Finding("PRD F8 (recall)", *found.f8), "f1_8": Finding("PRD F1/8 (precision)", *found.f1_8)})


def _ndb(samples: Samples, rng: Rng) -> Answer:
    found = cluster_modes(samples.real, samples.fake, rng=rng)
    note = f"{len(found.missing)} missing"
    label = f"NDB: different clusters of {len(found.z)}"
    return Answer({"": Finding(label, *found.different, found.p_value, False, note)}, found)


def _memorisation(samples: Samples, rng: Rng) -> Answer:
    if samples.training is None:
        raise PartiganError("there is no training sample apart from the one that is compared with; use --split test")
    found = memorisation(samples.training, samples.real, samples.fake, rng=rng)
    copies = float(len(found.copies))
    return Answer(
        {
            "share": Finding("Nearer to training than to held-out samples", *found.share, found.p_value, False, "1/2"),
            "copies": Finding("Copies of training samples", copies, None, found.copies_p_value, False),
        },
        found,
    )


def _birthday(samples: Samples, rng: Rng) -> Answer:
    found = birthday(samples.real, samples.fake, rng=rng)
    note = f"at least {found.support_limit:.3g} different samples (95 %)"
    return Answer({"": Finding("Birthday test: near-duplicates", *found.number, found.p_value, False, note)}, found)


def _events(samples: Samples, _: Rng) -> Answer:
    def finding(found: EquivalentEvents) -> Finding:
        low, high = (f"{number:.3g}" if np.isfinite(number) else "any number of" for number in (found.low, found.high))
        text = f"worth {low} real events" if low == high else f"worth {low} to {high} real events"
        return Finding("KL divergence (equivalent events)", *found.divergence, None, False, text)

    return _singles(samples, map(finding, equivalent_events(samples.real, samples.fake)))


def _likelihood(samples: Samples, rng: Rng) -> Answer:
    found = kernel_density_likelihood(samples.real, samples.fake, rng=rng)
    note = f"bandwidth {found.bandwidth:.2f} standard deviations"
    return Answer({"": Finding("Log-likelihood of real samples (nats)", *found.log_likelihood, None, False, note)})


def _critic(samples: Samples, rng: Rng) -> Answer:
    found = held_out_critic(samples.real, samples.fake, rng=rng)
    return Answer({"": Finding("Held-out critic: W1 (standard deviations)", *found.distance, found.p_value, False)})


def _reconstruction(samples: Samples, rng: Rng) -> Answer:
    if samples.rebuild is None:
        raise PartiganError("it needs the generator: give --run")
    return Answer({"": Finding("Latent reconstruction: median distance (in-sample: training)", *samples.rebuild(rng))})


def _seen(samples: Samples) -> Pair:
    if samples.seen is None:
        raise PartiganError("it needs a classifier of the domain: 'partigan fit-classifier', then --classifier RUN")
    return samples.seen


def _fid(samples: Samples, rng: Rng) -> Answer:
    real, fake, _ = _seen(samples)
    return Answer({"": Finding("FID", *fpd(real.activations, fake.activations, rng=rng, normalise=False))})


def _kid(samples: Samples, rng: Rng) -> Answer:
    real, fake, _ = _seen(samples)
    return Answer({"": Finding("KID", *kid(real.activations, fake.activations, rng=rng))})


def _inception_score(samples: Samples, _: Rng) -> Answer:
    seen = _seen(samples)
    if not seen.many:
        raise PartiganError("the samples are of one class, among which there is nothing to score")
    classes = seen.fake.probabilities.shape[1]
    return Answer({"": Finding(f"Inception score (at most {classes})", *inception_score(seen.fake.probabilities))})


def _class_modes(samples: Samples, _: Rng) -> Answer:
    real, fake, _many = _seen(samples)
    found = class_modes(*(sample.probabilities.argmax(1) for sample in (real, fake)))
    note = f"missing: {', '.join(map(str, found.missing)) or 'none'}"
    label = f"Different classes of {real.probabilities.shape[1]}"
    return Answer({"": Finding(label, *found.different, found.p_value, False, note)}, found)


SUITE: dict[str, Metric] = {
    "classifier": Metric(_classifier),
    "critic": Metric(_critic),
    "correlations": Metric(_correlations),
    "ndb": Metric(_ndb),
    "memorisation": Metric(_memorisation, in_sample=False),
    "precision-recall": Metric(_precision_recall, cheap=False),
    "density-coverage": Metric(_density_coverage, cheap=False),
    "prd": Metric(_prd, cheap=False),
    "birthday": Metric(_birthday, cheap=False),
    "likelihood": Metric(_likelihood, cheap=False),
    "network": Metric(_network, cheap=False, in_sample=False, of="samples"),
    "reconstruction": Metric(_reconstruction, cheap=False, of="samples"),
    "fid": Metric(_fid, cheap=False, of="classifier"),
    "kid": Metric(_kid, cheap=False, of="classifier"),
    "inception-score": Metric(_inception_score, cheap=False, of="classifier"),
    "class-modes": Metric(_class_modes, cheap=False, of="classifier"),
    "w1": Metric(_w1, single=True),
    "ks": Metric(_ks, single=True),
    "chi2": Metric(_chi2, single=True),
    "separation": Metric(_separation, single=True),
    "moments": Metric(_moments, single=True),
    "events": Metric(_events, single=True),
}
DEFAULT = ("protocol", *(name for name, metric in SUITE.items() if metric.cheap))
OF_CLASSIFIER = tuple(name for name, metric in SUITE.items() if metric.of == "classifier")


def chosen(names: Iterable[str], protocol: Iterable[str]) -> list[str]:
    """Names of metrics with ``all`` and ``protocol`` written out.

    Args:
        names: as given by the user.
        protocol: the metrics of the protocol.

    Raises:
        PartiganError: there is no such metric.
    """
    groups: dict[str, Iterable[str]] = {"all": (*protocol, *SUITE), "protocol": protocol}
    known = (*protocol, *SUITE)
    found: dict[str, None] = {}
    for name in names:
        if name not in groups and name not in known:
            raise PartiganError(f"there is no metric {name!r}; there are all, protocol, {', '.join(known)}")
        found |= dict.fromkeys(groups.get(name, (name,)))
    return [name for name in known if name in found]


@dataclass(frozen=True)
class Entry:
    """A metric of the generated sample beside its value in-sample, and what follows.

    Attributes:
        finding: of the generated sample.
        reference: value and error of other real samples in its place; the error may be missing.
        single: name of the observable that it is about, if it is about one.
    """

    finding: Finding
    reference: tuple[float, float | None] | None = None
    single: str | None = None

    @property
    def p_value(self) -> float | None:
        """The metric's own, or that of the difference from the in-sample value; None where there is neither."""
        found = self.finding
        if found.p_value is not None or self.reference is None or found.error is None or self.reference[1] is None:
            return found.p_value
        error = float(np.hypot(found.error, self.reference[1]))
        return _normal_p(Measurement(found.value - self.reference[0], error))

    @property
    def ratio(self) -> float | None:
        """To the in-sample value, where that is significant."""
        if not self.finding.ratio or self.reference is None:
            return None
        value, error = self.reference
        return self.finding.value / value if value > 2 * (error or 0) and value > 0 else None

    def verdict(self, holm: float | None, benjamini_hochberg: float | None) -> str:
        """``agrees``, ``near``, ``differs``, or nothing where that cannot be said, by adjusted p-values."""
        if holm is None or benjamini_hochberg is None:
            return ""
        if benjamini_hochberg > LEVEL:
            return "agrees"
        small = self.ratio is not None and 1 / NEAR < self.ratio < NEAR
        return "near" if small or holm > SURE else "differs"

    def numbers(self) -> dict[str, float | None]:
        """As in ``metrics.json``."""
        reference = self.reference or (None, None)
        return {
            "value": self.finding.value,
            "error": self.finding.error,
            "in_sample": reference[0],
            "in_sample_error": reference[1],
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class Corrections:
    """P-values adjusted for their number, by name of the metric: see `partigan.metrics.two_sample.adjusted`.

    Attributes:
        holm: bounds on the probability of any false flag.
        benjamini_hochberg: expected share of false flags.
    """

    holm: dict[str, float]
    benjamini_hochberg: dict[str, float]

    @classmethod
    def of(cls, entries: Mapping[str, Entry]) -> Corrections:
        """Of all entries that have a p-value."""
        p_values = {name: p for name, entry in entries.items() if (p := entry.p_value) is not None}
        numbers = list(p_values.values())
        holm, benjamini_hochberg = (
            dict(zip(p_values, adjusted(numbers, method).tolist(), strict=True))
            for method in ("holm", "benjamini-hochberg")
        )
        return cls(holm, benjamini_hochberg)


@dataclass(frozen=True)
class Found:
    """What the suite finds.

    Attributes:
        entries: by name of the metric, and of the observable or number where there are several.
        skipped: the metrics that cannot be taken, and why.
        results: whole results of the generated sample, by name of the metric.
    """

    entries: dict[str, Entry]
    skipped: dict[str, str]
    results: dict[str, Any]


def run_suite(names: Iterable[str], samples: Samples, in_sample: Samples | None, seed: int) -> Found:
    """Take metrics of a generated sample and, in its place, of other real ones.

    Args:
        names: of metrics; those that are not in ``SUITE`` are passed over.
        samples: with the generated sample.
        in_sample: the same with other real samples in its place.
        seed: of everything that is drawn at random, the same for both.
    """
    found = Found({}, {}, {})
    for name in names:
        if name not in SUITE:
            continue
        metric = SUITE[name]
        if not samples.names and metric.of == "observables":
            found.skipped[name] = "this kind of data names no observables"
            continue
        try:
            answer = metric.call(samples, np.random.default_rng(seed))
            reference: dict[str, Finding] = {}
            if metric.in_sample and in_sample is not None:
                reference = metric.call(in_sample, np.random.default_rng(seed)).findings
        except PartiganError as error:
            found.skipped[name] = str(error)
            continue
        found.results[name] = answer.result
        for part, finding in answer.findings.items():
            key = f"{name}.{part}" if part else name
            if not np.isfinite(finding.value):
                found.skipped[key] = "its value is not finite"
                continue
            beside = reference.get(part)
            single = next(n for n in samples.names if f"{part}.".startswith(f"{n}.")) if metric.single else None
            found.entries[key] = Entry(finding, (beside.value, beside.error) if beside else None, single)
    return found
