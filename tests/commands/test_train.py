"""Trainings from a configuration and samples to a run, in the small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from helpers import SHORT, JetFile, Told, child, content_of, equal_tensors, killed, toy_hitmaps, weights
from partigan import PartiganError, generate, load, presets, threads, train
from partigan.cli import main
from partigan.config import read
from partigan.data.batch import Batch
from partigan.data.sources import source
from partigan.kinds import find
from partigan.models.checkpoint import Checkpoints, load_tensors
from partigan.models.model import Model
from partigan.models.onnx.exporting import onnx_files
from partigan.run import Run
from partigan.simulate.airshower import simulate_airshower
from partigan.simulate.calorimeter import simulate_calorimeter
from partigan.simulate.cherenkov import simulate_cherenkov
from partigan.simulate.digits import simulate_digits
from partigan.simulate.pxd import simulate_pxd
from partigan.simulate.toys import simulate_toy
from partigan.training.log import read_log
from partigan.training.session import Session
from partigan.training.start import Start

SMALL: dict[str, dict[str, Any]] = {  # arguments that make a network small
    "MDMAGenerator": {"blocks": 1},
    "MDMACritic": {"blocks": 1},
    "TurningGenerator": {"generator.generator.blocks": 1},
    "EPiCGenerator": {"layers": 1},
    "EPiCCritic": {"layers": 1},
    "MPGenerator": {"edge": [8, 8], "node": [8]},
    "MPLFCGenerator": {"edge": [8, 8], "node": [8]},
    "MPCritic": {"edge": [8, 8], "node": [8]},
    "RGANGenerator": {},
    "RGANCritic": {"shared": [8, 16]},
    "GraphCNNGenerator": {"widths": [8, 8], "k": 4},
    "TreeGANGenerator": {"hidden": 8, "support": 2},
    "PointNetMixCritic": {"shared": [8, 16], "widths": [8]},
    "GAPTGenerator": {"width": 8, "blocks": 1},
    "GAPTCritic": {"width": 8, "blocks": 1},
    "TableGenerator": {"width": 16},
    "DCGANGenerator": {"filters": 8},
    "DCGANCritic": {"filters": 8},
    "ResidualGenerator": {"filters": 8},
    "ResidualCritic": {"filters": 8},
    "SAGANGenerator": {"filters": 8},
    "SAGANCritic": {"filters": 8},
    "BigGANGenerator": {"filters": 8, "chunk": 4},
    "BigGANCritic": {"filters": 8},
    "BigGANDeepGenerator": {"filters": 16},
    "BigGANDeepCritic": {"filters": 16},
    "SparseGenerator": {"hidden": [3, 3]},
    "SparseCritic": {"hidden": [3, 3]},
    "ProgressiveGenerator": {"filters": 8},
    "ProgressiveCritic": {"filters": 8},
    "StyleGANGenerator": {"filters": 8, "depth": 2},
    "StationGenerator": {"generator.filters": 8},
    "ShowerGenerator": {"latent": 8, "dense": 8, "filters": [4, 4, 4, 4]},
    "ShowerCritic": {"filters": [4, 4, 4, 4, 4], "hidden": 8},
    "FootprintGenerator": {"hidden": 8},
    "FootprintCritic": {"hidden": 8},
    "LayerGenerator": {"width": 8, "depth": 1},
    "LayerCritic": {"width": 8, "depth": 1},
    "HitGenerator": {"latent": 8, "hidden": 8, "heads": 2, "blocks": 1},
    "HitCritic": {"latent": 8, "hidden": 8, "heads": 2, "blocks": 1},
    "VoxelGenerator": {"factor": 1},
    "VoxelCritic": {"widths": [8]},
    "TableCritic": {"width": 16},
    "MixtureGenerator": {"width": 16, "components": 2},
    "PEGANGenerator": {"latent": 8, "shared": 8, "filters": 2},
    "PEGANCritic": {"dimension": 16, "filters": 2},
}


def _small(preset: str) -> dict[str, Any]:
    """Options that make a preset's networks small."""
    networks = read(preset)["system"]["init_args"]
    classes = {role: networks[role]["class_path"].split(".")[-1] for role in ("generator", "critic")}
    return {f"system.{role}.{name}": value for role, found in classes.items() for name, value in SMALL[found].items()}


