"""Files through a translator: whole, resumed, by several workers, backward; what is kept and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from helpers import equal_tensors, weights
from partigan import PartiganError, load, presets, refine, train
from partigan.cli import main
from partigan.config import read
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.kinds import kind_of
from partigan.kinds.conditions import LabelConditions
from partigan.models.model import Model
from partigan.run import Run
from partigan.simulate.traces import simulate_traces
from partigan.training.players import Players

SHORT = {"trainer.max_steps": 3, "trainer.validations": 1}


TABLES = """
base: cyclegan
kind: tables
transform: data.transforms.tables.Standardise
system:
  networks:
    translator: {there: {nets.tables.TableTranslator: {width: 16}}, back: {nets.tables.TableTranslator: {width: 16}}}
    data_critic: {nets.tables.TableCritic: {width: 16}}
    other_critic: {nets.tables.TableCritic: {width: 16}}
trainer: {batch_size: 16, accelerator: cpu}
"""


def config() -> dict[str, Any]:
    """The phases of cyclegan with networks of tables."""
    content: dict[str, Any] = yaml.safe_load(TABLES)
    return content


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A translator of three steps, there and back, trained by the command line."""
    folder = tmp_path_factory.mktemp("translator")
    (folder / "cycle.yaml").write_text(yaml.safe_dump(config()))
    words = ["train", "--config", str(folder / "cycle.yaml"), "--out", str(folder / "run")]
    for name, shift in (("other", 0.0), ("data", 1.0)):
        rows = Batch(torch.rand(300, 2, generator=torch.Generator().manual_seed(1)) + shift)
        write_samples(folder / f"{name}.h5", "rows", [rows], {"kind": "tables"}, {"x": "", "y": ""})
        words += [f"--{name}", str(folder / f"{name}.h5")]
    main([*words, *(word for name, value in SHORT.items() for word in (f"--{name}", str(value)))])
    return Run(folder / "run")


def killed(patch: pytest.MonkeyPatch, after: int) -> None:
    """Trainings are interrupted after this many steps."""
    real = Players.train_step

    def step(self: Players, done: int, total: int) -> dict[str, torch.Tensor]:
        if done == after:
            raise KeyboardInterrupt
        return real(self, done, total)

    patch.setattr(Players, "train_step", step)


def resumed(
    given: str | dict[str, Any], files: dict[str, Path], folder: Path, short: dict[str, Any], patch: pytest.MonkeyPatch
) -> Run:
    """A run that was killed before its last step and ends with the weights of one that was not."""
    whole = train(given, files, folder / "whole", threads=1, overrides=short)
    with patch.context() as interrupted:
        killed(interrupted, short["trainer.max_steps"] - 1)
        with pytest.raises(KeyboardInterrupt):
            train(given, files, folder / "killed", threads=1, overrides=short)
    again = train(given, files, folder / "killed", threads=1, overrides=short, resume=True)
    assert equal_tensors(weights(again.path), weights(whole.path))
    return again


FEW = {"trainer.max_steps": 4, "trainer.validations": 1, "trainer.batch_size": 16, "trainer.checkpoint_seconds": 0}


