from __future__ import annotations

import numpy as np
import pytest

from partigan.data.pxd import LAYERS, NAMES, SENSORS, sensor_index, sensor_indices
from partigan.errors import PartiganError


def test_sensors_have_one_numeric_order_and_basf2s_numbers() -> None:
    assert len(NAMES) == 40
    assert NAMES[:3] == ("1.1.1", "1.1.2", "1.2.1")
    assert NAMES.index("2.10.1") > NAMES.index("2.9.2")
    assert sensor_index("2.12.2") == 39
    assert SENSORS[0].vxd_id == 8480  # 1.1.1 in basf2
    ids = np.array([sensor.vxd_id for sensor in SENSORS])
    for frame in (0, 1, 31):
        np.testing.assert_array_equal(sensor_indices(ids | frame), np.arange(40))
    assert sensor_indices([0, 3 << 13 | 1 << 8 | 1 << 5, 65535]).tolist() == [-1, -1, -1]
    with pytest.raises(PartiganError, match=r"no PXD sensor '3\.1\.1'"):
        sensor_index("3.1.1")


def test_sensors_stand_where_the_detector_has_them() -> None:
    for sensor in SENSORS:
        layer = LAYERS[sensor.layer]
        corners = sensor.centres([-0.5, 249.5, -0.5], [-0.5, -0.5, 767.5])
        np.testing.assert_allclose(np.linalg.norm(corners[1] - corners[0]), 12.5)
        np.testing.assert_allclose(np.linalg.norm(corners[2] - corners[0]), {1: 44.8, 2: 61.44}[sensor.layer])
        normal = np.array([np.cos(sensor.phi), np.sin(sensor.phi), 0])
        np.testing.assert_allclose(corners @ normal, layer.radius)
        turn = np.cross(corners[0], corners[1])[2]
        assert turn > 0  # u grows with phi
        inner = corners[2, 2] - corners[0, 2]
        assert inner < 0 if sensor.number == 1 else inner > 0  # v grows towards the middle of the ladder
    forward, backward = (SENSORS[i].centres([0], [767.5])[0, 2] for i in (0, 1))
    assert 0 <= forward - backward < 1  # the active areas of a ladder nearly touch
    for layer in LAYERS.values():  # the windmill leaves no gap in phi
        along = layer.shift + np.array([-6.25, 6.25])
        assert np.ptp(np.arctan2(along, layer.radius)) >= 2 * np.pi / layer.ladders
