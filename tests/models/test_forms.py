"""Torch, compiled C and ONNX give the same physics: the suite's metrics of samples of one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import jet_batch, needs_compiler
from partigan import config
from partigan.data.batch import Batch
from partigan.kinds import find
from partigan.kinds.jets import JETS
from partigan.kinds.kind import Values
from partigan.models.native import NativeGenerator
from partigan.models.native.physical import PhysicalGenerator
from partigan.models.onnx.exporting import session, written
from partigan.run import Run
from partigan.simulate.calorimeter import Task
from partigan.simulate.cherenkov import SPECIES, draw_tracks
from partigan.simulate.rich import Detector
from partigan.training.session import Session

SIZE, PARTICLES = 1200, 12
PROTOCOL = {"metrics": ["w1m", "w1p", "w1efp", "fpd"], "samples": 400, "batches": 3, "mean": "plain"}
CLOUDS: dict[str, dict[str, Any]] = {
    "mdma": {"blocks": 1},
    "mdma-fast": {"generator.generator.blocks": 1},
    "epic": {"layers": 1, "hidden": 16},
    "gapt": {"width": 8, "blocks": 1},
    "mpgan": {"edge": [8, 8], "node": [8]},
}
OTHERS: dict[str, tuple[dict[str, Any], Callable[[np.random.Generator], Batch]]] = {
    "cherenkov-cramer": ({}, lambda rng: draw_tracks(600, SPECIES, 1.0, Detector(), rng)),
    "caloshowergan": ({"factor": 1}, partial(Task.of("ds1-photons", None, "").showers, 300)),
    "calo-mdma": ({"blocks": 1}, partial(Task.of("ds1-photons", None, "").showers, 300)),
}
AGREE = 0.01  # of an error


def forms(preset: str, options: dict[str, Any], real: Batch, folder: Path) -> dict[str, Tensor]:
    """Samples of each form, in physical units, of the same noise, conditions and masks."""
    content = config.read(preset, {f"system.generator.{name}": value for name, value in options.items()})
    kind, run = find(content["kind"]), Session(Run(folder / "run"), content)
    run.prepare({"data": real}, kind.conditions.arguments(real), {})
    plain, transform = run.system.networks["generator"].deployed(), run.transform
    condition = None if real.condition is None else transform.condition(real.condition)
    physical, mask = PhysicalGenerator(plain, transform), real.mask
    noise = plain.noise(len(real), mask, torch.Generator().manual_seed(1))
    compiled = PhysicalGenerator(NativeGenerator(plain, condition, mask), transform)
    opened = session(written(physical, real.condition, mask).SerializeToString())
    given = {"noise": noise, "condition": real.condition, "mask": mask}
    with torch.inference_mode():
        return {
            "torch": physical(noise, real.condition, mask),
            "native": compiled(noise, real.condition, mask),
            "ONNX": torch.from_numpy(opened.run(None, {k: v.numpy() for k, v in given.items() if v is not None})[0]),
        }


def jets() -> Batch:
    """Jets with all numbers of particles, one and the largest among them."""
    made = jet_batch(SIZE, PARTICLES)
    mask = made.mask & (torch.arange(PARTICLES) < 1 + torch.arange(SIZE)[:, None] % PARTICLES)
    assert {1, PARTICLES} <= set(mask.sum(1).tolist())
    return Batch(made.x * mask[..., None], mask)


def measured(real: Batch, x: Tensor) -> dict[str, Any]:
    """The suite's metrics, with the same batches for all forms."""
    real, fake = (Batch(each.abs() if each is x else each, real.mask) for each in (real.x, x))
    values = [Values(JETS.observables.compute(each, {})) for each in (real, fake)]
    return dict(JETS.evaluation.metrics(*values, PROTOCOL, SIZE, seed=1))


@needs_compiler
@pytest.mark.parametrize("preset", CLOUDS)
def test_metrics_of_jets_are_the_same(preset: str, tmp_path: Path) -> None:
    real = jets()
    made = forms(preset, CLOUDS[preset], real, tmp_path)
    wanted = measured(real, made["torch"])
    assert len(wanted) == len(PROTOCOL["metrics"])

    def differs(x: Tensor) -> bool:
        return any(
            abs(found.value - wanted[n].value) > AGREE * wanted[n].error for n, found in measured(real, x).items()
        )

    assert not differs(made["native"])
    assert not differs(made["ONNX"])
    assert differs(made["ONNX"] * torch.tensor([1.05, 1.0, 1.0]))  # planted: 5 % in eta
    for number in (1, PARTICLES):
        some = real.mask.sum(1) == number
        for name in ("native", "ONNX"):
            torch.testing.assert_close(made[name][some], made["torch"][some], rtol=1e-4, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("preset", OTHERS)
def test_quick_metrics_of_others_are_the_same(preset: str, tmp_path: Path) -> None:
    options, draw = OTHERS[preset]
    real = draw(np.random.default_rng(1))
    made = forms(preset, options, real, tmp_path)
    evaluation = find(config.read(preset)["kind"]).evaluation
    wanted, *found = (evaluation.validate(real, Batch(x, condition=real.condition)) for x in made.values())
    for each in found:
        assert each == pytest.approx(wanted, rel=1e-3)
    planted = evaluation.validate(real, Batch(1.1 * made["ONNX"], condition=real.condition))
    assert planted != pytest.approx(wanted, rel=1e-3)
