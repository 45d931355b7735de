from __future__ import annotations

import numpy as np
import pytest

from partigan.data.hitmaps import Hitmaps
from partigan.errors import PartiganError
from partigan.physics.scenarios import compare, summary, thinned
from partigan.physics.tracking import Reconstruction, reconstruct, signal


def test_the_physics_test_finds_missing_clusters_and_accepts_the_same_simulator(events: Hitmaps) -> None:
    """20 % of the clusters are missing: more than 3 standard deviations; the same simulator again: less than 3."""
    tracks = signal(6000, np.random.default_rng(1))
    one, two = events.events(0, 1), events.events(1, 2)
    backgrounds = (one, two, thinned(two, 0.2, np.random.default_rng(0)))
    real, null, defect = (reconstruct(tracks, background) for background in backgrounds)
    found = [summary(other)["ghost_hits"] - summary(real)["ghost_hits"] for other in (null, defect)]
    error = np.sqrt(2 * summary(real)["ghost_hits"] / tracks.ghost.sum())  # clusters are taken independently
    assert abs(found[0]) < 3 * error
    assert found[1] < -3 * error
    assert summary(defect)["efficiency"] < summary(reconstruct(tracks, None))["efficiency"]
    with pytest.raises(PartiganError, match="same signal"):
        compare(real, reconstruct(signal(6000, np.random.default_rng(2)), None), np.random.default_rng(0))


def test_errors_of_comparisons_are_the_spread_of_replicas() -> None:
    """Independent backgrounds and signals that scatter as in a simple model."""
    rng, size = np.random.default_rng(0), 1500

    def made(ghost: np.ndarray) -> Reconstruction:
        attached = rng.random((size, 2)) < 0.2
        return Reconstruction(
            *rng.normal(0, 1, (2, size)),
            attached,
            attached & ghost[:, None],
            attached.all(1),
            ghost,
            np.arange(size) % 50,
        )

    ghost = np.arange(size) % 3 == 0
    pairs = [compare(made(ghost), made(ghost), np.random.default_rng(0)) for _ in range(10)]
    for name in ("ghost_hits", "fake_rate"):
        spread = np.sqrt(np.mean([pair[name].value ** 2 for pair in pairs]))
        assert np.mean([pair[name].error for pair in pairs]) == pytest.approx(spread, rel=0.6)
