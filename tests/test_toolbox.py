"""docs/toolbox.md: the example trains as it stands there, and every class that the tables name exists."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from partigan.training.monitors import read_log

from partigan import objectives, train
from partigan.config import build, class_named, parse_training
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.errors import PartiganError
from partigan.objectives.augmentations import Augmentation
from partigan.objectives.losses import Objective
from partigan.objectives.terms import Term
from partigan.simulate.toys import simulate_toy

TEXT = (Path(__file__).parents[1] / "docs" / "toolbox.md").read_text()


def test_an_objective_of_ones_own_is_a_class_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = TEXT.split("## An objective of one's own")[1]
    for language, name in (("python", "boundary.py"), ("yaml", "boundary.yaml")):
        found = re.search(rf"```{language}\n(.*?)```", example, re.DOTALL)
        assert found is not None
        (tmp_path / name).write_text(found.group(1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    short = {"trainer.max_steps": 3, "trainer.validations": 1, "trainer.accelerator": "cpu"}
    run = train("boundary.yaml", simulate_toy("ring", 500, tmp_path / "ring.h5"), tmp_path / "run", overrides=short)
    assert run.manifest["finished"]["step"] == 3
    assert run.config(trust=True)["system"]["init_args"]["objective"]["class_path"] == "boundary.BoundarySeeking"
    sys.modules.pop("boundary")


def test_everything_in_the_tables_exists_and_everything_that_exists_is_in_the_tables() -> None:
    """Classes are found by their names, and take the arguments that the tables show."""
    listed = set()
    for name, arguments in re.findall(r"`(?:class_path: )?((?:\w+\.)+[A-Z]\w+)(?:: \{([^}]*)\})?", TEXT):
        if name.startswith(("trainer", "torch", "boundary")):
            continue
        found = class_named(name if name.startswith("partigan.") else f"partigan.{name}")
        listed.add(found.__name__)
        known = inspect.signature(found).parameters
        assert {*re.findall(r"(\w+):", arguments)} <= {*known}, name
    listed |= {name for name in ("Shift", "Mirror") if f"`{name}: " in TEXT}
    for path in Path(objectives.__file__).parent.glob("*.py"):
        module = import_module(f"partigan.objectives.{path.stem}")
        for name, found in vars(module).items():
            ours = inspect.isclass(found) and found.__module__ == module.__name__ and not name.startswith("_")
            if ours and issubclass(found, (Objective, Term, Augmentation)) and not inspect.isabstract(found):
                assert name in listed or name == "Term", f"{name} is not in docs/toolbox.md"


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"class_path": "Shift", "init_args": {"fraction": 2}}, r"fraction = 2\.0 of Shift"),
        ({"class_path": "Flip"}, None),
    ],
)
def test_augmentations_are_named_in_yaml(term: dict[str, object], message: str | None) -> None:
    augmentation = {**term, "class_path": f"partigan.objectives.augmentations.{term['class_path']}"}
    consistency = {
        "class_path": "partigan.objectives.consistency.Consistency",
        "init_args": {
            "augmentations": [augmentation],
            "annealing": {"class_path": "partigan.training.schedules.WarmupCosine"},
        },
    }
    config = parse_training("toys", {"system.terms": [consistency]})
    if message is not None:
        with pytest.raises(PartiganError, match=message):
            build(config)
        return
    (built,) = build(config)[0].phases[0].terms  # type: ignore[attr-defined]
    assert built.factor(1.0) == 0
    assert type(built.augmentations[0]).__name__ == "Flip"


def test_a_constrainer_learns_in_a_phase_of_its_own(tmp_path: Path) -> None:
    energy = torch.rand(2000, 1) * 2 - 1
    rows = torch.cat((energy, -energy), 1) + 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    write_samples(tmp_path / "e.h5", "rows", [Batch(rows, condition=energy)], {}, {"first": "GeV", "second": ""})
    overrides = {
        "system.terms": [{"class_path": "partigan.objectives.conditioning.Constraint"}],
        "system.constrainer": {
            "class_path": "partigan.nets.tables.TableCritic",
            "init_args": {"width": 16, "depth": 1},
        },
        "system.constrainer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
        "system.generator.width": 16,
        "system.critic.width": 16,
        "trainer.max_steps": 150,
        "trainer.validations": 1,
        "trainer.accelerator": "cpu",
    }
    run = train("toys", tmp_path / "e.h5", tmp_path / "r", threads=1, overrides=overrides)
    lines = [line for line in read_log(run.path / "metrics.jsonl") if "constrainer/objective" in line]
    assert lines[-1]["constrainer/objective"] < 0.2 * lines[0]["constrainer/objective"]
    assert np.isfinite([line["generator/Constraint"] for line in lines]).all()
