"""A generated sample against a real one: metrics beside their in-sample values, figures, report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from rich.console import Console

from partigan import __version__
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.files import atomic_folder, refuse_existing, sha256, write_json
from partigan.kinds import find
from partigan.kinds.kind import Kind, Values
from partigan.metrics.finding import Finding
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.reconstruction import reconstruct
from partigan.metrics.samples import seed as seed_of
from partigan.models.classifier import LEAST, SAMPLES, Reference
from partigan.progress import console
from partigan.protocols import names as protocol_names
from partigan.protocols import protocol as protocol_named
from partigan.randomness import check_seed
from partigan.report.html import png, report, slug
from partigan.report.pictures import pictures
from partigan.report.plots import Counts
from partigan.report.verdict import Judged
from partigan.run import Run, known_run
from partigan.sampling import Sampler
from partigan.suite import DEFAULT, OF_CLASSIFIER, Entry, Pair, Samples, chosen, run_suite
from partigan.training.classification import judge, load_reference
from partigan.training.monitors import read_log
from partigan.training.train import load

_REBUILT, _STEPS = 100, 150  # samples that are reconstructed, and steps of each search


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: by name: value, error, in_sample, in_sample_error (None where there is no other real sample) and
            p_value, not adjusted for the number of metrics.
        verdicts: by name: ``agrees``, ``near``, ``differs``, or nothing where that cannot be said.
        skipped: metrics that could not be taken, and why.
        failures: generated samples with NaN or infinite values, which are left out.
        report: the HTML page.
        headings: of each metric in tables, and the unit it is shown in.
    """

    metrics: dict[str, dict[str, float | None]]
    verdicts: dict[str, str]
    skipped: dict[str, str]
    failures: int
    report: Path
    headings: dict[str, tuple[str, float]]


@dataclass(frozen=True)
class _Options:
    """The arguments of `evaluate` that decide what is found."""

    real: Path
    fake: Path | None
    run: Path | None
    split: str
    protocol: str | None
    metrics: Sequence[str]
    kind: str
    fpnd: str | None
    classifier: Path | None
    label: str | None
    seed: int
    trust: bool

    def command(self, out: Path) -> str:
        """The command that does the same again."""
        given = {name: value for name, value in vars(self).items() if name not in ("trust", "metrics")}
        words = ["partigan", "evaluate", "--metrics", *self.metrics, *["--trust"] * self.trust]
        for name, value in (given | {"out": out}).items():
            words += [f"--{name}", str(value)] if value is not None else []
        return shlex.join(words)


