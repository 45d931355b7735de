from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.images import Asinh, Rescale
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


def test_charges_of_many_orders_of_magnitude() -> None:
    """Linear below the median of what is not 0, logarithmic above; nothing below 0 where the sample has none."""
    images = Batch(torch.tensor([0.0, 0.0, 0.01, 1.0, 1e6]).view(5, 1, 1, 1))
    scale = Asinh()
    scale.fit(images)
    assert scale.unit == 1.0
    inside = scale.forward(images)
    assert inside.x.flatten()[[0, 1, 4]].tolist() == pytest.approx([0, 0, math.asinh(1e6)])
    torch.testing.assert_close(scale.inverse(inside).x, images.x, rtol=5e-6, atol=2e-7)
    more = scale.forward(Batch(torch.tensor([-3.0, 5e6]).view(2, 1, 1, 1)))
    torch.testing.assert_close(scale.inverse(more).x.flatten(), torch.tensor([0.0, 5e6]), rtol=5e-6, atol=0)
    scale.fit(Batch(torch.tensor([-5.0, 1.0]).view(2, 1, 1, 1)))
    assert scale.inverse(scale.forward(Batch(torch.tensor([[[[-7.0]]]])))).x.item() == pytest.approx(-7, rel=1e-5)
    with pytest.raises(PartiganError, match=r"scale = 0\.0 of Asinh; give one above 0"):
        Asinh(0.0)
    with pytest.raises(PartiganError, match="does not vary"):
        Asinh().fit(Batch(torch.ones(2, 1, 4, 4)))


def test_ranges_that_cannot_be_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"1\.0 to 1\.0 of Rescale is empty"):
        Rescale(1.0, 1.0)
    with pytest.raises(PartiganError, match="does not vary"):
        Rescale(None, None).fit(Batch(torch.ones(2, 1, 4, 4)))
