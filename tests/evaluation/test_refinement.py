"""The downstream test of refined traces: every number with a fault that it must see and a null that it must accept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from partigan import evaluate
from partigan.data.batch import Batch
from partigan.evaluation import refinement
from partigan.evaluation.inputs import Request, read_inputs
from partigan.evaluation.samples import both_samples
from partigan.evaluation.suite import run_suite
from partigan.kinds import find
from partigan.metrics.finding import Finding
from partigan.simulate.traces import COLUMNS, simulate_traces

GAIN = 0.7  # of the raw simulation that refining has to mend
METRICS = ("downstream", "labels", "unrefined", "classifier")
TRACES = find("traces").format


@pytest.fixture(autouse=True)
def _one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each reconstruction instead of three, in a third of the time."""
    for name in ("reconstruction", "separation"):
        monkeypatch.setattr(refinement, name, partial(getattr(refinement, name), fits=1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_traces(3000, tmp_path_factory.mktemp("traces") / "data.h5", "data", seed=1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """More of the same, which a perfect refiner makes of traces of another gain."""
    path = simulate_traces(1200, tmp_path_factory.mktemp("other") / "other.h5", "data", seed=2)
    return TRACES.read(path, "all")


def found(data: Path, folder: Path, refined: Batch, *names: str) -> dict[str, Finding]:
    """The metrics of refined samples, without their report."""
    TRACES.write(folder / "refined.h5", [refined], {"kind": "traces"}, {"columns": COLUMNS, "bin_ns": 25.0})
    inputs = read_inputs(Request(data, folder / "refined.h5", split="test", metrics=names))
    compared, _ = both_samples(inputs, names, 1)
    rows = run_suite(names, compared, None, 1).taken
    return {name: row.finding for name, row in rows.items()}


def test_a_perfect_refiner_closes_every_gap(data: Path, other: Batch, tmp_path: Path) -> None:
    perfect = found(data, tmp_path, replace(other, source=GAIN * other.x), *METRICS)
    assert perfect["downstream.log_energy.bias.raw"].value > 0.08
    assert abs(perfect["downstream.log_energy.bias.refined"].value) < 0.02
    assert perfect["downstream.log_energy.bias.gap"].value < 0.2
    assert perfect["downstream.mass.auc.refined"].value > 0.8
    assert perfect["unrefined"].value > 0.8
    assert perfect["classifier"].value < 0.6
    for part in ("bias", "resolution"):
        assert perfect[f"labels.log_energy.{part}"].p_value > 1e-3  # type: ignore[operator]


def test_worlds_that_are_alike_have_no_gap(data: Path, other: Batch, tmp_path: Path) -> None:
    alike = found(data, tmp_path, replace(other, source=other.x), "downstream")
    assert "downstream.log_energy.bias.gap" not in alike
    assert "downstream.log_energy.resolution.gap" not in alike


def faults(other: Batch) -> dict[str, Batch]:
    """What a refiner may do wrong with traces of another gain."""
    raw = GAIN * other.x
    order = torch.randperm(len(other), generator=torch.Generator().manual_seed(0))
    return {
        "nothing": replace(other, x=raw, source=raw),
        "too much": replace(other, x=other.x / GAIN, source=raw),
        "other labels": replace(other[order], truth=other.truth, source=raw),
    }


def test_a_refiner_that_does_nothing_or_too_much_is_seen(data: Path, other: Batch, tmp_path: Path) -> None:
    nothing = found(data, tmp_path, faults(other)["nothing"], "downstream", "labels")
    much = found(data, tmp_path, faults(other)["too much"], "labels")
    assert nothing["downstream.log_energy.bias.gap"].value == pytest.approx(1, abs=0.1)
    assert nothing["labels.log_energy.bias"].value < -0.08
    assert much["labels.log_energy.bias"].value > 0.08


def test_labels_that_no_longer_belong_to_their_traces_are_seen(data: Path, other: Batch, tmp_path: Path) -> None:
    """Their distribution alone is perfect."""
    mixed = found(data, tmp_path, faults(other)["other labels"], "classifier", "labels")
    assert mixed["classifier"].value < 0.6
    assert mixed["labels.log_energy.resolution"].value > 0.2


@pytest.mark.drawn
def test_the_report_shows_traces_before_and_after(
    data: Path, other: Batch, tmp_path: Path, draw_only: Callable[..., None]
) -> None:
    draw_only("Inputs and what was made of them", "Total signal, before and after")
    refined = replace(other[:600], source=GAIN * other.x[:600])
    TRACES.write(tmp_path / "refined.h5", [refined], {"kind": "traces"}, {"columns": COLUMNS})
    report = tmp_path / "report"
    evaluate(data, report, fake=tmp_path / "refined.h5", metrics=("ks",), threads=1)
    assert (report / "inputs-and-what-was-made-of-them.png").exists()
    assert (report / "total-signal--before-and-after.png").exists()


def test_without_truth_or_source_there_is_no_such_test(data: Path, other: Batch, tmp_path: Path) -> None:
    TRACES.write(tmp_path / "plain.h5", [replace(other, truth=None)], {"kind": "traces"}, {})
    inputs = read_inputs(Request(data, tmp_path / "plain.h5", metrics=METRICS))
    skipped = run_suite(["downstream"], both_samples(inputs, METRICS, 1)[0], None, 1).skipped
    assert "the truth of these and of real ones" in skipped["downstream"]
