from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.stretching import WIDTHS, JetStretch, aligned, interpolated
from partigan.errors import PartiganError
from partigan.observables.jets import mass, pt_sum, rotated


def fitted(sample: Batch, knots: int = 65) -> JetStretch:
    stretch = JetStretch(knots)
    stretch.fit(sample)
    return stretch


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(2, 60))
def test_the_inverse_is_exact_on_the_training_sample_but_for_orientation(seed: int, particles: int, size: int) -> None:
    sample = jet_batch(size, particles, seed)
    stretch, restored = fitted(sample, 9), JetStretch(9)
    restored.load_state(json.loads(json.dumps(stretch.state())))
    normal = stretch.forward(sample)
    back = restored.inverse(normal)
    torch.testing.assert_close(back.x, aligned(sample).x, rtol=2e-4, atol=2e-5)
    as_it_was = JetStretch(9, align=False)
    as_it_was.load_state(stretch.state())
    torch.testing.assert_close(as_it_was.inverse(as_it_was.forward(sample)).x, sample.x, rtol=2e-4, atol=2e-5)
    assert sample.mask is not None
    assert (back.x[~sample.mask] == 0).all()
    assert (normal.x[~sample.mask] == 0).all()


def test_stretched_jets_have_the_widths_and_errors_shrink_on_the_way_back() -> None:
    sample = jet_batch(4000)
    stretch = fitted(sample)
    normal = stretch.forward(sample)
    assert sample.mask is not None
    pt = normal.x[..., 2].exp() * sample.mask
    axis = 0.17 * (normal.x[..., :2] * pt[..., None]).sum(1) / pt.sum(1, keepdim=True)
    assert float(pt.sum(1).log().std()) == pytest.approx(WIDTHS[0], rel=0.1)
    assert float(axis.square().sum(1).mean() / 2) ** 0.5 == pytest.approx(WIDTHS[1], rel=0.1)
    wrong = Batch(normal.x + torch.tensor([0.0, 0.0, 0.1]) * sample.mask[..., None], sample.mask)  # 10 % too much pt
    ratio = pt_sum(stretch.inverse(wrong).x, sample.mask) / pt_sum(sample.x, sample.mask)
    assert float(ratio.log().mean()) < 0.05


def test_nothing_generated_leaves_the_range_of_the_training_jets() -> None:
    sample = jet_batch(500)
    stretch = fitted(sample)
    wild = stretch.inverse(
        Batch(100 * torch.randn(500, 12, 3, generator=torch.Generator().manual_seed(1)), sample.mask)
    )
    assert wild.x.isfinite().all()
    total, wild_total = pt_sum(sample.x, sample.mask), pt_sum(wild.x, wild.mask)
    assert wild_total.max() <= total.max() * 1.0001
    assert wild_total.min() >= total.min() * 0.9999


def test_interpolation() -> None:
    knots, values = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[5.0, 7.0, 3.0]])
    found = interpolated(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0]]), knots, values)
    torch.testing.assert_close(found, torch.tensor([[5.0, 5.0, 6.0, 7.0, 5.0, 3.0, 3.0]]))


def test_alignment_does_not_know_the_orientation_of_a_jet() -> None:
    sample = jet_batch(50)
    rng = torch.Generator().manual_seed(4)
    angles = rotated(sample.x[..., :2], 6.3 * torch.rand(50, generator=rng)) * torch.tensor([1.0, -1.0])
    other = Batch(torch.cat((angles, sample.x[..., 2:]), dim=-1), sample.mask)
    once, twice = aligned(sample), aligned(other)
    torch.testing.assert_close(twice.x, once.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(aligned(once).x, once.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        mass(once.x, once.mask), mass(sample.x, sample.mask), rtol=0.03, atol=1e-3
    )  # small angles


def test_bad_samples_and_arguments_are_refused() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        JetStretch().fit(Batch(torch.ones(5, 4, 3), torch.ones(5, 4, dtype=torch.bool)))
    with pytest.raises(PartiganError, match="with a mask"):
        JetStretch().fit(Batch(jet_batch(5).x))
    with pytest.raises(PartiganError, match="at least 3"):
        JetStretch(knots=2)
