"""Cherenkov light against its formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from partigan.simulate.rich import (
    FRANK_TAMM,
    HYPOTHESES,
    MASSES,
    SPECIES,
    Detector,
    acceptance,
    angle,
    delta_log_likelihoods,
    emitted,
    expected_rings,
    of_energy,
    refractive_index,
    sine_squared,
    threshold,
)

DETECTOR = Detector()


def lit(name: str, momentum: float, size: int = 4000) -> tuple[float, float, float]:
    """Mean number of photons of simulated tracks, its error, and their mean angle."""
    rng = np.random.default_rng(1)
    found = emitted(np.full(size, SPECIES.index(name)), np.full(size, float(momentum)), np.ones(size), DETECTOR, rng)
    return (
        len(found.track) / size,
        np.sqrt(max(len(found.track), 1)) / size,
        float(found.theta.mean()) if len(found.theta) else 0.0,
    )


def test_the_gas_is_that_of_rich_1() -> None:
    """The index of 1.0014 at 400 nm and the thresholds of 2.6, 9.3 and 17.7 GeV of arXiv:1211.6759."""
    index = refractive_index(400)
    assert index == pytest.approx(1.0014, abs=3e-5)
    assert refractive_index(200) > refractive_index(600)
    for name, momentum in (("pi", 2.6), ("K", 9.3), ("p", 17.7)):
        at = threshold(MASSES[name], index)
        assert at == pytest.approx(momentum, rel=0.02)
        beta = at / np.hypot(at, MASSES[name])
        assert index * beta == pytest.approx(1, abs=1e-12)
        assert angle(0.999 * at, MASSES[name], index) == 0 < angle(1.001 * at, MASSES[name], index)


@pytest.mark.parametrize(("name", "momentum"), [("e", 3), ("mu", 4), ("pi", 3), ("pi", 60), ("K", 12), ("p", 40)])
def test_angles_and_numbers_of_photons_are_those_of_the_formulas(name: str, momentum: float) -> None:
    """Frank and Tamm by numerical integration, with the textbook's cos(theta) = 1/(n beta)."""
    (low, high), mass = DETECTOR.band, MASSES[name]
    beta = momentum / np.hypot(momentum, mass)

    def density(energy: float) -> float:
        place = (energy - low) / (high - low)
        return DETECTOR.efficiency * 4 * place * (1 - place) * max(1 - 1 / (beta * of_energy(energy)) ** 2, 0)

    def theta(energy: float) -> float:
        return float(np.arccos(min(1 / (beta * of_energy(energy)), 1)))

    total = quad(density, low, high, limit=200)[0]
    mean = quad(lambda energy: density(energy) * theta(energy), low, high, limit=200)[0] / total
    expected = FRANK_TAMM * DETECTOR.length * total
    yields, angles, _ = expected_rings(np.array([float(momentum)]), DETECTOR)
    column = SPECIES.index(name)
    assert yields[0, column] == pytest.approx(expected, rel=0.01)
    assert angles[0, column] == pytest.approx(mean, abs=1e-4)
    number, error, seen = lit(name, momentum)
    assert number == pytest.approx(expected, abs=4 * error)
    assert seen == pytest.approx(mean, abs=5e-5)


def test_below_threshold_there_is_no_light() -> None:
    yields, angles, _ = expected_rings(np.array([5.0]), DETECTOR)
    dark = [SPECIES.index(name) for name in ("K", "p")]
    assert (yields[0, dark] == 0).all()
    assert (angles[0, dark] == 0).all()
    assert lit("K", 5.0, 100)[0] == 0
    assert sine_squared(5.0, MASSES["K"], 1.0014) == 0


def test_the_detector_loses_light_at_both_ends() -> None:
    assert acceptance([3.3]) == pytest.approx(1, abs=0.01)
    assert acceptance([1.6, 5.2]).max() < 0.1


def separation(first: str, second: str, momentum: float, tracks: float, detector: Detector = DETECTOR) -> float:
    """Share of pairs in which the first particle has the larger likelihood ratio over the second."""
    scores = []
    for name in (first, second):
        size = 600
        arguments = [np.full(size, value) for value in (momentum, 3.3, tracks)]
        logs = delta_log_likelihoods(
            np.full(size, SPECIES.index(name)), *arguments, detector, np.random.default_rng(len(name))
        )
        assert np.isfinite(logs).all()
        assert (logs[:, SPECIES.index("pi")] == 0).all()
        scores.append(logs[:, HYPOTHESES.index(first)] - logs[:, HYPOTHESES.index(second)])
    return float((scores[0][:, None] > scores[1]).mean() + 0.5 * (scores[0][:, None] == scores[1]).mean())


def test_likelihoods_tell_particles_where_their_rings_differ() -> None:
    clean = replace(DETECTOR, lost=0.0)
    assert separation("K", "pi", 20.0, 100.0, clean) > 0.998
    assert separation("p", "K", 20.0, 100.0, clean) > 0.998
    assert 0.5 < separation("K", "pi", 150.0, 100.0, clean) < 0.75  # both rings are full
    assert separation("p", "K", 5.0, 100.0, clean) == pytest.approx(0.5, abs=0.05)  # neither gives light


def test_busy_events_make_them_worse() -> None:
    found = [separation("K", "pi", 45.0, tracks) for tracks in (20.0, 200.0, 600.0)]
    assert found[0] > found[1] + 0.01
    assert found[1] > found[2] + 0.02
