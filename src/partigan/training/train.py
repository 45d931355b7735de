"""From a configuration and a file to a trained run."""

from __future__ import annotations

import copy
import inspect
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import nn

from partigan import __version__, presets
from partigan.config import build, class_named, parse_training
from partigan.data.batch import Batch
from partigan.data.loader import Loader
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.files import refuse_existing, remove_folder, sha256
from partigan.kinds import find
from partigan.nets.contracts import Generator
from partigan.objectives.terms import Term
from partigan.progress import console
from partigan.randomness import check_seed, rng_for
from partigan.run import Run, known_run
from partigan.sampling import Sampler
from partigan.training.checkpoint import load_tensors, unpack_module
from partigan.training.monitors import DIVERSITY_SAMPLES, diversity
from partigan.training.system import System
from partigan.training.trainer import Trainer

LISTED = 200  # columns of the list of presets at least; narrower terminals wrap it
REHEARSED = 8  # samples on which every phase is tried before anything is made


def train(
    config: str | dict[str, Any],
    data: Path,
    out: Path,
    seed: int = 1,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    overrides: dict[str, Any] | None = None,
) -> Run:
    """Train a system on a file of samples.

    Args:
        config: name of a preset, path of a YAML file, or the content of one.
        data: the file of training samples; train and valid splits are used, the test split is not looked at.
        out: run directory to make.
        seed: makes the run reproducible, bit for bit on the same machine and number of threads.
        threads: torch's threads; None = as many as torch takes by itself, all cores or OMP_NUM_THREADS.
        resume: go on with an interrupted run, or start it where there is none.
        overwrite: replace an existing run.
        overrides: options to change, by dotted name: ``{"trainer.max_minutes": 10}``.

    Returns:
        The finished run.

    Raises:
        PartiganError: unknown options, bad data, an existing output, a resumed run with other options, or a loss that
            is not finite.

    Example:
        >>> run = train("mdma", "top.h5", "runs/top", overrides={"trainer.max_minutes": 10})  # doctest: +SKIP
    """
    return run_training(parse_training(config, overrides), Path(data), Path(out), seed, threads, resume, overwrite)


def run_training(
    config: dict[str, Any],
    data: Path,
    out: Path,
    seed: int,
    threads: int | None,
    resume: bool,
    overwrite: bool,
) -> Run:
    """`train`, with a parsed configuration."""
    run = Run(out)
    going_on = admit(run, [data], seed, threads, resume, overwrite)
    kind = find(config["kind"], trust=True)
    real, valid = kind.format.training(data), kind.format.read(data, "valid")[: kind.evaluation.validated]
    source = {"path": str(data.resolve()), "sha256": sha256(data)}
    arguments = kind.conditions.arguments(real)
    system, transform, trainer, held = prepare(run, config, source, real, arguments, going_on, seed)
    conditions = run.transform["conditions"] if going_on else kind.conditions.state(real, kind.format.describe(data))
    seen = transform.forward(valid[:DIVERSITY_SAMPLES])

    def validate(generator: nn.Module, step: int) -> dict[str, float]:
        fake = Sampler(generator, transform, kind, conditions).sample(len(valid), seed, step)  # type: ignore[arg-type]
        made = transform.forward(fake[:DIVERSITY_SAMPLES])
        if trainer.snapshots and step:
            kind.format.write(run.samples(step), [fake[: trainer.snapshots]], {}, conditions)
        return {**kind.evaluation.validate(valid, fake), "diversity": diversity(seen, made)}

    selection = trainer.rules.selection(kind.evaluation.selection)
    if trainer.rules.metric or trainer.rules.veto:  # are there such metrics?
        copy.copy(selection).take(0, validate(copy.deepcopy(system.networks[system.product]).eval(), 0))
    begin(run, config, source, system, transform, trainer, conditions, going_on, seed)
    fabric = trainer.fabric
    loader = Loader(held, trainer.batch_size, seed, fabric.global_rank, fabric.world_size, transform)
    trainer.fit(run, system, loader, validate, selection, seed)
    if trainer.fabric.is_global_zero:
        console.print(f"the best generator is in {run.weights}", soft_wrap=True)
    return run


