"""Explicit distributions against what they say of themselves: densities, samples, exact sums."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from partigan.nets.explicit import Bent, BentFlow, Groups, log_probability_of_choice


def test_a_cut_bent_normal_has_the_density_that_it_says() -> None:
    bent, low = Bent.of(torch.tensor([[0.3, -0.5, 0.6, 0.4]])), torch.tensor(0.5)
    grid = torch.linspace(0.5, 60, 200_001)[:, None]
    density = bent.log_density_above(grid, low).exp() * (grid[1] - grid[0])
    assert density.sum() == pytest.approx(1, abs=2e-3)
    made = bent.above(torch.randn(40_000, 1, generator=torch.Generator().manual_seed(1)), low)
    assert made.min() >= 0.5
    for value in (1.0, 2.0, 4.0):
        assert (made < value).float().mean() == pytest.approx(density[grid < value].sum().item(), abs=0.01)
    z = torch.linspace(-4, 4, 9)[:, None]
    assert torch.allclose(bent.inverse(bent.forward(z)), z, atol=1e-4)
    assert torch.allclose(bent.unbent(bent.forward(z))[0], z, atol=1e-4)
    assert torch.allclose(Bent.of(torch.zeros(1, 4)).forward(z), z, atol=1e-5)


def test_a_flow_has_the_density_of_what_it_makes() -> None:
    torch.manual_seed(1)
    flow = BentFlow(5, 2, steady=1, width=8, couplings=3).double()
    condition = torch.ones(1, 2, dtype=torch.double)
    z = torch.randn(1, 5, dtype=torch.double)
    assert torch.allclose(flow(z, condition), z)
    for parameter in flow.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = flow(z, condition)
    assert ((x != z) == torch.tensor([False, True, True, True, True])).all()
    jacobian = torch.autograd.functional.jacobian(lambda row: flow(row[None], condition)[0], z[0])
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum()
    assert flow.log_density(x, condition).item() == pytest.approx((normal - jacobian.slogdet()[1]).item(), abs=1e-6)


def exact(weight: Tensor, chosen: list[int]) -> float:
    """Probability of a set by all orders in which it may be drawn without replacement."""
    total = 0.0
    for order in itertools.permutations(chosen):
        left, product = weight.sum().item(), 1.0
        for column in order:
            product *= weight[column].item() / left
            left -= weight[column].item()
        total += product
    return total


@pytest.mark.parametrize("many", [1, 2, 4, 5])
def test_probability_of_a_choice(many: int) -> None:
    rng = torch.Generator().manual_seed(many)
    score, groups = 1.5 * torch.randn(1, 9, generator=rng), Groups([6, 3])
    chosen = torch.zeros(1, 9, dtype=torch.bool)
    picked = torch.randperm(6, generator=rng)[:many]
    chosen[0, picked], chosen[0, 6:] = True, True
    found = log_probability_of_choice(score, chosen, groups).exp()
    assert found[0, 0] == pytest.approx(exact(score[0, :6].exp(), picked.tolist()), rel=0.02)
    assert found[0, 1] == 1  # all are chosen


def test_largest_scores_with_gumbel_noise_are_chosen_as_often_as_said() -> None:
    rng = torch.Generator().manual_seed(1)
    score, groups = torch.tensor([[1.0, 0.0, -1.0, 0.5, 2.0]]), Groups([3, 2])
    noise = -(-torch.rand(20_000, 5, generator=rng).log()).log()
    noisy = score + noise
    chosen = noisy > groups.spread(groups.thresholds(noisy, torch.tensor([[2.0, 1.0]]).expand(20_000, -1)))
    assert groups.sums(chosen.float()).unique(dim=0).tolist() == [[2.0, 1.0]]
    wanted = torch.tensor([[True, False, True, False, True]])
    said = log_probability_of_choice(score, wanted, groups).exp()
    for group, part in enumerate((slice(0, 3), slice(3, 5))):
        often = (chosen[:, part] == wanted[:, part]).all(1).float().mean()
        assert often == pytest.approx(said[0, group].item(), abs=0.015)


def test_gradients_of_a_choice_pass_where_all_or_none_are_chosen() -> None:
    score = torch.zeros(2, 4, requires_grad=True)
    chosen = torch.tensor([[True, True, False, False], [True, False, True, True]])
    log_probability_of_choice(score, chosen, Groups([2, 2])).sum().backward()
    assert score.grad is not None
    assert score.grad.isfinite().all()
    assert score.grad[0].abs().sum() == 0
