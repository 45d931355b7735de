"""The judge that sees observables."""

from __future__ import annotations

import torch

from helpers import toy_jets
from partigan.nets.clouds.observing import BEYOND, ObservableCritic, observables
from partigan.observables.jets import mass, pt_sum


def test_mass_pt_and_multiplicity_are_those_of_jets() -> None:
    """In units of the angles' and the pt's own, mass and pt sum are the library's."""
    clouds = torch.from_numpy(toy_jets(50, 12)[0])
    particles, mask = clouds[..., :3], clouds[..., 3] > 0.5
    x = torch.cat((particles[..., :2] / 0.17, (particles[..., 2:] / 0.017).clamp_min(1e-12).log()), -1)
    found = observables(x * mask[..., None], mask, 12).sinh()
    total = pt_sum(particles, mask)
    torch.testing.assert_close(((found[:, 1] + 16) / 4).exp() * 0.017, total, rtol=1e-4, atol=1e-6)
    small_angles = (found[:, 0] / 4).exp() * 0.17 * total
    torch.testing.assert_close(small_angles, mass(particles, mask), rtol=0.05, atol=1e-3)
    torch.testing.assert_close((found[:, 6] + 5) * 2, mask.sum(1).float())


def test_jets_beyond_the_range_of_training_jets_are_last() -> None:
    torch.manual_seed(1)
    judge, rng = ObservableCritic(12), torch.Generator().manual_seed(1)
    usual = torch.randn(200, 12, 3, generator=rng)
    far = usual[:2].clone()
    far[0] *= 30
    judge.keep_in_mind(judge(usual))
    assert torch.equal(judge.log_odds(judge(usual)), judge(usual).score)
    beyond = judge(far)
    assert (beyond.score - judge.log_odds(beyond)).tolist() == [[BEYOND], [0.0]]
    assert torch.equal(judge.eval()(far).score, beyond.score)