def _elsewhere(preset: str) -> bool:
    """Presets that take long, rehearsed in test_presets.py or beside their networks, and translators: test_refine.py,
    test_translation.py."""
    config = read(preset)
    large = (config["kind"] in ("pxd", "pxd-crop") and preset != "pe-gan-crop") or preset in ("calo-wgan", "calo-gan")
    return large or config["system"]["init_args"].get("source") is not None


def test_a_download_of_the_calochallenge_trains_and_is_written_as_its_evaluation_takes_it(tmp_path: Path) -> None:
    """No attributes, double precision: the number of voxels tells the geometry; what is generated has that layout."""
    simulated, given = simulate_calorimeter(60, tmp_path / "showers.h5"), tmp_path / "dataset_1_photons_1.hdf5"
    with h5py.File(simulated) as file, h5py.File(given, "w") as bare:
        for name in ("incident_energies", "showers"):
            bare.create_dataset(name, data=file[name][()].astype(np.float64), compression="gzip")
    short = {"trainer.max_steps": 2, "trainer.batch_size": 8, "trainer.validations": 1}
    short |= {"system.networks.generator.latent": 4}
    train("calo-gan", given, tmp_path / "run", threads=1, overrides=short)
    generate(tmp_path / "run", 30, tmp_path / "made.hdf5", conditions=given, threads=1)
    with h5py.File(tmp_path / "made.hdf5") as made:
        assert made["incident_energies"].shape == (30, 1)
        assert made["showers"].shape == (30, 368)
        assert {made[name].dtype.kind for name in made} == {"f"}
        assert (made["showers"][()] >= 0).all()
        allowed = 2.0 ** np.arange(8, 23)  # MeV
        assert np.isin(made["incident_energies"][()], allowed).all()


@pytest.mark.parametrize("preset", [name for name in presets.names() if not _elsewhere(name)])
def test_every_preset_trains_samples_and_is_reproducible(jet_file: JetFile, tmp_path: Path, preset: str) -> None:
    kind = find(read(preset)["kind"])
    files = {
        "jets": jet_file,
        "tables": lambda: simulate_toy("grid", 600, tmp_path / "grid.h5"),
        "images": lambda: simulate_digits(tmp_path / "digits.h5"),
        "calorimeter": lambda: simulate_calorimeter(200, tmp_path / "showers.h5"),
        "cherenkov": lambda: simulate_cherenkov(600, tmp_path / "rich.h5", ["K", "pi", "p"]),
        **dict.fromkeys(
            ("airshower", "airshower-labelled", "airshower-signal"),
            lambda: simulate_airshower(400, tmp_path / "maps.h5"),
        ),
        "pxd-crop": lambda: toy_hitmaps(tmp_path / "pxd.h5"),
        **dict.fromkeys(("pxd-clusters", "pxd-layers"), lambda: simulate_pxd(8, tmp_path / "pxd.h5")),
    }
    data = files[kind.name]()
    short = {key: value for key, value in SHORT.items() if key.startswith("trainer.")} | _small(preset)
    short |= {"trainer.max_steps": 4, "trainer.max_minutes": None, "trainer.batch_size": 16, "trainer.validations": 2}
    if kind.name.startswith("pxd"):
        short |= {"trainer.batch_size": 4, "trainer.max_steps": 3, "trainer.validations": 1}
    runs = [train(preset, data, tmp_path / name, threads=1, overrides=short) for name in "ab"]
    assert equal_tensors(weights(runs[0].path), weights(runs[1].path))
    for name in ("config.yaml", "transform.json", "manifest.json", "metrics.jsonl", "generator.safetensors"):
        assert (tmp_path / "a" / name).exists(), name
    assert list((tmp_path / "a" / "tensorboard").iterdir())
    lines = read_log(tmp_path / "a" / "metrics.jsonl")
    validations = [line for line in lines if kind.evaluation.selection[0] in line]
    assert [line["step"] for line in validations] == ([3] if kind.name.startswith("pxd") else [2, 4])
    for player in ("critic", "generator"):
        assert all(line[f"{player}/gradient/norm"] > 0 for line in lines if f"{player}/objective" in line)
        assert any(name.startswith(f"{player}/singular/") for name in validations[0])
    sample = load(tmp_path / "a").sample(4, 5)
    assert sample.x.shape == (4, *kind.format.read(data, "all").x.shape[1:])
    assert torch.isfinite(sample.x).all()
    if sample.mask is not None:
        assert (sample.x[..., 2][sample.mask] > 0).all()
    assert torch.equal(load(tmp_path / "b").sample(4, 5).x, sample.x)
    if preset.startswith("pxd-fast"):  # as many hits as are drawn
        with pytest.raises(PartiganError, match="has no form in ONNX, since it decides by the values"):
            onnx_files(load(tmp_path / "a"))
    else:
        onnx_files(load(tmp_path / "a"))  # refused where the samples are not those of torch


