"""Reconstructions on data: planted faults are found, and two samples of one world are not told apart."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import rng
from partigan.errors import PartiganError
from partigan.metrics.downstream import Labelled, reconstruction, remaining, separation
from partigan.metrics.measurement import Measurement


def world(seed: int, rows: int = 3000, gain: float = 1.0, noise: float = 0.1) -> Labelled:
    """Two observables of a number: one proportional to it, one of nothing."""
    draw = rng(seed)
    y = draw.uniform(1, 2, rows)
    return Labelled(np.stack([gain * y + noise * draw.standard_normal(rows), draw.standard_normal(rows)], axis=1), y)


def test_the_same_world_has_no_bias() -> None:
    found = reconstruction(world(1), world(2), rng())
    assert abs(found.bias.value) < 4 * found.bias.error
    assert found.resolution.value == pytest.approx(0.1, rel=0.15)
    assert 0 < found.resolution.error < 0.01


def test_a_planted_gain_is_a_bias_and_planted_noise_a_resolution() -> None:
    gained = reconstruction(world(1, gain=1.1), world(2), rng())
    assert gained.bias.value == pytest.approx(-0.13, abs=0.02)
    assert gained.bias.value < -10 * gained.bias.error
    blurred = reconstruction(world(1), world(2, noise=0.3), rng())
    assert blurred.resolution.value > 0.2


def test_errors_are_those_of_other_samples() -> None:
    """The spread of the bias over worlds of their own is not above what one of them says."""
    found = [reconstruction(world(seed, 600), world(seed + 100, 600), rng(), fits=2).bias for seed in range(6)]
    spread = np.std([bias.value for bias in found], ddof=1)
    assert spread < 3 * np.mean([bias.error for bias in found])


def test_classes_are_told_apart_as_well_as_they_can_be() -> None:
    def classes(seed: int, apart: float) -> Labelled:
        draw = rng(seed)
        y = draw.integers(0, 2, 2000).astype(float)
        return Labelled(np.stack([y * apart + draw.standard_normal(2000), draw.standard_normal(2000)], axis=1), y)

    far, none = (separation(classes(1, apart), classes(2, apart), rng()) for apart in (2.0, 0.0))
    assert far.value == pytest.approx(0.92, abs=0.03)  # Phi(2 / sqrt 2)
    assert abs(none.value - 0.5) < 4 * none.error
    wrong = separation(Labelled(classes(1, 2.0).x, 1 - classes(1, 2.0).y), classes(2, 2.0), rng())
    assert wrong.value < 0.15


def test_what_is_left_of_a_gap() -> None:
    raw, data = Measurement(0.30, 0.01), Measurement(0.10, 0.01)
    assert remaining(raw, data, data).value == 0  # type: ignore[union-attr]
    assert remaining(raw, raw, data).value == pytest.approx(1)  # type: ignore[union-attr]
    assert remaining(raw, Measurement(0.0, 0.01), data).value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert remaining(Measurement(0.11, 0.01), data, data) is None


def test_samples_that_are_too_small_or_of_one_class() -> None:
    with pytest.raises(PartiganError, match="50 rows are too few"):
        reconstruction(world(1, 50), world(2), rng())
    one = Labelled(world(1).x, np.ones(3000))
    with pytest.raises(PartiganError, match="all rows are of one class"):
        separation(one, one, rng())
