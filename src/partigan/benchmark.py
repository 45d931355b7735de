"""Several systems on the same data with the same metrics: one table, one figure."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from partigan.errors import PartiganError
from partigan.evaluation import evaluate
from partigan.files import atomic, read_json, sha256, write_json
from partigan.generation import generate
from partigan.kinds import find
from partigan.kinds.kind import Kind
from partigan.progress import console
from partigan.protocols import names as protocol_names
from partigan.protocols import protocol as protocol_named
from partigan.report.curves import quality_against_time
from partigan.report.html import png
from partigan.report.verdict import plus_minus
from partigan.run import Run
from partigan.training.train import load, set_threads, train

if TYPE_CHECKING:
    from partigan.simulate.jets import Flavour

EPOCHS = 20  # with fewer a row is marked as untrained
TIMED = 2000  # samples generated to measure the time of one


def benchmark(
    data: Mapping[str, Path],
    presets: Sequence[str],
    out: Path,
    runs: Mapping[str, Mapping[str, Path]] | None = None,
    kind: str = "jets",
    minutes: float = 20.0,
    published: Sequence[str] = (),
    seed: int = 1,
    threads: int | None = None,
) -> Path:
    """Train systems, evaluate them with the protocols of the papers, and put them side by side.

    Everything is kept below ``out``: ``runs/CLASS/NAME``, ``generated/``, ``reports/CLASS/NAME-PROTOCOL`` and
    ``results/CLASS/NAME.json``. The same call again goes on where it was interrupted, repeats what failed, and takes
    what is finished. ``table.md``, ``table.csv``, ``table.json`` and ``quality.png`` are made anew after every system.

    Args:
        data: file of real samples for each class; its train and valid splits are trained on, its test split is
            compared with.
        presets: systems to train, by preset or YAML file.
        out: directory to make or to go on with.
        runs: for each class finished runs by name, which are evaluated as they are.
        kind: kind of data in the files.
        minutes: training time of each system and class.
        published: classes for which the published classifier and statistics of the real samples are used, too (FPND).
        seed: of training, generation and evaluation.
        threads: torch's threads; None = as many as torch takes by itself, all cores or OMP_NUM_THREADS.

    Returns:
        The markdown table.

    Raises:
        PartiganError: unknown classes among ``runs``, or a place that cannot be written. A system that fails is a row
            that says so.
    """
    if strange := sorted({*(runs or {}), *published} - set(data)):
        raise PartiganError(f"there are no data of {', '.join(strange)}; give a file with --data")
    set_threads(threads)
    sort, out = find(kind), Path(out)
    jobs: list[tuple[str, str, Path | None]] = [(label, preset, None) for label in data for preset in presets]
    jobs += [(label, name, Path(path)) for label, found in (runs or {}).items() for name, path in found.items()]
    rows = []
    for label, preset, path in jobs:
        name = Path(preset).stem if preset.endswith((".yaml", ".yml")) else preset
        result = out / "results" / label / f"{_slug(name)}.json"
        row = read_json(result) if result.exists() else {"error": "not done"}
        if row.get("error"):
            console.rule(f"{label}: {name}")
            row = {"class": label, "name": name}
            try:
                run = path or _trained(
                    sort, preset, Path(data[label]), out / "runs" / label / _slug(name), minutes, seed
                )
                row |= _measured(sort, run, Path(data[label]), label, name, out, label in published, seed)
            except Exception as error:  # whatever it is, the other systems go on
                row["error"] = " ".join(str(error).split()) or type(error).__name__
                console.print(f"failed: {row['error']}", markup=False)
            write_json(result, row)
        rows.append(row)
        _write(sort, out, rows)
    return out / "table.md"


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
        out: directory to make or to go on with.
        classes: of jets: g, q, t, w, z.
        data: files of real jets by class.
        runs: for each class finished runs by name, such as imported weights.
        jets: number of jets to simulate for a class without a file.
        particles: largest number of particles of simulated jets.
        minutes: training time of each system and class.
        fpnd: take FPND against the published statistics of JetNet, which says nothing of models of other jets.
        seed: of simulation, training, generation and evaluation.
        threads: torch's threads; None = as many as torch takes by itself, all cores or OMP_NUM_THREADS.
        workers: processes that simulate.

    Returns:
        The markdown table.
    """
    from partigan.simulate.jets import simulate_jets

    files: dict[str, Path] = {name: Path(path) for name, path in (data or {}).items()}
    for flavour in classes:
        if flavour not in files:
            files[flavour] = Path(out) / "data" / f"{flavour}.h5"
            if not files[flavour].exists():
                options = {"particles": particles, "seed": seed, "workers": workers, "resume": True}
                simulate_jets(flavour, jets, files[flavour], **options)  # type: ignore[arg-type]
    chosen: dict[str, Path] = {flavour: files[flavour] for flavour in classes}
    return benchmark(chosen, presets, out, runs, "jets", minutes, classes if fpnd else (), seed, threads)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)