@pytest.mark.parametrize(
    ("preset", "geometry"),
    [
        ("calo-wgan", "testbeam"),
        ("calo-gan", "ds1-photons"),
        *((f"pxd-{name}-crop", None) for name in ("biggan", "sagan", "wgan-gp")),
    ],
)
def test_presets_that_train_for_long_have_a_form_in_onnx(preset: str, geometry: str | None, tmp_path: Path) -> None:
    kind, path = find(read(preset)["kind"]), tmp_path / "data.h5"
    data = source(simulate_calorimeter(64, path, geometry) if geometry else toy_hitmaps(path), kind)
    session, real = Session(Run(tmp_path / "run"), read(preset, {} if geometry else _small(preset))), data.training()
    session.prepare({"data": real}, kind.conditions.arguments(real), {})
    state = kind.conditions.state(real, data.describe())
    onnx_files(Model(session.system.networks["generator"].eval(), session.transform, kind, state))


def test_other_seeds_give_other_weights(jet_file: JetFile, tmp_path: Path) -> None:
    data = jet_file()
    runs = [train("mdma", data, tmp_path / str(seed), seed, 1, overrides=SHORT) for seed in (1, 2)]
    assert not equal_tensors(weights(runs[0].path), weights(runs[1].path))


def test_a_new_run_may_have_the_name_of_one_that_comes_with_partigan(
    jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jet_file()
    monkeypatch.chdir(tmp_path)
    run = train("mdma", data, "pxd-fast", threads=1, overrides=SHORT)
    assert run.path == Path("pxd-fast")
    assert load("pxd-fast").kind.name == "jets"


def test_150_particles_need_no_other_preset(jet_file: JetFile, tmp_path: Path) -> None:
    train("mdma", jet_file(300, 150), tmp_path / "r", threads=1, overrides=SHORT)
    assert load(tmp_path / "r").sample(10, 1).x.shape == (10, 150, 3)


def test_killed_at_random_moments_it_ends_with_the_same_weights(jet_file: JetFile, tmp_path: Path) -> None:
    data = jet_file()
    options = {**SHORT, "trainer.max_steps": 100, "trainer.checkpoint_seconds": 0.02}
    began = time.monotonic()
    whole = train("mdma", data, tmp_path / "whole", threads=1, overrides=options)
    seconds = time.monotonic() - began
    job = partial(train, "mdma", data, tmp_path / "killed", threads=1, resume=True, overrides=options)
    kills = 0
    for share in (0.1, 0.4, 0.2):
        before, pid = _newest(tmp_path / "killed"), child(job)
        while _newest(tmp_path / "killed") == before and os.waitid(os.P_PID, pid, NO_WAIT) is None:
            time.sleep(0.01)
        time.sleep(share * seconds)
        os.kill(pid, signal.SIGKILL)
        kills += killed(pid)
    assert kills > 0
    assert not killed(child(job))
    assert equal_tensors(weights(tmp_path / "killed"), weights(whole.path))
    assert equal_tensors(load_tensors(tmp_path / "killed" / "generator.safetensors")[0], load_tensors(whole.weights)[0])
    lines = [read_log(tmp_path / name / "metrics.jsonl") for name in ("whole", "killed")]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]


