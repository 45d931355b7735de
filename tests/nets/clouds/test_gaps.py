from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.gaps import SHARED, JetGaps
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError
from partigan.nets.clouds.gaps import JetGapsGenerator
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.contracts import introduce


class Scaled(MDMAGenerator):
    """Adds so many times the noise."""

    def __init__(self, by: float) -> None:
        super().__init__(features=7)
        self.by = by

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return self.by * noise


def _made(by: float, size: int = 40) -> tuple[Batch, Batch, JetGaps]:
    """Jets as they are in training and as they are deployed, of the same noise."""
    sample, transform = jet_batch(size), JetGaps(9)
    transform.fit(sample)
    generator = JetGapsGenerator(Scaled(by))
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
    shared = torch.tensor(SHARED)
    full = deployed.mask.all(1)
    assert full.any()
    torch.testing.assert_close(deployed.x[full][:, 0, shared], deployed.x[full][:, -1, shared])
    assert not torch.isclose(deployed.x[full][:, 0, ~shared], deployed.x[full][:, -1, ~shared]).any()
    assert not deployed.x[~deployed.mask].any()
    first = deployed.x[deployed.mask.any(1)][:, 0]
    error = len(first) ** -0.5
    assert first.mean(0).abs().max() < 5 * error
    assert (first.var(0) - 1).abs().max() < 5 * 2**0.5 * error


def test_another_transform_is_refused() -> None:
    with pytest.raises(PartiganError, match="needs the transform JetGaps"):
        introduce(JetGapsGenerator(MDMAGenerator(features=7)), LogStandardise())
