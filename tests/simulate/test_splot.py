"""sWeights against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from partigan.errors import PartiganError
from partigan.simulate.splot import fitted_yields, sweights

RNG = np.random.default_rng(3)
SIGNAL = RNG.random(20_000) < 0.3
MASS = np.where(SIGNAL, RNG.normal(0.5, 0.05, len(SIGNAL)).clip(0.01, 0.99), RNG.random(len(SIGNAL)))
DENSITIES = np.stack([stats.norm.pdf(MASS, 0.5, 0.05), np.ones(len(MASS))], axis=1)
WEIGHTS = sweights(DENSITIES)


def test_yields_are_where_the_likelihood_is_stationary() -> None:
    """Equation 6 of the paper: sum over events of f_k / sum_j N_j f_j is 1 for every population."""
    yields = fitted_yields(DENSITIES)
    assert yields.sum() == pytest.approx(len(MASS))
    assert (DENSITIES / (DENSITIES @ yields)[:, None]).sum(0) == pytest.approx(1, abs=1e-4)
    assert yields[0] == pytest.approx(SIGNAL.sum(), abs=4 * np.sqrt(SIGNAL.sum()))


def test_weights_are_those_of_the_definition() -> None:
    """Event by event with the covariance matrix of the fit written out, and what they must add up to."""
    yields = fitted_yields(DENSITIES)
    total = DENSITIES @ yields
    inverse = [[sum(DENSITIES[:, i] * DENSITIES[:, j] / total**2) for j in range(2)] for i in range(2)]
    covariance = np.linalg.inv(inverse)
    for event in (0, 7, 19_999):
        expected = [sum(covariance[k] * DENSITIES[event]) / total[event] for k in range(2)]
        assert WEIGHTS[event] == pytest.approx(expected, rel=1e-9)
    assert WEIGHTS.sum(1) == pytest.approx(1, abs=1e-3)
    assert WEIGHTS.sum(0) == pytest.approx(yields, rel=1e-4)
    assert (WEIGHTS[:, 0] < 0).any()
    assert np.square(WEIGHTS).sum(0) == pytest.approx(np.diag(covariance), rel=1e-3)  # equation 18


def test_they_leave_the_signal_of_another_variable() -> None:
    """The weighted mean is that of the signal alone; without weights, or with likelihood ratios, it is not."""
    other = np.where(SIGNAL, RNG.normal(1, 1, len(MASS)), RNG.normal(-1, 2, len(MASS)))
    weight = WEIGHTS[:, 0]
    error = np.sqrt(np.square(weight * (other - 1)).sum()) / weight.sum()
    assert abs((weight * other).sum() / weight.sum() - other[SIGNAL].mean()) < 4 * error
    ratio = 0.3 * DENSITIES[:, 0] / (0.3 * DENSITIES[:, 0] + 0.7)
    for wrong in (np.ones(len(MASS)), ratio):
        assert abs((wrong * other).sum() / wrong.sum() - other[SIGNAL].mean()) > 8 * error


@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ([[1.0, 0.5], [0.0, 0.0]], "the densities of event 1"),
        ([[1.0, np.nan]], "the densities of event 0"),
        ([[1.0, -0.5]], "the densities of event 0"),
        ([[1.0, 1.0], [2.0, 2.0]], "too much alike"),
    ],
)
def test_densities_that_cannot_be(densities: list[list[float]], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        sweights(densities)
