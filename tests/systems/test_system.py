from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from helpers import CYCLEGAN, Distance, ToyCritic, ToyGenerator, child, equal_tensors, killed, toy_batch, weights
from partigan import PartiganError, load, train
from partigan.data.samples import read_samples
from partigan.metrics.sliced import sliced_w1
from partigan.simulate.toys import simulate_toy
from partigan.systems.system import Phase, SumOfLosses, System, Tick
from partigan.training.log import read_log


def test_a_cyclegan_is_yaml_alone_trains_is_killed_and_resumes(tmp_path: Path, two_tables: dict[str, str]) -> None:
    """Four networks, three phases, two samples, cycle and identity terms, a history of made samples."""
    config = tmp_path / "cycle.yaml"
    config.write_text(CYCLEGAN)
    whole = train(str(config), two_tables, tmp_path / "whole", threads=1)
    job = partial(train, str(config), two_tables, tmp_path / "killed", threads=1, resume=True)
    pid = child(job)
    while not [*(tmp_path / "killed" / "checkpoints").glob("[0-9]*.safetensors")]:
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    assert killed(pid)
    assert "finished" not in json.loads((tmp_path / "killed" / "manifest.json").read_text())
    assert not killed(child(job))
    assert equal_tensors(weights(tmp_path / "killed"), weights(whole.path))
    names = {name for line in read_log(whole.path / "metrics.jsonl") for name in line}
    assert {
        f"translators/{part}" for part in ("forth.objective", "forth.cycle", "forth.identity", "back.cycle")
    } < names
    assert {"data_critic/score/fake", "simulation_critic/objective", "translators/gradient/norm"} < names
    assert whole.weights.name == "translator.safetensors"
    assert weights(whole.path)["network.history.filled"] == 20
    model = load(whole.path)
    simulation, data = (model.kind.format.read(Path(path), "test") for path in two_tables.values())
    refined = model.refine(simulation)
    assert torch.equal(refined.source, simulation.x)  # type: ignore[arg-type]
    before, after = (sliced_w1(data.x.numpy(), x.numpy(), np.random.default_rng(0)) for x in (simulation.x, refined.x))
    assert after < 0.5 * before
    with pytest.raises(PartiganError, match="makes no samples from noise; use refine"):
        model.sample(3)


def test_samples_that_a_system_needs_and_does_not_get_are_named(tmp_path: Path, two_tables: dict[str, str]) -> None:
    config: dict[str, Any] = yaml.safe_load(CYCLEGAN)
    with pytest.raises(PartiganError, match=r"on data, simulation, and there is no simulation; give --data FILE --sim"):
        train(config, two_tables["data"], tmp_path / "r", threads=1)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"product": "generatr"}, "there is no network 'generatr', the product; the system has generator, critic"),
        ({"updates": ["critics"]}, "no network 'critics', what the phase 'regression' updates"),
        ({"updates": ["generator/layer/deep"]}, "has no part 'layer/deep'"),
        ({"updates": []}, "updates = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"every": 0}, "every = 0"),
    ],
)
def test_systems_that_cannot_be(change: dict[str, Any], message: str) -> None:
    networks = {"generator": ToyGenerator(2), "critic": ToyCritic(2)}
    product = change.pop("product", "generator")
    arguments: dict[str, Any] = {"updates": ["generator"], "loss": Distance(), "optimizer": torch.optim.SGD} | change
    with pytest.raises(PartiganError, match=message):
        System(networks, {"regression": Phase(**arguments)}, product)


def test_a_sum_of_losses_names_its_parts_and_notes() -> None:
    class Noted(Distance):
        def parts(self, networks: Any, samples: Any, tick: Tick) -> dict[str, torch.Tensor]:
            tick.notes["seen"] = torch.ones(())
            return super().parts(networks, samples, tick)

        def needs(self) -> tuple[set[str], set[str]]:
            return {"generator"}, {"data"}

    tick = Tick(0, torch.Generator().manual_seed(0))
    both = SumOfLosses({"a": Noted(), "b": Noted()})
    networks = {"generator": ToyGenerator(5, 3).double()}
    parts = both.parts(networks, {"data": toy_batch(5, 3, masked=True)}, tick)
    assert {*parts} == {"a.distance", "b.distance"}
    assert {*tick.notes} == {"a.seen", "b.seen"}
    assert both.needs() == ({"generator"}, {"data"})


def test_a_toy_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays, and a run directory named after the preset."""
    monkeypatch.chdir(tmp_path)
    rows = load_rows(simulate_toy("ring", 600, tmp_path / "ring.h5"))
    short = {"trainer.max_steps": 4, "trainer.validations": 1, "trainer.accelerator": "cpu"}
    runs = [train("toys", given, threads=1, overrides=short) for given in (rows, {"x": rows}, torch.from_numpy(rows))]
    assert [str(run.path) for run in runs] == ["runs/toys", "runs/toys-2", "runs/toys-3"]
    assert equal_tensors(weights(runs[0].path), weights(runs[1].path))
    assert equal_tensors(weights(runs[0].path), weights(runs[2].path))
    assert load("runs/toys").sample(5).x.shape == (5, 2)


def load_rows(path: Path) -> Any:
    return read_samples(path, "all", "rows", 2).x.numpy()
