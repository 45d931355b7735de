from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers import ToyCritic, toy_jets
from partigan.data.batch import Batch
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput
from partigan.objectives.losses import RelativisticPairing
from partigan.objectives.matching import MarginalMatching, SlicedMatching, marginal_energy_distances
from partigan.objectives.terms import Showing, Turn
from partigan.objectives.views import PhysicalView
from partigan.systems.gan import CriticLoss, GeneratorLoss
from partigan.systems.system import Tick
from partigan.systems.terms import ScheduledTerm


def jets(size: int, seed: int) -> Batch:
    clouds = torch.from_numpy(toy_jets(size, 8, seed)[0]).double()
    return Batch(clouds[..., :3].contiguous(), clouds[..., 3] > 0.5)


def value(real: Batch, fake: Batch, term: MarginalMatching | None = None) -> Tensor:
    """The term with jets that are in physical units already."""
    term = term or MarginalMatching()
    output = CriticOutput(real.x.new_zeros(len(real), 1))
    turn = Turn(None, real, fake, output, output, torch.Generator(), physical=lambda x: x)  # type: ignore[arg-type]
    return term.generator(turn)


def test_sorting_gives_the_distances_of_all_pairs() -> None:
    rng = torch.Generator().manual_seed(1)
    a, b = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (7, 5))
    b.requires_grad_()
    found = marginal_energy_distances(a, b)
    unit = a.std(0)
    for column in range(3):
        x, y = a[:, column] / unit[column], b[:, column] / unit[column]
        pairs = [(u[:, None] - v).abs().sum() for u, v in ((x, y), (x, x), (y, y))]
        torch.testing.assert_close(found[column], 2 * pairs[0] / 35 - pairs[1] / 42 - pairs[2] / 20)
    assert torch.autograd.gradcheck(lambda b: marginal_energy_distances(a, b), b)
    with pytest.raises(PartiganError, match="at least two samples"):
        marginal_energy_distances(a[:1], b)


def test_it_vanishes_on_average_for_equal_distributions_and_sees_a_wrong_mass_or_spectrum() -> None:
    """Also for batches of eight, where a biased distance would be far above 0."""
    real = jets(4000, 1)
    null = torch.stack([value(real[8 * k : 8 * k + 8], real[2000 + 8 * k : 2008 + 8 * k]) for k in range(250)])
    assert abs(null.mean()) < 4 * null.std() / 250**0.5
    other = jets(4000, 2)
    clean = value(real, other).abs()
    for factor in ((1.2, 1.2, 1.0), (1.0, 1.0, 1.1)):
        wrong = replace(other, x=other.x * torch.tensor(factor))
        assert value(real, wrong) > 0.02 + 5 * clean
        assert value(real, wrong, MarginalMatching(particles=0.0)) < value(real, wrong)


def test_directions_see_that_the_mass_follows_the_multiplicity() -> None:
    """Jets that are widened at random, and jets of which those with many particles are: nearly the same marginals."""
    real, other, third = jets(3000, 1), jets(3000, 2), jets(3000, 3)
    width = torch.rand(3000, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5

    def widened(sample: Batch, by: Tensor) -> Batch:
        factor = torch.stack((by, by, torch.ones_like(by)), dim=1)[:, None]
        return replace(sample, x=sample.x * factor)

    assert third.mask is not None
    order = third.mask.sum(1).argsort()
    following = width.clone()
    following[order] = width.sort().values
    blind, seeing = MarginalMatching(0.0, directions=0), MarginalMatching(0.0, directions=64)
    given = widened(real, width)
    null = [float(value(given, widened(other, width.flip(0)), term)) for term in (blind, seeing)]
    planted = [float(value(given, widened(third, following), term)) for term in (blind, seeing)]
    assert max(map(abs, null)) < 0.01
    assert planted[1] - planted[0] > 0.05


def test_matching_knows_the_samples_behind_the_critics_view() -> None:
    """The critic sees physical features; the term gets the normalised samples and takes them back itself."""
    physical = jets(40, 3)
    transform = LogStandardise()
    transform.fit(physical)
    real, seen, matched = transform.forward(physical), [], []

    class Watching(Critic):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()).double())

        def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
            seen.append(x.detach())
            return CriticOutput(self.scale * x.mean((1, 2))[:, None])

    class Noted(MarginalMatching):
        def generator(self, turn: Turn) -> Tensor:
            matched.extend(turn.compared)
            return super().generator(turn)

    class Copying(torch.nn.Module):
        def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
            return real.x

        def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            return noise

    terms = {"view": ScheduledTerm(PhysicalView(angle=0.1, pt=0.03)), "match": ScheduledTerm(Noted())}
    networks = {"critic": Watching(), "generator": Copying()}
    for loss in (CriticLoss, GeneratorLoss):
        tick = Tick(0, torch.Generator().manual_seed(0), physical=transform.inverse)
        loss(RelativisticPairing(), terms).parts(networks, {"data": real}, tick)
    assert len(seen) == 4  # both samples in both turns
    mask = physical.mask
    assert mask is not None
    expected = torch.cat((physical.x[..., :2] / 0.1, (physical.x[..., 2:] / 0.03).log()), dim=-1)
    for x in seen:
        torch.testing.assert_close(x[mask], expected[mask], rtol=1e-4, atol=1e-4)
        assert (x[~mask] == 0).all()
    assert [torch.equal(sample.x, real.x) for sample in matched] == [True, True]


def test_what_needs_physical_units_says_so() -> None:
    batch = jets(4, 1)
    with pytest.raises(PartiganError, match="needs physical units, and this turn has no transform"):
        MarginalMatching().generator(Turn(None, batch, batch, None, None, torch.Generator()))  # type: ignore[arg-type]
    with pytest.raises(PartiganError, match="PhysicalView needs physical units"):
        PhysicalView().shown(batch, 1.0, Showing(torch.Generator()))


def test_sliced_matching_sees_what_no_marginal_shows() -> None:
    """Features that depend on the condition the other way round: the same marginals, another joint distribution."""
    rng = torch.Generator().manual_seed(1)

    def found(slope: float) -> Tensor:
        sides = []
        for sign in (1.0, slope):
            condition = torch.randn(500, 1, generator=rng)
            feature = sign * condition + 0.1 * torch.randn(500, 1, generator=rng)
            sides.append(CriticOutput(condition, torch.cat((feature, condition), dim=1)))
        empty = Batch(torch.zeros(500, 2))
        turn = Turn(None, empty, empty, sides[0], sides[1], torch.Generator().manual_seed(2))  # type: ignore[arg-type]
        return SlicedMatching().generator(turn)

    assert found(1.0).abs() < 0.02
    assert found(-1.0) > 0.1
    poor = CriticOutput(torch.zeros(5, 1))
    with pytest.raises(PartiganError, match="features"):
        SlicedMatching().generator(Turn(ToyCritic(2), jets(5, 1), jets(5, 1), poor, poor, torch.Generator()))
