from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.jets import EPiCStandardise, JetNetScale, LogStandardise
from partigan.errors import PartiganError


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**31), st.integers(1, 40), st.floats(0.1, 10))
def test_the_transform_has_an_exact_inverse(seed: int, particles: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy(np.arange(particles) < rng.integers(1, particles + 1, (20, 1)))
    x = torch.from_numpy(
        np.stack([*rng.normal(0, scale, (2, 20, particles)), rng.lognormal(-4, 2, (20, particles))], -1)
    )
    batch = Batch(x.float() * mask[..., None], mask)
    transform = LogStandardise()
    transform.fit(batch)
    restored = LogStandardise()
    restored.load_state(transform.state())
    back = restored.inverse(transform.forward(batch))
    torch.testing.assert_close(back.x, batch.x, rtol=2e-5, atol=2e-6 * scale)
    assert (back.x[~mask] == 0).all()
    normal = transform.forward(batch).x[mask]
    assert normal.mean(0).abs().max() < 1e-3


def test_a_constant_feature_cannot_be_normalised() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        LogStandardise().fit(Batch(torch.ones(5, 4, 3)))


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


def test_epic_centres_jets_and_keeps_the_smallest_pt() -> None:
    jets = jet_batch(200)
    transform = EPiCStandardise(width=2.0)
    transform.fit(jets)
    normal = transform.forward(jets)
    assert normal.x[jets.mask].std(0).tolist() == pytest.approx([2.0] * 3, rel=1e-4)
    back = transform.inverse(Batch(normal.x - torch.tensor([0.0, 0.0, 9.0]), jets.mask))
    assert back.x[jets.mask][:, 2].min() == transform.lowest
    for made in (back, transform.inverse(normal)):
        axis = (made.x[..., :2] * made.x[..., 2:]).sum(1) / made.x[..., 2:].sum(1)
        assert axis.abs().max() < 1e-5
