"""One contract, which every transform keeps."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.clusters import FRAMES, PIXELS
from partigan.data.spectra import SPECTRA
from partigan.data.sticks import CONTEXTS, PRECISION, SLICES
from partigan.data.transforms import Transform
from partigan.data.transforms.calorimeter_hits import HitCloud
from partigan.data.transforms.calorimeter_layers import LayerRatios
from partigan.data.transforms.calorimeters import EnergyShares, VoxelEnergies
from partigan.data.transforms.gaps import JetGaps, aligned
from partigan.data.transforms.hitmaps import ClusterShares, LogIntensity
from partigan.data.transforms.images import Asinh, Rescale
from partigan.data.transforms.jets import EPiCStandardise, JetNetScale, LogStandardise
from partigan.data.transforms.quantiles import Quantiles
from partigan.data.transforms.relative import RelativeQuantiles
from partigan.data.transforms.tables import Standardise
from partigan.data.transforms.traces import LogTrace
from partigan.errors import PartiganError
from partigan.simulate.calorimeter import Task


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def jets() -> Batch:
    return replace(jet_batch(400, 6), weight=torch.rand(400, generator=rng()))


def centred() -> Batch:
    sample = jets()
    axis = (sample.x[..., :2] * sample.x[..., 2:]).sum(1) / sample.x[..., 2:].sum(1)
    x = torch.cat((sample.x[..., :2] - axis[:, None], sample.x[..., 2:]), dim=-1)
    return replace(sample, x=x * sample.mask[..., None])  # type: ignore[index]


def table() -> Batch:
    return Batch(torch.randn(300, 3, generator=rng()) * torch.tensor([1.0, 5.0, 0.1]) + 7, condition=torch.arange(300))


def conditioned() -> Batch:
    """Rows with a discrete and a plain condition and one with a long tail."""
    draw = [torch.randn(300, 1, generator=rng()), torch.randint(5, 9, (300, 1), generator=rng()).float()]
    conditions = torch.cat((draw[0].exp() ** 3, draw[1], (draw[1] > 6).float(), torch.ones(300, 1)), dim=1)
    return replace(table(), condition=conditions)


def tied() -> Batch:
    """Features that are equal below a threshold of a condition, or in some rows, one with an atom, and conditions."""
    sample = conditioned()
    assert sample.condition is not None
    x = torch.randn(300, 4, generator=rng()) * torch.tensor([1.0, 5.0, 2.0, 1.0])
    x[:, 1] = torch.where(sample.condition[:, 0] < 1, x[:, 0], x[:, 1])
    x[200:, 2] = x[200:, 1]
    x[:, 3] = x[:, 3].clamp_min(0)
    return replace(sample, x=x)


def images() -> Batch:
    return Batch(7 * torch.rand(50, 1, 8, 8, generator=rng()) - 2)


def traces() -> Batch:
    return Batch(torch.rand(50, 1, 20, generator=rng()).exp() ** 5)


def hitmaps() -> Batch:
    hit = torch.rand(4, 1, 250, 24, generator=rng()) < 0.1
    return Batch(hit * torch.randint(7, 256, hit.shape, generator=rng()).float(), condition=torch.arange(4))


def clusters() -> Batch:
    hit = torch.rand(40, sum(PIXELS), generator=rng()) < 0.4
    x = hit * torch.randint(7, 256, hit.shape, generator=rng()).float()
    frames = torch.rand(40, sum(FRAMES), generator=rng())
    frames[:, 3] = (hit[:, : PIXELS[0]] * 2 ** torch.arange(PIXELS[0])).sum(1)
    frames[:, 4] = x[:, : PIXELS[0]].sum(1)
    return Batch(x, condition=frames)


def showers() -> Batch:
    return Task.of("ds1-photons", None, "fixed, 2048, 65536").showers(400, np.random.default_rng(1))


def above_threshold(sample: Batch) -> Batch:
    return replace(sample, x=torch.where(sample.x > 1, sample.x, 0.0))


@dataclass(frozen=True)
class Case:
    """A transform and what is promised of it.

    Attributes:
        make: gives one that is not fitted.
        sample: gives what it is fitted to.
        tolerance: relative and absolute, of the inverse on the sample.
        kept: what the inverse gives back of a sample.
        smooth: the inverse is differentiable.
        impossible: constants that no sample can have, with a part of what is said of them.
    """

    make: Callable[[], Transform]
    sample: Callable[[], Batch]
    tolerance: tuple[float, float]
    kept: Callable[[Batch], Batch] = lambda sample: sample
    smooth: bool = True
    impossible: tuple[tuple[str, Any, str], ...] = ()

    def fitted(self) -> tuple[Transform, Batch]:
        transform, sample = self.make(), self.sample()
        transform.fit(sample)
        return transform, sample


SPREAD = (
    ("std", [1.0, 0.0, 1.0], "is not above 0"),
    ("std", [1.0, -1.0, 1.0], "is not above 0"),
    ("lowest", [0.0, 0.0, 1e9], "is above 'highest'"),
)
EVEN = [PRECISION // SLICES] * SLICES
SCALE = (("maxima", [1.0, 0.0, 1.0], "is not above 0"),)
GAPS = (
    ("seen", [[float(knot) for knot in range(9)]] * 3 + [[*range(8), 6.5]], "has quantiles that fall"),
    ("farthest", -1.0, "is below 0"),
)
CASES = {
    "Standardise": Case(Standardise, table, (1e-5, 1e-6), impossible=SPREAD),
    "Standardise of clouds": Case(Standardise, jets, (1e-5, 1e-6)),
    "LogStandardise": Case(
        LogStandardise, jets, (2e-5, 2e-6), impossible=(*SPREAD, ("std", [[1.0] * 3], r"has the shape \(1, 3\)"))
    ),
    "EPiCStandardise": Case(
        EPiCStandardise, centred, (1e-5, 1e-6), impossible=(SPREAD[0], ("mean", [0.0] * 4, "has the shape"))
    ),
    "JetNetScale": Case(JetNetScale, jets, (1e-5, 1e-6), impossible=SCALE),
    "JetNetScale particles": Case(lambda: JetNetScale("particles", cut=1e-6), jets, (1e-5, 1e-6)),
    "JetNetScale feature": Case(lambda: JetNetScale("feature"), jets, (1e-5, 1e-6), impossible=SCALE),
    "JetGaps": Case(lambda: JetGaps(9), jets, (2e-4, 2e-5), aligned, impossible=GAPS),
    "Quantiles": Case(
        Quantiles,
        conditioned,
        (1e-6, 1e-6),
        impossible=(
            ("steps", [[2.0, 1.0], [0.0, 1.0]], "has the shape"),
            ("values", [1.0, 2.0], "is not a list of columns"),
            ("condition_steps", [0.0], "has the shape"),
        ),
    ),
    "RelativeQuantiles": Case(
        RelativeQuantiles,
        tied,
        (1e-5, 1e-5),
        impossible=(
            ("relative", [-1, 0, 1], "does not lead"),
            ("relative", [1, 0, -1, -1], "does not lead"),
            ("relative", [-1, 7, -1, -1], "does not lead"),
            ("places", [1.0, 0.0, 2.0], "has the shape|is not in order"),
        ),
    ),
    "Rescale": Case(lambda: Rescale(None, None), images, (0, 2e-6), impossible=(("high", -9.0, "is not above 'low'"),)),
    "Asinh": Case(
        lambda: Asinh(0.5),
        images,
        (2e-6, 1e-6),
        impossible=(("unit", 0.0, "is not above 0"),),
    ),
    "EnergyShares": Case(
        EnergyShares,
        showers,
        (1e-5, 1e-4),
        above_threshold,
        smooth=False,
        impossible=(("factor", 0.0, "is not above 0"), ("threshold", -1.0, "is below 0")),
    ),
    "VoxelEnergies": Case(
        lambda: VoxelEnergies(1000.0),
        lambda: above_threshold(showers()),
        (1e-5, 1e-4),
        smooth=False,
        impossible=(("threshold", -1.0, "is below 0"),),
    ),
    "LayerRatios": Case(
        LayerRatios,
        showers,
        (2e-3, 1e-3),
        above_threshold,
        smooth=False,
        impossible=(
            ("knots", [9.0, 8.0], "is not a rising list"),
            ("sizes", [0.0] * 5, "is not a list of numbers of voxels"),
            ("threshold", 0.0, "is not above 0"),
            ("seen", [[[1.0, 0.0] + [2.0] * 31] * 10] * 2, "has quantiles that fall"),
        ),
    ),
    "HitCloud": Case(
        HitCloud,
        showers,
        (1e-4, 1e-4),
        above_threshold,
        smooth=False,
        impossible=(
            ("points", 0, "is not a number of points"),
            ("shapes", [[0.0, 8.0]], "is not a list of rows and columns"),
            ("width", [0.0] * 4, "is not above 0"),
            ("mean", [0.0] * 3, "has the shape"),
            ("knots", [9.0, 8.0], "is not a rising list"),
            ("seen", [[1.0, 0.0] + [2.0] * 31] * 2, "has quantiles that fall"),
        ),
    ),
    "LogTrace": Case(LogTrace, traces, (2e-6, 2e-4), impossible=(("std", 0.0, "is not above 0"),)),
    "LogIntensity": Case(
        LogIntensity,
        hitmaps,
        (0, 0),
        smooth=False,
        impossible=(("height", 0, "whole number above 0"), ("height", 2.5, "whole number above 0")),
    ),
    "ClusterShares": Case(
        ClusterShares,
        clusters,
        (0, 0),
        smooth=False,
        impossible=(
            ("counts", [[1] * 257] * SPECTRA, "is no table"),
            ("counts", [[1, 0.5]] * SPECTRA, "are not whole numbers"),
            ("counts", [[]] * SPECTRA, "are not whole numbers"),
            ("counts", [[1, 5]] * 3, "has the shape"),
            ("breaks", [[*EVEN[:-1], 9]] * CONTEXTS, "does not rise from 0 to 1"),
            ("breaks", [[2 * EVEN[0], 0, *EVEN[2:]]] * CONTEXTS, "does not rise from 0 to 1"),
            ("breaks", [EVEN] * 3, "has the shape"),
        ),
    ),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def assert_same(one: Batch, other: Batch) -> None:
    for name in ("x", "mask", "condition", "weight", "source"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        assert a is None or torch.equal(a, b), name


@every
def test_the_inverse_is_exact_and_keeps_what_is_not_features(case: Case) -> None:
    transform, sample = case.fitted()
    before, kept = copy.deepcopy(sample), case.kept(sample)
    normal = transform.forward(sample)
    batches = {"forward": normal, "held": transform.batch(transform.held(sample), rng())}
    for name, batch in batches.items():
        given = copy.deepcopy(batch)
        back = transform.inverse(batch)
        torch.testing.assert_close(back.x, kept.x, rtol=case.tolerance[0], atol=case.tolerance[1], msg=name)
        assert_same(replace(back, x=kept.x), kept)
        assert_same(batch, given)
        if sample.mask is not None:
            assert (back.x[~sample.mask] == 0).all()
            assert (batch.mask is not None) == transform.masked
        if batch.mask is not None:
            assert torch.equal(batch.mask, sample.mask)  # type: ignore[arg-type]
            assert (batch.x[~batch.mask] == 0).all()
    assert_same(sample, before)


@every
def test_the_state_is_json_and_restores_the_transform(case: Case) -> None:
    transform, sample = case.fitted()
    written = json.dumps(transform.state(), allow_nan=False)
    restored = case.make()
    restored.load_state(json.loads(written))
    assert json.dumps(restored.state()) == written
    assert restored.state().keys() == {*transform.constants}
    normal = transform.forward(sample)
    assert_same(restored.forward(sample), normal)
    assert_same(restored.inverse(normal), transform.inverse(normal))


@every
def test_copies_and_devices(case: Case) -> None:
    """Constants are buffers or numbers: a copy is independent, and what moves moves as a whole."""
    transform, sample = case.fitted()
    normal = transform.forward(sample)
    other = copy.deepcopy(transform)
    assert_same(other.forward(sample), normal)
    other.load_state({**other.state(), **CHANGED[type(other)]})
    assert other.state() != transform.state()
    assert_same(transform.forward(sample), normal)
    assert list(transform.parameters()) == []
    tensors = {name for name, value in vars(transform).items() if isinstance(value, Tensor)}
    assert not tensors
    moved = other.to("meta")
    assert {buffer.device.type for buffer in moved.buffers()} <= {"meta"}
    if case.smooth:  # the others take values out by their mask, which has no shape there
        assert moved.forward(sample.to("meta")).x.shape == normal.x.shape
        assert moved.inverse(normal.to("meta")).x.shape == sample.x.shape


CHANGED: dict[type[Transform], dict[str, Any]] = {
    EnergyShares: {"factor": 99.0},
    VoxelEnergies: {"threshold": 99.0},
    LayerRatios: {"threshold": 99.0},
    HitCloud: {"threshold": 99.0},
    LogTrace: {"mean": -1.0},
    Standardise: {"std": [2.0] * 3},
    LogStandardise: {"std": [2.0] * 3},
    EPiCStandardise: {"std": [2.0] * 3},
    JetNetScale: {"maxima": [2.0] * 3},
    JetGaps: {"farthest": 9.0},
    Rescale: {"high": 99.0},
    Quantiles: {"values": [[0.0, 1.0]] * 3, "steps": [[1, 1, 1]] * 3},
    RelativeQuantiles: {"values": [[0.0, 1.0, 2.0]] * 4, "steps": [[1, 1, 1, 1]] * 4},
    Asinh: {"unit": 99.0},
    LogIntensity: {"height": 64},
    ClusterShares: {"counts": [[-7, 5, -247, 3]] * SPECTRA, "breaks": [EVEN] * CONTEXTS},
}


@every
def test_states_that_cannot_be_are_refused_by_the_name_of_the_constant(case: Case) -> None:
    transform, _ = case.fitted()
    state = transform.state()
    text = json.dumps(state)

    def refused(broken: dict[str, Any], name: str, fault: str) -> None:
        for one in (transform, case.make()):
            with pytest.raises(PartiganError, match=f"'{name}' of {type(one).__name__} .*{fault}"):
                one.load_state(broken)
        assert json.dumps(transform.state()) == text

    refused({**state, "colour": 1.0}, "colour", "is unknown")
    for name, value in state.items():
        refused({key: other for key, other in state.items() if key != name}, name, "is missing")
        broken = {**state, name: value[:-1] if isinstance(value, list) else [value] * 2}
        partner = {"relative": "relative|thresholds", "places": "sizes"}.get(
            name, name.replace("values", "steps")
        )  # whose shape is held against that of the other
        refused(broken, partner if partner in state else name, "")
        refused({**state, name: spoiled(value, float("nan"))}, name, "is not finite")
        refused({**state, name: spoiled(value, float("inf"))}, name, "is not finite")
        refused({**state, name: "none"}, name, "is neither a number nor a regular list")
        refused({**state, name: None}, name, "is neither a number nor a regular list")
    for name, value, fault in case.impossible:
        refused({**state, name: value}, name, fault)


def spoiled(value: Any, by: float) -> Any:
    """The same constant with one other number in it."""
    return [spoiled(value[0], by), *value[1:]] if isinstance(value, list) else by


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.smooth])
def test_the_inverse_is_differentiable(name: str) -> None:
    transform, sample = CASES[name].fitted()
    transform.double()
    few = replace(sample[:3], x=sample.x[:3].double(), condition=None, weight=None)
    if few.mask is not None:
        few = replace(few, mask=few.mask & (torch.arange(6) < torch.tensor([6, 4, 5])[:, None]))
        few = replace(few, x=few.x * few.mask[..., None])  # type: ignore[index]
    normal = transform.forward(few)
    if isinstance(transform, Quantiles):  # whose lines have kinks at the rows that it was fitted to
        normal = replace(normal, x=normal.x + 1e-4)
    z = normal.x.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: transform.inverse(replace(normal, x=z)).x, z, eps=1e-7, atol=1e-5)