def admit(run: Run, data: Sequence[Path], seed: int, threads: int | None, resume: bool, overwrite: bool) -> bool:
    """Refuse what cannot be begun, before anything is read or made; True where an earlier run is gone on with.

    Args:
        run: the run to make.
        data: its training files.
        seed: of the run.
        threads: torch's threads, which are set; None leaves them.
        resume: go on with an interrupted run.
        overwrite: replace an existing run.
    """
    check_seed(seed)
    set_threads(threads)
    if resume and run.exists:
        return True
    refuse_existing(run.path, overwrite or resume)
    for path in data:
        if path.resolve().is_relative_to(run.path.resolve()):
            raise PartiganError(f"the data {path} lie inside {run.path}, which would be replaced; choose another --out")
    remove_folder(run.path, run.transform_file.name, really=False)
    return False


def prepare(
    run: Run,
    config: dict[str, Any],
    data: dict[str, Any],
    real: Batch,
    arguments: dict[str, Any],
    going_on: bool,
    seed: int,
) -> tuple[System, Transform, Trainer, Batch]:
    """Build what a configuration describes, and try it on a few samples before anything is made.

    Args:
        run: the run, admitted.
        config: parsed configuration; arguments of networks that the data decide are filled in.
        data: path and sha256 of the training data.
        real: the training sample in physical units.
        arguments: those that the data decide.
        going_on: an earlier run is gone on with.
        seed: of the run.

    Returns:
        System, fitted transform, trainer, and the training sample as `Transform.held` gives it.
    """
    _fill(config["system"], arguments)
    _fill(config["system"].get("init_args", {}).get("constrainer"), {"classes": 0, "conditions": 0})  # it reads them
    torch.manual_seed(seed)
    system, transform, trainer = build(config)
    for phase in system.phases:  # an optimiser may refuse its options
        try:
            phase.optimizer([parameter for name in phase.update for parameter in system.networks[name].parameters()])
        except (TypeError, ValueError) as error:
            raise PartiganError(f"the optimiser of the {' and '.join(phase.update)} refuses: {error}") from error
    if going_on:
        _same(run, {**config, "seed": seed}, data)
        transform.load_state(run.transform["state"])
    else:
        transform.fit(real)
    for phase in system.phases:
        for term in getattr(phase, "terms", ()):
            term.physical = transform.inverse
    held = transform.held(real)
    system.rehearse(transform.batch(held[:REHEARSED].trimmed(), rng_for("rehearsal", seed)))
    return system, transform, trainer, held


def begin(
    run: Run,
    config: dict[str, Any],
    data: dict[str, Any],
    system: System,
    transform: Transform,
    trainer: Trainer,
    conditions: dict[str, Any],
    going_on: bool,
    seed: int,
) -> None:
    """Launch the processes and write the files that a run starts from, where it does not go on with an earlier one.

    Args:
        run: the run.
        config: the configuration, filled in by `prepare`.
        data: path and sha256 of the training data, for the manifest.
        system: the system.
        transform: the fitted transform.
        trainer: the trainer.
        conditions: what the use of the run has to know of the training data.
        going_on: an earlier run is gone on with.
        seed: of the run.
    """
    trainer.fabric.launch()
    if going_on:
        return
    if trainer.fabric.is_global_zero:
        remove_folder(run.path, run.transform_file.name)
        stored = {"kind": config["kind"], "state": transform.state(), "conditions": conditions}
        run.create(yaml.safe_dump({**config, "seed": seed}, sort_keys=False), stored, _manifest(data, system))
    trainer.fabric.barrier()