NO_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _newest(run: Path) -> str:
    return max((path.name for path in (run / "checkpoints").glob("[0-9]*.safetensors")), default="")


def test_sigterm_leaves_a_checkpoint(jet_file: JetFile, tmp_path: Path) -> None:
    options = {**SHORT, "trainer.max_steps": 100_000, "trainer.validations": 10_000}
    data = jet_file()
    pid = child(lambda: train("mdma", data, tmp_path / "r", threads=1, overrides=options))
    while not (tmp_path / "r" / "generator.safetensors").exists():
        assert os.waitid(os.P_PID, pid, NO_WAIT) is None
        time.sleep(0.05)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    checkpoint = Checkpoints(tmp_path / "r" / "checkpoints").newest()
    assert checkpoint is not None
    assert checkpoint[1]["step"] >= 10


def test_resuming_with_other_options_or_data_is_refused(jet_file: JetFile, tmp_path: Path) -> None:
    data = jet_file()
    train("mdma", data, tmp_path / "r", threads=1, overrides=SHORT)
    with pytest.raises(PartiganError, match=r"trainer.batch_size = 32, not 16"):
        train("mdma", data, tmp_path / "r", resume=True, overrides={**SHORT, "trainer.batch_size": 16})
    with pytest.raises(PartiganError, match="was trained on other data"):
        train("mdma", jet_file(seed=9, name="b.h5"), tmp_path / "r", resume=True, overrides=SHORT)
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        train("mdma", data, tmp_path / "r", overrides=SHORT)


