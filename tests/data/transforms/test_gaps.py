from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.gaps import JetGaps, aligned
from partigan.errors import PartiganError
from partigan.observables.jets import moments, pt_sum, rotated

GAP, SHARED = 4, [2, 3, 5, 6]


def fitted(sample: Batch, knots: int = 65) -> JetGaps:
    transform = JetGaps(knots)
    transform.fit(sample)
    return transform


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 5, 30, 150]), st.integers(2, 60))
def test_the_inverse_is_exact_for_all_multiplicities_but_for_orientation(seed: int, particles: int, size: int) -> None:
    sample = jet_batch(size, particles, seed)
    assert sample.mask is not None
    number = torch.randint(1, particles + 1, (size,), generator=torch.Generator().manual_seed(seed % 2**31))
    mask = (torch.arange(particles) < number[:, None]) & sample.mask
    x = sample.x * mask[..., None]
    x[: size // 3, :, 2] = 0.01 * mask[: size // 3]  # jets whose particles have the same pt
    sample = Batch(x, mask)
    transform, restored = fitted(sample, 9), JetGaps(9)
    restored.load_state(json.loads(json.dumps(transform.state())))
    held = transform.held(sample)
    drawn = transform.batch(held, torch.Generator().manual_seed(1))
    for normal in (held, drawn):
        back = restored.inverse(normal)
        torch.testing.assert_close(back.x, aligned(sample).x, rtol=2e-4, atol=1e-5)
        assert (normal.x[~mask] == 0).all()
        assert (back.x[~mask] == 0).all()
    assert not torch.equal(drawn.x, held.x)


def test_the_softest_particle_is_drawn_anew_below_all_others() -> None:
    """Uniformly in probability below the second softest, which leaves no edge."""
    sample = jet_batch(4000)
    assert sample.mask is not None
    transform = fitted(sample)
    held = transform.held(sample)
    gaps = transform.batch(held, torch.Generator().manual_seed(1)).x[..., GAP].masked_fill(~sample.mask, torch.inf)
    lowest, second = gaps.topk(2, dim=1, largest=False).values.T
    share = torch.special.ndtr(lowest) / torch.special.ndtr(second)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(share.std()) == pytest.approx(12**-0.5, abs=0.02)
    assert torch.equal(
        gaps.argmin(1), held.x[..., GAP].masked_fill(~sample.mask, torch.inf).argmin(1)
    )  # the same particle


def test_channels_of_the_jet_are_normal_and_shared() -> None:
    sample = jet_batch(4000)
    assert sample.mask is not None
    x = fitted(sample).forward(sample).x
    assert torch.equal(x[:, 0, SHARED], x[:, 1, SHARED])
    assert x[:, 0, 5:].std(0).tolist() == pytest.approx([1, 1], abs=0.05)
    assert float(x[:, 0, 2:4].square().sum(1).mean()) == pytest.approx(2, rel=0.05)


def test_made_jets_get_the_axis_pt_sum_and_width_of_their_channels() -> None:
    sample = jet_batch(500)
    transform = fitted(sample)
    wanted = transform.forward(sample)
    assert sample.mask is not None
    rng = torch.Generator().manual_seed(1)
    blurred = wanted.x[..., [0, 1, GAP]] + 0.01 * torch.randn(*wanted.x.shape[:2], 3, generator=rng)
    x = torch.cat((blurred[..., :2], wanted.x[..., 2:4], blurred[..., 2:], wanted.x[..., 5:]), dim=-1)
    made = Batch(x * sample.mask[..., None], sample.mask)
    back, once = transform.inverse(made), transform.possible(made)
    torch.testing.assert_close(pt_sum(back.x, sample.mask), pt_sum(sample.x, sample.mask), rtol=1e-4, atol=1e-5)
    second = [moments(jets.x, sample.mask)[:, 4] for jets in (back, sample)]  # about the axis, weighted by pt
    assert float(((second[0] / second[1] - 1).abs() < 1e-3).float().mean()) > 0.98  # others end at an edge
    assert not torch.allclose(once.x, made.x, atol=1e-3)
    torch.testing.assert_close(transform.possible(once).x, once.x, rtol=1e-3, atol=0.02)  # one at the edge
    torch.testing.assert_close(transform.inverse(once).x, back.x, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(transform.possible(wanted).x, wanted.x, rtol=1e-4, atol=1e-4)


def test_nothing_generated_leaves_the_range_of_the_training_jets() -> None:
    sample = jet_batch(500)
    assert sample.mask is not None
    transform = fitted(sample)
    rng = torch.Generator().manual_seed(1)
    wild = transform.inverse(Batch(100 * torch.randn(500, 12, 7, generator=rng), sample.mask))
    assert wild.x.isfinite().all()
    total, wild_total = pt_sum(sample.x, sample.mask), pt_sum(wild.x, wild.mask)
    assert wild_total.max() <= total.max() * 1.0001
    assert wild_total.min() >= total.min() * 0.9999
    assert wild.x[..., :2].norm(dim=-1).max() <= sample.x[..., :2].norm(dim=-1).max() * 1.0001


def test_alignment_does_not_know_the_orientation_of_a_jet() -> None:
    sample = jet_batch(50)
    rng = torch.Generator().manual_seed(4)
    angles = rotated(sample.x[..., :2], 6.3 * torch.rand(50, generator=rng)) * torch.tensor([1.0, -1.0])
    other = Batch(torch.cat((angles, sample.x[..., 2:]), dim=-1), sample.mask)
    once, twice = aligned(sample), aligned(other)
    torch.testing.assert_close(twice.x, once.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(aligned(once).x, once.x, rtol=1e-4, atol=1e-5)
    for part in once, twice:
        moved = part.x[..., :2] * part.x[..., 2:]
        centred = part.x[..., :2] - moved.sum(1, keepdim=True) / part.x[..., 2:].sum(1, keepdim=True)
        assert (part.x[..., 2] * centred.prod(-1)).sum(1).abs().max() < 1e-5
        assert ((part.x[..., 2:] * centred**3).sum(1) > -1e-6).all()


def test_samples_that_cannot_be_coded_are_refused() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        JetGaps().fit(Batch(torch.ones(5, 4, 3), torch.ones(5, 4, dtype=torch.bool)))
    with pytest.raises(PartiganError, match="clouds with a mask"):
        JetGaps().fit(Batch(jet_batch(5).x))
    with pytest.raises(PartiganError, match="at least 3"):
        JetGaps(knots=2)