def _trained(sort: Kind, preset: str, data: Path, out: Path, minutes: float, seed: int) -> Path:
    """A finished run of a preset."""
    if "finished" not in (Run(out).manifest if Run(out).exists else {}):
        train(preset, data, out, seed, resume=True, overrides={"trainer.max_minutes": minutes, "kind": sort.name})
    return out


def _measured(
    sort: Kind, path: Path, data: Path, label: str, name: str, out: Path, published: bool, seed: int
) -> dict[str, Any]:
    """What is known of a run, its time of generation, and its metrics in every protocol."""
    run = Run(path)
    manifest, config = run.manifest, run.config()
    sampler = load(path)
    times = []
    for turn in range(4):
        began = time.perf_counter()
        sampler.sample(TIMED, seed, turn)
        times.append((time.perf_counter() - began) / TIMED)
    fake = out / "generated" / f"{label}-{_slug(name)}.h5"
    interrupted = fake.exists() or fake.with_name(f"{fake.name}.parts").exists()
    generate(path, 10 * len(sort.format.read(data, "test")), fake, seed, resume=interrupted)
    row: dict[str, Any] = {
        "title": config["about"].get("title", ""),
        "us_per_sample": 1e6 * statistics.median(times[1:]),
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in sampler.generator.parameters()),
        "other_data": manifest["data"]["sha256"] != sha256(data),
        "epochs": None,
        "protocols": {},
    }
    if "finished" in manifest:
        steps, batch = manifest["finished"]["step"], config["trainer"]["batch_size"]
        turns = config["system"]["init_args"].get("critic_steps", 1)
        row["epochs"] = steps * batch * turns / len(sort.format.read(data, "train"))
        row["minutes"] = manifest["finished"]["seconds"] / 60
    for number, protocol in enumerate(protocol_names(sort.name)):
        report = out / "reports" / label / f"{_slug(name)}-{protocol}"
        found = evaluate(
            data,
            report,
            fake,
            path if "finished" in manifest else None,
            protocol=protocol,
            metrics=("protocol",),
            kind=sort.name,
            fpnd=label if published and number == 0 else None,
            seed=seed,
            overwrite=True,
        )
        row["protocols"][protocol] = found.metrics
        row["headings"] = row.get("headings", {}) | found.headings
    fake.unlink()
    return row


def _write(sort: Kind, out: Path, rows: list[dict[str, Any]]) -> None:
    """The tables and the figure of the rows that are there."""
    lines = ["# Benchmark", ""]
    for label in dict.fromkeys(row["class"] for row in rows):
        mine = [row for row in rows if row["class"] == label]
        for protocol in protocol_names(sort.name):
            terms = protocol_named(sort.name, protocol, sort.evaluation.names)
            lines += [
                f"## {label}, protocol of {protocol} ({terms['paper']})",
                "",
                *_markdown(mine, protocol),
                "",
            ]
    lines += [
        f"*untrained*: fewer than {EPOCHS} epochs. *other data*: trained on other samples than these, so that only",
        "FPND against the published statistics is a fair comparison. real: the in-sample value, real against real.",
    ]
    with atomic(out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    write_json(out / "table.json", rows)
    with atomic(out / "table.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["class", "model", "protocol", "metric", "value", "error", "in_sample", "in_sample_error", "p_value"]
        )
        writer.writerows(_flat(rows))
    finished = [row for row in rows if not row.get("error")]
    if finished:
        metric, protocol = sort.evaluation.selection[0], protocol_names(sort.name)[0]
        points = [
            (row["class"], row["name"], row["us_per_sample"], row["protocols"][protocol][metric]) for row in finished
        ]
        with atomic(out / "quality.png") as temporary:
            temporary.write_bytes(png(quality_against_time(points, *finished[0]["headings"][metric])))


def _markdown(rows: list[dict[str, Any]], protocol: str) -> list[str]:
    """One table: a row for each system, and one for real samples."""
    done = [row["protocols"][protocol] for row in rows if not row.get("error")]
    headings = {k: v for row in rows if not row.get("error") for k, v in row["headings"].items()}
    metrics = [name for name in headings if any(name in found for found in done)]
    header = ["model", "epochs", "us a sample", *(headings[name][0] for name in metrics)]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]

    def cells(found: Mapping[str, Mapping[str, Any]], value: str, error: str) -> Iterable[str]:
        for name in metrics:
            entry, unit = found.get(name, {}), headings[name][1]
            known = entry.get(value) is not None
            yield plus_minus(entry[value] / unit, entry[error] / unit) if known else ""

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
