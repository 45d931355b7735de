from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers import equal_tensors
from partigan.data.batch import Batch
from partigan.training.health import collapse_signs, diversity, first_singular_values


def test_first_singular_values_leave_the_network_alone() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(200, 150, bias=False),
        torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 3, 3)),
        torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 5)),
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = first_singular_values(network)
    assert equal_tensors(before, network.state_dict())
    network.eval()
    for name, layer in (("0", network[0]), ("1", network[1]), ("2", network[2])):
        exact = torch.linalg.svdvals(layer.weight.flatten(1).double())[0].item()
        assert found[name] == pytest.approx(exact, rel=1e-5)


def test_diversity_of_samples() -> None:
    rng = torch.Generator().manual_seed(0)
    real, other, few = torch.randn(500, 2, generator=rng), torch.randn(500, 2, generator=rng), torch.randn(5, 2)
    alike = few.repeat(100, 1) + 1e-3 * torch.randn(500, 2, generator=rng)
    assert diversity(Batch(real), Batch(other)) == pytest.approx(1, abs=0.15)
    assert diversity(Batch(real), Batch(alike)) < 0.1
    mask = torch.ones(100, 6, dtype=torch.bool)
    clouds = torch.randn(100, 6, 3, generator=rng)
    shuffled = torch.stack([cloud[torch.randperm(6, generator=rng)] for cloud in clouds])
    assert diversity(Batch(clouds, mask), Batch(shuffled, mask)) == 1


CALM: list[dict[str, Any]] = [
    {
        "step": n,
        "critic/objective": 1.0,
        "critic/score/fake": 0.0,
        "generator/objective": -0.1,
        "critic/singular/a": 2.0,
        "diversity": 1.0,
    }
    for n in range(6)
]


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({}, None),
        ({"critic/singular/a": 1.1}, None),
        ({"critic/singular/a": 0.9}, "singular value critic/singular/a went from 2 to 0.9"),
        ({"critic/singular/a": 21.0}, "went from 2 to 21"),
        ({"diversity": 0.05}, "generated samples are alike"),
        ({"generator/objective": -11.0}, "the generator's loss rose to -11"),
        ({"critic/objective": 0.009}, "the critic's loss fell to 0.009"),
    ],
)
def test_signs_of_a_collapse(change: dict[str, float], sign: str | None) -> None:
    signs = collapse_signs([*CALM, CALM[-1] | change])
    assert len(signs) == (sign is not None)
    assert sign is None or sign in signs[0]
