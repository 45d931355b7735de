from __future__ import annotations

import numpy as np
import pytest

from partigan.data.pxd import SENSORS
from partigan.physics.scenarios import summary
from partigan.physics.tracking import reconstruct, signal


def test_tracks_without_background_are_measured_as_expected() -> None:
    tracks = signal(4000, np.random.default_rng(0))
    alone = reconstruct(tracks, None)
    true = ~tracks.ghost
    assert not alone.wrong.any()
    assert alone.attached[true].mean() > 0.995
    assert not alone.attached[~true].any()
    for axis, (values, parameters) in enumerate(((alone.d0, 3), (alone.z0, 2))):
        design, weight = tracks.design[true][..., :parameters], np.linalg.inv(tracks.covariance[axis][true])
        errors = np.sqrt(np.linalg.inv(design.swapaxes(1, 2) @ weight @ design)[:, 0, 0])
        assert (values[true] / errors).std() == pytest.approx(1, abs=0.05)
    assert summary(alone)["efficiency"] > 0.99
    on_plane = [SENSORS[s].points([u], [v])[0] for s, u, v in zip(*(c[:50, 0] for c in tracks[:3]), strict=True)]
    slopes = [point[2] / np.hypot(*point[:2]) for point in on_plane]
    np.testing.assert_allclose(slopes, tracks.slope[:50], rtol=0.1)  # they come from the interaction point
