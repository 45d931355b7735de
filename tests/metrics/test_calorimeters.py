from __future__ import annotations

import numpy as np
import pytest

from metric_cases import rng
from partigan.errors import PartiganError
from partigan.metrics.binned import separation_in_bins, separation_power
from partigan.metrics.calorimeters import (
    energy_edges,
    largest_deviation,
    response,
    response_chi2,
)
from partigan.metrics.classifier import classify, small_network
from partigan.metrics.weighted import Sample, Weighted

ENERGY = np.repeat([512.0, 4096.0, 65536.0], 2000)


def _responses(seed: int, shift: float = 0.0, wider: float = 1.0) -> Sample:
    width = 0.1 / np.sqrt(ENERGY / 1000)
    return Sample(1 + shift + wider * width * rng(seed).standard_normal(len(ENERGY)))


def test_separation_in_published_bins() -> None:
    a, b, c = (rng(seed).normal(mean, 1, 20_000) for seed, mean in ((1, 0), (2, 0), (3, 0.3)))
    edges = np.linspace(-3, 3, 61)
    null, defect = separation_in_bins(a, b, edges), separation_in_bins(a, c, edges)
    assert null is not None
    assert defect is not None
    bias = 59 / 4 * 2 / 20_000  # which the challenge does not subtract
    assert null.value == pytest.approx(bias, abs=4 * null.error)
    assert defect.value > null.value + 10 * defect.error
    (unbiased,) = separation_power(a, c, bins=60)
    assert defect.value - bias == pytest.approx(unbiased.value, rel=0.1)
    same = separation_in_bins(a, a, edges)
    assert same is not None
    assert same.value == 0
    twice = separation_in_bins(Weighted(np.append(a, c), np.repeat([1.0, 0.0], 20_000)), b, edges)
    assert twice is not None
    assert twice.value == pytest.approx(null.value)
    assert separation_in_bins([9.0], [0.0], edges) is None
    assert separation_in_bins([0.0], [9.0], edges) == (1.0, 0.0)
    with pytest.raises(PartiganError, match="negative event weights"):
        separation_in_bins(Weighted([0.0, 1.0], [2.0, -1.0]), b, edges)


def test_responses_that_are_shifted_or_wider_are_seen() -> None:
    edges = energy_edges(ENERGY)
    real, null, shifted, wide = (
        response(sample, ENERGY, edges)
        for sample in (_responses(1), _responses(2), _responses(3, 0.02), _responses(4, 0.0, 1.3))
    )
    assert real.energy == pytest.approx([512, 4096, 65536])
    assert real.mean == pytest.approx(1, abs=0.02)
    assert real.width == pytest.approx(0.1 / np.sqrt(real.energy / 1000), rel=0.1)
    for of, defect, size in (("mean", shifted, 2.0), ("width", wide, 30.0)):
        none, seen = largest_deviation(real, null, of), largest_deviation(real, defect, of)
        assert none is not None
        assert seen is not None
        assert none.value < 3.5 * none.error
        assert seen.value == pytest.approx(size, rel=0.25)
        assert seen.value > 5 * seen.error
    assert largest_deviation(real, null, "mean", least=1e9) is None


def test_chi2_of_responses_is_one_for_equal_and_grows_with_a_shift() -> None:
    real = (_responses(1), ENERGY)
    assert response_chi2(real, (_responses(2), ENERGY)) == pytest.approx(1, abs=0.5)
    assert response_chi2(real, (_responses(2, 0.02), ENERGY)) > 3
    assert response_chi2(real, real) == 0


def test_chi2_of_few_showers_does_not_tell_energies_apart() -> None:
    few = slice(0, 6000, 300)  # 20 showers at three energies
    real, same, shifted = ((_responses(seed, shift)[few], ENERGY[few]) for seed, shift in ((1, 0), (2, 0), (2, 1)))
    assert response_chi2(real, same) < response_chi2(real, shifted)


def test_groups_of_energies() -> None:
    assert len(energy_edges(ENERGY)) == 4
    many = np.geomspace(1e3, 1e6, 5000)
    assert len(edges := energy_edges(many)) == 11
    assert edges[0] < 1e3 < 1e6 < edges[-1]
    assert energy_edges(np.array([5.0, 5.0])).tolist() == [2.5, 10.0]


def test_the_network_sees_what_differs_and_nothing_where_nothing_does() -> None:
    a, b = rng(1).normal(size=(600, 3)), rng(2).normal(size=(600, 3))
    c = rng(3).normal(size=(600, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1]])
    null, defect = (classify(a, x, rng=rng(4), fit_predict=small_network, folds=1).auc for x in (b, c))
    assert abs(null.value - 0.5) < 4 * null.error
    assert defect.value > 0.6
    with pytest.raises(PartiganError, match="takes no event weights"):
        small_network(a, np.zeros(600, int), b, np.ones(600))