def evaluate(
    real: Path,
    out: Path,
    fake: Path | None = None,
    run: Path | None = None,
    split: str = "test",
    protocol: str | None = None,
    metrics: Sequence[str] = DEFAULT,
    kind: str = "jets",
    fpnd: str | None = None,
    classifier: Path | None = None,
    label: str | None = None,
    seed: int = 1,
    trust: bool = False,
    overwrite: bool = False,
) -> Evaluation:
    """Compare generated with real samples.

    Args:
        real: file of real samples.
        out: directory to make: ``metrics.json``, ``verdict.json``, ``histograms.json`` of the observables,
            ``report.html`` and the figures as PNG.
        fake: file of generated samples; without one, ten times as many as real ones are drawn from ``run``.
        run: run directory, or the name of one that comes with partigan, for its training curves and provenance, and
            for samples where there is no ``fake``.
        split: split of the real file to compare with; the others give the in-sample values.
        protocol: whose conventions to follow: for jets ``mdma`` or ``mpgan``, or a YAML file like those of
            ``partigan/protocols``; None = the kind's first.
        metrics: what to take: ``protocol``, ``all``, or names of its metrics and of those in ``partigan.suite.SUITE``;
            by default the protocol's and whatever takes about a second.
        kind: kind of data in the files.
        fpnd: class of the published network and statistics that FPND is taken with: g, q or t of JetNet.
        classifier: run directory of ``partigan fit-classifier``, with which FPND is taken instead, and FID, KID,
            inception score and coverage of classes besides.
        label: class of the real samples among those of ``classifier``; None = as the real file says (``flavour``), or
            all where ``classifier`` was trained on one file with several classes.
        seed: of everything that is drawn at random.
        trust: follow class paths outside partigan and torch in ``run`` and ``classifier``.
        overwrite: replace an existing directory.

    Returns:
        The metrics and where the report is.

    Raises:
        PartiganError: bad files, samples that cannot be compared, or an existing output.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    check_seed(seed)
    if fake is None and run is None:
        raise PartiganError("say what to evaluate: --fake FILE, --run RUN, or both")
    if fpnd is not None and classifier is not None:
        raise PartiganError("give --fpnd for the published network or --classifier for your own, not both")
    if label is not None and classifier is None:
        raise PartiganError(f"--label {label} is a class of a classifier: give --classifier too, or --fpnd {label}")
    run = None if run is None else known_run(run)
    metrics = [metrics] if isinstance(metrics, str) else metrics
    options = _Options(real, fake, run, split, protocol, metrics, kind, fpnd, classifier, label, seed, trust)
    with atomic_folder(out, "metrics.json") as folder:
        return _compare(folder, out, options)


def _compare(folder: Path, out: Path, options: _Options) -> Evaluation:
    """`evaluate`, into a folder that takes the name ``out`` in the end."""
    sort, seed = find(options.kind, options.trust), options.seed
    protocol = options.protocol or protocol_names(sort.name)[0]
    terms = protocol_named(sort.name, protocol, sort.evaluation.names)
    described = sort.format.describe(options.real)
    scalars = sort.observables.scalars(described)
    of_protocol = terms["metrics"]
    of_classifier = OF_CLASSIFIER if options.classifier is not None else ()
    names = chosen((*options.metrics, *of_classifier), of_protocol)
    inputs = _read(sort, options)
    truth, generated, others = inputs.real, inputs.generated, inputs.others
    reference = _reference(sort, options, truth)
    console.print(f"evaluating {len(generated):,} generated against {len(truth):,} real {sort.name} ({options.split})")
    seen = sort.observables.compute(truth, described)
    generated, made, failures = _finite(sort, generated, described)
    in_sample = sort.observables.compute(others, described) if others else None
    smallest = min(len(generated), len(others) if others else len(generated))

    compared, beside_it = _tables(scalars, seen, made, in_sample, inputs.trained_on, smallest)
    if "network" in names and sort.evaluation.judge is not None:
        compared = replace(compared, judge=judge(sort, truth, generated[: len(compared.fake)], seed))
    if "reconstruction" in names and options.run is not None:
        sampler = load(options.run, options.trust)
        compared = replace(compared, rebuild=_rebuilder(sampler, truth))
        if beside_it is not None and inputs.training is not None:
            beside_it = replace(beside_it, rebuild=_rebuilder(sampler, inputs.training))
    if reference is not None and any(name in OF_CLASSIFIER for name in names):
        size = min(smallest, SAMPLES)
        of_real, of_fake = (reference.seen(sample, size) for sample in (truth, generated))
        compared = replace(compared, seen=Pair(of_real, of_fake, reference.many))
        if beside_it is not None and inputs.held_out is not None:  # a classifier knows its training samples too well
            beside_it = replace(beside_it, seen=Pair(of_real, reference.seen(inputs.held_out, size), reference.many))
    found = run_suite(names, compared, beside_it, seed)
    entries: dict[str, Entry] = {}
    if wanted := [name for name in of_protocol if name in names]:
        reason = "the samples are too small"
        try:
            taken = sort.evaluation.metrics(seen, made, terms, smallest, seed)
            beside = {} if in_sample is None else sort.evaluation.metrics(seen, in_sample, terms, smallest, seed)
            entries = {name: _entry(taken[name], beside.get(name)) for name in wanted if name in taken}
        except PartiganError as error:
            reason = str(error)
        found.skipped.update((name, reason) for name in wanted if name not in entries)
    summary = (
        f"{len(generated):,} generated {sort.name} against {len(truth):,} real ones of the {options.split} split, "
        f"after the protocol of {protocol}."
    )
    size = min(len(truth), len(generated), SAMPLES)
    one = None if reference is None or reference.many else reference  # of all classes FID says it without its bias
    if one is not None and size >= LEAST:
        pair = [Finding("FPND", *one.distance(sample, size, seed)) for sample in (generated, truth)]
        entries["fpnd"] = _entry(*pair)
        summary += (
            f" FPND is the distance from {one.name}, of {size:,} generated samples and, in-sample, of as many "
            "real ones of this split."
        )
    elif one is not None:
        found.skipped["fpnd"] = f"{size:,} samples; at least {LEAST:,} are needed"
    entries |= found.entries
    if not entries:
        raise PartiganError(f"no metric could be taken: {'; '.join(dict.fromkeys(found.skipped.values()))}")

    units = {name: entry.finding.unit for name, entry in entries.items()}
    titles = {name: title for name, (title, _) in scalars.items()}
    judged = Judged(entries, found.skipped, failures, units, titles)
    judged.show(Console())
    log = read_log(Path(options.run) / "metrics.jsonl") if options.run else []  # imported weights have none
    shown, key = pictures(truth, generated, inputs.training, found.results, log, np.random.default_rng(seed))
    sections = {
        "Distributions": {name: png(figure) for name, figure in sort.evaluation.figures(seen, made).items()},
        **shown,
    }
    for images in sections.values():
        for caption, data in images.items():
            (folder / f"{slug(caption)}.png").write_bytes(data)
    title = f"partigan: {Path(options.fake or str(options.run)).name}"
    provenance = _provenance(sort, options, len(truth), len(generated), failures)
    provenance["Evaluation"] = {"partigan": __version__, "protocol": f"{protocol} ({terms['paper']})", "seed": seed}
    commands = [*_commands_before(options, provenance["Generated sample"]), options.command(out)]
    (folder / "report.html").write_text(report(title, summary, judged, sections, provenance, commands, key))
    metrics = {name: entry.numbers() for name, entry in entries.items()}
    write_json(folder / "metrics.json", metrics)
    histograms = {
        name: Counts.of(compared.real[:, column], compared.fake[:, column], f"{title} ({unit})" if unit else title)
        for column, (name, (title, unit)) in enumerate(compared.names.items())
    }
    write_json(folder / "histograms.json", {name: counts._asdict() for name, counts in histograms.items()})
    write_json(folder / "verdict.json", judged.state() | {"protocol": protocol, "command": commands[-1]})
    headings = {name: (entry.finding.label, entry.finding.unit) for name, entry in entries.items()}
    return Evaluation(metrics, judged.verdicts, found.skipped, failures, out / "report.html", headings)


def _provenance(sort: Kind, options: _Options, real: int, fake: int, failures: int) -> dict[str, dict[str, Any]]:
    """Where both samples come from."""
    found: dict[str, dict[str, Any]] = {
        "Real sample": {
            "file": options.real,
            "split": options.split,
            "samples": real,
            **sort.format.attributes(options.real),
        },
        "Generated sample": {
            "file": options.fake or options.run,
            "samples": fake,
            "left out, with NaN or infinite values": failures,
            **(sort.format.attributes(options.fake) if options.fake else {}),
        },
    }
    if options.run is not None:
        found["Training"] = {key: json.dumps(value) for key, value in Run(options.run).manifest.items()}
    return found


@dataclass(frozen=True)
class _Inputs:
    """The samples of an evaluation.

    Attributes:
        real: what is compared with.
        generated: the generated sample.
        others: the other splits of the real file, the training split first; None where there are none.
        held_out: the last of them, which is never the training split.
        training: the training split, where the real file has one apart from ``real``; None elsewhere.
        trained_on: number of samples of ``training`` if the generator may have been trained on them, else 0.
    """

    real: Batch
    generated: Batch
    others: Batch | None
    held_out: Batch | None
    training: Batch | None
    trained_on: int


def _read(sort: Kind, options: _Options) -> _Inputs:
    """Read and draw what is compared."""
    real, fake, run = options.real, options.fake, options.run
    truth = sort.format.read(real, options.split)
    said = {path: sort.format.attributes(path) for path in (real, fake) if path is not None}
    if "generated_by" in said[real]:
        raise PartiganError(f"{real} was generated by partigan; give a file of real samples to --real, this to --fake")
    for path, attributes in said.items():
        if (kind := str(attributes.get("kind", sort.name))) not in (
            sort.name,
            *(sort.format.also if path == real else ()),
        ):
            raise PartiganError(f"{path} holds {kind}, not {sort.name}; give --kind {kind} and files of one kind")
    if fake is not None:
        _same_features(real, _features(sort, real), fake, _features(sort, fake))
        generated = sort.format.read(fake, "all", finite=False)
        data = said[fake].get("training_data_sha256")
    else:
        sampler = load(str(run), options.trust)
        if sampler.kind.name != sort.name:
            raise PartiganError(
                f"{run} generates {sampler.kind.name}, not {sort.name}; give --kind {sampler.kind.name}"
            )
        if names := sampler.conditions.get("features"):
            units = sampler.conditions.get("units", [""] * len(names))
            _same_features(real, _features(sort, real), run, dict(zip(names, units, strict=True)))
        generated = sampler.sample(10 * len(truth), options.seed)
        data = Run(str(run)).manifest["data"]["sha256"]
    if truth.x.shape[1:] != generated.x.shape[1:]:
        raise PartiganError(
            f"{fake or run} has samples of shape {list(generated.x.shape[1:])}, {real} of {list(truth.x.shape[1:])}; "
            "only samples of one shape can be compared"
        )
    if options.split == "all":
        return _Inputs(truth, generated, None, None, None, 0)
    splits = [sort.format.read(real, other) for other in ("train", "valid", "test") if other != options.split]
    training = splits[0] if options.split != "train" else None
    own = training is not None and data in (None, sha256(real))
    return _Inputs(truth, generated, Batch.joined(splits), splits[1], training, len(splits[0]) if own else 0)


def _features(sort: Kind, path: Path) -> dict[str, str]:
    """Features of a file with their units."""
    return dict(sort.format.describe(path).get("features", {}))


def _same_features(real: Path, a: dict[str, str], fake: Path | None, b: dict[str, str]) -> None:
    """Refuse two samples whose features, a and b, have different names or units; a unit that is not given is any."""
    if list(a) != list(b):
        raise PartiganError(
            f"{fake} has the features {', '.join(b)} and {real} {', '.join(a)}; compare samples of the same features"
        )
    for name in a:
        if a[name] and b[name] and a[name] != b[name]:
            raise PartiganError(f"{fake} has {name} in {b[name]}, {real} in {a[name]}; convert one of them")


def _finite(sort: Kind, generated: Batch, described: dict[str, Any]) -> tuple[Batch, Values, int]:
    """Generated samples without NaN and infinite values, their observables, and how many were left out."""
    number = len(generated)
    generated = generated[generated.x.flatten(1).isfinite().all(1)]
    while len(generated):
        made = sort.observables.compute(generated, described)
        columns = [value for value in made.values() if len(value) == len(generated)]
        fine = np.all([np.isfinite(column.reshape(len(column), -1)).all(1) for column in columns], axis=0)
        if fine.all():
            return generated, made, number - len(generated)
        generated = generated[torch.from_numpy(fine)]
    raise PartiganError(f"all {number} generated samples have NaN or infinite values; nothing is left to compare")


def _tables(
    scalars: dict[str, tuple[str, str]],
    seen: Values,
    made: Values,
    in_sample: Values | None,
    trained_on: int,
    smallest: int,
) -> tuple[Samples, Samples | None]:
    """The observables that the suite looks at: what is compared, and other real samples in place of the generated."""

    def table(sample: Values) -> Floats:
        rows = len(next(iter(sample.values())))
        return np.array([sample[name] for name in scalars], dtype=np.float64).reshape(-1, rows).T

    real, fake = table(seen), table(made)[:smallest]
    if in_sample is None:
        return Samples(scalars, real, fake), None
    other = table(in_sample)
    samples = Samples(scalars, real, fake, other[:trained_on] if trained_on else None)
    return samples, Samples(scalars, real, other[-smallest:])


def _rebuilder(sampler: Sampler, sample: Batch) -> Callable[[np.random.Generator], Measurement]:
    """The first samples, normalised, against the nearest that the generator can make."""

    def rebuild(rng: np.random.Generator) -> Measurement:
        if sample.mask is not None:
            raise PartiganError("particles have no order in which a cloud could be compared with its reconstruction")
        generator, targets = sampler.generator, sampler.transform.forward(sample[:_REBUILT])
        draw = torch.Generator().manual_seed(seed_of(rng))
        shape = tuple(generator.noise(1, None, draw).shape[1:])
        for parameter in generator.parameters():
            parameter.requires_grad_(False)
        found = reconstruct(
            lambda z: generator(z, targets.condition, None), targets.x, shape, rng=draw, steps=_STEPS, restarts=2
        )
        return found.quantile(0.5)

    return rebuild


def _commands_before(options: _Options, generated: dict[str, Any]) -> list[str]:
    """The commands that trained and generated, as far as run and file know them."""
    if options.run is None:
        return []
    commands = []
    if command := Run(options.run).manifest.get("command"):
        commands.append(shlex.join(["partigan", *command[1:]]))
    if options.fake is not None and {"n", "seed"} <= generated.keys():
        words = ["partigan", "generate", options.run, "--n", generated["n"], "--seed", generated["seed"]]
        commands.append(shlex.join(map(str, [*words, "--out", options.fake])))
    return commands


def _reference(sort: Kind, options: _Options, truth: Batch) -> Reference | None:
    """What FPND is taken with, where it is asked for."""
    if options.fpnd is not None:
        if (path := sort.evaluation.published) is None:
            raise PartiganError(
                f"nobody published a classifier for {sort.name}; train one with 'partigan fit-classifier'"
            )
        found: Reference = resolve_name(path)(options.fpnd, tuple(truth.x.shape[1:]))
        return found
    if options.classifier is None:
        return None
    reference = load_reference(options.classifier, options.label or sort.evaluation.label(options.real), options.trust)
    reference.check(truth)
    return reference


def _entry(found: Finding, beside: Finding | None) -> Entry:
    """A metric of the protocol."""
    return Entry(found, None if beside is None else (beside.value, beside.error))