def test_minutes_become_steps_once(jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.training.trainer.MEASURE_SECONDS", 0.1)
    options = {
        **SHORT,
        "trainer.gradient_clip": 1.0,
        "trainer.max_steps": 10_000,
        "trainer.max_minutes": 0.02,
        "trainer.validations": 2,
    }
    run = train("mdma", jet_file(), tmp_path / "r", threads=1, overrides=options)
    plan = run.manifest["plan"]
    assert 1 <= plan["max_steps"] < 10_000
    assert run.manifest["finished"]["step"] == plan["max_steps"]
    assert train("mdma", jet_file(), tmp_path / "r", threads=1, resume=True, overrides=options).manifest["plan"] == plan


def test_a_loss_that_is_not_finite_stops_and_says_which(jet_file: JetFile, tmp_path: Path) -> None:
    wild = {**SHORT, "system.terms": {"wild": {"term": "helpers.Exploding"}}}
    with pytest.raises(PartiganError, match=r"step 3: wild of the generator is -?inf; lower the learning rate"):
        train("mdma", jet_file(), tmp_path / "r", threads=1, overrides=wild, trust=True)


def test_a_gradient_that_is_not_finite_stops_and_says_of_which_term(jet_file: JetFile, tmp_path: Path) -> None:
    steep = {**SHORT, "system.terms": {"steep": {"term": "helpers.Steep"}}}
    with pytest.raises(PartiganError, match=r"step 2: the gradient of steep of the generator is nan; lower the"):
        train("mdma", jet_file(), tmp_path / "r", threads=1, overrides=steep, trust=True)


def test_networks_are_told_how_much_of_the_run_is_done(jet_file: JetFile, tmp_path: Path) -> None:
    config = read("mdma", {**SHORT, "trainer.max_steps": 4, "trainer.validations": 1})
    config["system"] = {**REGRESSION, "networks": {"generator": {"helpers.Told": {"blocks": 1}}}}
    config["system"] = {"systems.system.System": config["system"]}
    train(config, jet_file(), tmp_path / "r", threads=1, trust=True)
    assert Told.seen == [0.0, 0.25, 0.5, 0.75]


REGRESSION: dict[str, Any] = {
    "networks": {"generator": {"nets.clouds.mdma.MDMAGenerator": {"blocks": 1}}},
    "phases": {
        "regression": {
            "updates": ["generator"],
            "loss": "helpers.Distance",
            "optimizer": {"torch.optim.Adam": {"lr": 0.01}},
        }
    },
}


def test_one_trainer_for_systems_that_are_no_gan(jet_file: JetFile, tmp_path: Path) -> None:
    config = {**read("mdma", SHORT), "system": {"systems.system.System": REGRESSION}}
    run = train(config, jet_file(), tmp_path / "r", threads=1, trust=True)
    name = "regression/distance"
    losses = [line[name] for line in read_log(run.path / "metrics.jsonl") if name in line]
    assert losses[-1] < 0.8 * losses[0]


def test_what_a_training_says_of_threads_data_and_checkpoints(
    jet_file: JetFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "cores", lambda: 2)
    monkeypatch.setattr(threads, "_fastest", lambda step, agreed: (step(), (1, "measured"))[1])
    data = jet_file(800)
    with h5py.File(data, "r+") as file:
        file["particle_features"][..., 2] *= 0.3
    run = train("mdma", data, tmp_path / "r", overrides=SHORT)
    assert run.manifest["threads"] == torch.get_num_threads() == 1
    said = capsys.readouterr().err
    assert "jets.h5: pt_rel sums to 0.286 in the median jet" in said
    assert "threads: 1 (measured)" in said
    assert "best checkpoint: step " in said
    assert "(real samples: w1m " in said
    (run.path / "generator.safetensors").unlink()
    train("mdma", data, tmp_path / "r", resume=True, overrides=SHORT)
    assert "threads: 1 (as before the interruption)" in capsys.readouterr().err
    threads.set_threads(1)


def test_foreign_classes_need_trust(jet_file: JetFile, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=r"helpers.Exploding.*--trust"):
        train("mdma", jet_file(), tmp_path / "r", overrides={"system.terms.wild.term": "helpers.Exploding"})
    assert not (tmp_path / "r").exists()
    train(
        "mdma",
        jet_file(),
        tmp_path / "r",
        threads=1,
        overrides={
            **SHORT,
            "system.terms": {"wild": {"term": "helpers.Exploding"}},
            "trainer.max_steps": 2,
        },
        trust=True,
    )
    with pytest.raises(PartiganError, match=r"helpers.Exploding.*--trust"):
        load(tmp_path / "r")
    load(tmp_path / "r", trust=True)


def test_a_class_path_in_place_of_a_mapping_is_not_even_imported(jet_file: JetFile, tmp_path: Path) -> None:
    run = train("mdma", jet_file(), tmp_path / "r", threads=1, overrides={**SHORT, "trainer.max_steps": 3})
    config = yaml.safe_load(run.config_file.read_text())
    config["system"]["init_args"]["objective"] = "evil_module.Evil"
    run.config_file.write_text(yaml.safe_dump(config))
    with pytest.raises(PartiganError, match=r"evil_module.Evil.*--trust"):
        load(run.path, verify=False)


@pytest.mark.parametrize("names", [[".git/config", ".env"], ["thesis.tex"], ["transform.json"]])
def test_a_folder_that_is_no_run_keeps_its_files(jet_file: JetFile, tmp_path: Path, names: list[str]) -> None:
    """A folder of hidden files, or with one of a run's names, was emptied by ``resume`` alone."""
    short, data, mine = {**SHORT, "trainer.max_steps": 3}, jet_file(), tmp_path / "mine"
    for name in names:
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("years of work", encoding="utf-8")
    before = content_of(mine)
    for how, message in (({"resume": True}, "not a run that could be resumed"), ({"overwrite": True}, names[0])):
        with pytest.raises(PartiganError, match=message):
            train("mdma", data, mine, threads=1, overrides=short, **how)
    assert content_of(mine) == before
    with pytest.raises(PartiganError, match="lies inside --out"):
        train("mdma", data, tmp_path, threads=1, overwrite=True, overrides=short)


def test_a_run_is_overwritten_with_all_its_files_and_no_other(jet_file: JetFile, tmp_path: Path) -> None:
    short, data, out = {**SHORT, "trainer.max_steps": 3, "trainer.snapshots": 5}, jet_file(), tmp_path / "r"
    train("mdma", data, out, threads=1, overrides=short)
    train("mdma", data, out, threads=1, overwrite=True, overrides=short)
    train("mdma", data, out, threads=1, resume=True, overrides=short)
    (out / "notes.txt").touch()
    with pytest.raises(PartiganError, match=r"did not make: notes\.txt"):
        train("mdma", data, out, threads=1, overwrite=True, overrides=short)
    train("mdma", data, out, threads=1, resume=True, overrides=short)
    assert {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()} == {0o666 & ~_umask()}


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed = -1"),
        ({"threads": 0}, "threads = 0"),
        ({"overrides": {**SHORT, "system.critic_optimizer.lr": -1.0}}, "the optimiser of the critic refuses"),
        ({"overrides": {**SHORT, "system.generator.heads": 5}}, "give a multiple of heads = 5"),
        ({"overrides": {**SHORT, "trainer.precision": "foo"}}, "trainer.precision = 'foo': Precision 'foo' is invalid"),
        ({"overrides": {**SHORT, "trainer.validations": 0}}, "trainer.validations = 0"),
    ],
)
def test_refused_before_anything_is_made(
    jet_file: JetFile, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PartiganError, match=message):
        train("mdma", jet_file(), tmp_path / "r", **{"threads": 1, "overrides": SHORT} | options)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trainer.rules.metric": "fid"}, "no validation metric 'fid'; there are swd, w1, diversity"),
        ({"trainer.rules.patience": 0}, r"trainer.rules.patience = 0"),
    ],
)
def test_bad_rules_are_refused_before_anything_is_made(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    data = simulate_toy("ring", 600, tmp_path / "ring.h5")
    with pytest.raises(PartiganError, match=message):
        train("toys", data, tmp_path / "r", threads=1, overrides=overrides)
    assert not (tmp_path / "r").exists()


def test_a_run_ends_when_it_gets_no_better_and_stays_ended(tmp_path: Path) -> None:
    options = {
        **_small("toys"),
        "trainer.max_steps": 40,
        "trainer.validations": 20,
        "trainer.ema_half_life": 0.0,
        "trainer.rules.metric": "w1",
        "trainer.rules.patience": 3,
        "system.generator_optimizer.lr": 0.0,
        "trainer.accelerator": "cpu",
        "system.critic_optimizer.lr": 0.0,
    }
    data = simulate_toy("ring", 600, tmp_path / "ring.h5")
    for resume in (False, True):
        run = train("toys", data, tmp_path / "r", threads=1, overrides=options, resume=resume)
        finished = run.manifest["finished"]
        assert finished["stopped"] == "no better checkpoint in 3 validations"
        assert finished["step"] == finished["selection"]["step"] + 6  # a validation every two steps
        assert finished["step"] < 40
    assert len(read_log(run.path / "metrics.jsonl")) == finished["step"] + finished["step"] // 2


def test_a_collapse_may_stop_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {
        **_small("toys"),
        "trainer.max_steps": 12,
        "trainer.validations": 6,
        "trainer.rules.collapse": "stop",
        "trainer.ema_half_life": 0.0,
        "system.terms": {"erasing": {"term": "helpers.Erasing"}},
    }
    data = simulate_toy("ring", 600, tmp_path / "ring.h5")
    run = train("toys", data, tmp_path / "r", threads=1, overrides=options, trust=True)
    assert run.manifest["finished"]["step"] == 4
    assert "singular value critic/singular/" in run.manifest["finished"]["stopped"]
    assert "a collapse?" in capfd.readouterr().err


SCRIPT = """
import sys, json
from partigan import train
train("mdma", sys.argv[1], sys.argv[2], threads=1, overrides=json.loads(sys.argv[3]))
"""


def test_two_processes_train_one_run(jet_file: JetFile, tmp_path: Path) -> None:
    options = {**SHORT, "trainer.devices": 2, "trainer.strategy": "ddp"}
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(jet_file()), str(tmp_path / "r"), json.dumps(options)]
    subprocess.run(command, check=True, capture_output=True)
    assert Run(tmp_path / "r").manifest["finished"]["step"] == 12
    alone = train("mdma", jet_file(), tmp_path / "alone", threads=1, overrides=SHORT)
    assert not equal_tensors(weights(tmp_path / "r"), weights(alone.path))


