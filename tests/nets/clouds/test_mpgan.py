"""MPGAN beside its padded twin, and its masking strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import JetFile, values
from padded_mpgan import padded
from partigan import load, train
from partigan.nets.clouds import mpgan
from partigan.nets.clouds.mpgan import MPCritic, MPGenerator, MPLFCGenerator

MAKERS = {
    "generator": lambda: MPGenerator(particles=12, edge=(7, 6), node=(5,)),
    "with distances": lambda: MPGenerator(particles=12, edge=(7, 6), node=(5,), distance=True),
    "lfc": lambda: MPLFCGenerator(particles=12, edge=(7, 6), node=(5,)),
    "critic": lambda: MPCritic(edge=(7, 6), node=(5,), dropout=0.0),
}


@pytest.mark.parametrize("chunk", [10, 200, 4096])  # rows of receivers, single jets, several jets
@pytest.mark.parametrize("name", MAKERS)
def test_chunks_and_the_padded_formulation_agree_in_value_and_derivatives(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpgan, "CHUNK", chunk)
    torch.manual_seed(1)
    network = MAKERS[name]().double()
    mask = torch.arange(12) < torch.tensor([1, 2, 12, 7])[:, None]
    if isinstance(network, MPCritic):
        x = torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    else:
        x = network.noise(4, mask, torch.Generator().manual_seed(2)).double()
    found = []
    for each in (network, padded(network)):
        leaf = x.clone().requires_grad_()
        output = values(each(leaf, mask=mask))
        weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        (slope,) = torch.autograd.grad((output * weight).sum(), leaf, create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), next(p for p in each.parameters() if p.dim() > 1))
        found.append((output, slope, *second))
        with torch.inference_mode():
            torch.testing.assert_close(values(each(x, mask=mask)), output.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-10)


def test_dropout_is_the_same_when_chunks_are_done_again() -> None:
    """Else the gradient would be that of another network: it is checked against a difference quotient."""
    critic = MPCritic(edge=(7, 6), node=(5,), dropout=0.5).double().train()
    x = torch.randn(4, 12, 3, dtype=torch.float64, requires_grad=True)
    step = torch.randn(4, 12, 3, dtype=torch.float64)

    def score(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return critic(x).score.sum()

    (slope,) = torch.autograd.grad(score(x), x)
    with torch.no_grad():
        quotient = (score(x + 1e-6 * step) - score(x - 1e-6 * step)) / 2e-6
    assert float(quotient) == pytest.approx(float((slope * step).sum()), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("masking", ["learned", "separate", "feature"])
@pytest.mark.parametrize("binary", [True, False])
def test_masks_that_the_network_makes_are_trained_and_become_multiplicities(
    masking: Any, binary: bool, jet_file: JetFile, tmp_path: Path
) -> None:
    options = {
        "transform.padding": "feature",
        "system.generator.masking": masking,
        "system.generator.binary": binary,
        "system.critic.mask_feature": True,
        **{f"system.{role}.{part}": [8, 8] for role in ("generator", "critic") for part in ("edge", "node")},
        "trainer.max_steps": 4,
        "trainer.batch_size": 16,
        "trainer.validations": 1,
    }
    train("mpgan", jet_file(100), tmp_path / "r", threads=1, overrides=options)
    model = load(tmp_path / "r")
    jets = model.sample(50, 1)
    assert jets.mask is not None
    assert jets.mask.any(1).all()
    assert (jets.mask[:, :-1] >= jets.mask[:, 1:]).all()
    generator = model.generator
    with torch.no_grad():
        made = generator(generator.noise(50, None, torch.Generator().manual_seed(1)))[..., 3]
    assert torch.isin(made, torch.tensor([-0.5, 0.5])).all() == binary
