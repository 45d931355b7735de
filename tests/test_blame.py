"""Mistakes in a user's own code: one line with class, method and remedy, and never "please report it"."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import partigan
from partigan import PartiganError
from partigan.cli import main
from partigan.config import resolve

OWN = """
import torch
from torch import nn
from partigan.data.batch import Batch
from partigan.kinds.tables import TABLES
from partigan.metrics.finding import Finding
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.tables import TableCritic, TableGenerator
from partigan.objectives.losses import Hinge
from partigan.objectives.terms import Term
from partigan.data.transforms.tables import Standardise
from partigan.systems.schedules import Schedule
from dataclasses import replace

class Forward(TableGenerator):
    def forward(self, noise):
        return super().forward(noise)

class Noise(TableGenerator):
    def noise(self, size):
        return super().noise(size, None, None)

class Gives(TableGenerator):
    def forward(self, noise, condition=None, mask=None):
        return [super().forward(noise, condition, mask)]

class Key(TableGenerator):
    def forward(self, noise, condition=None, mask=None):
        return {}["x"]

class Init(TableGenerator):
    def __init__(self, features: int = 2):
        super().__init__(features, latnt=3)

class NoDefaults(Generator):
    def __init__(self, features: int, latent: int = 4):
        super().__init__()
        self.latent, self.layer = latent, nn.Linear(latent, features)

    def noise(self, size, mask, rng):
        return torch.randn(size, self.latent, generator=rng, device=rng.device)

    def forward(self, noise, condition=None, mask=None):
        return self.layer(noise)

class Untyped(NoDefaults):
    def __init__(self, features, latent=4):
        super().__init__(features, latent)

class Abstract(Generator):
    def forward(self, noise, condition=None, mask=None):
        return noise

class Scores(TableCritic):
    def forward(self, x, condition=None, mask=None):
        return super().forward(x, condition, mask).score

class Judges(TableCritic):
    def forward(self, x):
        return super().forward(x)

class Loss(Hinge):
    def critic(self, real):
        return real.mean()

class Asserts(Hinge):
    def critic(self, real, fake, weight=None, fake_weight=None):
        assert False

class Mild(Term):
    def generator(self):
        return 0.0

class Number(Term):
    def generator(self, turn):
        return 1.0

class Fits(Standardise):
    def fit(self):
        pass

class Steps(Schedule):
    def __call__(self):
        return 1.0

class Adam(torch.optim.Adam):
    def __init__(self, params: list, rate: float = 1.0):
        super().__init__(params, rat=rate)

class Format(type(TABLES.format)):
    def read(self, path):
        return super().read(path, "all")

KIND = replace(TABLES, format=Format())

