"""Quantiles of features that tie and change their size; what all transforms keep to is in test_transform.py."""

from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.quantiles import Quantiles
from partigan.data.transforms.relative import RelativeQuantiles
from partigan.errors import PartiganError


def thresholds(rows: int = 6000) -> Batch:
    """Likelihoods of two particles and of none: equal below their thresholds, small at high momentum."""
    draw = torch.Generator().manual_seed(0)
    momentum = torch.rand(rows, generator=draw) * 4
    none, first, second = 20 * torch.randn(3, rows, generator=draw) * (-momentum).exp()
    one = torch.where(momentum > 1, first, none)
    two = torch.where(momentum > 2, second, none)
    return Batch(torch.stack((two, none, one), 1), condition=momentum[:, None])


def test_made_rows_tie_exactly_as_often_as_real_ones() -> None:
    sample = thresholds()
    transform = RelativeQuantiles()
    transform.fit(sample)
    assert sorted(transform.relative.tolist()) != [-1, -1, -1]
    draw = torch.Generator().manual_seed(1)
    normal = transform.batch(transform.held(sample), draw)
    near = Batch(normal.x + 0.005 * torch.randn(normal.x.shape, generator=draw), condition=normal.condition)
    made = transform.inverse(near).x
    for one, two in ((0, 1), (0, 2), (1, 2)):
        real = sample.x[:, one] == sample.x[:, two]
        assert ((made[:, one] == made[:, two]) == real).double().mean() > 0.99
    torch.testing.assert_close(made, sample.x, rtol=0.1, atol=1.0)
    plain = Quantiles()  # the defect: features that are made one by one never tie
    plain.fit(sample)
    normal = plain.forward(sample)
    made = plain.inverse(Batch(normal.x + 0.005 * torch.randn(normal.x.shape, generator=draw))).x
    assert (made[:, 1] == made[:, 2]).double().mean() < 0.01


def test_a_tie_that_no_condition_decides_is_an_atom() -> None:
    draw = torch.Generator().manual_seed(0)
    x, condition = torch.randn(3000, 2, generator=draw), torch.randn(3000, 1, generator=draw)
    tied = torch.rand(3000, generator=draw) < 0.4
    x[tied, 1] = x[tied, 0]
    sample = Batch(x, condition=condition)
    transform = RelativeQuantiles()
    transform.fit(sample)
    normal = transform.batch(transform.held(sample), draw)
    assert transform.free(normal.condition) is None
    made = transform.inverse(normal).x
    assert torch.equal(made[:, 0] == made[:, 1], tied)
    assert transform.inverse(Batch(torch.zeros(9, 2), condition=condition[:9])).x.isfinite().all()


def test_below_a_threshold_rows_tie_whatever_is_made() -> None:
    """Networks see noise there; a row in a thousand may be an exception, one in a hundred not."""
    sample = thresholds()
    transform = RelativeQuantiles()
    transform.fit(sample)
    made = transform.inverse(Batch(torch.randn(len(sample), 3), condition=transform.forward(sample).condition)).x
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert torch.equal(made[:, one] == made[:, two], sample.x[:, one] == sample.x[:, two])
    normal = transform.batch(transform.held(sample), torch.Generator().manual_seed(1))
    free = transform.free(normal.condition)
    assert free is not None
    assert normal.x[~free].std().item() == pytest.approx(1, abs=0.05)
    for exceptions, decided in ((3, True), (300, False)):
        x = sample.x.clone()
        x[:exceptions] += torch.rand(exceptions, 3)
        transform.fit(Batch(x, condition=sample.condition))
        assert (transform.free(normal.condition) is not None) == decided


def test_sizes_do_not_depend_on_the_condition_any_more() -> None:
    """The spread of normals in slices of momentum; without sizes it falls by an order of magnitude."""
    sample = thresholds()
    assert sample.condition is not None
    slices = [(sample.condition[:, 0] > low) & (sample.condition[:, 0] < low + 1) for low in (0, 3)]
    ratios = []
    for along in (0, None):
        transform = RelativeQuantiles(along=along)
        transform.fit(sample)
        spread = [transform.forward(sample).x[rows, transform.relative.argmin()].std() for rows in slices]
        ratios.append(float(spread[1] / spread[0]))
    assert ratios[0] == pytest.approx(1, abs=0.15)
    assert ratios[1] < 0.3


def test_without_conditions_and_with_labels_there_are_no_sizes() -> None:
    sample = thresholds(500)
    for condition in (None, torch.arange(500)):
        transform = RelativeQuantiles()
        transform.fit(Batch(sample.x, condition=condition))
        back = transform.inverse(transform.forward(Batch(sample.x, condition=condition)))
        torch.testing.assert_close(back.x, sample.x, rtol=1e-4, atol=1e-4)
    with pytest.raises(PartiganError, match="along = 3; conditions have the numbers 0 to 0"):
        RelativeQuantiles(along=3).fit(sample)


def test_whole_numbers_that_are_often_equal_are_atoms_and_no_ties() -> None:
    draw = torch.Generator().manual_seed(0)
    sample = Batch(torch.randint(0, 4, (1000, 2), generator=draw).float())
    transform = RelativeQuantiles()
    transform.fit(sample)
    assert transform.relative.tolist() == [-1, -1]
    made = transform.inverse(Batch(torch.randn(200, 2, generator=draw))).x
    assert (made == made.round()).double().mean() > 0.5
