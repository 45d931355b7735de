from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from helpers import JetFile, content_of, toy_jets
from partigan import generate, load, threads, train
from partigan.cli import main
from partigan.data.batch import Batch
from partigan.data.hitmap_files import hitmap_attributes, read_hitmaps
from partigan.data.jets import read_jets, write_jets
from partigan.data.pxd import LAYER_OF
from partigan.data.samples import read_samples, write_samples
from partigan.errors import PartiganError
from partigan.jobs import Parts
from partigan.kinds.jets import JetConditions
from partigan.models.model import Model
from partigan.run import SHIPPED, Run
from partigan.simulate.digits import simulate_digits


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    write_jets(folder / "jets.h5", [toy_jets(600)], {"flavour": "toy"})
    options = {
        "trainer.max_steps": 2,
        "trainer.batch_size": 32,
        "trainer.validations": 1,
        "system.generator.blocks": 1,
    }
    return train("mdma", folder / "jets.h5", folder / "run", threads=1, overrides=options)


def test_generated_files_are_jetnet_files(run: Run, tmp_path: Path) -> None:
    table = read_jets(generate(run.path, 500, tmp_path / "fake.h5", threads=1))
    assert table.particles.shape == (500, 30, 4)
    assert (np.diff(table.particles[..., 2]) <= 0).all()
    assert (table.jets[:, 3] == table.particles[..., 3].sum(1)).all()
    trained = read_jets(run.path.parent / "jets.h5", "train").jets
    np.testing.assert_allclose(table.jets[:, 0], trained[:, 0].mean(), rtol=1e-6)
    assert table.jets[:, 3].mean() == pytest.approx(trained[:, 3].mean(), abs=1.5)
    assert table.attributes["n"] == 500
    with pytest.raises(PartiganError, match="exists"):
        generate(run.path, 5, tmp_path / "fake.h5")


def test_killed_and_resumed_it_gives_the_same_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JetConditions, "block", 100)
    monkeypatch.setattr(JetConditions, "chunk", 100)
    whole = generate(run.path, 350, tmp_path / "whole.h5", seed=4, threads=1)
    drawn: list[int] = []
    real = Model.sample

    def killed(self: Model, size: int, seed: int, first: int) -> object:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(size)
        return real(self, size, seed, first)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "sample", killed)
        with pytest.raises(KeyboardInterrupt):
            generate(run.path, 350, tmp_path / "b.h5", seed=4, threads=1)
    assert generate(run.path, 350, tmp_path / "b.h5", seed=4, threads=1, resume=True).read_bytes() == whole.read_bytes()
    assert generate(run.path, 350, tmp_path / "c.h5", seed=5, threads=1).read_bytes() != whole.read_bytes()
    clouds = read_jets(whole).particles
    assert len(np.unique(clouds[:, 0, 0])) == 350  # no chunk repeats another


def test_threads_are_measured_once_and_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "cores", lambda: 2)
    monkeypatch.setattr(threads, "_fastest", lambda step, agreed: (step(), (2, "measured"))[1])
    out = tmp_path / "a.h5"
    assert read_jets(generate(run.path, 50, out)).attributes["threads"] == 2
    generate(run.path, 50, out, overwrite=True, threads=1)
    content = out.read_bytes()
    assert generate(run.path, 50, out, resume=True).read_bytes() == content  # finished with one thread
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", lambda self: None)
        generate(run.path, 50, out, overwrite=True, threads=1)
    out.unlink()
    assert generate(run.path, 50, out, resume=True).read_bytes() == content
    threads.set_threads(1)


def test_two_generators_are_never_mixed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", lambda self: None)  # killed after the merge
        whole = generate(run.path, 50, tmp_path / "a.h5", threads=1)
    assert (tmp_path / "a.h5.parts").exists()
    content = whole.read_bytes()
    assert generate(run.path, 50, tmp_path / "a.h5", threads=1, resume=True).read_bytes() == content
    assert not (tmp_path / "a.h5.parts").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "missing", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generate(run.path, 50, tmp_path / "b.h5", seed=2, threads=1)
    with pytest.raises(PartiganError, match=r"b\.h5\.parts was made with seed = 2, not 1"):
        generate(run.path, 50, tmp_path / "b.h5", threads=1, resume=True)


@pytest.mark.parametrize("name", ["generator.safetensors", "fake.h5", "samples/fake.h5"])
def test_a_run_is_not_written_into(run: Run, name: str) -> None:
    before = content_of(run.path)
    with pytest.raises(PartiganError, match=r"lies inside|the suffix decides"):
        generate(run.path, 5, run.path / name, threads=1, overwrite=True)
    conditions = run.path.parent / "jets.h5"
    with pytest.raises(PartiganError, match=r"jets\.h5 is also an input"):
        generate(run.path, 5, conditions, conditions=conditions, threads=1, overwrite=True)
    assert content_of(run.path) == before


@pytest.mark.parametrize("name", ["two.root", "two.csv", "two", "two.h5.gz"])
def test_a_suffix_of_another_format_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(PartiganError, match=r"there are \.h5 \(HDF5\), \.hdf5 \(HDF5\)$"):
        generate(run.path, 5, tmp_path / name, threads=1)
    assert not (tmp_path / name).exists()


