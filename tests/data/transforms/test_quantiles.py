"""Quantiles to a normal distribution; what all transforms keep to is in test_transform.py."""

from __future__ import annotations

import json

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


def test_a_planted_atom_is_made_exactly_and_no_other_value_is() -> None:
    """Three rows in ten are 0, in the middle or at an end: a smooth generator near the atom's place makes just 0."""
    draw = torch.Generator().manual_seed(0)
    flat = torch.randn(5000, 1, generator=draw)
    for planted in (torch.where(torch.rand(5000, 1, generator=draw) < 0.3, 0.0, flat), flat.clamp_min(-0.5)):
        sample, atom = Batch(planted), planted.mode(0).values
        transform = Quantiles(1000, atoms=0.01)
        transform.fit(sample)
        normal = transform.forward(sample)
        place = normal.x[planted == atom].unique()
        assert len(place) == 1  # without noise
        seen = transform.batch(normal, draw)
        assert seen.x[planted == atom].unique().numel() > 1000
        assert torch.equal(seen.x[planted != atom], normal.x[planted != atom])
        for batch in (normal, seen):
            assert torch.equal(transform.inverse(batch).x == atom, planted == atom)
        made = transform.inverse(Batch(place + 0.02 * torch.randn(100, 1, generator=draw))).x
        assert (made == atom).all()
        plain = Quantiles(1000)  # the defect: the place of the atom is a point
        plain.fit(sample)
        assert plain.inverse(Batch(plain.forward(Batch(atom[:, None])).x + 0.02)).x != atom


def test_the_largest_number_of_quantiles_has_an_exact_inverse_and_a_small_state() -> None:
    sample = Batch(torch.randn(130_000, 1, generator=torch.Generator().manual_seed(0)).exp())
    transform = Quantiles(100_000)
    transform.fit(sample)
    assert transform.values.shape[1] > 99_000
    back = transform.inverse(transform.forward(sample)).x
    torch.testing.assert_close(back, sample.x, rtol=3e-5, atol=0)
    text = json.dumps(transform.state())
    assert len(text) < 1.6e6
    again = Quantiles()
    again.load_state(json.loads(text))
    assert torch.equal(again.forward(sample[:1000]).x, transform.forward(sample[:1000]).x)


def test_what_has_no_quantiles() -> None:
    for quantiles in (1, 100_001):
        with pytest.raises(PartiganError, match=f"quantiles = {quantiles}; give 2 to 100,000"):
            Quantiles(quantiles)
    for atoms in (-0.1, 1.0):
        with pytest.raises(PartiganError, match=f"atoms = {atoms}; it is a share"):
            Quantiles(atoms=atoms)
    with pytest.raises(PartiganError, match="a feature that does not vary"):
        Quantiles().fit(Batch(torch.ones(5, 1)))
    with pytest.raises(PartiganError, match="quantiles are taken of tables"):
        Quantiles().fit(Batch(torch.rand(5, 3, 2)))
