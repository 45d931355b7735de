"""Identification in bins: what it must accept and what it must reject."""

from __future__ import annotations

import numpy as np
import pytest

from partigan.metrics.identification import ETAS, LEAST, MOMENTA, Map, Particles, auc_map, efficiency, momentum_bins

RNG = np.random.default_rng(2)


def tracks(mean: float, size: int = 12_000, background: float = 0.0) -> Particles:
    """Scores about a mean, which falls with momentum; with background of another mean, subtracted by weights."""
    momentum, eta = np.exp(RNG.uniform(np.log(3), np.log(150), size)), RNG.uniform(2, 5, size)
    score = RNG.normal(mean * np.exp(-momentum / 100), 1, size)
    if not background:
        return Particles(score, momentum, eta)
    mixed = RNG.random(size) < background
    score[mixed] = RNG.normal(-3, 1, mixed.sum())
    other = RNG.random(size) < 0.5  # a side band: background alone, of the same shape
    weight = np.where(mixed, np.where(other, 1.0, -1.0), 1.0)
    return Particles(score, momentum, eta, weight)


def test_maps_of_one_distribution_agree_and_others_do_not() -> None:
    real, again, worse = (auc_map(tracks(mean), tracks(0)) for mean in (1.5, 1.5, 1.2))
    assert real.value.shape == (len(MOMENTA) - 1, len(ETAS) - 1)
    assert (real.value[0] > real.value[-1]).all()
    null = again.minus(real)
    assert np.abs(null.value / null.error).max() < 4
    assert 0.5 < np.square(null.value / null.error).mean() < 2
    off = worse.minus(real)
    assert np.square(off.value / off.error).mean() > 4
    assert (off.value < 0).all()


def test_weights_subtract_a_background() -> None:
    """The areas are those of the signal; without weights they are not (the planted defect)."""
    pure, mixed, other = auc_map(tracks(1.5), tracks(0)), tracks(1.5, 40_000, 0.4), tracks(0)
    right = auc_map(mixed, other).minus(pure)
    assert np.abs(right.value / right.error).max() < 4
    wrong = auc_map(Particles(mixed.score, mixed.momentum, mixed.eta), other).minus(pure)
    assert np.abs(wrong.value / wrong.error).min() > 4


def test_bins_with_few_tracks_say_nothing() -> None:
    few = tracks(1.0, LEAST)
    assert np.isnan(auc_map(few, tracks(0)).value).all()
    assert auc_map(few, few).largest() is None
    some = tracks(1.0)
    negative = Particles(some.score, some.momentum, some.eta, np.full(len(some.score), -1.0))
    assert np.isnan(auc_map(negative, some).value).all()
    assert Map(np.array([np.nan, -0.5, 0.1]), np.array([np.nan, 0.2, 0.1])).largest() == (0.5, 0.2)


def test_efficiencies_have_the_errors_of_their_counts() -> None:
    given = Particles(np.array([1.0] * 300 + [-1.0] * 100), np.full(400, 7.0), np.full(400, 3.0))
    found = efficiency(given, 0.0, np.array([5.0, 10.0, 20.0]))
    assert found.value[0] == 0.75
    assert found.error[0] == pytest.approx(np.sqrt(0.75 * 0.25 / 400), rel=0.01)
    assert np.isnan(found.value[1])
    weighted = Particles(given.score, given.momentum, given.eta, np.array([1.0, -1.0] * 50 + [1.0] * 300))
    assert efficiency(weighted, 0.0, np.array([5.0, 10.0])).value[0] == pytest.approx(200 / 300)


def test_bins_of_momentum_hold_as_many_tracks_each() -> None:
    momentum = tracks(1.0).momentum
    counts = np.histogram(momentum, momentum_bins(momentum))[0]
    assert counts.sum() == len(momentum)
    assert counts.max() - counts.min() <= 2
