"""A generated sample against a real one: metrics beside their in-sample values, figures, report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from partigan import __version__
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.files import atomic_folder, refuse_existing, write_json
from partigan.kinds import kind_named
from partigan.kinds.kind import Kind
from partigan.kinds.reference import LEAST, SAMPLES, Reference
from partigan.metrics.measurement import Measurement
from partigan.progress import console
from partigan.randomness import check_seed
from partigan.report.html import page, png
from partigan.report.plots import training_curves
from partigan.run import Run
from partigan.training.classification import load_reference
from partigan.training.monitors import read_log
from partigan.training.train import load


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: by name: value, error, in_sample, in_sample_error (None where there is no other real sample).
        report: the HTML page.
    """

    metrics: dict[str, dict[str, float | None]]
    report: Path


@dataclass(frozen=True)
class _Options:
    """The arguments of `evaluate` that decide what is found."""

    real: Path
    fake: Path | None
    run: Path | None
    split: str
    protocol: str
    kind: str
    fpnd: str | None
    classifier: Path | None
    label: str | None
    seed: int
    trust: bool

    def command(self, out: Path) -> str:
        """The command that does the same again."""
        given = {name: value for name, value in vars(self).items() if name != "trust"}
        return "partigan evaluate" + "".join(f" --{n} {v}" for n, v in (given | {"out": out}).items() if v is not None)


def evaluate(
    real: Path,
    out: Path,
    fake: Path | None = None,
    run: Path | None = None,
    split: str = "test",
    protocol: str = "mdma",
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
        out: directory to make: ``metrics.json``, ``report.html`` and the figures as PNG.
        fake: file of generated samples; without one, ten times as many as real ones are drawn from ``run``.
        run: run directory, for its training curves and provenance, and for samples where there is no ``fake``.
        split: split of the real file to compare with; the others give the in-sample values.
        protocol: whose conventions to follow: ``mdma`` or ``mpgan``.
        kind: kind of data in the files.
        fpnd: class of the published network and statistics that FPND is taken with: g, q or t of JetNet.
        classifier: run directory of ``partigan fit-classifier``, with which FPND is taken instead.
        label: class of the real samples among those of ``classifier``; None = as the real file says (``flavour``).
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
    options = _Options(real, fake, run, split, protocol, kind, fpnd, classifier, label, seed, trust)
    with atomic_folder(out, "metrics.json") as folder:
        metrics = _compare(folder, out, options)
    return Evaluation(metrics, out / "report.html")


def _compare(folder: Path, out: Path, options: _Options) -> dict[str, dict[str, float | None]]:
    """`evaluate`, into a folder that takes the name ``out`` in the end."""
    real, fake, run, split, protocol = options.real, options.fake, options.run, options.split, options.protocol
    sort, seed = kind_named(options.kind), options.seed
    if protocol not in sort.protocols:
        raise PartiganError(f"unknown protocol {protocol!r}; for {sort.name} there are {', '.join(sort.protocols)}")
    truth = sort.read(real, split)
    if "generated_by" in sort.provenance(real):
        raise PartiganError(f"{real} was generated by partigan; give a file of real samples to --real, this to --fake")
    reference = _reference(sort, options, truth)
    generated = sort.read(fake, "all") if fake else load(str(run), options.trust).sample(10 * len(truth), seed)
    if truth.x.shape[1:] != generated.x.shape[1:]:
        raise PartiganError(
            f"{fake or run} has samples of shape {list(generated.x.shape[1:])}, {real} of {list(truth.x.shape[1:])}; "
            "only samples of one shape can be compared"
        )
    others = (
        [sort.read(real, other) for other in ("train", "valid", "test") if other != split] if split != "all" else []
    )
    console.print(f"evaluating {len(generated):,} generated against {len(truth):,} real {sort.name} ({split} split)")
    seen = sort.observables(truth)
    made = sort.observables(generated)
    in_sample = sort.observables(Batch.joined(others)) if others else None
    smallest = min(len(generated), sum(len(other) for other in others) or len(generated))
    found = sort.metrics(seen, made, protocol, smallest, seed)
    in_sample_found = {} if in_sample is None else sort.metrics(seen, in_sample, protocol, smallest, seed)
    size = min(len(truth), len(generated), SAMPLES)
    if reference is not None and size >= LEAST:
        found["fpnd"] = reference.distance(generated, size, seed)
        in_sample_found["fpnd"] = reference.distance(truth, size, seed)
    wanted = sort.labels.keys() - ({"fpnd"} if reference is None else set())
    if missing := [sort.labels[name][0] for name in sort.labels if name in wanted - found.keys()]:
        console.print(f"left out, since the samples are too small: {', '.join(missing)}")
    metrics = {name: _entry(value, in_sample_found.get(name)) for name, value in found.items()}

    rows = [_row(sort.labels[name], metrics[name]) for name in metrics]
    header = ("metric", "generated", "in-sample", "ratio")
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)

    sections = {"Distributions": {title: png(figure) for title, figure in sort.figures(seen, made).items()}}
    provenance: dict[str, dict[str, Any]] = {
        "Real sample": {"file": real, "split": split, "samples": len(truth), **sort.provenance(real)},
        "Generated sample": {
            "file": fake or run,
            "samples": len(generated),
            **(sort.provenance(fake) if fake else {}),
        },
    }
    if run is not None:
        history = Run(run)
        if log := read_log(history.path / "metrics.jsonl"):  # imported weights have none
            sections["Training"] = {"Losses and validation": png(training_curves(log))}
        provenance["Training"] = {key: json.dumps(value) for key, value in history.manifest.items()}
    provenance["Evaluation"] = {
        "partigan": __version__,
        "protocol": f"{protocol} ({sort.protocols[protocol]['paper']})",
        "command": options.command(out),
    }
    summary = (
        f"{len(generated):,} generated {sort.name} against {len(truth):,} real ones of the {split} split, "
        f"after the protocol of {protocol}."
    )
    note = (
        "In-sample: the same metric between real samples, the other splits of the real file in place of the generated "
        "sample. A perfect generator reaches it and no more."
    )
    if reference is not None:
        note += (
            f" FPND is the distance from {reference.name}, of {size:,} generated samples and, in-sample, of as many "
            "real ones of this split."
        )
    title = f"partigan: {Path(fake or str(run)).name}"
    for images in sections.values():
        for caption, data in images.items():
            (folder / f"{_slug(caption)}.png").write_bytes(data)
    (folder / "report.html").write_text(page(title, summary, header, rows, note, sections, provenance))
    write_json(folder / "metrics.json", metrics)
    return metrics


