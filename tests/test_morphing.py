from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import toy_jets
from partigan.data.batch import Batch
from partigan.data.morphing import JetMorph, interpolated
from partigan.errors import PartiganError
from partigan.kinds.jets import Jets
from partigan.metrics.memorisation import memorisation
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.nets.clouds.mdma_fast import CorrectingGenerator
from partigan.observables.jets import mass, pt_sum
from partigan.sampling import Sampler


def jets(size: int, particles: int = 12, seed: int = 0) -> Batch:
    clouds = torch.from_numpy(toy_jets(size, particles, seed)[0])
    return Batch(clouds[..., :3].contiguous(), clouds[..., 3] > 0.5)


def fitted(sample: Batch, **arguments: int) -> JetMorph:
    morph = JetMorph(**arguments)
    morph.fit(sample)
    return morph


def without_jets(morph: JetMorph) -> JetMorph:
    """The same without the step of the jets: independent particles of the right spectra."""
    morph.seen = morph.drawn = torch.tensor([[-50.0, 50.0]] * 4)
    return morph


def drawn(morph: JetMorph, like: Batch, seed: int = 1) -> Batch:
    noise = torch.randn(like.x.shape, generator=torch.Generator().manual_seed(seed))
    return morph.inverse(Batch(noise, like.mask))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(2, 60))
def test_the_inverse_is_exact_on_the_training_sample(seed: int, particles: int, size: int) -> None:
    sample = jets(size, particles, seed)
    morph, restored = fitted(sample, knots=9, least=4), JetMorph(knots=9, least=4)
    restored.load_state(json.loads(json.dumps(morph.state())))
    normal = morph.forward(sample)
    back = restored.inverse(normal)
    torch.testing.assert_close(back.x, sample.x, rtol=2e-4, atol=2e-5)
    assert sample.mask is not None
    assert (back.x[~sample.mask] == 0).all()
    assert (normal.x[~sample.mask] == 0).all()


def test_independent_normal_numbers_have_the_mass_pt_sum_and_spectra_of_the_jets() -> None:
    """The toy jets have two prongs and a narrow pt sum, which independent particles of the same spectra lack."""
    sample, other = jets(6000), jets(6000, seed=1)
    made = drawn(fitted(sample), sample)
    independent = drawn(without_jets(fitted(sample, iterations=1)), sample)

    def distances(a: Batch, b: Batch) -> dict[str, float]:
        found = {
            "mass": wasserstein_1d(mass(a.x, a.mask), mass(b.x, b.mask)),
            "pt_sum": wasserstein_1d(pt_sum(a.x, a.mask), pt_sum(b.x, b.mask)),
        }
        return found | {"pt": wasserstein_1d(a.x[..., 2][a.mask], b.x[..., 2][b.mask])}

    null, right, wrong = (distances(other, each) for each in (sample, made, independent))
    for name in ("mass", "pt_sum"):
        assert right[name] < 2 * null[name] + 1e-3, name
        assert wrong[name] > 4 * right[name], name
    assert right["pt"] < 8e-3


def test_normalised_features_are_standard_normal_rank_by_rank() -> None:
    sample = jets(4000)
    normal = without_jets(fitted(sample, iterations=1)).forward(sample)
    assert sample.mask is not None
    for rank in range(12):
        values = normal.x[:, rank][sample.mask[:, rank]]
        assert values.mean(0).abs().max() < 0.05
        assert (values.std(0) - 1).abs().max() < 0.05


def test_nothing_generated_leaves_the_range_of_the_training_jets() -> None:
    sample = jets(500)
    morph = fitted(sample)
    wild = morph.inverse(Batch(100 * torch.randn(500, 12, 3, generator=torch.Generator().manual_seed(1)), sample.mask))
    assert wild.x.isfinite().all()
    total, wild_total = pt_sum(sample.x, sample.mask), pt_sum(wild.x, wild.mask)
    assert wild_total.max() <= total.max() * 1.0001
    assert wild_total.min() >= total.min() * 0.9999
    distance, wild_distance = (each.x[..., :2].norm(dim=-1).max() for each in (sample, wild))
    assert wild_distance <= distance * 1.0001


def test_no_training_jet_is_copied() -> None:
    """The start of a training with `CorrectingGenerator`: jets are no nearer to training jets than to others."""
    sample, other = jets(1500, 8), jets(1500, 8, seed=1)
    morph = fitted(sample)
    torch.manual_seed(1)
    generator = CorrectingGenerator(particles=8).eval()
    state = {"particles": 8, "multiplicity": [0] * 8 + [1], "jet_pt": 1000.0}
    made = Sampler(generator, morph, Jets(), state).sample(500, 1)
    full = [np.asarray(each.x[each.mask.all(1)].flatten(1)) for each in (sample, other)]  # type: ignore[union-attr]
    least = min(map(len, full))
    clean, copied = np.asarray(made.x.flatten(1)), np.asarray(full[0][:50])
    found = memorisation(full[0][:least], full[1][:least], clean, rng=np.random.default_rng(1))
    assert found.p_value > 1e-3
    assert found.copies_p_value > 1e-3
    planted = memorisation(
        full[0][:least], full[1][:least], np.concatenate([clean, copied]), rng=np.random.default_rng(1)
    )
    assert planted.copies_p_value < 1e-3


def test_the_way_back_is_differentiable() -> None:
    sample = jets(400, 6)
    morph = fitted(sample, knots=9)
    for name in (*morph.constants, "levels"):
        setattr(morph, name, getattr(morph, name).double())
    z = torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    mask = torch.arange(6) < torch.tensor([6, 4, 5])[:, None]
    assert torch.autograd.gradcheck(lambda z: morph.inverse(Batch(z, mask)).x, z, eps=1e-7, atol=1e-5)


def test_interpolation() -> None:
    knots, values = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[5.0, 7.0, 3.0]])
    found = interpolated(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0]]), knots, values)
    torch.testing.assert_close(found, torch.tensor([[5.0, 5.0, 6.0, 7.0, 5.0, 3.0, 3.0]]))


def test_bad_samples_and_arguments_are_refused() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        JetMorph().fit(Batch(torch.ones(5, 4, 3), torch.ones(5, 4, dtype=torch.bool)))
    with pytest.raises(PartiganError, match="at least 3 knots"):
        JetMorph(knots=2)
