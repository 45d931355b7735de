from __future__ import annotations

import numpy as np
import pytest

from helpers import assert_same_hits, toy_hits
from partigan.data.hitmaps import Hitmaps, crops
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


def test_crops_are_parts_of_the_maps() -> None:
    sample = toy_hits()
    dense = sample.dense(range(160))
    corners = [(0, 0), (186, 672), (17, 300)]
    for part, one, (u, v) in zip(crops(sample, [3, 85, 90], corners, 64, 96), (3, 85, 90), corners, strict=True):
        np.testing.assert_array_equal(part, dense[one, u : u + 64, v : v + 96])
    with pytest.raises(PartiganError, match="do not all lie inside"):
        crops(sample, [0], [(187, 0)], 64, 96)
