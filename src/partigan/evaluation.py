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
from partigan.metrics.measurement import Measurement
from partigan.progress import console
from partigan.randomness import check_seed
from partigan.report.html import page, png
from partigan.report.plots import training_curves
from partigan.run import Run
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


def evaluate(
    real: Path,
    out: Path,
    fake: Path | None = None,
    run: Path | None = None,
    split: str = "test",
    protocol: str = "mdma",
    kind: str = "jets",
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
        seed: of everything that is drawn at random.
        trust: follow class paths outside partigan and torch in ``run``.
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
    with atomic_folder(out, "metrics.json") as folder:
        metrics = _compare(folder, real, out, fake, run, split, protocol, kind, seed, trust)
    return Evaluation(metrics, out / "report.html")


def _compare(
    folder: Path,
    real: Path,
    out: Path,
    fake: Path | None,
    run: Path | None,
    split: str,
    protocol: str,
    kind: str,
    seed: int,
    trust: bool,
) -> dict[str, dict[str, float | None]]:
    """`evaluate`, into a folder that takes the name ``out`` in the end."""
    sort = kind_named(kind)
    if protocol not in sort.protocols:
        raise PartiganError(f"unknown protocol {protocol!r}; for {sort.name} there are {', '.join(sort.protocols)}")
    truth = sort.read(real, split)
    generated = sort.read(fake, "all") if fake else load(str(run), trust).sample(10 * len(truth), seed)
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
    reference = {} if in_sample is None else sort.metrics(seen, in_sample, protocol, smallest, seed)
    if missing := [sort.labels[name][0] for name in sort.labels if name not in found]:
        console.print(f"left out, since the samples are too small: {', '.join(missing)}")
    metrics = {name: _entry(value, reference.get(name)) for name, value in found.items()}

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
        sections["Training"] = {"Losses and validation": png(training_curves(read_log(history.path / "metrics.jsonl")))}
        provenance["Training"] = {key: json.dumps(value) for key, value in history.manifest.items()}
    provenance["Evaluation"] = {
        "partigan": __version__,
        "protocol": f"{protocol} ({sort.protocols[protocol]['paper']})",
        "command": f"partigan evaluate --real {real}"
        + (f" --fake {fake}" if fake else "")
        + (f" --run {run}" if run else "")
        + f" --split {split} --protocol {protocol} --seed {seed} --out {out}",
    }
    summary = (
        f"{len(generated):,} generated {sort.name} against {len(truth):,} real ones of the {split} split, "
        f"after the protocol of {protocol}."
    )
    note = (
        "In-sample: the same metric between real samples, the other splits of the real file in place of the generated "
        "sample. A perfect generator reaches it and no more."
    )
    title = f"partigan: {Path(fake or str(run)).name}"
    for images in sections.values():
        for caption, data in images.items():
            (folder / f"{_slug(caption)}.png").write_bytes(data)
    (folder / "report.html").write_text(page(title, summary, header, rows, note, sections, provenance))
    write_json(folder / "metrics.json", metrics)
    return metrics


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
        return name, _pm(value, error), "", ""
    ratio = f"{value / reference:.1f}" if reference > 2 * reference_error else ""
    return name, _pm(value, error), _pm(reference, reference_error), ratio


def _pm(value: float, error: float) -> str:
    """A value with its error, at two digits of the error."""
    digits = 2 if error <= 0 else min(max(0, 1 - int(f"{error:e}".split("e")[1])), 6)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _slug(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
