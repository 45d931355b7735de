"""What every kind of data keeps to, from a file over conditions and observables to metrics and figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from helpers import toy_hitmaps, toy_jets
from partigan.data.batch import Batch
from partigan.data.calorimeter_files import write_showers
from partigan.data.clusters import PIXELS
from partigan.data.jets import write_jets
from partigan.data.samples import write_samples
from partigan.evaluation import protocols
from partigan.kinds import KINDS, find, kind_of
from partigan.kinds.kind import Values
from partigan.metrics.finding import Finding
from partigan.simulate.calorimeter import Task
from partigan.simulate.cherenkov import CONDITIONS, TARGETS
from partigan.simulate.pxd import simulate_pxd


@dataclass(frozen=True)
class Case:
    """A toy file of a kind.

    Attributes:
        write: makes it.
        first: the kind that such a file is taken for where it says nothing.
        training: shape of the samples that networks are trained on.
        shape: of all other samples.
    """

    write: Callable[[Path], object]
    first: str
    training: tuple[int, ...]
    shape: tuple[int, ...]


def _rows(path: Path) -> None:
    rows = Batch(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), condition=torch.arange(300) % 4)
    write_samples(path, "rows", [rows], {}, {"a": "GeV", "b": "", "c": "mm"})


def _images(path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(300, 2, 6, 5, generator=draw)
    write_samples(path, "images", [Batch(images, condition=torch.randn(300, 2, generator=draw))], {})


def _traces(path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    traces = Batch(
        torch.rand(300, 1, 30, generator=draw), condition=torch.rand(300, 2, generator=draw), truth=torch.rand(300, 1)
    )
    write_samples(path, "traces", [traces], {}, beside={"conditions": {"r": "km", "t": ""}, "truth": {"e": "EeV"}})


def _showers(path: Path) -> None:
    write_showers(path, [Task.of("ds1-photons", None, "").showers(300, np.random.default_rng(0))], {}, "ds1-photons")


def _airshowers(path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    hit = torch.rand(300, 1, 5, 5, generator=draw) < 0.4
    maps = torch.cat((200 + 900 * torch.rand(300, 1, 5, 5, generator=draw), torch.randn(300, 1, 5, 5)), 1) * hit
    conditions = torch.rand(300, 3, generator=draw)
    columns = {"conditions": {"log_energy": "lg(E/EeV)", "zenith": "rad", "log_mass": "ln A"}}
    write_samples(path, "maps", [Batch(maps, condition=conditions)], {"channels": ["signal", "time"]}, beside=columns)


def _tracks(path: Path) -> None:
    rows, draw = 24_000, torch.Generator().manual_seed(0)
    track = torch.rand(rows, 3, generator=draw) * torch.tensor([4e4, 2.0, 300.0]) + torch.tensor([3e3, 2.0, 9.0])
    species = torch.eye(5)[torch.randint(2, 5, (rows,), generator=draw)]
    x = torch.randn(rows, 5, generator=draw) + species
    beside = {"conditions": CONDITIONS}
    write_samples(path, "rows", [Batch(x, condition=torch.cat((track, species), 1))], {}, TARGETS, beside)


MAP, CROP = (1, 250, 768), (1, 64, 96)
CASES = {
    "jets": Case(lambda path: write_jets(path, [toy_jets(300)], {}), "jets", (30, 3), (30, 3)),
    "tables": Case(_rows, "tables", (3,), (3,)),
    "images": Case(_images, "images", (2, 6, 5), (2, 6, 5)),
    "traces": Case(_traces, "traces", (1, 30), (1, 30)),
    "airshower": Case(_airshowers, "airshower", (2, 5, 5), (2, 5, 5)),
    "airshower-labelled": Case(_airshowers, "airshower", (1, 5, 5), (1, 5, 5)),
    "airshower-signal": Case(_airshowers, "airshower", (1, 5, 5), (1, 5, 5)),
    "cherenkov": Case(_tracks, "cherenkov", (5,), (5,)),
    "calorimeter": Case(_showers, "calorimeter", (368,), (368,)),
    "pxd": Case(toy_hitmaps, "pxd", MAP, MAP),
    "pxd-crop": Case(toy_hitmaps, "pxd", CROP, CROP),
    "pxd-clusters": Case(lambda path: simulate_pxd(8, path), "pxd", (sum(PIXELS),), MAP),
    "pxd-layers": Case(lambda path: simulate_pxd(8, path), "pxd", (sum(PIXELS),), MAP),
}


def test_every_kind_has_a_case() -> None:
    assert CASES.keys() == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_kinds_keep_their_contracts(name: str, tmp_path: Path) -> None:
    case, kind, path = CASES[name], find(name), tmp_path / "real.h5"
    case.write(path)

    # files
    assert kind.name == name
    assert kind.format.recognises(path)
    assert kind_of(path).name == case.first
    training, valid = kind.format.training(path), kind.format.read(path, "valid")
    assert training.x.shape[1:] == case.training
    assert valid.x.shape[1:] == case.shape
    everything = kind.format.read(path, "all")
    assert len(everything) == kind.format.count(path) > len(valid)
    if name != "pxd-crop":  # whose crops are at places that depend on how many are read
        assert torch.equal(kind.format.read(path, (40, 10**6)).x, everything.x[40:])
    description = kind.format.describe(path)
    assert json.loads(json.dumps(description)) == description
    assert not [key for key in kind.format.attributes(path) if key.startswith("split_")]

    # conditions
    parts = kind.conditions
    assert parts.chunk % parts.block == 0
    json.dumps(parts.arguments(training))
    state = parts.state(training, description)
    assert json.loads(json.dumps(state)) == state
    size = 40
    drawn = [parts.draw(state, size, torch.Generator().manual_seed(1)) for _ in range(2)]
    for one, two, like in zip(*drawn, (valid.condition, valid.mask), strict=True):
        assert (one is None) == (like is None)
        if one is not None:
            assert torch.equal(one, two)
            assert len(one) == size
            told = parts.told(one)
            assert told.shape == (size, *like.shape[1:])
            assert told.dtype == like.dtype
    classes = parts.classes(valid)
    assert classes is None or classes.shape == (len(valid),)

    # observables
    seen = Values(kind.observables.compute(valid, description))
    for scalar, (label, _) in kind.observables.scalars(description).items():
        assert label
        assert seen[scalar].shape == (len(valid),)
        assert np.isfinite(seen[scalar]).all()

    # evaluation
    found = kind.evaluation.validate(valid, valid)
    assert set(kind.evaluation.selection) <= found.keys()
    assert all(abs(found[metric]) < 1e-6 for metric in kind.evaluation.selection)
    terms = protocols.protocol(name, protocols.names(name)[0], kind.evaluation.names)
    metrics = kind.evaluation.metrics(seen, seen, terms, len(valid), 1)
    assert metrics
    assert metrics.keys() <= set(kind.evaluation.names)
    assert set(terms["metrics"]) <= set(kind.evaluation.names)
    assert all(
        isinstance(finding, Finding) and finding.label and np.isfinite(finding.value) for finding in metrics.values()
    )
    figures = kind.evaluation.figures(seen, seen)
    assert figures
    plt.close("all")

    # event weights: samples of weight 0 are not there
    nothing = replace(valid, x=torch.zeros_like(valid.x))
    weight = torch.tensor([3.0, 0.0]).repeat_interleave(len(valid))
    weighted = replace(Batch.joined([valid, nothing]), weight=weight)
    assert kind.evaluation.weighted
    again = kind.evaluation.validate(weighted, valid)
    assert again == pytest.approx(found, abs=1e-6)
    values = Values(kind.observables.compute(weighted, description), weight.double().numpy())
    assert values.size == len(valid)
    assert kind.evaluation.metrics(values, seen, terms, len(valid), 1).keys() == metrics.keys()
    assert kind.evaluation.figures(values, seen).keys() == figures.keys()
    plt.close("all")
    kind.evaluation.label(path)

    # generated samples
    kind.format.write(tmp_path / "fake.h5", [valid[:40], valid[40:]], {"kind": name, "seed": 1}, state)
    again = kind.format.read(tmp_path / "fake.h5", "all", finite=False)
    assert torch.equal(again.x, valid.x)
    assert kind.format.attributes(tmp_path / "fake.h5")["seed"] == 1
    assert kind_of(tmp_path / "fake.h5").name in (name, *kind.format.also)
