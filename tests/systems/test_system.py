from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from helpers import Distance, ToyCritic, ToyGenerator, equal_tensors, toy_batch, weights
from partigan import PartiganError, load, train
from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.data.samples import read_samples, write_samples
from partigan.metrics.sliced import sliced_w1
from partigan.simulate.toys import TOYS, simulate_toy
from partigan.systems.system import Phase, SumOfLosses, System, Tick
from partigan.training.log import read_log

CYCLEGAN = """
about: {title: Two unpaired tables, paper: arXiv:1703.10593, status: a test}
kind: tables
transform: data.transforms.tables.Standardise
system:
  systems.system.System:
    networks:
      to_data: {nets.tables.TableTranslator: {width: 32, depth: 2}}
      to_simulation: {nets.tables.TableTranslator: {width: 32, depth: 2}}
      data_critic: {nets.tables.TableCritic: {width: 32, depth: 2}}
      simulation_critic: {nets.tables.TableCritic: {width: 32, depth: 2}}
    phases:
      data_critic:
        updates: [data_critic]
        loss: {systems.gan.CriticLoss: {objective: objectives.losses.LeastSquares, critic: data_critic,
          generator: to_data, source: simulation}}
        optimizer: &adam {torch.optim.Adam: {lr: 0.002, betas: [0.5, 0.999]}}
      simulation_critic:
        updates: [simulation_critic]
        loss: {systems.gan.CriticLoss: {objective: objectives.losses.LeastSquares, critic: simulation_critic,
          generator: to_simulation, real: simulation, source: data}}
        optimizer: *adam
      translators:
        updates: [to_data, to_simulation]
        loss:
          systems.system.SumOfLosses:
            losses:
              forth:
                systems.gan.GeneratorLoss:
                  objective: objectives.losses.LeastSquares
                  critic: data_critic
                  generator: to_data
                  source: simulation
                  terms:
                    cycle: {term: {objectives.translation.CycleConsistency: {there: to_data, back: to_simulation,
                      sample: simulation}}, weight: 1.0}
                    identity: {term: {objectives.translation.IdentityMapping: {network: to_data, sample: data}},
                      weight: 0.5}
              back:
                systems.gan.GeneratorLoss:
                  objective: objectives.losses.LeastSquares
                  critic: simulation_critic
                  generator: to_simulation
                  real: simulation
                  source: data
                  terms:
                    cycle: {term: {objectives.translation.CycleConsistency: {there: to_simulation, back: to_data,
                      sample: data}}, weight: 1.0}
        optimizer: *adam
    product: to_data
    source: simulation
trainer: {batch_size: 64, max_steps: 400, validations: 4, checkpoint_seconds: 0.05, accelerator: cpu}
"""
SCRIPT = """
import json, sys
from partigan import train
train(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], threads=1, resume=True)
"""


@pytest.fixture
def two_tables(tmp_path: Path) -> dict[str, str]:
    """A ring, and the same ring elsewhere and wider: simulation and data, not paired."""
    files = {}
    for name, (factor, shift, seed) in {"simulation": (1.0, 0.0, 1), "data": (1.3, 0.7, 2)}.items():
        rows = factor * TOYS["ring"].draw(3000, np.random.default_rng(seed)) + shift
        sample = Batch(torch.from_numpy(rows.astype(np.float32)))
        files[name] = str(tmp_path / f"{name}.h5")
        write_samples(files[name], "rows", [sample], {"kind": "tables"}, {"x": "", "y": ""})
    return files


def test_a_cyclegan_is_yaml_alone_trains_is_killed_and_resumes(tmp_path: Path, two_tables: dict[str, str]) -> None:
    """Four networks, three phases, two samples, cycle and identity terms."""
    config = tmp_path / "cycle.yaml"
    config.write_text(CYCLEGAN)
    whole = train(str(config), two_tables, tmp_path / "whole", threads=1)
    command = [sys.executable, "-c", SCRIPT, str(config), json.dumps(two_tables), str(tmp_path / "killed")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not [*(tmp_path / "killed" / "checkpoints").glob("[0-9]*.safetensors")]:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert "finished" not in json.loads((tmp_path / "killed" / "manifest.json").read_text())
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert equal_tensors(weights(tmp_path / "killed"), weights(whole.path))
    names = {name for line in read_log(whole.path / "metrics.jsonl") for name in line}
    assert {
        f"translators/{part}" for part in ("forth.objective", "forth.cycle", "forth.identity", "back.cycle")
    } < names
    assert {"data_critic/score/fake", "simulation_critic/objective", "translators/gradient/norm"} < names
    assert whole.weights.name == "to_data.safetensors"
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
    with pytest.raises(PartiganError, match=r"on data, simulation, and there is no simulation; give --data data="):
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


def test_the_judge_of_mdma_fast_is_an_ordinary_phase() -> None:
    system = build(resolve(read("mdma-fast")))[0]
    assert [*system.phases] == ["judge", "critic", "generator"]
    assert system.phases["judge"].updates == ["generator/judge"]
    judged = {id(parameter) for parameter in system.networks["generator"].judge.parameters()}  # type: ignore[union-attr]
    assert {id(parameter) for parameter in system.parameters_of(system.phases["judge"])} == judged


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