def test_sweights_subtract_a_background_in_the_same_trainer(tmp_path: Path) -> None:
    """Signal at 2 under background at -2, which events of negative weight take away."""
    rng = np.random.default_rng(0)
    mean = np.repeat([2.0, -2.0], [4000, 6000])
    weight = np.concatenate((np.ones(4000), np.where(np.arange(6000) % 2, 1.0, -1.0)))
    rows = mean[:, None] + 0.5 * rng.standard_normal((10_000, 1))
    order = rng.permutation(10_000)
    x, weight = (torch.tensor(column[order]).float() for column in (rows, weight))
    options = {
        "trainer.max_steps": 200,
        "trainer.validations": 2,
        "trainer.accelerator": "cpu",
        "trainer.ema_half_life": 0.05,
        "system.generator.width": 32,
        "system.critic.width": 32,
    }
    train("toys-cramer", Batch(x, weight=weight), tmp_path / "r", threads=1, overrides=options)
    sample = load(tmp_path / "r").sample(4000, 1).x
    assert sample.mean().item() == pytest.approx(2, abs=0.5)
    assert (sample < 0).float().mean() < 0.1  # unweighted it would be 0.6


def test_a_run_is_fine_tuned_and_extended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {**_small("toys"), "trainer.max_steps": 6, "trainer.validations": 2, "trainer.ema_half_life": 0.0}
    ring, grid = (simulate_toy(name, 600, tmp_path / f"{name}.h5") for name in ("ring", "grid"))
    first = train("toys", ring, tmp_path / "first", threads=1, overrides=options)
    before = Checkpoints(first.path / "checkpoints").newest()
    still = [f"--system.{player}_optimizer.lr=0" for player in ("generator", "critic")]
    tuned = Run(tmp_path / "tuned")
    main(["train", "--from", f"{first.path}", "--data", f"{grid}", "--out", f"{tuned.path}", "--threads=1", *still])
    after = Checkpoints(tuned.path / "checkpoints").newest()
    assert before is not None
    assert after is not None
    networks = {name for name in before[0] if name.startswith("network.")}
    assert all(torch.equal(before[0][name], after[0][name]) for name in networks)  # critic and generator
    assert tuned.transform["state"] == first.transform["state"]
    assert tuned.manifest["start"]["trained_on"] == first.trained_on
    assert len(tuned.trained_on) == 2  # neither file counts as one that it has not seen
    assert "all networks of" in capfd.readouterr().err

    more = {**options, "trainer.max_steps": 10}
    for wrong, match in (
        ({**options, "trainer.max_steps": 4}, "was trained with trainer.max_steps = 6, not 4"),
        ({**more, "trainer.batch_size": 7}, "was trained with trainer.batch_size"),
    ):
        with pytest.raises(PartiganError, match=match):
            train("toys", ring, first.path, threads=1, overrides=wrong, resume=True)
    with pytest.raises(PartiganError, match=r"started from .*first; resume with --from"):
        train(Start(tuned.path).config, grid, tuned.path, threads=1, resume=True)
    longer = train("toys", ring, first.path, threads=1, overrides=more, resume=True)
    assert longer.manifest["finished"]["step"] == 10
    assert longer.manifest["extended"] == [{"from": 6, "to": 10, "at": 6}]
    assert "now those of a run of 10 steps" in capfd.readouterr().err
    again = train("toys", ring, first.path, threads=1, overrides=options, resume=True)  # the first command again
    assert again.manifest["finished"]["step"] == 10


def test_a_batch_that_does_not_fit_into_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = simulate_toy("ring", 600, tmp_path / "ring.h5")
    monkeypatch.setattr("partigan.training.session.free_memory", lambda: 10**6)
    with pytest.raises(PartiganError, match=r"a turn of 200 samples needs .* set --trainer.batch_size \d+ or lower"):
        train("toys", data, tmp_path / "r", threads=1, overrides={"trainer.batch_size": 200})
    assert not (tmp_path / "r").exists()
