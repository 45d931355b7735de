"""How small clusters share their charge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from partigan.data.clusters import PATTERNS
from partigan.data.sticks import BREAK_OF, BREAKS, CONTEXTS, SLICES, Sticks, broken, edges_of, parted

LEAST = 7


@dataclass
class Clusters:
    """Small clusters of all patterns, with much above the least charge, with little, and with none."""

    charge: Tensor
    sticks: Sticks


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    rng = torch.Generator().manual_seed(1)
    pattern = torch.from_numpy(np.flatnonzero(PATTERNS.sum(1) > 1)).repeat(60)
    hit = torch.from_numpy(PATTERNS)[pattern]
    above = torch.rand(hit.shape, generator=rng) ** 2 * torch.tensor([0, 3, 20, 248])[torch.arange(len(hit)) % 4, None]
    charge = hit * (LEAST + above.long())
    layer = torch.arange(len(hit)) // 4 % 2
    sticks = Sticks(layer, pattern, charge.sum(1).float(), torch.zeros(CONTEXTS, 0), LEAST)
    return Clusters(charge, sticks._replace(edges=edges_of(charge, sticks)))


def test_charges_part_and_join_again(clusters: Clusters) -> None:
    """Whole ADU back, exactly; parts of an ADU are all that is smoother."""
    charge, sticks = clusters.charge, clusters.sticks
    value = parted(charge, sticks, torch.Generator().manual_seed(2))
    breaks = BREAK_OF[sticks.pattern] >= 0
    assert (value[charge == 0] == 0).all()
    assert (value[(charge > 0) & ~breaks] == 0.5).all()
    assert ((value > 0) & (value < 1))[breaks].all()
    whole, smooth = broken(value, sticks)
    assert torch.equal(whole * (charge > 0), charge.float())
    assert ((smooth - charge)[charge > 0] >= 0).all()
    assert ((smooth - charge)[charge > 0] <= 1).all()


def test_values_are_uniform_and_the_untrained_share_charge_as_they_should(clusters: Clusters) -> None:
    charge, sticks = clusters.charge, clusters.sticks
    value = parted(charge, sticks, torch.Generator().manual_seed(2))
    for number in range(2 * BREAKS):
        seen = value[sticks.breaks() == number]
        assert kstest(seen.numpy(), "uniform").statistic < max(1.6 / len(seen) ** 0.5, 0.02), number
    drawn = torch.rand(charge.shape, generator=torch.Generator().manual_seed(3))
    made, hit = broken(drawn, sticks)[0], charge > 0
    torch.testing.assert_close((made * hit).sum(1), sticks.total)
    assert made[hit].min() == LEAST
    assert made[hit].max() <= 255
    edges = np.array([7, 8, 9, 11, 15, 20, 30, 60, 120, 256])
    ours, theirs = (np.histogram(x[hit].numpy(), edges)[0] for x in (made, charge))
    np.testing.assert_allclose(ours, theirs, rtol=0.15)
    halves = broken(torch.where(hit, 0.5, 0.0), sticks)[0]  # the planted defect: all in the middle
    assert np.abs(np.histogram(halves[hit].numpy(), edges)[0] / theirs - 1).max() > 0.3


def test_tables_rise_and_those_without_clusters_are_those_of_all(clusters: Clusters) -> None:
    edges = clusters.sticks.edges
    assert edges.shape == (CONTEXTS, SLICES + 1)
    assert (edges.diff() > 0).all()
    assert (edges[:, 0] == 0).all()
    assert (edges[:, -1] == 1).all()
    none = edges_of(torch.zeros(0, 9, dtype=torch.long), Sticks.of(torch.zeros(0, 5), edges, LEAST))
    torch.testing.assert_close(none, torch.linspace(0, 1, SLICES + 1).expand(CONTEXTS, -1), atol=1e-5, rtol=0)


def _pairs(total: Tensor, edges: Tensor) -> Sticks:
    """Of two pixels side by side, in layer 1."""
    return Sticks(torch.zeros_like(total), torch.full_like(total, 0b11), total.float(), edges, LEAST)


def test_layers_share_charge_in_their_own_ways() -> None:
    """All of what is left to the first pixel in layer 1, to the second one in layer 2."""
    layer, total = torch.arange(2000) % 2, torch.full((2000,), 100)
    sticks = _pairs(total, torch.zeros(CONTEXTS, 0))._replace(layer=layer)
    charge = torch.zeros(2000, 9, dtype=torch.long)
    charge[:, 0] = torch.where(layer == 0, 100 - LEAST, LEAST)
    charge[:, 1] = total - charge[:, 0]
    sticks = sticks._replace(edges=edges_of(charge, sticks))
    made = broken(torch.rand(2000, 9, generator=torch.Generator().manual_seed(1)), sticks)[0]
    assert (made[layer == 0, 0] > 80).float().mean() > 0.95
    assert (made[layer == 1, 0] < 20).float().mean() > 0.95


def test_few_clusters_of_much_charge_share_it_as_the_next_ones_do() -> None:
    """Not as those of little charge, of which a part of a large one would be more than the matrix can say."""
    total = torch.tensor([20] * 5000 + [330] * 200 + [400] * 2)
    charge = torch.zeros(len(total), 9, dtype=torch.long)
    charge[:, 1] = torch.where(total < 100, LEAST, 3 * total // 5)
    charge[:, 0] = total - charge[:, 1]
    sticks = _pairs(total, torch.zeros(CONTEXTS, 0))
    sticks = sticks._replace(edges=edges_of(charge, sticks))
    many = _pairs(torch.full((1000,), 400), sticks.edges)
    made = broken(torch.rand(1000, 9, generator=torch.Generator().manual_seed(1)), many)[0]
    assert (made[:, 0] > 240).float().mean() < 0.05


def test_no_pixel_has_more_than_the_matrix_can_say() -> None:
    """Of two pixels with 400 ADU neither has more than 255; totals that are too small leave each hit the least."""
    edges = torch.linspace(0, 1, SLICES + 1).repeat(CONTEXTS, 1)
    two = _pairs(torch.tensor([400, 400, 400, 5]), edges)
    value = torch.zeros(4, 9)
    value[:, 0] = torch.tensor([0.0, 1.0, 0.5, 0.5])
    assert broken(value, two)[0][:, :2].tolist() == [[145, 255], [255, 145], [200, 200], [7, 7]]


def test_charges_follow_values(clusters: Clusters) -> None:
    """The more the first pixel takes, the less is left for the last."""
    sticks = Sticks(torch.tensor([0]), torch.tensor([0b111]), torch.tensor([90.0]), clusters.sticks.edges, LEAST)
    value = torch.full((1, 9), 0.4, requires_grad=True)
    smooth = broken(value, sticks)[1]
    first, last = (torch.autograd.grad(smooth[0, pixel], value, retain_graph=True)[0][0] for pixel in (0, 2))
    assert first[0] > 0
    assert (first[1:] == 0).all()
    assert (last[:2] < 0).all()
