from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.gaps import JetGaps
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError
from partigan.nets.clouds.gaps import JetFirst, JetFirstGenerator
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.contracts import introduce
from partigan.nets.mixtures import MixtureGenerator


class Scaled(MDMAGenerator):
    """Adds so many times the noise."""

    def __init__(self, by: float) -> None:
        super().__init__(conditions=4)
        self.by = by

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.by * noise


def jets() -> MixtureGenerator:
    torch.manual_seed(1)
    return MixtureGenerator(4, conditions=1, width=8)


def _made(by: float, size: int = 40) -> tuple[Batch, Batch, JetGaps]:
    """Jets as they are in training and as they are deployed, of the same noise."""
    sample, transform = jet_batch(size), JetGaps(9)
    transform.fit(sample)
    generator = JetFirstGenerator(Scaled(by), jets())
    introduce(generator, transform)
    noise = generator.noise(size, sample.mask, torch.Generator().manual_seed(1))
    made, deployed = (each(noise, mask=sample.mask) for each in (generator, generator.deployed()))
    return Batch(made, sample.mask), Batch(deployed, sample.mask), transform


def test_jets_are_possible_in_training_and_the_same_in_physical_units() -> None:
    made, deployed, transform = _made(0.3)
    assert not torch.allclose(made.x, deployed.x, atol=1e-3)
    both = [transform.inverse(each).x for each in (made, deployed)]
    same = torch.isclose(*both, rtol=1e-3, atol=2e-4).flatten(1).all(1)
    assert same.sum() > 0.9 * len(same)  # all but those that are widened as far as allowed, twice


def test_noise_that_nothing_is_added_to_is_normal_and_shared_where_particles_share() -> None:
    _, deployed, _ = _made(0.0, 4000)
    assert deployed.mask is not None
    shared = torch.zeros(7, dtype=torch.bool)
    shared[[2, 3, 5, 6]] = True
    full = deployed.mask.all(1)
    assert full.any()
    torch.testing.assert_close(deployed.x[full][:, 0, shared], deployed.x[full][:, -1, shared])
    assert not torch.isclose(deployed.x[full][:, 0, ~shared], deployed.x[full][:, -1, ~shared]).any()
    assert not deployed.x[~deployed.mask].any()
    first = deployed.x[deployed.mask.any(1)][:, 0, ~shared]
    error = len(first) ** -0.5
    assert first.mean(0).abs().max() < 5 * error
    assert (first.var(0) - 1).abs().max() < 5 * 2**0.5 * error


def test_jets_follow_their_likelihood_alone_given_the_multiplicity() -> None:
    sample, rng = jet_batch(2000), torch.Generator().manual_seed(2)
    assert sample.mask is not None
    number = sample.mask.sum(1).float()
    pt_sum = (number - number.mean()) / number.std() + 0.3 * torch.randn(len(number), generator=rng)
    x = torch.zeros(*sample.mask.shape, 7)
    x[..., 5] = pt_sum[:, None]
    x[~sample.mask] = 0
    generator = JetFirstGenerator(Scaled(0.0), jets())
    generator.tables.fit(sample)
    optimizer = torch.optim.Adam(generator.jets.parameters(), 2e-2)
    before = generator.surprise(x, None, sample.mask, rng).mean()
    for _ in range(60):
        optimizer.zero_grad()
        loss = generator.surprise(x, None, sample.mask, rng).mean()
        loss.backward()
        optimizer.step()
    assert loss < before - 1
    made = generator.eval()(generator.noise(len(x), sample.mask, rng), mask=sample.mask)
    follows = torch.corrcoef(torch.stack((made[:, 0, 5], number)))[0, 1]
    assert follows > 0.8  # 0.96 in the sample; independent ones would have 0


def test_no_critic_moves_the_density_of_jets() -> None:
    sample = jet_batch(8)
    generator = JetFirst(MDMAGenerator(conditions=4, blocks=1), jets())
    generator(
        generator.noise(8, sample.mask, torch.Generator().manual_seed(1)), mask=sample.mask
    ).square().sum().backward()
    assert all(parameter.grad is None for parameter in generator.jets.parameters())
    assert generator.generator.out.weight.grad is not None


def test_another_transform_is_refused() -> None:
    with pytest.raises(PartiganError, match="needs the transform JetGaps"):
        introduce(JetFirstGenerator(MDMAGenerator(conditions=4), jets()), LogStandardise())


def test_a_density_of_other_numbers_is_refused() -> None:
    with pytest.raises(PartiganError, match="4 numbers of their own, and the density has 3"):
        JetFirst(MDMAGenerator(conditions=4), MixtureGenerator(3))
