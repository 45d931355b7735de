from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import toy_hits
from partigan import export, load, train
from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.errors import PartiganError
from partigan.models.model import Model

FRAMEWORK = """
import sys

sys.modules["partigan"] = None  # an import fails
import numpy
import torch

sys.path.insert(0, sys.argv[1])
import generator

model = generator.Model()
model.load_state_dict(torch.load(sys.argv[1] + "/generator.pt", map_location="cpu"))
model.eval()
for parameter in model.parameters():
    parameter.requires_grad = False
torch.set_num_threads(1)
torch.manual_seed(5)
numpy.save(sys.argv[1] + "/events.npy", numpy.stack([generator.generate(model).numpy() for _ in range(2)]))
loaded = {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(name for name in loaded if name in ("h5py", "scipy", "jsonargparse", "uproot", "lightning")))
"""
SMALL = {"filters": 1, "latent": 8, "shared": 4, "attention": 0}


def event(model: Model) -> Tensor:
    """An event of our own with torch's global random numbers, as basf2's framework draws them."""
    conditions, rng = model.kind.conditions, torch.default_generator
    deployed: Any = model.deployed()
    condition, _ = conditions.draw(conditions.ready(model.conditions), 40, rng)
    seen = None if condition is None else model.transform.condition(condition)
    with torch.no_grad():
        rows = torch.arange(40).split(conditions.group)
        made = [deployed(deployed.noise(len(r), None, rng), None if seen is None else seen[r], None) for r in rows]
        return model.transform.inverse(Batch(torch.cat(made), None, seen)).x[:, 0]


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hits") / "pxd.h5"
    write_hitmaps(path, [toy_hits(2, 4000, busy=(0, 1))], {})
    return path


@pytest.mark.parametrize("preset", ["pxd-fast", "pe-gan"])
def test_the_framework_makes_our_events(preset: str, hits: Path, tmp_path: Path) -> None:
    run: str | Path = preset
    if preset == "pe-gan":
        options = {f"system.generator.{name}": value for name, value in SMALL.items()}
        options |= {"system.critic.filters": 1, "system.terms": None}
        options |= {"trainer.max_steps": 1, "trainer.batch_size": 2, "trainer.validations": 1}
        run = train(preset, hits, tmp_path / "run", 1, 1, overrides=options).path
    out = export(run, tmp_path / "out", "basf2")
    state = torch.load(out / "generator.pt", map_location="cpu", weights_only=True)
    assert {type(value) for value in state.values()} == {Tensor}
    said = subprocess.run([sys.executable, "-c", FRAMEWORK, out], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
    found = np.load(out / "events.npy")
    assert found.dtype == np.uint8
    assert found.shape == (2, 40, 250, 768)
    assert (found[0] != found[1]).any()
    model = load(run)
    torch.manual_seed(5)
    np.testing.assert_array_equal(found, np.stack([event(model).numpy() for _ in range(2)]).astype(np.uint8))


def test_runs_of_other_kinds_are_refused(two_tables: dict[str, str], tmp_path: Path) -> None:
    short = {"trainer.max_steps": 2, "trainer.batch_size": 32, "trainer.validations": 1}
    run = train("toys-wgan", two_tables["data"], tmp_path / "run", 1, 1, overrides=short).path
    with pytest.raises(
        PartiganError, match="a model for basf2: basf2 takes whole hitmaps of the PXD; this is a run of"
    ):
        export(run, tmp_path / "out", "basf2")
    assert not (tmp_path / "out").exists()
