"""Strips of pixels along tracks: where their lines are, and which pixels are hit, given logits and their number."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from partigan.data.clusters import EDGE, STRIP

GEOMETRY = 6  # what a network knows of a strip at each pixel along it
FAR = 1e6  # more than any two logits differ by


class Given(NamedTuple):
    """What else a `Strip` is told.

    Attributes:
        place: see `partigan.data.spectra.place_of`, ``(batch, pixels or 1)``.
        track: number of the track of each pixel along, from 0, rising, ``(batch, pixels)``.
        more: hits of each track beyond one for each pixel along it, about, ``(tracks,)``.
    """

    place: Tensor
    track: Tensor
    more: Tensor


def geometry(slope: Tensor, phase: Tensor, length: Tensor, along: Tensor) -> Tensor:
    """What is known of a strip at pixels along it: ends, where in the pixel the line is, slope; ``(..., 6)``.

    Args:
        slope: of the line, in pixels a pixel.
        phase: where the line begins in its pixel.
        length: of the track in pixels.
        along: pixel from the track's beginning, shaped like the others.
    """
    line = phase + slope * along
    inside = ((along >= 0) & (along < length)).to(slope)
    ends = [(along == 0).to(slope), (along == length - 1).to(slope)]
    return torch.stack([inside, *ends, 2 * (line - (line + EDGE).floor()) - 1, slope, slope.abs()], dim=-1)


def limits(logit: Tensor, known: Tensor, given: Given) -> tuple[Tensor, Tensor]:
    """What has to be exceeded for as many hits as wanted, the same for all of a track, and by what.

    Since hits have no gaps, a pixel counts with the least logit between it and the largest one across.

    Args:
        logit: ``(batch, pixels, STRIP)``.
        known: `geometry`, ``(batch, pixels, 6)``.
        given: the tracks, and how many hits.

    Returns:
        ``(batch, pixels, 1)``, and ``(batch, pixels, STRIP)`` that falls on both sides of the largest logit.
    """
    across, largest = torch.arange(STRIP, device=logit.device), logit.argmax(2, keepdim=True)
    up = torch.where(across > largest, logit, torch.inf).cummin(2).values
    down = torch.where(across < largest, logit, torch.inf).flip(2).cummin(2).values.flip(2)
    counted = (across != largest) & (known[:, :, :1] > 0)
    track = given.track[:, :, None].expand(logit.shape)[counted]
    joined = torch.minimum(up, down) - 1e-3 * (across - largest).abs()  # of equal ones the nearer
    value = joined[counted]
    order = (track * FAR - value.double()).argsort()
    track, value = track[order], value[order]
    first = torch.searchsorted(track, torch.arange(len(given.more) + 1, device=track.device))
    number = first.diff()
    more = torch.minimum(given.more.long().clamp_min(0), number)
    padded = functional.pad(value, (1, 1))
    low, high = (padded[(first[:-1] + more + step).clamp_max(len(value) + 1)] for step in (1, 0))
    low, high = torch.where(more < number, low, high - 1), torch.where(more > 0, high, low + 1)
    return ((low + high) / 2)[given.track][:, :, None], joined


def connected(logit: Tensor, known: Tensor) -> Tensor:
    """Which pixels of strips are hit, so that all of a track touch each other, ``(batch, pixels, STRIP)``.

    At each pixel along the axis that of the largest logit is hit, with all that are joined to it by positive ones.
    Where these do not touch those at the pixel before, what lies between is hit, too.

    Args:
        logit: ``(batch, pixels, STRIP)``.
        known: `geometry`, ``(batch, pixels, 6)``.
    """
    across, inside = torch.arange(STRIP, device=logit.device), known[:, :, :1] > 0
    largest = logit.argmax(2, keepdim=True)
    gaps = ((logit <= 0) & (across != largest)).cumsum(2)
    there = (gaps == gaps.gather(2, largest)) & ((logit > 0) | (across == largest))
    low = reduce(torch.minimum, torch.where(there, across, STRIP).split(1, 2))  # amin takes ten times as long
    high = reduce(torch.maximum, torch.where(there, across, -1).split(1, 2))
    step = torch.round(known[:, 1:, 4] - (known[:, 1:, 3] - known[:, :-1, 3]) / 2)[:, :, None]  # of the strip
    before = low[:, :-1] - step, high[:, :-1] - step
    between = (across > before[1]) & (across < low[:, 1:]) | (across < before[0]) & (across > high[:, 1:])
    there[:, 1:] |= between & inside[:, :-1]
    return there & inside