def test_hitmaps_are_generated_in_other_formats(tmp_path: Path) -> None:
    assert len(read_hitmaps(generate("pxd-fast", 40, tmp_path / "one.root", threads=1))) == 1
    assert hitmap_attributes(tmp_path / "one.root")["n"] == 40
    assert [path.name for path in tmp_path.iterdir()] == ["one.root"]


def test_conditions_of_another_file(run: Run, jet_file: JetFile, tmp_path: Path) -> None:
    other = jet_file(50, name="other.h5")
    with h5py.File(other, "r+") as file:
        clouds = file["particle_features"][:]
        clouds[:, 4:] = 0
        file["particle_features"][:] = clouds
    table = read_jets(generate(run.path, 100, tmp_path / "few.h5", conditions=other, threads=1))
    assert set(table.jets[:, 3]) == {4.0}
    with pytest.raises(PartiganError, match=r"has particles = 150, the run .* was trained with 30"):
        generate(run.path, 10, tmp_path / "x.h5", conditions=jet_file(50, 150, name="150.h5"))


@pytest.mark.parametrize("n", [0, -3])
def test_at_least_one_jet(run: Run, tmp_path: Path, n: int) -> None:
    with pytest.raises(PartiganError, match="at least one sample"):
        generate(run.path, n, tmp_path / "x.h5")


FULL_DISK = """
import resource, signal, sys
from partigan import generate, PartiganError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    generate(sys.argv[1], 5000, sys.argv[2], threads=1)
except PartiganError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_leaves_nothing_half_written(run: Run, tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL_DISK, str(run.path), str(tmp_path / "big.h5")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot write" in result.stderr
    assert "nothing was half-written" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "big.h5").exists()
    assert [path.name for path in (tmp_path / "big.h5.parts").iterdir()] == [".partigan.json"]


def test_truncation_of_a_style(run: Run, tmp_path: Path) -> None:
    data = simulate_digits(tmp_path / "digits.h5")
    options = {"trainer.max_steps": 1, "trainer.validations": 1, "trainer.batch_size": 8}
    styled = train("digits-stylegan", data, tmp_path / "styled", threads=1, overrides=options)
    spread = {
        truncation: float(
            read_samples(
                generate(styled.path, 40, tmp_path / f"{truncation}.h5", truncation=truncation, threads=1),
                "all",
                "images",
                4,
            )
            .x.std(0)
            .mean()
        )
        for truncation in (None, 1.0, 0.3)
    }
    assert spread[None] == spread[1.0] > spread[0.3]
    with pytest.raises(PartiganError, match="must not be below 0"):
        generate(styled.path, 4, tmp_path / "x.h5", truncation=-1.0, threads=1)
    with pytest.raises(PartiganError, match=r"MDMAGenerator of .* has no truncation"):
        generate(run.path, 4, tmp_path / "x.h5", truncation=0.5, threads=1)


def test_the_run_that_comes_with_partigan_makes_hitmaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, where nothing of that name stands; whole events with the published occupancies."""
    monkeypatch.chdir(tmp_path)
    made = read_hitmaps(generate("pxd-fast", 80, tmp_path / "a.h5", seed=2, threads=1))
    assert len(made) == 2
    layers = [made.occupancy[:, layer == LAYER_OF].mean() for layer in (1, 2)]
    assert layers[0] == pytest.approx(0.0150, rel=0.1)  # of simulated events, docs/pxd.md
    assert layers[1] == pytest.approx(0.0051, rel=0.1)
    assert made.charge.min() >= 7
    assert hitmap_attributes(tmp_path / "a.h5")["kind"] == "pxd"
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 1.3e6
    with pytest.raises(PartiganError, match="n = 50 samples of pxd-clusters are no whole events of 40; ask for 80"):
        generate("pxd-fast", 50, tmp_path / "b.h5", threads=1)
    (tmp_path / "pxd-fast").mkdir()
    with pytest.raises(PartiganError, match=r"not a run directory .* comes with partigan: pxd-fast"):
        load("pxd-fast")


def test_conditions_out_of_range_are_told_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = torch.Generator().manual_seed(0)
    for name, shift in (("training", 0.0), ("within", 0.0), ("beyond", 0.5)):
        condition = torch.rand(100, 1, generator=rng).clamp(0.1, 0.9) + shift
        rows = Batch(torch.randn(100, 2, generator=rng), condition=condition)
        write_samples(tmp_path / f"{name}.h5", "rows", [rows], {}, {"a": "", "b": ""})
    options = {"trainer.max_steps": 2, "trainer.validations": 1, "trainer.batch_size": 16}
    run = train("toys", tmp_path / "training.h5", tmp_path / "r", threads=1, overrides=options)
    generate(run.path, 20, tmp_path / "a.h5", conditions=tmp_path / "within.h5", threads=1, strict=True)
    assert "warning" not in capsys.readouterr().err
    generate(run.path, 20, tmp_path / "b.h5", conditions=tmp_path / "beyond.h5", threads=1)
    assert "beyond.h5: condition 0 of" in (told := " ".join(capsys.readouterr().err.split()))
    assert "is outside 0.1 to 0.9, on which the run was trained; there are 0.6 to 1.4" in told
    words = f"generate {run.path} --n 20 --out {tmp_path}/c.h5 --conditions {tmp_path}/beyond.h5 --threads 1 --strict"
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    assert "give other conditions, or leave out --strict" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "c.h5").exists()
