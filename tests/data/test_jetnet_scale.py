"""The normalisation of the JetNet networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms import JetNetScale


@pytest.mark.parametrize("padding", ["masked", "particles", "feature"])
def test_jetnet_scale_is_undone_exactly(padding: Any) -> None:
    rng = torch.Generator().manual_seed(1)
    mask = torch.arange(10) < torch.randint(1, 11, (50, 1), generator=rng)
    x = torch.rand(50, 10, 3, generator=rng) * mask[..., None]
    transform = JetNetScale(padding, cut=1e-6)
    transform.fit(Batch(x, mask))
    normalised = transform.forward(Batch(x, mask))
    back = transform.inverse(normalised)
    assert (normalised.mask is None) == (padding != "masked")
    assert back.mask is not None
    assert torch.equal(back.mask, mask)
    torch.testing.assert_close(back.x, x, rtol=1e-5, atol=1e-6)


def test_jetnet_scale_keeps_a_particle_in_every_jet() -> None:
    transform = JetNetScale("particles", cut=0.0)
    transform.load_state({"maxima": [1.0, 1.0, 1.0]})
    jets = transform.inverse(Batch(torch.full((3, 4, 3), -0.9)))
    assert jets.mask is not None
    assert jets.mask.sum(1).tolist() == [1, 1, 1]
    assert (jets.x[..., 2][jets.mask] > 0).all()
