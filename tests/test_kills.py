"""Commands that write, killed with SIGKILL: nothing else is lost, and the next try ends with the same files."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

import partigan
from authors import arguments, tensors
from helpers import SHORT, child, killed, lasting
from partigan.commands.benchmark import benchmark
from partigan.commands.compare import Comparison
from partigan.commands.demo import demo_toys
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.evaluation.figures import Pictures
from partigan.kinds.kind import Conditions
from partigan.models.importing.mpgan import import_weights
from partigan.simulate import pxd
from partigan.simulate.digits import simulate_digits
from partigan.simulate.toys import simulate_toy
from partigan.simulate.traces import simulate_traces

Job = Callable[[Path], object]
TWICE = {"trainer.max_steps": 4, "trainer.validations": 2, "trainer.checkpoint_seconds": 0}


def ends_at_rename(call: Callable[[], object], number: int, after: bool) -> bool:
    """Whether a call, killed before or after a rename, got that far."""

    def doomed() -> None:
        real, count = os.replace, 0

        def replace(old: Path, new: Path) -> None:
            nonlocal count
            count += 1
            if count == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            real(old, new)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace  # type: ignore[assignment]
        call()

    return killed(child(doomed))


@pytest.fixture
def job(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A small command of that name, which writes to its argument."""
    monkeypatch.setattr(Conditions, "block", 40)
    monkeypatch.setattr(Conditions, "chunk", 40)
    monkeypatch.setattr(pxd, "CHUNK", 1)
    monkeypatch.setattr("partigan.commands.evaluate.draw_figures", lambda *_: Pictures({"A": {"b": b"", "c": b""}}))
    monkeypatch.setattr(Comparison, "side_by_side", lambda self: None)
    monkeypatch.setattr(Comparison, "overlays", lambda self: {})
    data, options = tmp_path / "data.h5", {**SHORT, **TWICE}
    options = {name: value for name, value in options.items() if name.startswith("trainer")}
    resumed: dict[str, Any] = {"resume": True}

    def train(out: Path) -> Path:
        return partigan.train("toys", data, out, threads=1, overrides=options, **resumed).path

    def evaluate(out: Path) -> Path:
        return partigan.evaluate(data, out, data, split="test", metrics=["swd"], overwrite=True).report

    def imported(out: Path) -> Path:
        pair = arguments("fc", "g")
        (tmp_path / "args.txt").write_text(str(pair), encoding="utf-8")
        torch.save(tensors(pair), tmp_path / "G.pt")
        return import_weights(tmp_path / "G.pt", tmp_path / "args.txt", out, overwrite=True).path

    def short(*given: Any, overrides: dict[str, Any], **rest: Any) -> Any:
        return partigan.train(*given, overrides={**overrides, **options, "trainer.max_minutes": None}, **rest)

    def fit_classifier(out: Path) -> Path:
        images = Batch(
            torch.rand(120, 1, 8, 8, generator=torch.Generator().manual_seed(1)), condition=torch.arange(120) % 2
        )
        short = {"trainer.max_steps": 4, "trainer.validations": 2, "trainer.batch_size": 16}
        return partigan.fit_classifier(images, out, kind="images", threads=1, overrides=short, **resumed).path

    name = request.param
    if name == "refine":
        samples = {world: simulate_traces(90, tmp_path / f"{world}.h5", world) for world in ("simulation", "data")}
        short = {**options, "trainer.max_steps": 1, "trainer.validations": 1, "trainer.batch_size": 8}
        refiner = partigan.train("refiner", samples, tmp_path / "run", threads=1, overrides=short).path
        return lambda out: partigan.refine(refiner, samples["simulation"], out, resume=True)
    if name in ("demo", "benchmark"):
        monkeypatch.setattr(f"partigan.commands.{name}.train", short)
        monkeypatch.setattr("partigan.commands.benchmark.quality_against_time", lambda *_: Figure())
        monkeypatch.setattr("partigan.commands.demo.toy_presets", lambda: ["toys"])
        monkeypatch.setattr("partigan.commands.demo.ROWS", 400)
    if name in ("generate", "train", "evaluate", "compare", "benchmark"):
        simulate_toy("ring", 400, data)
    if name == "generate":
        run = train(tmp_path / "run")
        return lambda out: partigan.generate(run, 60, out, threads=1, resume=True)
    if name == "compare":
        reports = [evaluate(tmp_path / name).parent for name in ("one", "two")]
        return lambda out: partigan.compare(reports, out, overwrite=True)
    return {
        "toy": lambda out: simulate_toy("ring", 100, out, overwrite=True),
        "digits": lambda out: simulate_digits(out, overwrite=True),
        "simulate": lambda out: pxd.simulate_pxd(2, out, background=0.1, resume=True),
        "images": lambda out: pxd.simulate_pxd(1, out, background=0.1, resume=True),
        "demo": lambda out: demo_toys(out, **resumed),
        "benchmark": lambda out: benchmark({"t": data}, ["toys"], out, threads=1),
        "train": train,
        "evaluate": evaluate,
        "import-weights": imported,
        "fit-classifier": fit_classifier,
    }[name]


