"""Strips of pixels along tracks: where their lines are, and which pixels are hit, given logits and their number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from partigan.data.clusters import EDGE, STRIP

GEOMETRY = 8  # what a network knows of a strip at each pixel along it
SIDE = STRIP // 2
FAR = 1e6  # more than any two logits differ by
RISE = 0.8  # of the logarithm of the charge of a track's pixel with what its share is made of, about
HIGHEST = 20.0  # of these
FARTHEST = 0.9  # that a part of a track deviates from its mean


class Pixels(NamedTuple):
    """What a `Strip` makes of the pixels along tracks, ``(batch, STRIP, pixels)`` each.

    Attributes:
        hit: 0 or 1, with the gradient of a sigmoid.
        spectrum: see `partigan.data.spectra`.
        mean: of the normal number that the share comes from.
        width: logarithm of the standard deviation of that.
        noise: standard normal, for the share.
    """

    hit: Tensor
    spectrum: Tensor
    mean: Tensor
    width: Tensor
    noise: Tensor


class Given(NamedTuple):
    """What else a `Strip` is told.

    Attributes:
        kind: see `partigan.data.spectra.kind_of`, ``(batch, pixels or 1)``.
        track: number of the track of each pixel along, from 0, rising, ``(batch, pixels)``.
        more: hits of each track beyond one for each pixel along it, about, ``(tracks,)``.
        part: number of the part of a track, of at most `WINDOW` pixels, from 0, rising, ``(batch, pixels)``.
        level: mean of what the shares of the hits of its track are made of, see `levelled`, ``(parts,)``.
        deviation: of that of the part from it, in standard deviations of these, ``(parts,)``.
    """

    kind: Tensor
    track: Tensor
    more: Tensor
    part: Tensor
    level: Tensor
    deviation: Tensor


def geometry(
    line: tuple[Tensor, Tensor, Tensor],
    sides: tuple[Tensor, Tensor],
    along: Tensor,
    off: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
) -> Tensor:
    """What is known of a strip at pixels along it: ends, where in the pixel the line is, slope, room; ``(..., 8)``.

    Args:
        line: its slope, in pixels a pixel; where it begins in its pixel; length of the track in pixels.
        sides: columns below and above the box of the line that hits have, -1 where they end before it.
        along: pixel from the track's beginning, shaped like the others.
        off: pixels by which the beginning and the end of the line that is told are off that of the strip.
    """
    slope, phase, length = line
    at, end = phase + slope * along, (phase + slope * (length - 1) + EDGE).floor()
    pixel = (at + EDGE).floor()
    lean = (off[1] - off[0]) / (length - 1).clamp_min(1)
    at, slope = at + off[0] + lean * along, slope + lean
    inside = ((along >= 0) & (along < length)).to(slope)
    ends = [(along == 0).to(slope), (along == length - 1).to(slope)]
    room = [pixel - end.clamp_max(0) + sides[0], end.clamp_min(0) - pixel + sides[1]]
    room = [each.clamp(max=SIDE + 1) for each in room]
    return torch.stack([inside, *ends, 2 * (at - pixel) - 1, slope, slope.abs(), *room], dim=-1)


def chosen(logit: Tensor, known: Tensor, given: Given) -> tuple[Tensor, Tensor]:
    """Which pixels of strips are hit, ``(batch, STRIP, pixels)``, and what their logits exceed, ``(batch, 1, pixels)``.

    At each pixel along, that of the largest logit is hit, and what lies between it and that of the pixel before. Others
    are those of the largest logits, until as many are hit as should be; each touches another one of the track.

    Args:
        logit: ``(batch, STRIP, pixels)``, from `reaching`.
        known: `geometry`, ``(batch, 8, pixels)``; tracks in a row have a pixel of none between them.
        given: the tracks, and how many hits.
    """
    across, largest = torch.arange(STRIP, device=logit.device)[:, None], _largest(logit)
    step = torch.round(known[:, 4:5, 1:] - known[:, 3:4].diff() / 2)  # of the strip
    inside = known[:, :1] > 0
    before = torch.where(inside[:, :, :-1], largest[:, :, :-1] - step, largest[:, :, 1:])
    between = (across > before) & (across < largest[:, :, 1:]) | (across < before) & (across > largest[:, :, 1:])
    added = functional.pad(between, (1, 0)) & inside
    sure = (across == largest) & inside | added
    track = given.track[:, None].expand(sure.shape)
    more = given.more - torch.bincount(track[added], minlength=len(given.more))
    free = roomy(known) & ~sure & (inside & (more > 0)[given.track][:, None])
    value = hanging(logit, sure, free, step)
    taken, limit = largest_of(value[free], track[free], more)
    sure[free] = taken
    return sure, limit[given.track][:, None]


def hanging(logit: Tensor, sure: Tensor, free: Tensor, step: Tensor) -> Tensor:
    """The least logit on the best way to each pixel from one that is hit in any case, over sides and corners.

    Args:
        logit: ``(batch, STRIP, pixels)``.
        sure: which are hit in any case, at least one at each pixel along.
        free: which others can be.
        step: columns by which strips move from a pixel to the next, ``(batch, 1, pixels - 1)``.
    """
    value = start = torch.where(sure, FAR, -FAR).to(logit)
    up, down = step > 0, step < 0
    for _ in range(STRIP - 1):  # so that each pixel has a way across
        wide = functional.pad(value, (0, 0, 2, 2), value=-FAR)
        wide = torch.maximum(torch.maximum(wide[:, :-2], wide[:, 2:]), wide[:, 1:-1])
        low, same, high = wide[:, :-2], wide[:, 1:-1], wide[:, 2:]
        best = same.clone()
        for mine, other, more, less in ((slice(1, None), slice(-1), up, down), (slice(-1), slice(1, None), down, up)):
            beside = torch.where(more, high[:, :, other], torch.where(less, low[:, :, other], same[:, :, other]))
            best[:, :, mine] = torch.maximum(best[:, :, mine], beside)
        value = torch.where(free, torch.minimum(logit, best - 1e-3), start)  # of equal ones the nearer
    return value


def largest_of(value: Tensor, track: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """Which values of each track are the largest, as many as wanted, ``(pixels,)``; what they exceed, ``(tracks,)``.

    Args:
        value: ``(pixels,)``.
        track: number of that of each, ``(pixels,)``.
        more: how many are wanted, ``(tracks,)``.
    """
    order = (track * FAR - value.double()).argsort(stable=True)
    track, value = track[order], value[order]
    first = torch.searchsorted(track, torch.arange(len(more) + 1, device=track.device))
    number = first.diff()
    more = torch.minimum(more.long().clamp_min(0), number)
    padded = functional.pad(value, (1, 1))
    low, high = (padded[(first[:-1] + more + step).clamp_max(len(value) + 1)] for step in (1, 0))
    low = torch.where(more < number, low, high - 1)
    place = torch.arange(len(value), device=track.device) - first[track]
    taken = torch.empty_like(track, dtype=torch.bool)
    taken[order] = place < more[track]  # of equal ones as many, too
    return taken, torch.where(more > 0, (low + high) / 2, FAR)


def reaching(logit: Tensor, known: Tensor, given: Given) -> Tensor:
    """Logits of which, in the first and in the last column that a track has, the largest one is the largest across.

    Parts of tracks may end before these columns; those of which not both ends are there are left alone.

    Args:
        logit: ``(batch, STRIP, pixels)``.
        known: `geometry`, ``(batch, 8, pixels)``.
        given: the tracks.
    """
    ends = known.new_zeros(len(given.more)).index_add(0, given.track.flatten(), known[:, 1:3].sum(1).flatten())
    track, none = given.track.flatten(), logit.new_full((len(given.more),), -torch.inf)
    free = (ends == 2)[given.track] & (known[:, 0] > 0)
    for column in (-known[:, 6], known[:, 7]):
        across = (column.long() + SIDE).clamp(0, STRIP - 1)[:, None]
        best = torch.where(free & (column.abs() <= SIDE), logit.gather(1, across)[:, 0], -torch.inf)
        most = none.scatter_reduce(0, track, best.flatten(), "amax")[given.track]
        reached = (best == most) & (best > -FAR / 100)
        logit = logit.scatter_add(1, across, FAR / 100 * reached[:, None])
        free = free & ~reached
    return logit


def levelled(value: Tensor, hit: Tensor, given: Given) -> Tensor:
    """What has to be added to values of the pixels of tracks, so that the mean of their hits is as given.

    The mean charge of a track is told. Charges that did not know of each other would have means that scatter more.
    Charges rise with the values about as an exponential does, of which the mean is taken.

    Args:
        value: ``(batch, STRIP, pixels)``.
        hit: 0 or 1, ``(batch, STRIP, pixels)``.
        given: the tracks.

    Returns:
        ``(batch, 1, pixels)``.
    """
    none, there = value.new_zeros(len(given.level)), (RISE * value.clamp(-HIGHEST, HIGHEST)).exp() * hit
    number, total, square = (
        none.index_add(0, given.part.flatten(), each.sum(1).flatten()) for each in (hit, there, there.detach() ** 2)
    )
    mean = total / number.clamp_min(1)
    spread = (square * number / total.detach() ** 2 - 1).clamp_min(0).sqrt()
    change = given.level + ((given.deviation * spread).clamp(-FARTHEST, FARTHEST).log1p() - mean.log()) / RISE
    return change[given.part][:, None]


def roomy(known: Tensor) -> Tensor:
    """Which pixels of strips can be hit, ``(batch, STRIP, pixels)``; known: `geometry`, ``(batch, 8, pixels)``."""
    off = torch.arange(-SIDE, SIDE + 1, device=known.device)[:, None]
    return (off >= -known[:, 6:7]) & (off <= known[:, 7:8])


def _largest(logit: Tensor) -> Tensor:
    """Which pixel across has the largest logit, ``(batch, 1, pixels)``; argmax takes ten times as long."""
    first, *others = logit.unbind(1)
    largest, most = torch.zeros_like(first, dtype=torch.long), first
    for number, each in enumerate(others, 1):
        largest, most = torch.where(each > most, number, largest), torch.maximum(each, most)
    return largest[:, None]


def softened(logit: Tensor, limit: Tensor, there: Tensor, known: Tensor, given: Given) -> Tensor:
    """What has the gradients of hits, ``(tracks, STRIP, pixels)``; each part of a batch has one track.

    One hit at each pixel along the axis is sure: that of the largest logit, as the softmax of those across. Of the
    others the sigmoid is taken. Their number is given, so that what their logits have in common has no gradient.

    Args:
        logit: ``(tracks, STRIP, pixels)``.
        limit: what hits exceed, see `chosen`.
        there: from `chosen`.
        known: `geometry`, ``(tracks, 8, pixels)``.
        given: the tracks.
    """
    sure = torch.zeros_like(there).scatter(1, _largest(logit), True) & (known[:, :1] > 0)
    above = logit - limit
    free = ~sure & roomy(known) & (known[:, :1] > 0) & (given.more > 0)[:, None, None] & (there | (above <= 0))
    above = torch.where(free, above - (above.detach().clamp_max(0) * there), 0.0)
    common = above.sum((1, 2), keepdim=True) / free.sum((1, 2), keepdim=True).clamp_min(1)
    others = torch.sigmoid(above - (common - common.detach())) * free
    return logit.softmax(1) * sure.any(1, keepdim=True) + others
