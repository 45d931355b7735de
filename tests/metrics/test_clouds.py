from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import rng
from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds


def test_masks_have_one_or_two_shapes_and_all_particles_are_real_without() -> None:
    x, mask = torch.zeros(4, 3, 2), rng().random((4, 3)) < 0.5
    assert Clouds.of(x).real("real").all()
    assert Clouds.of(Clouds(x, mask)).mask is mask
    for same in (mask, mask[..., None], torch.from_numpy(mask).float()):
        np.testing.assert_array_equal(Clouds(x, same).real("real"), mask)
    with pytest.raises(PartiganError, match=r"the mask of the fake sample must be \(4, 3\), not \(4, 2\)"):
        Clouds(x, mask[:, :2]).real("fake")