@pytest.mark.parametrize(
    ("job", "output", "stride"),
    [
        ("toy", "a.h5", 1),
        ("digits", "a.h5", 1),
        ("simulate", "a.h5", 3),
        ("images", "a", 3),
        ("generate", "a.h5", 3),
        ("train", "a", 12),
        ("evaluate", "a", 5),
        ("compare", "a", 4),
        ("refine", "a.h5", 3),
        ("import-weights", "a", 3),
        ("fit-classifier", "a", 12),
    ],
    indirect=["job"],
)
def test_killed_at_renames_the_next_try_ends_with_the_same_files(
    job: Job, output: str, stride: int, tmp_path: Path
) -> None:
    out, number, kills = tmp_path / "place" / output, 1, 0
    job(out)
    whole = lasting(out.rename(tmp_path / output))
    (out.parent / "mine").touch()
    while ends_at_rename(lambda: job(out), number, after=bool(number // stride % 2)):
        kills, number = kills + 1, number + stride
        job(out)
        assert lasting(out) == whole, f"killed at rename {number}"
        assert {path.name for path in out.parent.iterdir()} == {"mine", output}
        out.rename(tmp_path / f"{number}-{output}")
    assert kills >= 1


@pytest.mark.parametrize(
    ("job", "files"), [("demo", ("toys.json", "toys.png")), ("benchmark", ("table.csv",))], indirect=["job"]
)
def test_jobs_of_many_commands_killed_again_and_again_end_with_the_same_files(
    job: Job, files: tuple[str, ...], tmp_path: Path
) -> None:
    job(whole := tmp_path / "whole")
    out = tmp_path / "place" / "a"
    for number in (6, 18):
        assert ends_at_rename(lambda: job(out), number, after=number == 18), number
    job(out)
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in files)
    assert [path.name for path in out.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("job", ["simulate", "generate"], indirect=True)
def test_killed_at_any_moment_the_next_try_ends_with_the_same_files(job: Job, tmp_path: Path) -> None:
    began = time.monotonic()
    job(whole := tmp_path / "whole.h5")
    taken, out, moments, kills = time.monotonic() - began, tmp_path / "place" / "a.h5", random.Random(1), 0
    for _ in range(5):
        pid = child(lambda: job(out))
        time.sleep(moments.uniform(0, taken))
        os.kill(pid, signal.SIGKILL)
        kills += killed(pid)
    job(out)
    assert kills
    assert out.read_bytes() == whole.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["a.h5"]


def test_of_two_processes_that_race_for_an_output_one_wins(tmp_path: Path) -> None:
    out, sizes = tmp_path / "a.h5", (100_000, 100_001)

    def race(n: int) -> None:
        try:
            simulate_toy("ring", n, out)
        except PartiganError as error:
            (tmp_path / f"{n}.txt").write_text(str(error), encoding="utf-8")

    racers = [child(lambda n=n: race(n)) for n in sizes]  # type: ignore[misc]
    assert not any(map(killed, racers))
    (loser,) = tmp_path.glob("*.txt")
    said = loser.read_text(encoding="utf-8")
    assert "another process is writing" in said or "exists; give --overwrite" in said
    (winner,) = {*sizes} - {int(loser.stem)}
    assert out.read_bytes() == simulate_toy("ring", winner, tmp_path / "b.h5").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "b.h5", loser.name}
