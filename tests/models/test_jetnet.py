from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest
import torch

from helpers import SHARED
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.models.jetnet import normalise, published

ORACLE = SHARED / "reference/metrics_oracle.npz"
TINY = [f"--system.classifier.{option}" for option in ("widths=[8, 8]", "neighbours=4", "hidden=16")]
SHORT = ["--trainer.max_steps", "80", "--trainer.validations", "4", "--trainer.batch_size", "64", "--threads", "1"]


def test_what_was_not_published_and_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for flavour, particles in (("w", 30), ("t", 150)):
        with pytest.raises(PartiganError, match=f"{particles} particles of class '{flavour}', only for 30 of g, q, t"):
            published(flavour, (particles, 3))

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(PartiganError, match="pip install --no-deps jetnet"):
        published("g", (30, 3))


def test_padding_is_zero_before_the_scale() -> None:
    x, mask = torch.tensor([[[1.62119853, 0.26036245, 0.89347172], [9.0, 9.0, 9.0]]]), torch.tensor([[True, False]])
    expected = torch.tensor([[[1, 0.5, 0.5], [0, 0, -0.5]]])
    prepared = normalise(Batch(x, mask))
    torch.testing.assert_close(prepared.x, expected)
    assert prepared.mask is None


def test_the_published_network_tells_top_jets() -> None:
    """Pythia's top jets are far from JetNet's, and still nearest to JetNet's top jets."""
    try:
        references = {flavour: published(flavour, (30, 3)) for flavour in "gt"}
    except PartiganError:
        pytest.skip("the jetnet distribution is not installed")
    if not ORACLE.exists():
        pytest.skip(f"{ORACLE} is not here")
    particles = np.load(ORACLE)["a"][:200]
    jets = Batch(torch.from_numpy(particles[..., :3]), torch.from_numpy(particles[..., 3] > 0.5))
    found = {flavour: reference.distance(jets, 200, 1) for flavour, reference in references.items()}
    assert found["t"].value == pytest.approx(44, abs=10)
    assert found["g"].value > 200
