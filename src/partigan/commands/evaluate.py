"""A generated sample against a real one: metrics beside their in-sample values, figures, report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from partigan.data.sources import Given, source
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.evaluation.differences import largest_difference
from partigan.evaluation.figures import draw_figures
from partigan.evaluation.inputs import Inputs, Request, read_inputs
from partigan.evaluation.metric import Metric
from partigan.evaluation.own import own_metrics
from partigan.evaluation.rows import Row
from partigan.evaluation.samples import Samples, both_samples, with_distance, with_reference
from partigan.evaluation.suite import DEFAULT, OF_CLASSIFIER, Found, chosen, protocol_metrics, run_suite
from partigan.evaluation.summary import Summary
from partigan.evaluation.verdicts import Judged
from partigan.folders import atomic_folder
from partigan.models.classifier import Reference, load_reference
from partigan.outputs import writing
from partigan.progress import tell
from partigan.threads import choose
from partigan.training.log import read_log


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: by name: value, error, in_sample, in_sample_error (None where there is no other real sample) and
            p_value, not adjusted for the number of metrics.
        verdicts: by name: ``agrees``, ``near``, ``differs``, or nothing where that cannot be said.
        skipped: metrics that could not be taken, and why.
        failures: generated samples with NaN or infinite values, which are left out.
        split: of the real file that was compared with.
        report: the HTML page.
        rows: all metrics with their labels and units.
    """

    metrics: dict[str, dict[str, float | None]]
    verdicts: dict[str, str]
    skipped: dict[str, str]
    failures: int
    split: str
    report: Path
    rows: tuple[Row, ...]


def evaluate(
    real: Given,
    out: Path,
    fake: Given | None = None,
    run: Path | None = None,
    split: str | None = None,
    protocol: str | None = None,
    metrics: Sequence[str] = DEFAULT,
    kind: str | None = None,
    fpnd: str | None = None,
    classifier: Path | None = None,
    label: str | None = None,
    seed: int = 1,
    threads: int | None = None,
    trust: bool = False,
    verify: bool = True,
    overwrite: bool = False,
) -> Evaluation:
    """Compare generated with real samples.

    Args:
        real: real samples: a file, or arrays as for `partigan.train`.
        out: directory to make: ``metrics.json``, ``verdict.json``, ``histograms.json`` of the observables,
            ``report.html`` and the figures as PNG.
        fake: generated samples, in the same way; without them, ten times as many as real ones are drawn from ``run``.
        run: run directory, or the name of one that comes with partigan, for its training curves and provenance, and
            for samples where there is no ``fake``.
        split: split of the real file to compare with: train, valid, test or all. The other splits, or two halves of
            all, give the in-sample values. None = all where the generator was trained on another file, else test.
        protocol: whose conventions to follow: for jets ``mdma`` or ``mpgan``, or a YAML file like those of
            ``partigan/evaluation/protocols``; None = the kind's first.
        metrics: what to take: ``protocol``, ``all``, names of its metrics and of those in
            ``partigan.evaluation.suite.SUITE``, or import paths of one's own; by default the protocol's and whatever
            takes about a second.
        kind: kind of data; None = as the generated file, the run or the real file says.
        fpnd: class of the published network and statistics that FPND is taken with: g, q or t of JetNet.
        classifier: run directory of ``partigan fit-classifier``, with which FPND is taken instead, and FID, KID,
            inception score and coverage of classes besides.
        label: class of the real samples among those of ``classifier``; None = as the real file says (``flavour``), or
            all where ``classifier`` was trained on one file with several classes.
        seed: of everything that is drawn at random.
        threads: None = OMP_NUM_THREADS, or one.
        trust: follow class paths outside partigan in ``run`` and ``classifier``.
        verify: refuse a ``run`` or ``classifier`` whose files were changed since it was made.
        overwrite: replace an existing directory.

    Returns:
        The metrics and where the report is.

    Raises:
        PartiganError: bad files, samples that cannot be compared, or an existing output.
    """
    request = Request(real, fake, run, split, protocol, metrics, kind, fpnd, classifier, label, seed, trust, verify)
    choose(threads)
    with writing(out, [real, fake, request.run, classifier], overwrite=overwrite):
        return _evaluated(request, Path(out))