def test_a_cyclegan_is_killed_and_resumes(
    two_tables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with both pools of 50 samples, from which critics have been shown some."""
    files = {"data": Path(two_tables["data"]), "other": Path(two_tables["simulation"])}
    run = resumed(config(), files, tmp_path, FEW | {"trainer.max_steps": 6}, monkeypatch)
    remembered = weights(run.path)
    for side in ("data", "other"):
        assert remembered[f"network.{side}_history.filled"] == 50
        assert remembered[f"network.{side}_history.x"].shape == (50, 2)


@pytest.mark.parametrize("preset", [name for name in presets.names() if presets.about(name)["kind"] == "traces"])
def test_translators_of_traces_are_killed_and_resume(
    tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with everything that they remember."""
    files = {world: simulate_traces(100, tmp_path / f"{world}.h5", world) for world in ("simulation", "data")}
    remembers = "history" in read(preset)["system"]["init_args"]["networks"]
    short = FEW | ({"system.networks.history.size": 20} if remembers else {})
    again = resumed(preset, files, tmp_path, short, monkeypatch)
    out = refine(again.path, files["simulation"], tmp_path / "refined.h5")
    before, after = (read_samples(path, "all", "traces", 3) for path in (files["simulation"], out))
    assert torch.equal(after.truth, before.truth)  # type: ignore[arg-type]
    assert torch.equal(after.condition, before.condition)  # type: ignore[arg-type]
    assert (after.x != before.x).any()
    if preset == "refiner":  # data saturate at 2000 VEM, the simulation at 3000
        highest = [each.x.max().item() for each in (read_samples(files["data"], "train", "traces", 3), before, after)]
        assert highest == [2000.0, 3000.0, 2000.0]
    assert kind_of(out).format.describe(out) == kind_of(out).format.describe(files["simulation"])


def full(path: Path, rows: int) -> Batch:
    """A file of rows with everything that may belong to them, whose splits are its own."""
    draw = torch.Generator().manual_seed(3)
    x = torch.rand(rows, 2, generator=draw)
    sample = Batch(
        x, condition=torch.arange(rows) % 3, weight=torch.randn(rows, generator=draw), truth=torch.randn(rows, 1)
    )
    attributes = {"kind": "tables", "author": "me", "split_train": (0, rows - 7), "split_test": (rows - 7, rows)}
    write_samples(path, "rows", [sample], attributes, {"x": "", "y": ""}, {"truth": {"energy": "EeV"}})
    return sample


def test_everything_but_the_samples_is_kept(run: Run, tmp_path: Path) -> None:
    given = full(tmp_path / "given.h5", 300)
    for backward in (False, True):
        out = refine(run.path, tmp_path / "given.h5", tmp_path / f"out{backward}.h5", backward=backward)
        made = read_samples(out, "all", "rows", 2)
        model = load(run.path).backward() if backward else load(run.path)
        torch.testing.assert_close(made.x, model.refine(given).x)
        assert not torch.equal(made.x, given.x)
        for part in ("condition", "weight", "truth"):
            assert torch.equal(getattr(made, part), getattr(given, part))
        assert torch.equal(made.source, given.x)  # type: ignore[arg-type]
        assert len(read_samples(out, "test", "rows", 2)) == 7
        with h5py.File(out) as file:
            said = dict(file.attrs)
            assert list(file["rows"].attrs["features"]) == ["x", "y"]
        assert said["author"] == "me"
        assert said["refined_from"] == str(tmp_path / "given.h5")
        assert said["training_data_sha256"].split() == run.trained_on
        assert len(run.trained_on) == 2
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        refine(run.path, tmp_path / "given.h5", out)


def test_one_file_for_any_order_interruption_and_number_of_workers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(tmp_path / "given.h5", 2500)
    monkeypatch.setattr(LabelConditions, "chunk", 1024)
    whole = refine(run.path, tmp_path / "given.h5", tmp_path / "whole.h5").read_bytes()
    done: list[int] = []
    real = Model.refine

    def killed(self: Model, sample: Batch, seed: int = 1, first: int = 0) -> Batch:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(first)
        return real(self, sample, seed, first)

    out = tmp_path / "killed.h5"
    with monkeypatch.context() as patch:
        patch.setattr(Model, "refine", killed)
        with pytest.raises(KeyboardInterrupt):
            refine(run.path, tmp_path / "given.h5", out)
    assert done == [0, 0, 1024]
    parts = sorted(out.with_name("killed.h5.parts").glob("0*.h5"))
    parts[0].unlink()  # the second part is there, the first and the third are made now
    assert refine(run.path, tmp_path / "given.h5", out, resume=True).read_bytes() == whole
    monkeypatch.undo()
    torch.set_num_threads(2)
    try:
        once = refine(run.path, tmp_path / "given.h5", tmp_path / "once.h5")
    finally:
        torch.set_num_threads(1)
    assert np.array_equal(*(read_samples(path, "all", "rows", 2).x for path in (once, out)))


def test_workers_make_the_same_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes get everything pickled and end in any order; that they run is in test_workers.py."""
    full(tmp_path / "given.h5", 2 * LabelConditions.chunk + 5)
    asked = []

    def spread(make: Any, arguments: list[tuple[Any, ...]], workers: int, folder: Path) -> Iterator[int]:
        asked.append((workers, len(arguments)))
        again = pickle.loads(pickle.dumps((make, arguments)))
        return (again[0](*each) for each in reversed(again[1]))

    command = ["refine", str(run.path), "--in", str(tmp_path / "given.h5"), "--out"]
    main([*command, str(tmp_path / "one.h5")])
    monkeypatch.setattr("partigan.simulate.chunks.spread", spread)
    main([*command, str(tmp_path / "two.h5"), "--workers", "2"])
    assert asked == [(2, 3)]
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_conditions_out_of_range_are_told_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The range is that of both domains; the first chunk with others is named."""
    rng = torch.Generator().manual_seed(0)

    def rows(name: str, size: int, highest: float) -> Path:
        condition = torch.linspace(0, 1, size)[:, None] * highest
        sample = Batch(torch.rand(size, 2, generator=rng), condition=condition)
        write_samples(tmp_path / f"{name}.h5", "rows", [sample], {"kind": "tables"}, {"x": "", "y": ""})
        return tmp_path / f"{name}.h5"

    ends = torch.cat((torch.zeros(30, 1), torch.full((30, 1), 2.0)))
    domains = {"data": Batch(torch.rand(60, 2), condition=ends / 2), "other": Batch(torch.rand(60, 2), condition=ends)}
    run = train(config(), domains, tmp_path / "run", threads=1, overrides=SHORT)
    monkeypatch.setattr(LabelConditions, "chunk", 1024)
    refine(run.path, rows("within", 100, 1.9), tmp_path / "a.h5", strict=True)
    assert "warning" not in capsys.readouterr().err
    beyond = rows("beyond", 2000, 3.0)
    refine(run.path, beyond, tmp_path / "b.h5")
    told = " ".join(capsys.readouterr().err.split())
    assert "beyond.h5, samples 1,024 to 1,999: condition 0 of 667 of 976 samples is outside 0 to 2" in told
    with pytest.raises(SystemExit):
        main(["refine", str(run.path), "--in", str(beyond), "--out", str(tmp_path / "c.h5"), "--strict"])
    assert "give other conditions, or leave out --strict" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("c.h5*"))
    write_samples(tmp_path / "bare.h5", "rows", [Batch(torch.rand(9, 2))], {"kind": "tables"}, {"x": "", "y": ""})
    with pytest.raises(PartiganError, match="was trained with labels or conditions, and the samples have none"):
        refine(run.path, tmp_path / "bare.h5", tmp_path / "d.h5")


