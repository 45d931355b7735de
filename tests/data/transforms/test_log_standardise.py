from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from partigan.data.batch import Batch
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**31), st.integers(1, 40), st.floats(0.1, 10))
def test_the_transform_has_an_exact_inverse(seed: int, particles: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy(np.arange(particles) < rng.integers(1, particles + 1, (20, 1)))
    x = torch.from_numpy(
        np.stack([*rng.normal(0, scale, (2, 20, particles)), rng.lognormal(-4, 2, (20, particles))], -1)
    )
    batch = Batch(x.float() * mask[..., None], mask)
    transform = LogStandardise()
    transform.fit(batch)
    restored = LogStandardise()
    restored.load_state(transform.state())
    back = restored.inverse(transform.forward(batch))
    torch.testing.assert_close(back.x, batch.x, rtol=2e-5, atol=2e-6 * scale)
    assert (back.x[~mask] == 0).all()
    normal = transform.forward(batch).x[mask]
    assert normal.mean(0).abs().max() < 1e-3


def test_a_constant_feature_cannot_be_normalised() -> None:
    with pytest.raises(PartiganError, match="does not vary"):
        LogStandardise().fit(Batch(torch.ones(5, 4, 3)))
