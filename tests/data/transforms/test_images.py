from __future__ import annotations

from pathlib import Path

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.images import Rescale
from partigan.errors import PartiganError
from partigan.kinds import find
from partigan.simulate.digits import simulate_digits


def test_images_fill_the_range_and_go_back_exactly(tmp_path: Path) -> None:
    digits = find("images").format.read(simulate_digits(tmp_path / "d.h5"), "all")
    scale = Rescale()
    scale.fit(digits)
    inside = scale.forward(digits)
    assert (inside.x.min(), inside.x.max()) == (-1, 1)
    assert torch.equal(scale.inverse(inside).x, digits.x)
    with pytest.raises(PartiganError, match=r"values from 0 to 1, outside 0\.0 to 0\.5; give --transform"):
        Rescale(0.0, 0.5).fit(digits)


def test_ranges_that_cannot_be_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"1\.0 to 1\.0 of Rescale is empty"):
        Rescale(1.0, 1.0)
    with pytest.raises(PartiganError, match="does not vary"):
        Rescale(None, None).fit(Batch(torch.ones(2, 1, 4, 4)))
