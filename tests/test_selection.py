from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import toy_jets
from partigan.data.batch import Batch
from partigan.data.stretching import WIDTHS, JetStretch, aligned, interpolated
from partigan.errors import PartiganError
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.observing import ObservableCritic, observables
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.selection import SelectingGenerator
from partigan.objectives.losses import LeastSquares
from partigan.observables.jets import mass, pt_sum, rotated
from partigan.training.system import GAN, JudgePhase, Tick


def jets(size: int, particles: int = 12, seed: int = 0) -> Batch:
    clouds = torch.from_numpy(toy_jets(size, particles, seed)[0])
    return Batch(clouds[..., :3].contiguous(), clouds[..., 3] > 0.5)


def fitted(sample: Batch, knots: int = 65) -> JetStretch:
    stretch = JetStretch(knots)
    stretch.fit(sample)
    return stretch


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(2, 60))
def test_the_inverse_is_exact_on_the_training_sample_but_for_orientation(seed: int, particles: int, size: int) -> None:
    sample = jets(size, particles, seed)
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
    sample = jets(4000)
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
    sample = jets(500)
    stretch = fitted(sample)
    wild = stretch.inverse(
        Batch(100 * torch.randn(500, 12, 3, generator=torch.Generator().manual_seed(1)), sample.mask)
    )
    assert wild.x.isfinite().all()
    total, wild_total = pt_sum(sample.x, sample.mask), pt_sum(wild.x, wild.mask)
    assert wild_total.max() <= total.max() * 1.0001
    assert wild_total.min() >= total.min() * 0.9999


def test_the_way_back_is_differentiable() -> None:
    sample = jets(400, 6)
    stretch = fitted(sample, 9)
    for name in (*stretch.constants, "levels"):
        setattr(stretch, name, getattr(stretch, name).double())
    mask = torch.arange(6) < torch.tensor([6, 4, 5])[:, None]
    z = stretch.forward(Batch(sample.x[:3].double(), sample.mask[:3] & mask)).x.requires_grad_()  # type: ignore[index]
    assert torch.autograd.gradcheck(lambda z: stretch.inverse(Batch(z, mask)).x, z, eps=1e-7, atol=1e-5)


def test_interpolation() -> None:
    knots, values = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[5.0, 7.0, 3.0]])
    found = interpolated(torch.tensor([[-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 9.0]]), knots, values)
    torch.testing.assert_close(found, torch.tensor([[5.0, 5.0, 6.0, 7.0, 5.0, 3.0, 3.0]]))


def test_neither_alignment_nor_observables_know_the_orientation_of_a_jet() -> None:
    sample = jets(50)
    rng = torch.Generator().manual_seed(4)
    angles = rotated(sample.x[..., :2], 6.3 * torch.rand(50, generator=rng)) * torch.tensor([1.0, -1.0])
    other = Batch(torch.cat((angles, sample.x[..., 2:]), dim=-1), sample.mask)
    once, twice = aligned(sample), aligned(other)
    torch.testing.assert_close(twice.x, once.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(aligned(once).x, once.x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        mass(once.x, once.mask), mass(sample.x, sample.mask), rtol=0.03, atol=1e-3
    )  # small angles
    stretch = fitted(sample)
    found = [observables(stretch.forward(jet).x, jet.mask, 12) for jet in (sample, once, other)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0], found[2], rtol=1e-3, atol=1e-3)


def test_bad_samples_and_arguments_are_refused() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        JetStretch().fit(Batch(torch.ones(5, 4, 3), torch.ones(5, 4, dtype=torch.bool)))
    with pytest.raises(PartiganError, match="at least 3"):
        JetStretch(knots=2)
    optimizer = torch.optim.SGD
    with pytest.raises(PartiganError, match="judge has no optimiser"):
        GAN(SelectingGenerator(MDMAGenerator(), ObservableCritic()), MDMACritic(), LeastSquares(), optimizer, optimizer)


class Shifted(MDMAGenerator):
    """Standard normal, and the first feature shifted by 0.7."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return noise + torch.tensor([0.7, 0.0, 0.0])


def learned(generator: SelectingGenerator, data: Batch, steps: int) -> list[float]:
    """The judge's losses in its phase."""
    phase = JudgePhase(["generator"], torch.optim.SGD)
    optimizer = torch.optim.Adam(generator.judge.parameters(), 1e-2)
    losses = []
    for step in range(steps):
        (loss,) = phase.losses({"generator": generator}, data, Tick(step, torch.Generator().manual_seed(step))).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


class Line(Critic):
    """A straight line of the first feature."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput(self.line(x[:, 0, :1]))


def test_the_judge_learns_the_logarithm_of_the_odds() -> None:
    """Between normal distributions a distance of 0.7 apart they are a line of the slope -0.7, 0 in the middle."""
    torch.manual_seed(1)
    generator = SelectingGenerator(Shifted(particles=1), judge := Line())
    learned(generator, Batch(torch.randn(20_000, 1, 3, generator=torch.Generator().manual_seed(3))), 300)
    assert float(judge.line.weight.detach()) == pytest.approx(-0.7, abs=0.03)
    assert float(judge.line.bias.detach()) == pytest.approx(0.245, abs=0.03)


def test_the_judge_learns_and_the_generator_does_not_in_its_turn() -> None:
    torch.manual_seed(1)
    generator = SelectingGenerator(Shifted(particles=1), ObservableCritic(1, 16))
    data = Batch(0.6 * torch.randn(512, 1, 3, generator=torch.Generator().manual_seed(3)))
    losses = learned(generator, data, 150)
    assert all(parameter.grad is None for parameter in generator.generator.parameters())
    assert losses[0] > 1.3
    far = Batch(data.x.clone()[:2])
    far.x[0] *= 30
    usual, beyond = (generator.judge.log_odds(generator.judge(x)) for x in (data.x, far.x))
    assert beyond[0] < usual.min() - 100 < beyond[1]
    assert np.mean(losses[-20:]) < 1.35  # 1.386 for one that knows nothing