def _evaluated(request: Request, out: Path) -> Evaluation:
    """An evaluation whose output is admitted."""
    sort, trust, seed = request.sort, request.trust, request.seed
    name = str(request.protocol or protocols.names(sort.name)[0])
    terms = protocols.protocol(sort.name, name, sort.evaluation.names)
    own = own_metrics(request.metrics, trust)
    chosen(request.metrics, terms["metrics"], own)  # a wrong name is found before anything is read
    with atomic_folder(out, "partigan evaluate") as folder:
        inputs = read_inputs(request)
        reference = _reference(request, inputs)
        more = (*_of_reference(reference, request), *_of_translations(inputs))
        wanted = chosen((*request.metrics, *more), terms["metrics"], own)
        first = protocol_metrics(inputs.kind.evaluation, terms, inputs.smallest, seed) | own
        compared, found = _measured(inputs, reference, wanted, first, seed)
        judged = _judged(inputs, compared, found)
        origin = reference.name if reference is not None and "fpnd" in judged.taken else ""
        summary = Summary(request, inputs, judged, name, terms["paper"], origin)
        summary.write_numbers(folder, compared, out)
    trained = request.opened
    log = [] if trained is None else read_log(trained.verified(trained.log_file))  # imported weights have none
    drawn = draw_figures(inputs, found.results, log, seed)
    drawn.write(out)
    page = summary.write_page(out, drawn)
    summary.show(drawn, page)
    numbers = {row: entry.numbers() for row, entry in judged.taken.items()}
    rows = tuple(found.rows)
    return Evaluation(numbers, judged.verdicts, found.skipped, inputs.failures, inputs.split, page, rows)


def _measured(
    inputs: Inputs, reference: Reference | None, wanted: Collection[str], first: Mapping[str, Metric], seed: int
) -> tuple[Samples, Found]:
    """What is compared, and what the metrics find.

    Raises:
        PartiganError: no metric could be taken.
    """
    tell(f"evaluating {inputs.text}", f"{inputs.split}: {inputs.why}")
    compared, beside = both_samples(inputs, wanted, seed)
    if reference is not None and not {*OF_CLASSIFIER}.isdisjoint({*wanted} - {"fpnd"}):
        compared, beside = with_reference(compared, beside, inputs, reference)
    if reference is not None and not reference.many:
        compared, beside = with_distance(compared, beside, inputs, reference, seed)
    found = run_suite(wanted, compared, beside, seed, first)
    if not found.taken:
        raise PartiganError(f"no metric could be taken: {'; '.join(dict.fromkeys(found.skipped.values()))}")
    return compared, found


def _judged(inputs: Inputs, compared: Samples, found: Found) -> Judged:
    """The verdicts."""
    differences = {
        name: largest_difference(*pair, unit)
        for (name, (_, unit)), pair in zip(compared.names.items(), compared.columns, strict=True)
    }
    return Judged(found.rows, inputs.failures, min(inputs.real.observables.size, inputs.smallest), differences)


def _reference(request: Request, inputs: Inputs) -> Reference | None:
    """The classifier and its real samples, where one is asked for."""
    truth = inputs.real.batch
    if request.fpnd is not None:
        if (path := inputs.kind.evaluation.published) is None:
            raise PartiganError(
                f"nobody published a classifier for {inputs.kind.name}; train one with 'partigan fit-classifier'"
            )
        published: Reference = resolve_name(path)(request.fpnd, tuple(truth.x.shape[1:]))
        return published
    if request.classifier is None:
        return None
    label = request.label or source(request.real, inputs.kind).label
    reference = load_reference(request.classifier, label, request.trust, request.verify)
    reference.check(truth)
    return reference


def _of_translations(inputs: Inputs) -> Sequence[str]:
    """The metrics that translated samples bring."""
    there = inputs.model is not None and inputs.generated.batch.source is not None
    return [*["pairs"] * (inputs.pairs is not None), *["cycle"] * there]


def _of_reference(reference: Reference | None, request: Request) -> Sequence[str]:
    """The metrics that a classifier brings; FID says what FPND says of all classes together, without its bias."""
    if reference is None:
        return ()
    if request.classifier is None:
        return ("fpnd",)
    return [name for name in OF_CLASSIFIER if name != "fpnd" or not reference.many]