def load(path: str | Path, trust: bool = False) -> Sampler:
    """The best generator of a run, ready to sample.

    Args:
        path: a run directory, or the name of a run that comes with partigan, such as ``pxd-fast``.
        trust: follow class paths outside partigan and torch.

    Raises:
        PartiganError: it is not a run directory, has no weights yet, or is not trusted.

    Example:
        >>> jets = load("runs/top").sample(1000, 1)  # doctest: +SKIP
    """
    run = Run(known_run(path))
    config = run.config(trust)
    if not run.weights.exists():
        raise PartiganError(f"{run.path} has no generator yet; train on with --resume until the first validation")
    system, transform, _ = build(config)
    stored = run.transform
    transform.load_state(stored["state"])
    generator = system.networks["generator"].eval()
    if not isinstance(generator, Generator):
        raise PartiganError(f"{run.path}: {type(generator).__name__} is not a partigan.nets.contracts.Generator")
    unpack_module("generator", generator, load_tensors(run.weights)[0])
    return Sampler(generator, transform, find(stored["kind"], trust), stored["conditions"])


def set_threads(threads: int | None) -> None:
    """Set torch's threads; None leaves them as they are."""
    if threads is not None:
        if threads < 1:
            raise PartiganError(f"threads = {threads}; at least one is needed")
        torch.set_num_threads(threads)


def list_presets() -> None:
    """Print the presets with paper, kind of data and numbers of parameters; docs/literature.md has their status."""
    table = Table(box=None, pad_edge=False)
    for heading in ("preset", "paper", "kind", "parameters", "system"):
        table.add_column(heading, no_wrap=True)
    for name in presets.names():
        config = parse_training(name)
        networks = build(config)[0].networks
        parameters = ", ".join(f"{sum(p.numel() for p in m.parameters()):,}" for m in networks.values())
        about = config["about"]
        table.add_row(name, about["paper"], config["kind"], parameters, about["title"])
    Console(width=max(Console().width, LISTED)).print(table)


def _fill(value: Any, arguments: dict[str, Any]) -> None:
    """Give every network and term the arguments that the data decide, such as the number of particles."""
    if isinstance(value, list):
        for entry in value:
            _fill(entry, arguments)
    elif isinstance(value, dict):
        if "class_path" in value and issubclass(found := class_named(value["class_path"]), nn.Module | Term):
            accepted = inspect.signature(found).parameters
            value.setdefault("init_args", {}).update({k: v for k, v in arguments.items() if k in accepted})
        for entry in value.values():
            _fill(entry, arguments)


def _same(run: Run, settings: dict[str, Any], data: dict[str, Any]) -> None:
    """Refuse to resume with another configuration or other data."""
    before, now = (dict(_flat(c)) for c in (run.config(trust=True), json.loads(json.dumps(settings))))
    for key in sorted(before.keys() | now.keys()):
        if key != "trainer.checkpoint_seconds" and not key.startswith("about.") and before.get(key) != now.get(key):
            raise PartiganError(
                f"{run.path} was trained with {key} = {before.get(key)!r}, not {now.get(key)!r}; "
                "resume with the same options, or give another --out"
            )
    if run.manifest["data"]["sha256"] != data["sha256"]:
        raise PartiganError(f"{run.path} was trained on other data than {data['path']}; resume with the same")
    if (threads := run.manifest["threads"]) != torch.get_num_threads():
        console.print(f"note: the run was started with {threads} threads; with others it is not the same bit for bit")


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, entry in value.items() for pair in _flat(entry, f"{prefix}.{key}" if prefix else key)]
    if isinstance(value, list):
        return [pair for number, entry in enumerate(value) for pair in _flat(entry, f"{prefix}.{number}")]
    return [(prefix, value)]


def _git_revision() -> str | None:
    """The commit of partigan's checkout; None where it is installed and not a checkout."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:  # no git
            return ""

    return git("rev-parse", "HEAD") if git("ls-files", here.name) else None


def _manifest(data: dict[str, Any], system: System) -> dict[str, Any]:
    """Where a run comes from."""
    return {
        "versions": {
            "partigan": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("torch", "lightning-fabric", "numpy")},
        },
        "git_revision": _git_revision(),
        "command": sys.argv,
        "data": data,
        "threads": torch.get_num_threads(),
        "parameters": {n: sum(p.numel() for p in m.parameters()) for n, m in system.networks.items()},
    }
