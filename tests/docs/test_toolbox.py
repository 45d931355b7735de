"""docs/toolbox.md: every class that the tables name exists, and every class that exists is named."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from partigan import objectives, train
from partigan.config import build, read, resolve
from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.errors import PartiganError
from partigan.objectives.augmentations import Augmentation
from partigan.objectives.losses import Objective
from partigan.objectives.terms import Term
from partigan.training.log import read_log
from partigan.trust import class_named

TEXT = (Path(__file__).parents[2] / "docs" / "toolbox.md").read_text(encoding="utf-8")


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
        ({"objectives.augmentations.Shift": {"fraction": 2}}, r"fraction = 2\.0 of Shift"),
        ("objectives.augmentations.Flip", None),
    ],
)
def test_augmentations_are_named_in_yaml(term: object, message: str | None) -> None:
    consistency = {
        "term": {"objectives.consistency.Consistency": {"augmentations": [term]}},
        "annealing": "systems.schedules.WarmupCosine",
    }
    resolved = resolve(read("toys", {"system.terms": {"consistency": consistency}}))
    if message is not None:
        with pytest.raises(PartiganError, match=message):
            build(resolved)
        return
    loss: Any = build(resolved)[0].phases["critic"].loss
    built = loss.terms["consistency"]
    assert built.strength(1.0) == 0
    assert type(built.term.augmentations[0]).__name__ == "Flip"


def test_a_constrainer_learns_in_a_phase_of_its_own(tmp_path: Path) -> None:
    energy = torch.rand(2000, 1) * 2 - 1
    rows = torch.cat((energy, -energy), 1) + 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    write_samples(tmp_path / "e.h5", "rows", [Batch(rows, condition=energy)], {}, {"first": "GeV", "second": ""})
    overrides = {
        "system.terms": {"constraint": {"term": "objectives.conditioning.Constraint"}},
        "system.networks": {"constrainer": {"nets.tables.TableCritic": {"width": 16, "depth": 1, "conditions": 0}}},
        "system.phases": {
            "constrainer": {
                "updates": ["constrainer"],
                "loss": "systems.losses.ReadingLoss",
                "optimizer": {"torch.optim.Adam": {"lr": 0.01}},
            }
        },
        "system.generator.width": 16,
        "system.critic.width": 16,
        "trainer.max_steps": 150,
        "trainer.validations": 1,
        "trainer.accelerator": "cpu",
    }
    run = train("toys", tmp_path / "e.h5", tmp_path / "r", threads=1, overrides=overrides)
    lines = [line for line in read_log(run.path / "metrics.jsonl") if "constrainer/objective" in line]
    assert lines[-1]["constrainer/objective"] < 0.2 * lines[0]["constrainer/objective"]
    assert np.isfinite([line["generator/constraint"] for line in lines]).all()
