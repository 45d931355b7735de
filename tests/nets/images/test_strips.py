"""Strips along tracks: what a network is told, and their noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from partigan.data.clusters import STRIP, WINDOW
from partigan.data.spectra import kind_of
from partigan.nets.images.clusters import along_strip, between, deviations, lined_up, parts
from partigan.nets.images.patches import ALL_NOISE, BEYOND, Along, Strip
from partigan.nets.images.strips import RISE, Given, geometry, levelled

FRAME = torch.tensor([[7, 9, 9, 1, 12, 0.3, 0.5, 1.4, 18, 1, 1, 5, -2.0]])


def _tracks(lengths: list[int]) -> tuple[Tensor, Given, Tensor]:
    """Frames, tracks and geometry of windows that show them as a whole."""
    frame = FRAME.repeat(len(lengths), 1)
    frame[:, 4] = torch.tensor(lengths)
    track = torch.arange(len(lengths))[:, None].expand(-1, WINDOW)
    more, level = torch.full((len(lengths),), 3.0), torch.arange(len(lengths)) % 4 / 2
    return frame, Given(kind_of(frame)[:, None], track, more, track, level, level / 10), along_strip(frame)


def test_tracks_in_a_row_are_as_alone() -> None:
    """The deployed form has one pixel between two tracks; training shows each with its surroundings."""
    torch.manual_seed(1)
    strip, lengths = Strip(8, 32).eval(), [4, 7, 12, 5]
    frame, given, _ = _tracks(lengths)
    values, noise = torch.randn(4, 8), torch.randn(4, WINDOW + 2 * BEYOND, ALL_NOISE)
    (shared, level), off = strip.shared(values, frame), strip.off(values)
    given = given._replace(level=level)
    alone = strip.pixels(along_strip(frame, off, BEYOND), noise, shared[:, None], given)
    track, along = (torch.from_numpy(each) for each in lined_up(np.array(lengths)))
    slope, phase, length, *sides = (frame[track, number] for number in (5, 6, 4, 9, 10))
    known = geometry((slope, phase, length), (sides[0], sides[1]), along, (off[0][track, 0], off[1][track, 0]))
    own = noise[track, along + 2 + BEYOND]
    wanted = track[None, BEYOND:-BEYOND]
    given = given._replace(kind=kind_of(frame)[wanted], track=wanted, part=wanted)
    row = strip.pixels(known[None], own[None], shared[track[1:-1]][None], given)
    there = (along >= 0) & (along < length)
    at = track[there], along[there] + 2
    for one, two in zip(alone, row, strict=True):
        torch.testing.assert_close(two[0, :, there[BEYOND:-BEYOND]], one.movedim(1, 0)[:, *at])


def test_lines_that_are_told_are_off_those_of_the_strip() -> None:
    """By as much at both ends; the pixels of the strip stay."""
    frame, _, straight = _tracks([11])
    leaning = along_strip(frame, (0.2, -0.1))
    shift = (leaning - straight)[0, 2:13, 3] / 2
    torch.testing.assert_close(shift, torch.linspace(0.2, -0.1, 11))
    assert (leaning[:, :, [0, 1, 2, 6, 7]] == straight[:, :, [0, 1, 2, 6, 7]]).all()
    step = [known[0, 1:, 4] - known[0, :, 3].diff() / 2 for known in (straight, leaning)]  # of the strip
    torch.testing.assert_close(*step)


def test_hits_of_tracks_have_the_mean_that_is_given() -> None:
    """And parts of tracks the mean that they deviate to."""
    rng = torch.Generator().manual_seed(1)
    _, given, known = _tracks([4, 8, 12, 13] * 1000)
    known, value = known.mT, torch.randn(4000, STRIP, WINDOW, generator=rng)
    hit = (torch.rand(value.shape, generator=rng) < 0.4) * known[:, :1]
    hit[:, 2] = known[:, 0]
    charge, number = (RISE * (value + levelled(value, hit, given))).exp(), hit.sum((1, 2))
    mean = (charge * hit).sum((1, 2)) / number
    expected, spread = (RISE * given.level).exp(), _spread((RISE * value).exp(), hit)
    torch.testing.assert_close(mean, expected * (1 + given.deviation * spread))
    far = levelled(1e9 * value, hit, given._replace(deviation=-9 * torch.ones(4000)))
    assert far.isfinite().all()


def _spread(value: Tensor, hit: Tensor) -> Tensor:
    """Standard deviation of hits over their mean."""
    number = hit.sum((1, 2))
    mean, square = ((each * hit).sum((1, 2)) / number for each in (value, value**2))
    return (square / mean**2 - 1).sqrt()


def test_parts_deviate_as_parts_of_independent_hits() -> None:
    """Tracks that are no longer than a part do not; all parts of a track together neither."""
    length = np.tile([5, WINDOW, WINDOW + 1, 40], 5000)
    track, along = lined_up(length)
    part, owner = parts(track, along, length)
    assert np.bincount(owner).tolist() == [1, 1, 2, 3] * 5000
    inside = (along >= 0) & (along < length[track])
    size = np.bincount(part, inside)
    assert size.max() == WINDOW
    assert np.bincount(owner, size).tolist() == length.tolist()
    size = size * 1.5
    made = deviations(np.random.default_rng(1).standard_normal(len(owner), np.float32), size, owner)
    np.testing.assert_allclose(np.bincount(owner, size * made), 0, atol=1e-4)
    expected = 1 / size - 1 / (1.5 * length[owner])
    assert np.abs(made[expected < 1e-9]).max() < 1e-6
    several = expected > 1e-9
    assert np.mean(made[several] ** 2 / expected[several]) == pytest.approx(1, abs=0.03)


def test_noise_wanders_along_a_track() -> None:
    """It is one of its values every `WINDOW` pixels, as wide between them, and new after two of them."""
    noise = torch.randn(3 * 3000, 1, generator=torch.Generator().manual_seed(1))
    made = between(noise, np.repeat(np.arange(0, 9000, 3), 32), np.tile(np.arange(32), 3000)).view(3000, 32)
    torch.testing.assert_close(made[:, [0, WINDOW]], noise.view(3000, 3)[:, :2])
    torch.testing.assert_close(made.std(0), torch.ones(32), atol=0.05, rtol=0)
    like = torch.corrcoef(made.T)[0]
    assert like[4] > 0.9
    assert like[WINDOW:].abs().max() < 0.06


def test_products_of_matrices_are_convolutions() -> None:
    torch.manual_seed(1)
    x, layer = torch.randn(2, 16, 5), Along(5, 3, 3)
    weight = layer.weight.view(3, 3, 5).transpose(1, 2)
    torch.testing.assert_close(layer(x), functional.conv1d(x.mT, weight, layer.bias).mT)
    assert Along(5, 3, 2, fold=2)(x).shape == (2, 7, 3)
