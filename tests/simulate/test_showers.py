"""The parametrisation against the formulas and figures that it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from partigan.simulate.showers import (
    HEIGHT,
    Physics,
    arrival_times,
    counted,
    depth_above,
    depth_behind,
    draw_maxima,
    height_of,
    in_bins,
    maximum_position,
    mean_signals,
)

Powers = tuple[float, float, float]


def test_the_atmosphere_is_smooth_and_can_be_inverted() -> None:
    heights = np.linspace(0, 99e3, 500)
    depths = depth_above(heights)
    assert (np.diff(depths) < 0).all()
    assert depth_above(np.array([0.0]))[0] == pytest.approx(1033.8, abs=1)
    for edge in (7e3, 11.4e3, 37e3):
        low, high = depth_above(np.array([edge - 1e-3, edge + 1e-3]))
        assert low == pytest.approx(high, rel=1e-3)
    np.testing.assert_allclose(height_of(depths), heights, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "mu", "sigma", "shape"),
    [
        ("epos-lhc", (775.589, -7.047, -2.427), (29.403, 13.553, -3.154), (0.563, 0.711, 0.058)),
        ("qgsjetii-04", (761.383, -11.719, -1.372), (35.221, 12.335, -2.889), (0.673, 0.694, -0.007)),
    ],
)
def test_mean_depths_of_the_maximum(model: Any, mu: Powers, sigma: Powers, shape: Powers) -> None:
    """At 10^19 eV, where mu, sigma and lambda are polynomials of ln A: mu + sigma (ln lambda - digamma(lambda))."""
    rng, size = np.random.default_rng(1), 40_000
    for mass in (1.0, 4.0, 56.0):
        drawn = draw_maxima(np.full(size, 19.0), np.full(size, mass), rng, model)
        m, s, k = (np.polynomial.polynomial.polyval(np.log(mass), powers) for powers in (mu, sigma, shape))
        assert drawn.mean() == pytest.approx(m + s * (np.log(k) - special.digamma(k)), abs=5 * drawn.std() / size**0.5)
        assert drawn.std() == pytest.approx(s * special.polygamma(1, k) ** 0.5, rel=0.05)
        assert stats.skew(drawn) > 0.3


def test_more_energy_means_deeper_maxima() -> None:
    rng = np.random.default_rng(1)
    means = [draw_maxima(np.full(9000, e), np.ones(9000), rng, "epos-lhc").mean() for e in (18.5, 19.5)]
    assert means[1] - means[0] == pytest.approx(57, abs=3)


def test_depth_behind_the_maximum_grows_with_the_zenith_angle() -> None:
    xmax = np.full(2, 750.0)
    zenith = np.radians([0.0, 60.0])
    axis = np.stack([np.sin(zenith), 0 * zenith, np.cos(zenith)], axis=1)
    maximum = maximum_position(xmax, axis)
    np.testing.assert_allclose(depth_above(maximum[:, 2] + HEIGHT) / np.cos(zenith), xmax, rtol=1e-6)
    behind = depth_behind(maximum, np.zeros((2, 3)))
    vertical = depth_above(np.array([HEIGHT]))[0]
    np.testing.assert_allclose(behind, vertical / np.cos(zenith) - xmax, rtol=1e-6)


def test_signals_are_the_power_laws_of_the_reference() -> None:
    one, p = np.ones(1), Physics()
    muons, em = mean_signals(19 * one, one, 1000 * one, 100 * one, p)
    assert muons[0] + em[0] == pytest.approx(900)
    assert muons[0] == pytest.approx(270)
    far_muons, far_em = mean_signals(19 * one, one, 2000 * one, 100 * one, p)
    assert far_muons[0] / muons[0] == pytest.approx(2**-4.7)
    assert far_em[0] / em[0] == pytest.approx(2**-6.1)
    assert mean_signals(20 * one, one, 1000 * one, 100 * one, p)[0][0] == pytest.approx(10 * muons[0])
    iron = mean_signals(19 * one, 56 * one, 1000 * one, 100 * one, p)
    assert iron[0][0] / iron[1][0] == pytest.approx(270 / 630 * 56**0.15)
    assert sum(iron)[0] == pytest.approx(900)
    near = mean_signals(19 * one, one, 10 * one, 100 * one, p)
    assert near[0][0] == pytest.approx(270 * 0.15**-4.7)  # as at 150 m
    late = mean_signals(19 * one, one, 1000 * one, 1000 * one, p)
    assert late[1][0] / em[0] == pytest.approx(10**-0.4)


def test_particles_are_counted_and_arrive_log_normally() -> None:
    rng = np.random.default_rng(2)
    numbers = counted(np.full(20_000, 400.0), rng)
    assert numbers.mean() == pytest.approx(399.5, abs=0.7)
    assert numbers.std() == pytest.approx(20, rel=0.03)
    assert (counted(np.full(1000, 0.1), rng) >= 0).all()
    one, p = np.ones(1), Physics()
    muons, em, later = arrival_times(750 * one, 500 * one, p)
    assert (muons[0], em[0]) == pytest.approx((50 + 140 * 0.9, 80 + 200 * 0.95))
    assert later[0] == pytest.approx((em[0] - muons[0]) / 1.5)
    edges = np.arange(0, 2001, 25.0)
    bins = in_bins(np.full(50, 10_000.0), np.full(50, 300.0), np.full(50, 100.0), 0.7, edges, rng).mean(0)
    expected = 10_000 * np.diff(stats.lognorm.cdf(edges - 100, 0.7, scale=300))
    np.testing.assert_allclose(bins, expected, atol=5 * np.sqrt(expected.max() / 50))
    assert bins.sum() < 10_000  # the last arrive after the trace