def test_what_cannot_be_refined(run: Run, tmp_path: Path) -> None:
    rows = Batch(torch.rand(30, 3))
    write_samples(tmp_path / "three.h5", "rows", [rows], {"kind": "tables"}, {"x": "", "y": "", "z": ""})
    write_samples(tmp_path / "names.h5", "rows", [Batch(rows.x[:, :2])], {"kind": "tables"}, {"x": "", "q": ""})
    toys = train("toys", rows, tmp_path / "toys", threads=1, overrides={**SHORT, "trainer.batch_size": 8})
    cases = {
        ("three.h5", run.path, False): "has the features x, y, z",
        ("names.h5", run.path, False): "has the features x, q",
        ("missing.h5", run.path, False): "does not exist",
        ("three.h5", toys.path, False): "TableGenerator makes samples from noise; use sample",
        ("three.h5", toys.path, True): "TableGenerator makes samples from noise; use sample",
    }
    for (name, path, backward), message in cases.items():
        with pytest.raises(PartiganError, match=message):
            refine(path, tmp_path / name, tmp_path / "out.h5", backward=backward)
    assert not list(tmp_path.glob("out*"))
    one_way = replace(load(run.path), network=load(run.path).network.there)  # type: ignore[arg-type]
    with pytest.raises(PartiganError, match="TableTranslator leads one way only"):
        one_way.backward()
    with pytest.raises(PartiganError, match=r"fails on samples of shape \[3\]"):
        load(run.path).refine(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.rand(90, 3)}, "x, y, 2; give samples of the same features"),
        ({"condition": torch.arange(90) % 2}, "labels or conditions differ: other has none, data one label for"),
        ({"condition": torch.rand(90, 2)}, r"labels or conditions differ: other has none, data the shape \[2\]"),
    ],
)
def test_domains_that_do_not_fit_together_are_refused_at_once(
    tmp_path: Path, two_tables: dict[str, str], change: dict[str, torch.Tensor], message: str
) -> None:
    other = replace(Batch(torch.rand(90, 2)), **change)  # type: ignore[arg-type]
    names = {"x": "", "y": "", "2": ""}
    features = dict(list(names.items())[: other.x.shape[1]])
    write_samples(tmp_path / "other.h5", "rows", [other], {"kind": "tables"}, features)
    given = {"other": two_tables["simulation"], "data": tmp_path / "other.h5"}
    with pytest.raises(PartiganError, match=message) as refused:
        train(config(), given, tmp_path / "r", threads=1)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r").exists()


def test_an_empty_domain_and_a_missing_one(
    tmp_path: Path, two_tables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cycle.yaml").write_text(yaml.safe_dump(config()))
    write_samples(tmp_path / "empty.h5", "rows", [Batch(torch.zeros(0, 2))], {"kind": "tables"}, {"x": "", "y": ""})
    command = ["train", "--config", str(tmp_path / "cycle.yaml"), "--data", two_tables["data"], "--other"]
    for given, message in ((str(tmp_path / "empty.h5"), "empty.h5"), (str(tmp_path / "no.h5"), "does not exist")):
        with pytest.raises(SystemExit):
            main([*command, given])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command[:-2], two_tables["data"], "--othr", "s.h5"])
    assert "unknown option 'othr'; did you mean 'other'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(command[:-1])
    assert "give --data FILE --other FILE" in capsys.readouterr().err


SCRIPT = """
import resource, sys
from partigan import refine
from partigan.kinds.conditions import LabelConditions
LabelConditions.chunk = 1024
for given in sys.argv[2:]:
    refine(sys.argv[1], given, given + ".refined.h5")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Rows of 300 numbers: 2 MB and 12 MB, each of them written with its source."""
    rows = torch.rand(10_240, 300, generator=torch.Generator().manual_seed(0))
    run = train(config(), {"other": rows[:200], "data": rows[200:400]}, tmp_path / "run", threads=1, overrides=SHORT)
    words, columns = [str(run.path)], {str(column): "" for column in range(300)}
    for number in (2048, len(rows)):
        words.append(str(tmp_path / f"{number}.h5"))
        write_samples(tmp_path / f"{number}.h5", "rows", [Batch(rows[:number])], {"kind": "tables"}, columns)
    found = subprocess.run([sys.executable, "-c", SCRIPT, *words], check=True, capture_output=True, text=True)
    small, large = (int(line) / 1024 for line in found.stdout.split())
    assert large < small + 8  # MB
