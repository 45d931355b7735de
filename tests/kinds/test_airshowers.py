"""Metrics of air showers accept more of the same and reject planted defects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from partigan.data.batch import Batch
from partigan.evaluation.inputs import Request, read_inputs
from partigan.kinds import find, kind_of
from partigan.kinds.kind import Values
from partigan.metrics.finding import Finding
from partigan.simulate.airshower import simulate_airshower

KIND = find("airshower")
TERMS = {"metrics": list(KIND.evaluation.names)}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batch, Batch]:
    path = simulate_airshower(4000, tmp_path_factory.mktemp("showers") / "a.h5")
    return KIND.format.read(path, (0, 2000)), KIND.format.read(path, (2000, 4000))


def taken(real: Batch, fake: Batch) -> dict[str, Finding]:
    described = {"channels": ["signal", "time"]}
    seen = [Values(KIND.observables.compute(sample, described)) for sample in (real, fake)]
    return KIND.evaluation.metrics(*seen, TERMS, 2000, 1)  # type: ignore[return-value]


def _louder(sample: Batch) -> Batch:
    return Batch(sample.x * torch.tensor([1.3, 1.0])[:, None, None], condition=sample.condition)


def _fewer(sample: Batch) -> Batch:
    return Batch(sample.x * (sample.x[:, :1] > 300), condition=sample.condition)


def _flat(sample: Batch) -> Batch:
    noise = torch.randn(len(sample), 1, 9, 9, generator=torch.Generator().manual_seed(1))
    late = 400 * noise * (sample.x[:, :1] > 0)
    return Batch(torch.cat((sample.x[:, :1], sample.x[:, 1:] + late), 1), condition=sample.condition)


def _unconditional(sample: Batch) -> Batch:
    assert sample.condition is not None
    return Batch(sample.x, condition=sample.condition.roll(7, 0))


@pytest.mark.parametrize(
    ("defect", "metrics"),
    [
        (_louder, ("observables",)),
        (_fewer, ("observables", "frechet", "occupancy")),
        (_flat, ("observables",)),
        (_unconditional, ("dependence",)),
    ],
)
def test_planted_defects(
    samples: tuple[Batch, Batch], defect: Callable[[Batch], Batch], metrics: tuple[str, ...]
) -> None:
    real, other = samples
    null, bad = taken(real, other), taken(real, defect(other))
    for name in metrics:
        error = float(np.hypot(null[name].error or 0, bad[name].error or 0))
        assert bad[name].value > null[name].value + 5 * error, name


def test_figures_of_conditions_and_of_signals_alone(samples: tuple[Batch, Batch]) -> None:
    real, other = (Values(KIND.observables.compute(sample[:300], {})) for sample in samples)
    figures = KIND.evaluation.figures(real, other)
    for title in (
        "Events, lg(1 + signal)",
        "Events, arrival times after the first station (us)",
        "Lateral distribution",
        "Front of arrival times",
        "Total signal over lg(E/EeV)",
        "Triggered stations over zenith angle (rad)",
        "Curvature of the front over ln A",
    ):
        assert title in figures
    alone = find("airshower-signal").format.check(samples[0][:100])
    assert alone.x.shape[1] == 1
    assert alone.condition is None
    columns = Values(KIND.observables.compute(alone, {"channels": ["signal"]}))
    assert "zenith" not in columns
    assert "Total signal over lg(E/EeV)" not in KIND.evaluation.figures(columns, columns)
    plt.close("all")


def test_networks_are_told_of_the_array_and_of_the_columns(tmp_path: Path) -> None:
    path = simulate_airshower(20, tmp_path / "a.h5", layout="axial")
    told = KIND.conditions.of_file(KIND.format.describe(path))
    assert told == {"layout": "axial", "spacing": 1500.0, "energy": 0, "zenith": 1}
    signals = find("airshower-signal")
    told = signals.conditions.of_file(signals.format.describe(path))
    assert told == {"layout": "axial", "spacing": 1500.0, "energy": -1, "zenith": -1}
    labelled = find("airshower-labelled")
    assert labelled.conditions.of_file(labelled.format.describe(path))["zenith"] == 1
    sample = labelled.format.read(path, "all")
    assert sample.x.shape[1] == 1
    assert sample.condition is not None
    assert sample.condition.shape[1] == 3


def test_layouts_are_those_of_the_file(tmp_path: Path) -> None:
    """A direction that is fitted with the positions of another layout is wrong."""
    path = simulate_airshower(300, tmp_path / "a.h5", layout="axial", energies=(19.5, 20.0))
    sample, described = KIND.format.read(path, "all"), KIND.format.describe(path)
    assert sample.condition is not None
    zenith = np.degrees(sample.condition[:, 1].numpy())
    right, wrong = (
        np.median(np.abs(KIND.observables.compute(sample, given)["zenith"] - zenith))
        for given in (described, {**described, "layout": "cartesian"})
    )
    assert right < 2 < wrong


def test_signals_are_compared_with_files_that_hold_times_too(tmp_path: Path) -> None:
    real = simulate_airshower(300, tmp_path / "real.h5")
    signal = find("airshower-signal")
    sample = signal.format.read(real, "all")
    state = signal.conditions.state(sample, signal.format.describe(real))
    signal.format.write(tmp_path / "fake.h5", [sample], {"kind": "airshower-signal"}, state)
    assert kind_of(tmp_path / "fake.h5").name == "airshower-signal"
    inputs = read_inputs(Request(real, tmp_path / "fake.h5"))
    assert inputs.real.batch.x.shape[1] == inputs.generated.batch.x.shape[1] == 1
    assert {*inputs.names} == {"total", "stations", "largest", "slope", "s1000"}
