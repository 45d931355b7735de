from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers import JetFile, toy_jets
from partigan import train
from partigan.data.batch import Batch
from partigan.data.transforms.jets import LogStandardise
from partigan.errors import PartiganError
from partigan.metrics.clouds import Clouds
from partigan.metrics.emd import energy_movers_distance
from partigan.nets.contracts import CriticOutput
from partigan.objectives.terms import Turn
from partigan.objectives.transport import EnergyMoversDistance
from partigan.observables.transport import sinkhorn_emd


def jets(size: int, seed: int, particles: int = 8) -> tuple[Tensor, Tensor]:
    clouds = torch.from_numpy(toy_jets(size, particles, seed)[0]).double()
    return clouds[..., :3], clouds[..., 3] > 0.5


def test_it_falls_to_the_exact_distance(oracle: dict[str, np.ndarray]) -> None:
    a, b = (torch.from_numpy(oracle[name][:6]).double() for name in "ab")
    a, b = a.repeat_interleave(6, 0), b.repeat(6, 1, 1)
    exact = torch.from_numpy(oracle["emd12"][:6, :6]).flatten()
    excess = []
    for regularisation in (0.1, 0.01, 0.001):
        found = sinkhorn_emd(a, b, a[..., 3], b[..., 3:], regularisation, 300)
        assert (found > exact - 1e-4).all()
        excess.append((found / exact - 1).mean())
    assert excess[0] > 3 * excess[1] > 9 * excess[2]
    assert excess[2] < 0.02


def test_the_gradient_is_that_of_the_value_and_padding_has_none() -> None:
    (x, x_mask), (y, y_mask) = jets(4, 1), jets(4, 2, 5)
    x.requires_grad_()

    def value(x: Tensor) -> Tensor:
        return sinkhorn_emd(x, y, x_mask, y_mask, 0.05, 500).sum()

    (gradient,) = torch.autograd.grad(value(x), x)
    assert (gradient[~x_mask] == 0).all()
    step = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) * x.detach()[..., 2:]
    with torch.no_grad():
        difference = (value(x + step) - value(x - step)) / 2
    torch.testing.assert_close((gradient * step).sum(), difference, rtol=1e-4, atol=0)


def test_empty_and_coinciding_jets() -> None:
    x, mask = jets(3, 1)
    nothing = torch.zeros_like(x, requires_grad=True)
    distance = sinkhorn_emd(nothing, x, y_mask=mask)
    torch.testing.assert_close(distance, (x[..., 2] * mask).sum(1))
    assert (sinkhorn_emd(nothing, nothing) == 0).all()
    x.requires_grad_()
    (distance + sinkhorn_emd(x, x.detach(), mask, mask)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    with pytest.raises(PartiganError, match="above 0"):
        sinkhorn_emd(x, x, regularisation=0.0)


def turn(real: Batch, fake: Batch) -> Turn:
    return Turn(nn.Identity(), real, fake, None, CriticOutput(torch.zeros(0)), torch.Generator())  # type: ignore[arg-type]


@pytest.mark.parametrize("assign", [True, False])
def test_the_term_is_a_distance_of_distributions_with_the_assignment(assign: bool) -> None:
    x, mask = jets(12, 3)
    transform = LogStandardise()
    transform.fit(Batch(x, mask))
    real = transform.forward(Batch(x, mask))
    term = EnergyMoversDistance(assign=assign, jets=12, regularisation=0.003, iterations=200)
    with pytest.raises(PartiganError, match="physical"):
        term.generator(turn(real, real))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    same = term.generator(
        replace(turn(real, real[order]), physical=transform.inverse)
    ).item()  # all jets are there, in another order
    exact = energy_movers_distance(Clouds(x[order], mask[order]), Clouds(x, mask)).mean()
    assert same == pytest.approx(0.0 if assign else exact, abs=0.01)
    collapsed = turn(real, real[torch.zeros(12, dtype=torch.long)])
    one = term.generator(replace(collapsed, physical=transform.inverse)).item()
    assert (one > 5 * same) == assign


def test_a_training_with_it(jet_file: JetFile, tmp_path: Path) -> None:
    terms = {"emd": {"term": {"objectives.transport.EnergyMoversDistance": {"jets": 4}}}}
    options = {"system.terms": terms, "trainer.max_steps": 2, "trainer.validations": 1, "trainer.batch_size": 16}
    run = train("mdma", jet_file(400, 8), tmp_path / "run", threads=1, overrides=options)
    assert "generator/emd" in (run.path / "metrics.jsonl").read_text()
