from __future__ import annotations

import numpy as np
import pytest

from helpers import assert_same_hits, toy_hits
from partigan.data.hitmaps import Hitmaps, crops
from partigan.data.pxd import SENSORS
from partigan.errors import PartiganError


def test_events_of_no_hits_and_hits_in_any_order() -> None:
    empty = Hitmaps.of(2, *(np.zeros(0, int) for _ in range(5)))
    assert len(empty) == 2
    assert empty.dense(range(80)).sum() == 0
    sample = Hitmaps.of(1, [0, 0, 0, 0], [5, 5, 1, 5], [9, 9, 3, 2], [7, 7, 3, 7], [20, 30.9, 9, 0])
    assert sample.counts[0, [1, 5]].tolist() == [1, 1]  # the larger charge of a pixel, none of charge 0
    assert sample.charge.tolist() == [9, 30]
    image = sample.dense([5])[0]
    assert image[9, 7] == 30
    assert image.sum() == 30
    assert_same_hits(Hitmaps.of_images(sample.dense(range(40)), range(40)), sample)


def test_overlay_adds_charges_of_a_channel_and_appends_others() -> None:
    signal = Hitmaps.of(2, [0, 0, 1], [5, 5, 39], [9, 0, 3], [7, 0, 3], [250, 20, 9])
    background = Hitmaps.of(2, [0, 0, 1], [5, 6, 5], [9, 9, 9], [7, 7, 7], [200, 30, 40])
    both = signal.overlaid(background)
    assert_same_hits(
        both,
        Hitmaps.of(2, [0, 0, 0, 1, 1], [5, 5, 6, 5, 39], [0, 9, 9, 9, 3], [0, 7, 7, 7, 3], [20, 450, 30, 40, 9], 900),
    )
    assert both.vxd_id.tolist() == [SENSORS[i].vxd_id for i in (5, 5, 6, 5, 39)]
    assert both.dense([5])[0, 9, 7] == 255  # where the ADC ends
    assert_same_hits(both, background.overlaid(signal))
    assert_same_hits(Hitmaps.of_digits(2, both.map // 40, both.vxd_id | 3, both.u, both.v, both.charge), both)
    with pytest.raises(PartiganError, match="2 events of signal with 1 of background"):
        signal.overlaid(background.events(0, 1))
    full = Hitmaps.of(1, [0], [5], [9], [7], [65535], 65535)
    with pytest.raises(PartiganError, match=r"charge = 65785\.0, not a whole number from 0 to 65535"):
        signal.events(0, 1).overlaid(full)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 9, "digit 1 has VxdID 9, which is no sensor of the PXD"),
        (0, -1, "digit 1 has VxdID -1, which is no sensor"),
        (1, 250, "hit 1 has u = 250, not a whole number from 0 to 249"),
        (2, 768, "hit 1 has v = 768, not a whole number from 0 to 767"),
        (3, 65536, "hit 1 has charge = 65536, not a whole number from 0 to 65535"),
    ],
)
def test_digits_that_cannot_be_are_refused(column: int, value: int, message: str) -> None:
    columns = [[8480, 8480], [3, 4], [3, 4], [9, 9]]
    columns[column][1] = value
    with pytest.raises(PartiganError, match=message):
        Hitmaps.of_digits(1, [0, 0], *columns)


def test_crops_are_parts_of_the_maps() -> None:
    sample = toy_hits()
    dense = sample.dense(range(160))
    corners = [(0, 0), (186, 672), (17, 300)]
    for part, one, (u, v) in zip(crops(sample, [3, 85, 90], corners, 64, 96), (3, 85, 90), corners, strict=True):
        np.testing.assert_array_equal(part, dense[one, u : u + 64, v : v + 96])
    with pytest.raises(PartiganError, match="do not all lie inside"):
        crops(sample, [0], [(187, 0)], 64, 96)