def greedy(samples, rng, more):
    return Finding("x", 1.0, 1.0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_code.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["rows"] = np.random.default_rng(1).normal(size=(1000, 2)).astype(np.float32)
    yield tmp_path
    sys.modules.pop("own_code", None)


def line_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends with, as something that the user can mend."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    found = [line for line in capsys.readouterr().err.splitlines() if line.startswith("partigan: ")]
    assert ended.value.code == 2, found
    assert len(found) == 1
    assert "report it" not in found[0]
    return found[0]


TRAIN = ["train", "--config", "toys", "--data", "x.h5", "--out", "run", "--trainer.max_steps", "2", "--trust"]


@pytest.mark.parametrize(
    ("option", "value", "parts"),
    [
        ("system.generator", "own_code.Forward", ["Forward.forward", "own_code.py", "base class"]),
        ("system.generator", "own_code.Noise", ["Noise.noise", "own_code.py", "base class"]),
        ("system.generator", "own_code.Gives", ["Gives.forward gives a list", "must give a Tensor"]),
        ("system.generator", "own_code.Key", ["KeyError", "Key.forward, own_code.py line"]),
        ("system.generator", "own_code.Init", ["latnt", "Init.__init__, own_code.py line"]),
        (
            "system.generator",
            "own_code.Untyped",
            ["write the type of features in own_code.Untyped.__init__, such as features: int"],
        ),
        ("system.generator", "own_code.Abstract", ["Abstract", "abstract"]),
        ("system.generator", "own_code.Forwrd", ["own_code.Forwrd", "check the path"]),
        ("system.critic", "own_code.Scores", ["Scores.forward gives a Tensor", "must give a CriticOutput"]),
        ("system.critic", "own_code.Judges", ["Judges.forward", "own_code.py", "base class"]),
        ("system.objective", "own_code.Loss", ["Loss.critic", "own_code.py", "base class"]),
        ("system.objective", "own_code.Asserts", ["AssertionError", "Asserts.critic, own_code.py line"]),
        ("system.terms", "{a: {term: own_code.Mild}}", ["Mild.generator", "own_code.py", "base class"]),
        ("system.terms", "{a: {term: own_code.Number}}", ["the turn of the generator fails"]),
        ("system.schedule", "own_code.Steps", ["Steps.__call__", "own_code.py", "base class"]),
        ("system.generator_optimizer", "own_code.Adam", ["rat", "Adam.__init__, own_code.py line"]),
        ("transform", "own_code.Fits", ["Fits.fit", "own_code.py", "base class"]),
        ("system.generator", "no_such_module.Generator", ["no_such_module", "PYTHONPATH"]),
        ("kind", "no_such_module.KIND", ["no_such_module", "PYTHONPATH"]),
        ("kind", "own_code.KIND", ["Format.read", "own_code.py", "base class"]),
    ],
)
def test_a_mistake_in_ones_own_class(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, parts: list[str]
) -> None:
    said = line_of(capsys, *TRAIN, f"--{option}", value)
    assert all(part in said for part in parts), said
    assert not (folder / "run").exists()


def test_mistakes_in_ones_own_metrics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["evaluate", "--real", "x.h5", "--fake", "x.h5", "--kind", "tables", "--out", "report", "--trust"]
    said = line_of(capsys, *rows, "--metrics", "own_code.greedy")
    assert "greedy() missing 1 required positional argument" in said
    assert "own_code.py" in said
    assert "PYTHONPATH" in line_of(capsys, *rows, "--metrics", "no_such_module.metric")
    assert "own_code.fuor" in line_of(capsys, *rows, "--metrics", "own_code.fuor")


@pytest.mark.parametrize("attributes", [{"kind": "jets"}, {}], ids=str)
def test_jets_without_jet_features(
    folder: Path, capsys: pytest.CaptureFixture[str], attributes: dict[str, str]
) -> None:
    with h5py.File(folder / "jets.h5", "w") as file:
        file["particle_features"] = np.full((50, 5, 4), 0.1, dtype=np.float32)
        file.attrs.update(attributes)
    said = line_of(capsys, "evaluate", "--real", "jets.h5", "--fake", "jets.h5", "--out", "report")
    assert "jets.h5" in said
    assert "no dataset 'jet_features'" in said


@pytest.mark.parametrize(
    "real",
    [
        [[1.0, 2.0], [3.0]],
        np.array(["a", "b"]),
        np.zeros((0, 2)),
        np.zeros(5),
        np.zeros((5, 2), dtype=complex),
        np.zeros((5, 2), dtype=object),
        {"y": np.zeros((5, 2))},
        {},
        None,
        3,
        b"x.h5",
        (np.zeros((5, 2)), np.zeros(5)),
    ],
    ids=str,
)
def test_arrays_that_cannot_be_samples(tmp_path: Path, real: object) -> None:
    good = np.random.default_rng(1).normal(size=(300, 2))
    with pytest.raises(PartiganError) as caught:
        partigan.evaluate(real, tmp_path / "report", good, kind="tables", metrics=("ks",))
    assert "\n" not in str(caught.value)


def test_what_is_needed_stands_in_before_the_data_are_read(folder: Path) -> None:
    content = partigan.config.read("toys", {"system.generator": "own_code.NoDefaults"})
    assert resolve(content, trust=True)["system"]["init_args"]["generator"]["init_args"]["features"] == 1
    with pytest.raises(PartiganError, match="features is missing"):
        resolve(content, {}, trust=True)