def _reference(sort: Kind, options: _Options, truth: Batch) -> Reference | None:
    """What FPND is taken with, where it is asked for."""
    if options.fpnd is not None:
        return sort.published_reference(options.fpnd, truth)
    if options.classifier is None:
        return None
    if (label := options.label or sort.label(options.real)) is None:
        raise PartiganError(f"{options.real} does not say of which class its samples are; say it with --label")
    reference = load_reference(options.classifier, label, options.trust)
    reference.check(truth)
    return reference


def _entry(found: Measurement, reference: Measurement | None) -> dict[str, float | None]:
    return {
        "value": found.value,
        "error": found.error,
        "in_sample": reference.value if reference else None,
        "in_sample_error": reference.error if reference else None,
    }


def _row(label: tuple[str, float], entry: dict[str, float | None]) -> tuple[str, str, str, str]:
    """A line of the table; values in the label's unit."""
    name, unit = label
    value, error, reference, reference_error = (None if v is None else v / unit for v in entry.values())
    assert value is not None
    assert error is not None
    if reference is None or reference_error is None:
        return name, plus_minus(value, error), "", ""
    ratio = f"{value / reference:.1f}" if reference > 2 * reference_error else ""
    return name, plus_minus(value, error), plus_minus(reference, reference_error), ratio


def plus_minus(value: float, error: float) -> str:
    """A value with its error, at two digits of the error."""
    digits = 2 if error <= 0 else min(max(0, 1 - int(f"{error:e}".split("e")[1])), 6)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _slug(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
