from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers import jet_batch
from partigan.data.batch import Batch
from partigan.data.transforms.gaps import JetGaps
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError
from partigan.nets.clouds.gaps import GapsGenerator
from partigan.nets.clouds.mdma import MDMAGenerator
from partigan.nets.contracts import introduce


class Given(MDMAGenerator):
    """Its noise is what it makes."""

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        return noise


def test_jets_are_possible_in_training_and_the_same_in_physical_units() -> None:
    sample, transform = jet_batch(40), JetGaps(9)
    transform.fit(sample)
    generator = GapsGenerator(Given(features=7))
    introduce(generator, transform)
    real = transform.forward(sample).x
    assert sample.mask is not None
    blurred = (real + 0.02 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))) * sample.mask[
        ..., None
    ]
    made, plain = generator(blurred, mask=sample.mask), generator.deployed()(blurred, mask=sample.mask)
    torch.testing.assert_close(made[:, 0, 5:], made[:, 1, 5:])
    assert not torch.allclose(plain[:, 0, 5:], plain[:, 1, 5:], atol=1e-3)
    both = [transform.inverse(Batch(x, sample.mask)).x for x in (made, plain)]
    torch.testing.assert_close(*both, rtol=1e-3, atol=2e-4)


def test_another_transform_is_refused() -> None:
    with pytest.raises(PartiganError, match="needs the transform JetGaps"):
        introduce(GapsGenerator(MDMAGenerator(features=7)), LogStandardise())
