"""The evaluation suite: every metric of a table of observables, for any kind of data, under the name it is called by.

What the metrics are and what they miss is written at each of them in `partigan.metrics`, and in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from partigan.errors import PartiganError, reason
from partigan.evaluation import domain, refinement, translation
from partigan.evaluation.metric import Answer, Metric, Rng
from partigan.evaluation.rows import Row, normal_p, rows_of
from partigan.evaluation.samples import Samples
from partigan.kinds.kind import Evaluation
from partigan.metrics.amplification import EquivalentEvents, equivalent_events
from partigan.metrics.binned import chi2, separation_power
from partigan.metrics.classifier import Classification, classify
from partigan.metrics.critic import held_out_critic
from partigan.metrics.finding import Finding
from partigan.metrics.likelihood import kernel_density_likelihood
from partigan.metrics.manifold import density_coverage, prd, precision_recall
from partigan.metrics.measurement import Measurement
from partigan.metrics.memorisation import birthday, memorisation
from partigan.metrics.modes import cluster_modes
from partigan.metrics.two_sample import correlation_difference, kolmogorov_smirnov, location_and_width
from partigan.metrics.wasserstein import w1
from partigan.metrics.weighted import Weighted

_FOLDS = 2  # of a network, whose training takes long


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


def _singles(samples: Samples, findings: Iterable[Finding]) -> Answer:
    """A finding for each observable, under its name."""
    return Answer(dict(zip(samples.names, findings, strict=True)))


def _w1(samples: Samples, rng: Rng) -> Answer:
    columns = zip(samples.names.values(), samples.columns, strict=True)
    return _singles(samples, (Finding(_with_unit("W1", unit), *w1(*pair, rng=rng)) for (_, unit), pair in columns))


def _ks(samples: Samples, rng: Rng) -> Answer:
    tests = kolmogorov_smirnov(*samples.pair, rng=rng)
    return _singles(samples, (Finding("KS", test.statistic, None, test.p_value) for test in tests))


def _chi2(samples: Samples, _: Rng) -> Answer:
    tests = chi2(*samples.pair)
    return _singles(samples, (Finding("chi2", test.statistic, None, test.p_value, False) for test in tests))


def _separation(samples: Samples, _: Rng) -> Answer:
    found = separation_power(*samples.pair)
    return _singles(samples, (Finding("separation power", *power, None, False) for power in found))


def _moments(samples: Samples, rng: Rng) -> Answer:
    found = location_and_width(*samples.pair, rng=rng)
    return Answer(
        {
            f"{name}.{moment}": Finding(
                _with_unit(f"difference of {title}", unit),
                *found[moment][column],
                normal_p(found[moment][column]),
                False,
            )
            for column, (name, (_, unit)) in enumerate(samples.names.items())
            for moment, title in (("mean", "means"), ("std", "standard deviations"), ("iqr", "quartile ranges"))
        }
    )


def _correlations(samples: Samples, rng: Rng) -> Answer:
    found = correlation_difference(*samples.pair, rng=rng)
    pulls = np.divide(found.value, found.error, out=np.zeros_like(found.value), where=found.error > 0)
    row, column = np.unravel_index(np.abs(pulls).argmax(), pulls.shape)
    titles = [title for title, _ in samples.names.values()]
    note = f"{titles[row]} with {titles[column]}"
    difference = Measurement(float(found.value[row, column]), float(found.error[row, column]))
    return Answer({"": Finding("Correlations: clearest difference", *difference, found.p_value, False, note)}, found)


def _classifier(samples: Samples, rng: Rng) -> Answer:
    return _classified("Classifier AUC (boosted trees)", classify(*samples.pair, rng=rng))


def _classified(label: str, found: Classification) -> Answer:
    note = ""
    if (error := found.reliability()) is not None:
        note = (
            f"calibration error {error.expected_calibration_error.value:.3f}, "
            f"{error.if_calibrated:.3f} expected if calibrated (p = {max(error.p_value, 1e-300):.2g})"
        )
    return Answer({"": Finding(label, *found.auc, found.p_value, False, note)}, found)


def _network(samples: Samples, rng: Rng) -> Answer:
    if samples.judge is None:
        raise PartiganError("this kind of data names no network")
    n, m = len(samples.real), len(samples.fake)
    rows = (Weighted(x, w) for x, w in zip((np.arange(n), np.arange(n, n + m)), samples.weights, strict=True))
    found = classify(*rows, rng=rng, fit_predict=samples.judge, folds=_FOLDS)
    return _classified("Classifier AUC (network)", found)


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
    found = cluster_modes(*samples.pair, rng=rng)
    label, note = f"NDB: clusters off, of {len(found.z)}", f"{len(found.missing)} missing"
    return Answer({"": Finding(label, *found.different, found.p_value, False, note)}, found)


def _memorisation(samples: Samples, rng: Rng) -> Answer:
    if samples.training is None:
        raise PartiganError("no training sample; use --split test where the generator was trained on this file")
    found = memorisation(samples.training, samples.real, samples.fake, rng=rng)
    of, looked = len(samples.training), min(len(samples.training), len(samples.real))
    title = "Copies of training samples" + f" (of {looked:,} of the {of:,})" * (looked < of)
    return Answer(
        {
            "share": Finding("Share nearer to training", *found.share, found.p_value, False, "1/2 expected"),
            "copies": Finding(title, float(len(found.copies)), None, found.copies_p_value, False),
        },
        found,
    )


def _birthday(samples: Samples, rng: Rng) -> Answer:
    found = birthday(samples.real, samples.fake, rng=rng)
    note = f"at least {found.support_limit:.3g} different samples (95 %)"
    return Answer({"": Finding("Birthday: near-duplicates", *found.number, found.p_value, False, note)}, found)


def _events(samples: Samples, _: Rng) -> Answer:
    def finding(found: EquivalentEvents) -> Finding:
        low, high = (f"{number:.3g}" if np.isfinite(number) else "any number of" for number in (found.low, found.high))
        text = f"worth {low} real events" if low == high else f"worth {low} to {high} real events"
        return Finding("KL divergence", *found.divergence, None, False, text)

    return _singles(samples, map(finding, equivalent_events(samples.real, samples.fake)))


def _likelihood(samples: Samples, rng: Rng) -> Answer:
    found = kernel_density_likelihood(samples.real, samples.fake, rng=rng)
    note = f"bandwidth {found.bandwidth:.2f} standard deviations"
    return Answer({"": Finding("Log-likelihood of real (nats)", *found.log_likelihood, None, False, note)})


def _critic(samples: Samples, rng: Rng) -> Answer:
    found = held_out_critic(*samples.pair, rng=rng)
    return Answer({"": Finding("Held-out critic: W1 (std)", *found.distance, found.p_value, False)})


def _reconstruction(samples: Samples, rng: Rng) -> Answer:
    if samples.rebuild is None:
        raise PartiganError("it needs the generator: give --run")
    return Answer({"": Finding("Reconstruction: median distance", *samples.rebuild(rng))})


SUITE: dict[str, Metric] = {
    "classifier": Metric(_classifier),
    "critic": Metric(_critic),
    "correlations": Metric(_correlations),
    "ndb": Metric(_ndb),
    "memorisation": Metric(_memorisation, in_sample=False, weights="rows"),
    "precision-recall": Metric(_precision_recall, cheap=False, weights="hit or miss"),
    "density-coverage": Metric(_density_coverage, cheap=False, weights="hit or miss"),
    "prd": Metric(_prd, cheap=False, weights="hit or miss"),
    "birthday": Metric(_birthday, cheap=False, weights="hit or miss"),
    "likelihood": Metric(_likelihood, cheap=False, weights="hit or miss"),
    "network": Metric(_network, cheap=False, in_sample=False, of="samples"),
    "reconstruction": Metric(_reconstruction, cheap=False, of="samples"),
    **domain.METRICS,
    **translation.METRICS,
    **refinement.METRICS,
    "w1": Metric(_w1, single=True),
    "ks": Metric(_ks, single=True),
    "chi2": Metric(_chi2, single=True),
    "separation": Metric(_separation, single=True),
    "moments": Metric(_moments, single=True),
    "events": Metric(_events, single=True, weights="hit or miss"),
}
DEFAULT = ("protocol", *(name for name, metric in SUITE.items() if metric.cheap))
OF_CLASSIFIER = tuple(domain.METRICS)


def chosen(names: Iterable[str], protocol: Iterable[str], own: Iterable[str] = ()) -> list[str]:
    """Names of metrics with ``all`` and ``protocol`` written out.

    Args:
        names: as given by the user.
        protocol: the metrics of the protocol.
        own: metrics of the user's own.

    Raises:
        PartiganError: there is no such metric.
    """
    known = tuple(dict.fromkeys((*protocol, *SUITE, *own)))
    groups: dict[str, Iterable[str]] = {"all": known, "protocol": protocol}
    found: dict[str, None] = {}
    for name in names:
        if name not in groups and name not in known:
            raise PartiganError(f"there is no metric {name!r}; there are all, protocol, {', '.join(known)}")
        found |= dict.fromkeys(groups.get(name, (name,)))
    return [name for name in known if name in found]


def protocol_metrics(evaluation: Evaluation, protocol: dict[str, Any], smallest: int, seed: int) -> dict[str, Metric]:
    """The metrics of a protocol, by name.

    They are taken together; where that fails, each by itself.

    Args:
        evaluation: of the kind of data.
        protocol: its entries.
        smallest: size of the smallest sample that takes the place of the generated one; see `Evaluation.metrics`.
        seed: of everything that is drawn at random.
    """
    together: dict[int, Mapping[str, Finding | str] | None] = {}

    def taken(samples: Samples, names: list[str]) -> Mapping[str, Finding | str]:
        assert samples.observables is not None
        if samples.weighted and not evaluation.weighted:
            raise PartiganError("it takes no event weights")
        return evaluation.metrics(*samples.observables, {**protocol, "metrics": names}, smallest, seed)

    def metric(name: str) -> Metric:
        def call(samples: Samples, _: Rng) -> Answer:
            if id(samples) not in together:
                try:
                    together[id(samples)] = taken(samples, protocol["metrics"])
                except Exception:  # whatever it is, the others are worth having
                    together[id(samples)] = None
            found = together[id(samples)]
            found = taken(samples, [name]) if found is None else found
            answer = found.get(name, "the samples are too small")
            if isinstance(answer, str):
                raise PartiganError(answer)
            return Answer({"": answer})

        return Metric(call, of="samples")

    return {name: metric(name) for name in protocol["metrics"]}


@dataclass(frozen=True)
class Found:
    """What the metrics find.

    Attributes:
        rows: one or more for each metric, those that could not be taken too.
        results: whole results of the generated sample, by name of the metric.
    """

    rows: list[Row]
    results: dict[str, Any]

    @property
    def taken(self) -> dict[str, Row]:
        """The rows with a value, by name."""
        return {row.name: row for row in self.rows if row.taken}

    @property
    def skipped(self) -> dict[str, str]:
        """Why the others have none, by name."""
        return {row.name: row.reason for row in self.rows if not row.taken}


def run_suite(
    names: Iterable[str],
    samples: Samples,
    in_sample: Samples | None,
    seed: int,
    protocol: Mapping[str, Metric] | None = None,
) -> Found:
    """Take metrics of a generated sample and, in its place, of other real ones; the failure of each is its own.

    Args:
        names: of metrics of the protocol and of ``SUITE``; a name of both means both.
        samples: with the generated sample.
        in_sample: the same with other real samples in its place.
        seed: of everything that is drawn at random, the same for both.
        protocol: metrics by name, which come first.
    """
    found, wanted = Found([], {}), set(names)
    for metrics in (protocol or {}, SUITE):
        for name, metric in metrics.items():
            if name not in wanted:
                continue
            try:
                answer, beside = _taken(metric, samples, in_sample, seed)
            except Exception as error:  # whatever it is, the other metrics are worth having
                found.rows.append(Row.skipped(name, reason(error)))
                continue
            found.results[name] = answer.result
            titles = {key: title for key, (title, _) in samples.names.items()} if metric.single else {}
            found.rows.extend(rows_of(name, answer.findings, beside, titles))
    return found


def _taken(metric: Metric, samples: Samples, in_sample: Samples | None, seed: int) -> tuple[Answer, dict[str, Finding]]:
    """What a metric finds, and its findings in-sample."""
    if not samples.names and metric.of == "observables":
        raise PartiganError("this kind of data names no observables")
    both = [samples, *([in_sample] if metric.in_sample and in_sample is not None else [])]
    note = ""
    if samples.weighted and metric.weights == "hit or miss":
        both = [each.unweighted(seed) for each in both]
        size = min(len(each.fake) for each in both)  # such metrics depend on it
        both = [replace(each, fake=each.fake[:size]) for each in both]
        note = f"of {len(both[0].real):,} real and {size:,} generated rows, by hit or miss of event weights"
    elif samples.weighted and metric.weights == "rows":
        note = "each row counts once, whatever its event weight"
    answer, *beside = (metric.call(each, np.random.default_rng(seed)) for each in both)
    noted = {
        key: found._replace(note=", ".join(filter(None, (found.note, note)))) for key, found in answer.findings.items()
    }
    return answer._replace(findings=noted), beside[0].findings if beside else {}
