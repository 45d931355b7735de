from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from partigan.errors import PartiganError
from partigan.metrics.reconstruction import Search, reconstruct


def test_latent_reconstruction_finds_what_can_be_made() -> None:
    """A generator of the unit circle: the distance of a point is that from the circle."""
    targets = np.array([[1.0, 0.0], [0.0, 2.0], [0.3, 0.4], [0.0, -1.0]])
    options: dict[str, Any] = {"latent": (1,), "search": Search(steps=100)}

    def circle(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z.cos(), z.sin()], 1)

    found = reconstruct(circle, targets, rng=torch.Generator().manual_seed(1), **options)
    assert found.distance == pytest.approx([0, 1, 0.5, 0], abs=1e-3)
    assert found.quantile(0.5).value == pytest.approx(0.25, abs=1e-3)
    assert torch.equal(found.z, reconstruct(circle, targets, rng=torch.Generator().manual_seed(1), **options).z)
    with pytest.raises(PartiganError, match="row 2"):
        reconstruct(circle, np.where(targets == 0.3, np.nan, targets), rng=torch.Generator(), **options)
    with pytest.raises(PartiganError, match="0 steps and 4 restarts"):
        Search(steps=0)
