"""Several systems on the same data with the same metrics: one table, one figure."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from rich.text import Text

from partigan.commands.evaluate import evaluate
from partigan.commands.generate import generate
from partigan.commands.train import train
from partigan.documents import read_json
from partigan.errors import PartiganError, printable
from partigan.evaluation import protocols
from partigan.evaluation.verdicts import number
from partigan.files import atomic, sha256, write_json, write_text
from partigan.folders import open_folder
from partigan.kinds import chosen
from partigan.kinds.kind import Kind
from partigan.models.model import Model, load
from partigan.outputs import writing
from partigan.progress import console, tell
from partigan.report.comparison import quality_against_time
from partigan.report.style import png
from partigan.run import Run, known_run
from partigan.threads import choose

if TYPE_CHECKING:
    from partigan.simulate.jets import Flavour

EPOCHS = 20  # with fewer a row is marked as untrained


def benchmark(
    data: Mapping[str, Path],
    presets: Sequence[str],
    out: Path,
    runs: Mapping[str, Mapping[str, Path]] | None = None,
    kind: str | None = None,
    minutes: float = 20.0,
    published: Sequence[str] = (),
    seed: int = 1,
    threads: int | None = None,
) -> Path:
    """Train systems, evaluate them with the protocols of the papers, and put them side by side.

    Everything is kept below ``out``: ``runs/CLASS/NAME``, ``generated/``, ``reports/CLASS/NAME-PROTOCOL`` and
    ``results/CLASS/NAME.json``. The same call again continues where it was interrupted: it keeps what is finished and
    repeats what failed. ``table.md``, ``table.csv``, ``table.json`` and ``quality.png`` are written after every system.

    Args:
        data: file of real samples for each class; its train and valid splits are trained on, its test split is
            compared with.
        presets: systems to train, by preset or YAML file.
        out: directory to make or to continue.
        runs: for each class finished runs by name, which are evaluated as they are.
        kind: kind of data; None = as the files say.
        minutes: training time of each system and class.
        published: classes for which the published classifier and statistics of the real samples are used, too (FPND).
        seed: of training, generation and evaluation.
        threads: None = OMP_NUM_THREADS, or one.

    Returns:
        The markdown table.

    Raises:
        PartiganError: unknown classes among ``runs``, or a place that cannot be written. A system that fails is a row
            that says so.
    """
    if strange := sorted({*(runs or {}), *published} - set(data)):
        raise PartiganError(f"there are no data of {', '.join(strange)}; give a file with --data")
    number = choose(threads)
    plan = Plan(chosen(kind, next(iter(data.values()), None)), Path(out), minutes, tuple(published), seed, number)
    jobs = [Job(label, Path(data[label]), preset, None) for label in data for preset in presets]
    jobs += [
        Job(label, Path(data[label]), name, Path(path))
        for label, found in (runs or {}).items()
        for name, path in found.items()
    ]
    rows = []
    with writing(out, resume=True):
        open_folder(plan.out, "partigan benchmark", {})
        for job in jobs:
            rows.append(_row(plan, job))
            _write(plan, rows)
    return plan.out / "table.md"


def benchmark_jets(
    presets: Sequence[str],
    out: Path,
    classes: Sequence[Flavour] = ("g", "q", "t"),
    data: Mapping[str, Path] | None = None,
    runs: Mapping[str, Mapping[str, Path]] | None = None,
    jets: int = 20_000,
    particles: Literal[30, 150] = 30,
    minutes: float = 20.0,
    fpnd: bool = False,
    seed: int = 1,
    threads: int | None = None,
    workers: int = 1,
) -> Path:
    """`benchmark` of jets; classes without a file are simulated with Pythia into ``out/data``.

    Args:
        presets: systems to train, by preset or YAML file.
        out: directory to make or to continue.
        classes: of jets: g, q, t, w, z.
        data: files of real jets by class.
        runs: for each class finished runs by name, such as imported weights.
        jets: number of jets to simulate for a class without a file.
        particles: largest number of particles of simulated jets.
        minutes: training time of each system and class.
        fpnd: take FPND against the published statistics of JetNet, which says nothing of models of other jets.
        seed: of simulation, training, generation and evaluation.
        threads: None = OMP_NUM_THREADS, or one.
        workers: processes that simulate.

    Returns:
        The markdown table.
    """
    from partigan.simulate.jets import simulate_jets

    files: dict[str, Path] = {name: Path(path) for name, path in (data or {}).items()}
    with writing(out, resume=True):
        open_folder(Path(out), "partigan benchmark", {})
        for flavour in classes:
            if flavour not in files:
                files[flavour] = Path(out) / "data" / f"{flavour}.h5"
                options = {"particles": particles, "seed": seed, "workers": workers, "resume": True}
                simulate_jets(flavour, jets, files[flavour], **options)  # type: ignore[arg-type]
        chosen: dict[str, Path] = {flavour: files[flavour] for flavour in classes}
        return benchmark(chosen, presets, out, runs, "jets", minutes, classes if fpnd else (), seed, threads)


@dataclass(frozen=True)
class Plan:
    """What all systems of a benchmark share; see `benchmark`."""

    kind: Kind
    out: Path
    minutes: float
    published: tuple[str, ...]
    seed: int
    threads: int


@dataclass(frozen=True)
class Job:
    """One system on one class.

    Attributes:
        label: name of the class.
        data: file of real samples.
        system: preset or YAML file, or the name of a finished run.
        run: the finished run; None to train one.
    """

    label: str
    data: Path
    system: str
    run: Path | None

    @property
    def name(self) -> str:
        """Name in tables."""
        return Path(self.system).stem if self.system.endswith((".yaml", ".yml")) else self.system

    @property
    def slug(self) -> str:
        """Name of files."""
        return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in self.name)


def _row(plan: Plan, job: Job) -> dict[str, Any]:
    """What is known of a system, kept in a file; a system that fails is a row that says so, and is tried again."""
    result = plan.out / "results" / job.label / f"{job.slug}.json"
    row: dict[str, Any] = read_json(result) if result.exists() else {"error": "not done"}
    if not row.get("error"):
        return row
    console.rule(Text(printable(f"{job.label}: {job.name}")))
    row = {"class": job.label, "name": job.name}
    try:
        row |= _measured(plan, job, job.run or _trained(plan, job))
    except Exception as error:  # whatever it is, the other systems go on
        row["error"] = " ".join(str(error).split()) or type(error).__name__
        tell(f"failed: {row['error']}")
    write_json(result, row)
    return row


def _trained(plan: Plan, job: Job) -> Path:
    """A finished run of a preset."""
    out = plan.out / "runs" / job.label / job.slug
    if "finished" not in (Run(out).manifest if Run(out).exists else {}):
        overrides = {"trainer.max_minutes": plan.minutes, "kind": plan.kind.name}
        train(job.system, job.data, out, plan.seed, plan.threads, resume=True, overrides=overrides)
    return out


def _measured(plan: Plan, job: Job, path: Path) -> dict[str, Any]:
    """What is known of a run, its time of generation, and its metrics in every protocol."""
    run = Run(known_run(path))
    manifest, config = run.manifest, run.config
    model = load(path)
    row: dict[str, Any] = {
        "title": config["about"].get("title", ""),
        "us_per_sample": _microseconds(model, plan.seed),
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.generator.parameters()),
        "other_data": bool(trained := run.trained_on) and sha256(job.data) not in trained,
        "epochs": None,
    }
    if "finished" in manifest:
        steps, batch = manifest["finished"]["step"], config["trainer"]["batch_size"]
        turns = config["system"]["init_args"].get("critic_steps", 1)
        row["epochs"] = steps * batch * turns / len(plan.kind.format.read(job.data, "train"))
        row["minutes"] = manifest["finished"]["seconds"] / 60
    return row | _evaluated(plan, job, path, "finished" in manifest)


def _microseconds(model: Model, seed: int) -> float:
    """Time to generate one sample, the median of a few blocks after a first one."""
    size, times = model.kind.conditions.block, []
    for turn in range(4):
        began = time.perf_counter()
        model.sample(size, seed, turn * size)
        times.append((time.perf_counter() - began) / size)
    return 1e6 * statistics.median(times[1:])


def _evaluated(plan: Plan, job: Job, path: Path, finished: bool) -> dict[str, Any]:
    """Metrics in every protocol, with their labels and units."""
    fake = plan.out / "generated" / f"{job.label}-{job.slug}.h5"
    size = 10 * len(plan.kind.format.read(job.data, "test"))
    generate(path, size, fake, plan.seed, threads=plan.threads, resume=True)
    row: dict[str, Any] = {"protocols": {}, "labels": {}}
    for place, protocol in enumerate(protocols.names(plan.kind.name)):
        found = evaluate(
            job.data,
            plan.out / "reports" / job.label / f"{job.slug}-{protocol}",
            fake,
            path if finished else None,
            split="test",
            protocol=protocol,
            metrics=("protocol",),
            kind=plan.kind.name,
            fpnd=job.label if job.label in plan.published and place == 0 else None,
            seed=plan.seed,
            threads=plan.threads,
            overwrite=True,
        )
        row["protocols"][protocol] = found.metrics
        row["labels"] |= {entry.name: (entry.heading, entry.finding.unit) for entry in found.rows if entry.taken}
    fake.unlink()
    return row


def _write(plan: Plan, rows: list[dict[str, Any]]) -> None:
    """The tables and the figure of the rows that are there."""
    labels = {name: label for row in rows for name, label in row.get("labels", {}).items()}
    kind = plan.kind
    known = {name: protocols.protocol(kind.name, name, kind.evaluation.names) for name in protocols.names(kind.name)}
    lines = ["# Benchmark", ""]
    for name in dict.fromkeys(row["class"] for row in rows):
        mine = [row for row in rows if row["class"] == name]
        for protocol, terms in known.items():
            lines += [f"## {name}, protocol of {protocol} ({terms['paper']})", ""]
            lines += [*_markdown(mine, protocol, labels), ""]
    lines += [
        f"*untrained*: fewer than {EPOCHS} epochs. *other data*: trained on other samples than these, so that only",
        "FPND against the published statistics is a fair comparison. real: the in-sample value, real against real.",
    ]
    write_text(plan.out / "table.md", "\n".join(lines) + "\n")
    write_json(plan.out / "table.json", rows)
    with atomic(plan.out / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["class", "model", "protocol", "metric", "value", "error", "in_sample", "in_sample_error", "p_value"]
        )
        writer.writerows(_flat(rows))
    metric, protocol = kind.evaluation.selection[0], next(iter(known))
    points = [
        (row["class"], row["name"], row["us_per_sample"], row["protocols"][protocol][metric])
        for row in rows
        if not row.get("error") and metric in row["protocols"][protocol]
    ]
    if points:
        with atomic(plan.out / "quality.png") as temporary:
            temporary.write_bytes(png(quality_against_time(points, *labels[metric])))


def _markdown(rows: list[dict[str, Any]], protocol: str, labels: Mapping[str, Sequence[Any]]) -> list[str]:
    """One table: a row for each system, and one for real samples."""
    done = [row["protocols"][protocol] for row in rows if not row.get("error")]
    metrics = [name for name in labels if any(name in found for found in done)]
    header = ["model", "epochs", "us a sample", *(labels[name][0] for name in metrics)]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]

    def cells(found: Mapping[str, Mapping[str, Any]], value: str, error: str) -> Iterable[str]:
        for name in metrics:
            entry, unit = found.get(name, {}), labels[name][1]
            known = entry.get(value) is not None
            yield number(entry[value], entry[error], unit) if known else ""

    for row in rows:
        if row.get("error"):
            lines.append(f"| {row['name']} | failed: {row['error'].replace('|', '/')} |" + " |" * (len(header) - 2))
            continue
        epochs = "" if row["epochs"] is None else f"{row['epochs']:.0f}" + " *untrained*" * (row["epochs"] < EPOCHS)
        name = row["name"] + " *other data*" * row["other_data"]
        values = cells(row["protocols"][protocol], "value", "error")
        time = f"{row['us_per_sample']:.1f}"
        lines.append(f"| {' | '.join([name, epochs, time, *values])} |")
    if done:
        lines.append(f"| {' | '.join(['real', '', '', *cells(done[0], 'in_sample', 'in_sample_error')])} |")
    return lines


def _flat(rows: list[dict[str, Any]]) -> Iterable[list[Any]]:
    for row in rows:
        for protocol, found in row.get("protocols", {}).items():
            for metric, entry in found.items():
                yield [row["class"], row["name"], protocol, metric, *entry.values()]
