"""BigGAN: truncated noise and extras before the head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from helpers import shaken
from partigan.nets.images.biggan import (
    BigGANCritic,
    BigGANDeepCritic,
    BigGANGenerator,
)
from partigan.nets.images.pegan import PEGANCritic
from partigan.nets.images.residual import Extras


def test_truncation() -> None:
    generator = BigGANGenerator(1, 16, 16, chunk=3, filters=4)
    whole = generator.noise(4000, None, torch.Generator().manual_seed(1))
    generator.truncation = 0.5
    noise = generator.noise(4000, None, torch.Generator().manual_seed(1))
    assert whole.abs().max() > 3
    assert 0.49 < noise.abs().max() <= 0.5
    inside = whole[whole.abs() < 0.5]
    assert noise.std().item() == pytest.approx(inside.std().item(), rel=0.02)


@pytest.mark.parametrize("make", [BigGANCritic, BigGANDeepCritic, partial(PEGANCritic, dimension=8)])
def test_extras_stand_before_the_head(make: Callable[..., Any]) -> None:
    plain = shaken(make, 1, 8, 8, 3, filters=4)
    rich = shaken(make, 1, 8, 8, 3, filters=4, extras=Extras(codes=8, kernels=3, dropout=0.5))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = torch.tensor([0, 2, 1, 2])
    assert plain(x, given).commitment is None
    output = rich(x, given)
    assert output.commitment.shape == (4, 1)
    assert output.features.shape[1] == plain(x, given).features.shape[1] + 3
    quantised = rich.quantise(rich.body(x))[0].sum((2, 3))
    torch.testing.assert_close(output.features, rich.pooled[0](quantised))
    features = rich.train()(x, given).features
    assert 0.2 < (features == 0).double().mean() < 0.8
