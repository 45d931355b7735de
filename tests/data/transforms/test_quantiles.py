"""Quantiles to a normal distribution; what all transforms keep to is in test_transform.py."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from partigan.data.batch import Batch
from partigan.data.transforms.quantiles import Quantiles
from partigan.errors import PartiganError


def test_columns_become_normal_and_come_back() -> None:
    """A long tail, a column with an atom, and numbers of tracks; also with fewer quantiles than rows."""
    draw = torch.Generator().manual_seed(0)
    tail = torch.randn(5000, 1, generator=draw).exp() ** 4
    atom = torch.randn(5000, 1, generator=draw).clamp_min(-0.3)
    tracks = torch.randint(9, 40, (5000, 1), generator=draw).float()
    sample = Batch(torch.cat((tail, atom), 1), condition=torch.cat((tracks, (tracks > 20).float()), 1))
    for quantiles, near in ((10_000, 0.0), (300, 0.02)):
        transform = Quantiles(quantiles)
        transform.fit(sample)
        normal = transform.forward(sample)
        assert stats.kstest(normal.x[:, 0], "norm").statistic < 0.01
        assert normal.condition is not None
        assert abs(normal.condition[:, 0].mean()) < 0.05
        assert normal.condition[:, 0].std() == pytest.approx(1, abs=0.05)
        back = transform.inverse(normal)
        assert back.condition is not None
        torch.testing.assert_close(back.x, sample.x, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(back.condition, sample.condition, atol=near, rtol=0)
        assert torch.equal(back.condition[:, 1], sample.condition[:, 1])  # type: ignore[index]
        wild = transform.inverse(Batch(torch.tensor([[1e6, -1e6]])))
        assert wild.x.tolist()[0] == pytest.approx([tail.max().item(), atom.min().item()])


def test_labels_stay_as_they_are() -> None:
    sample = Batch(torch.randn(50, 1), condition=torch.arange(50))
    transform = Quantiles(20)
    transform.fit(sample)
    assert transform.forward(sample).condition is sample.condition
    again = Quantiles()
    again.load_state(transform.state())
    assert torch.equal(again.inverse(transform.forward(sample)).x, transform.inverse(transform.forward(sample)).x)


def test_what_has_no_quantiles() -> None:
    for quantiles in (1, 100_000):
        with pytest.raises(PartiganError, match=f"quantiles = {quantiles}; give 2 to 20,000"):
            Quantiles(quantiles)
    with pytest.raises(PartiganError, match="a feature that does not vary"):
        Quantiles().fit(Batch(torch.ones(5, 1)))
    with pytest.raises(PartiganError, match="quantiles are taken of tables"):
        Quantiles().fit(Batch(torch.rand(5, 3, 2)))
