from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.stretching import JetStretch, aligned
from partigan.errors import PartiganError
from partigan.metrics.wasserstein import wasserstein_1d
from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.observing import ObservableCritic, observables
from partigan.nets.clouds.turning import TurningGenerator
from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.selection import SelectingGenerator
from partigan.objectives.losses import LeastSquares
from partigan.observables.jets import mass, pt_sum, rotated
from partigan.training.system import GAN, JudgePhase, Tick


def test_observables_are_those_of_jets() -> None:
    """In units of the angles' and the pt's own, mass and pt sum are the library's."""
    sample = jet_batch(50)
    assert sample.mask is not None
    x = torch.cat((sample.x[..., :2] / 0.17, (sample.x[..., 2:] / 0.017).clamp_min(1e-12).log()), -1)
    found = observables(x * sample.mask[..., None], sample.mask, 12).sinh()
    total = pt_sum(sample.x, sample.mask)
    torch.testing.assert_close(((found[:, 1] + 16) / 4).exp() * 0.017, total, rtol=1e-4, atol=1e-6)
    small_angles = (found[:, 0] / 4).exp() * 0.17 * total
    torch.testing.assert_close(small_angles, mass(sample.x, sample.mask), rtol=0.05, atol=1e-3)
    torch.testing.assert_close((found[:, 6] + 5) * 2, sample.mask.sum(1).float())


def test_observables_do_not_know_the_orientation_of_a_jet() -> None:
    sample = jet_batch(50)
    rng = torch.Generator().manual_seed(4)
    angles = rotated(sample.x[..., :2], 6.3 * torch.rand(50, generator=rng)) * torch.tensor([1.0, -1.0])
    other = Batch(torch.cat((angles, sample.x[..., 2:]), dim=-1), sample.mask)
    stretch = JetStretch()
    stretch.fit(sample)
    found = [observables(stretch.forward(jet).x, jet.mask, 12) for jet in (sample, aligned(sample), other)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0], found[2], rtol=1e-3, atol=1e-3)


def test_a_turning_generator_makes_all_orientations_alike_once_trained() -> None:
    """Jets that all lie along eta when made: the plane's second harmonic is one in training, and none afterwards."""

    class Along(MDMAGenerator):
        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            return torch.tensor([1.0, 0.3, 0.0]).expand(*noise.shape[:2], 3)

    generator = TurningGenerator(Along(particles=2))
    rng = torch.Generator().manual_seed(1)
    made = {}
    for mode in (True, False):
        generator.train(mode)
        made[mode] = generator(generator.noise(20_000, None, rng))[:, 0]
    assert (made[True] == torch.tensor([1.0, 0.3, 0.0])).all()
    torch.testing.assert_close(made[False][:, :2].norm(dim=1), torch.full((20_000,), 1.09**0.5))
    phase = torch.atan2(made[False][:, 1], made[False][:, 0])
    for harmonic in (1, 2, 3, 4):
        assert abs(float((harmonic * phase).cos().mean())) < 0.03
        assert abs(float((harmonic * phase).sin().mean())) < 0.03


def test_bad_samples_and_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates = 0; at least one"):
        SelectingGenerator(MDMAGenerator(), ObservableCritic(), candidates=0)
    for widths in ((), (1.0, 0.0)):
        with pytest.raises(ValueError, match=r"widths = .*at least one is needed, all above 0"):
            SelectingGenerator(MDMAGenerator(), ObservableCritic(), widths=widths)
    optimizer = torch.optim.SGD
    with pytest.raises(PartiganError, match="judge has no optimiser"):
        GAN(SelectingGenerator(MDMAGenerator(), ObservableCritic()), MDMACritic(), LeastSquares(), optimizer, optimizer)


class Known(Critic):
    """The logarithm of a density ratio that is known: candidates are shifted by ``shift`` in their first feature."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        return CriticOutput(self.shift**2 / 2 - self.shift * x[:, :1, 0])


class Shifted(MDMAGenerator):
    """Standard normal, and the first feature shifted by 0.7."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return noise + torch.tensor([0.7, 0.0, 0.0])


@pytest.mark.parametrize(("shift", "right"), [(0.7, True), (0.0, False), (-0.7, False)])
def test_the_choice_among_candidates_makes_them_samples_of_the_data(shift: float, right: bool) -> None:
    """The data are standard normal; a judge that knows nothing, or the wrong odds, does not mend candidates."""
    chosen = SelectingGenerator(Shifted(particles=1), Known(shift), candidates=32).eval()
    made = chosen(chosen.noise(20_000, None, torch.Generator().manual_seed(1)))[:, 0, 0]
    data = torch.randn(20_000, generator=torch.Generator().manual_seed(2))
    assert (wasserstein_1d(np.asarray(made), np.asarray(data)) < 0.06) == right


class Odds(Critic):
    """The density ratio of standard normal samples and of candidates of the widths 1 and 2."""

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        square = x[:, :1, 0] ** 2
        return CriticOutput(torch.log(2 / (1 + 0.5 * torch.exp(3 / 8 * square))))


@pytest.mark.parametrize(("widths", "right"), [((1.0, 2.0), True), ((1.0,), False)])
def test_candidates_are_drawn_from_all_widths_alike(widths: tuple[float, ...], right: bool) -> None:
    """A judge that knows the odds of a mixture restores the standard normal from it, and from nothing else."""

    class Plain(MDMAGenerator):
        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            return noise

    generator = SelectingGenerator(Plain(particles=1, latent=1), Odds(), candidates=32, widths=widths).eval()
    rng = torch.Generator().manual_seed(1)
    made = generator(generator.noise(20_000, None, rng))[:, 0, 0]
    assert (abs(float(made.std()) - 1) < 0.02) == right
    spread = generator.candidate(20_000, None, rng).std()
    assert float(spread) == pytest.approx(2.5**0.5 if right else 1, rel=0.02)
    assert float(generator.train().noise(20_000, None, rng).std()) == pytest.approx(1, rel=0.02)


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
    generator.eval()
    usual, beyond = generator.judge(data.x).score, generator.judge(far.x).score
    assert beyond[0] < usual.min() - 100 < beyond[1]
    assert np.mean(losses[-20:]) < 1.35  # 1.386 for one that knows nothing
