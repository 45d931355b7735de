"""The metrics of the CaloChallenge: each sees a defect that is planted, and accepts other showers of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.calorimeter_evaluation import high_level, low_level
from partigan.kinds.kind import Values
from partigan.metrics.finding import Finding
from partigan.simulate.calorimeter import Task

KIND, KNOWN = find("calorimeter"), geometry("ds1-photons")
DESCRIBED = {"geometry": "ds1-photons"}
QUICK = (
    "sep_layer",
    "sep_total",
    "sep_voxel",
    "sep_ec_eta",
    "sep_ec_r",
    "sep_width_eta",
    "sep_width_r",
    "sep_sparsity",
)
ENERGIES = "fixed, 1024, 4096, 16384"


def _made(size: int, seed: int) -> Batch:
    return Task.of("ds1-photons", None, ENERGIES).showers(size, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def three() -> list[Batch]:
    return [_made(1000, seed) for seed in (1, 2, 3)]


def _values(sample: Batch) -> Values:
    return Values(KIND.observables.compute(sample, DESCRIBED))


def _taken(real: Batch, fake: Batch, names: tuple[str, ...]) -> dict[str, Finding]:
    terms = {**protocols.protocol("calorimeter", "calochallenge", KIND.evaluation.names), "metrics": list(names)}
    found = KIND.evaluation.metrics(_values(real), _values(fake), terms, 1000, 1)
    return {name: one for name, one in found.items() if isinstance(one, Finding)}


def _scaled(sample: Batch) -> Batch:
    return replace(sample, x=1.1 * sample.x)


def _sparser(sample: Batch) -> Batch:
    """Voxels below 5 MeV are lost, and their energy goes to the others."""
    kept = torch.where(sample.x > 5, sample.x, 0.0)
    return replace(sample, x=kept * (sample.x.sum(1) / kept.sum(1).clamp_min(1e-6))[:, None])


def _turned(sample: Batch) -> Batch:
    """Radii of the second layer reversed."""
    x = sample.x.clone()
    x[:, 8:168] = x[:, 8:168].view(-1, 10, 16).flip(2).flatten(1)
    return replace(sample, x=x)


def _one_sided(sample: Batch) -> Batch:
    x = sample.x.clone()
    x[:, 8:168] = x[:, 8:168].view(-1, 10, 16).sort(1, descending=True).values.flatten(1)
    return replace(sample, x=x)


@pytest.mark.parametrize(
    ("defect", "names"),
    [
        (_scaled, ("sep_total", "response_mean")),
        (_sparser, ("sep_sparsity", "sep_voxel")),
        (_turned, ("sep_ec_r", "sep_width_eta", "sep_width_phi", "sep_width_r")),
        (_one_sided, ("sep_ec_eta", "sep_ec_phi")),
    ],
)
def test_defects_are_seen(three: list[Batch], defect: Callable[[Batch], Batch], names: tuple[str, ...]) -> None:
    real, null, other = three
    beside, found = _taken(real, null, names), _taken(real, defect(other), names)
    assert beside.keys() == found.keys() == {*names}
    for name in names:
        error = np.hypot(found[name].error or 0, beside[name].error or 0)
        assert found[name].value > beside[name].value + 4 * error, name


def test_other_showers_of_the_same_kind_are_accepted(three: list[Batch]) -> None:
    one, two = (_taken(three[0], other, (*QUICK, "response_mean")) for other in three[1:])
    for name in one:
        error = np.hypot(one[name].error or 0, two[name].error or 0)
        assert abs(one[name].value - two[name].value) < 4 * error, name


def test_slow_metrics_see_a_defect(three: list[Batch]) -> None:
    names = ("fpd", "auc_high")
    null, found = _taken(three[0], three[1], names), _taken(three[0], _sparser(three[2]), (*names, "auc_low"))
    assert abs(null["auc_high"].value - 0.5) < 4 * (null["auc_high"].error or 0)
    assert found["auc_high"].value > 0.8
    assert found["auc_low"].value > 0.5 + 5 * (found["auc_low"].error or 0)
    assert found["fpd"].value > null["fpd"].value + 3 * (found["fpd"].error or 0)


def test_validation_prefers_what_is_nearer(three: list[Batch]) -> None:
    near, far = (KIND.evaluation.validate(three[0], other) for other in (three[1], _scaled(three[2])))
    assert near["chi2"] < 2 < far["chi2"]
    assert near["frechet"] < far["frechet"]
    own = replace(three[0], x=three[0].x[:, :100])  # a binning that nobody knows
    assert KIND.evaluation.validate(own, own)["frechet"] < 1e-6


def test_features_of_classifiers(three: list[Batch]) -> None:
    values = _values(three[0])
    assert high_level(values, KNOWN).shape == (1000, 1 + 5 + 1 + 4 * 2 + 3 * 5)
    assert low_level(values, KNOWN).shape == (1000, 369)
    assert np.isfinite(high_level(values, KNOWN)).all()
    with pytest.raises(PartiganError, match="5 showers are too few"):
        KIND.evaluation.metrics(values, values, {"metrics": []}, 5, 1)


def test_generation_draws_energies_as_in_training(three: list[Batch]) -> None:
    state = KIND.conditions.state(three[0], {"geometry": "ds1-photons", "features": {"photon showers": "MeV"}})
    condition, mask = KIND.conditions.draw(state, 3000, torch.Generator().manual_seed(1))
    assert mask is None
    assert condition is not None
    assert {*condition[:, 0].tolist()} == {1024.0, 4096.0, 16384.0}
    arguments = KIND.conditions.arguments(three[0])
    assert arguments["features"] == 368
    assert arguments["geometry"] == "ds1-photons"
    assert arguments["energies"] == [1024.0, 16384.0]


def test_conditions_out_of_range_are_named(three: list[Batch]) -> None:
    state = KIND.conditions.state(three[0], {"geometry": "ds1-photons", "features": {"photon showers": "MeV"}})
    assert KIND.conditions.beyond(state, three[1]) == []
    asked = replace(three[1][:4], condition=torch.tensor([[1024.0], [5.0], [4096.0], [99999.0]]))
    (said,) = KIND.conditions.beyond(state, asked)
    assert said.startswith("energy of 2 of 4 samples is outside 1024 to 1.638e+04, on which the run was trained")
    assert "features" in KIND.conditions.fixed  # which name the particle
