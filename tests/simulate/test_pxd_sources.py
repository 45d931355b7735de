from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from partigan.data.pxd import COLUMNS, LAYER_OF, LAYERS, SENSORS, U_PITCH
from partigan.errors import PartiganError
from partigan.simulate.pxd import simulate_pxd
from partigan.simulate.pxd_parameters import Parameters
from partigan.simulate.pxd_silicon import LENGTH, WIDTH, Tracks
from partigan.simulate.pxd_sources import Curlers, two_photon, with_others

RADIUS = np.array([LAYERS[layer].radius for layer in LAYER_OF])


def event(recrossing: float, seed: int) -> Tracks:
    """Thirty crossings of each sensor."""
    return two_photon(np.repeat(np.arange(40), 30), Parameters(recrossing=recrossing), np.random.default_rng(seed))


def angles(sensor: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Azimuth of points on sensors."""
    shift = np.array([LAYERS[layer].shift for layer in LAYER_OF])[sensor]
    phi = np.array([one.phi for one in SENSORS])[sensor]
    return np.asarray(phi + np.arctan2(shift + u - COLUMNS * U_PITCH / 2, RADIUS[sensor]))


def heights(sensor: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Position along z of points on sensors."""
    outer = np.array([LAYERS[one.layer].outer[one.number - 1] for one in SENSORS])[sensor]
    return np.asarray(outer - np.sign(outer) * v)


def near(first: Tracks, second: Tracks) -> int:
    """Pairs of crossings of the first layer in one event and of the second in another, in a line from the middle."""
    inner, outer = LAYER_OF[first.sensor] == 1, LAYER_OF[second.sensor] == 2
    turned = angles(first.sensor, first.u)[inner, None] - angles(second.sensor, second.u)[outer]
    steep = [heights(each.sensor, each.v) / RADIUS[each.sensor] for each in (first, second)]
    close = np.abs((turned + np.pi) % (2 * np.pi) - np.pi) < 0.15
    return int((close & (np.abs(steep[0][inner, None] - steep[1][outer]) < 0.02)).sum())


@pytest.mark.parametrize(("recrossing", "expected"), [(0.0, False), (1.0, True)])
def test_curlers_that_cross_again_correlate_the_layers(recrossing: float, expected: bool) -> None:
    """Pairs of the same event against those of different ones; without the option there are no more of them."""
    events = [event(recrossing, seed) for seed in range(12)]
    mixed = np.array([np.mean([near(one, other) for other in events if other is not one]) for one in events])
    excess = np.array([near(one, one) for one in events]) - mixed
    significance = excess.mean() / (excess.std() / len(events) ** 0.5)
    assert significance > 10 if expected else abs(significance) < 4


def test_all_crossings_lie_on_one_helix() -> None:
    p = Parameters(recrossing=1.0, survival=0.9)
    rng = np.random.default_rng(1)
    size = 2000
    known = Curlers(
        np.zeros(size, int),
        rng.random(size) * WIDTH,
        rng.random(size) * LENGTH[0],
        7 + 20 * rng.random(size),
        rng.choice([-1, 1], size),
        np.zeros(size, int),
        np.zeros(size),
    )
    s = RADIUS[0] / (2 * known.radius)
    known = known._replace(slope=heights(known.sensor, known.v) / (2 * known.radius * np.arcsin(s)))
    found = with_others(known, p, rng)
    assert abs(len(found.sensor) / size - 1) < 0.15
    s = RADIUS[found.sensor] / (2 * found.radius)
    assert (s < 1).all()
    turned = np.pi * ((found.turn + 1) // 2) + np.where(found.turn % 2, -1, 1) * np.arcsin(s)
    np.testing.assert_allclose(2 * found.radius * turned * found.slope, heights(found.sensor, found.v), atol=1e-9)
    half = np.where(found.turn % 2, np.pi - np.arcsin(s), np.arcsin(s))
    began = np.exp(1j * (angles(found.sensor, found.u) - found.charge * half))
    first = {radius: began[number] for number, radius in enumerate(found.radius)}
    np.testing.assert_allclose(began, [first[radius] for radius in found.radius], atol=1e-9)
    assert {1, 2} == {*LAYER_OF[found.sensor]}
    assert (found.turn > 0).any()
    assert ((found.u >= 0) & (found.u < WIDTH) & (found.v >= 0) & (found.v < LENGTH[found.sensor])).all()


def test_a_share_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=r"with recrossing = 1\.5; it is between 0 and 1"):
        simulate_pxd(1, tmp_path / "a.h5", recrossing=1.5)
