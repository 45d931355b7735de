"""Spectra of charge that are counted apart, so that networks need not learn them.

The charge of a pixel goes by the path of a particle in it: by the pitch, the axis of a track, and whether a step along
the track is one pixel wide, or its end. Number 0 is the spectrum of all hits.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from partigan.data.clusters import FRAMES, PATTERNS, PIXELS, SMALL, STRIP, WINDOW
from partigan.data.pxd import SENSORS

PITCH_CHANGES = 512
"""Row at which the pitch along v changes."""
ZONES = 8
"""Layer, forward or backward, and pitch along v."""
SHAPES = 6
"""Of small clusters: two pixels along u, along v, at corners; three along v; three else; more."""
ROLES = 8
"""In a track: its axis, whether a step is the first or last one, and whether it has one hit."""
SPECTRA = 1 + ZONES * (SHAPES + ROLES)
_GROUPS = torch.tensor([2 * (sensor.layer - 1) + sensor.number - 1 for sensor in SENSORS])


def _shapes() -> Tensor:
    """The shape of each pattern of a small cluster, ``(512,)``."""
    image = PATTERNS.reshape(-1, *SMALL)
    number = PATTERNS.sum(1)
    columns, rows = (image.any(axis).sum(1) for axis in (2, 1))
    two = np.where(columns == 1, 1, np.where(rows == 1, 0, 2))
    shape = np.select([number <= 2, number == 3], [two, np.where(columns == 1, 3, 4)], 5)
    return torch.from_numpy(shape)


_SHAPES = _shapes()


def zone(frame: Tensor) -> Tensor:
    """Number of the zone of clusters whose frames ``(clusters, 3 or more)`` begin with sensor, column and row."""
    return 2 * _GROUPS.to(frame.device)[frame[:, 0].long()] + (frame[:, 2] >= PITCH_CHANGES).long()


def of_small(frame: Tensor) -> Tensor:
    """Spectra of the pixels of small clusters, ``(clusters,)``; frames: sensor, column, row, pattern."""
    return 1 + zone(frame) * SHAPES + _SHAPES.to(frame.device)[frame[:, 3].long()]


def of_tracks(hit: Tensor, place: Tensor, end: Tensor) -> Tensor:
    """Spectra of the pixels of each step along tracks, ``(..., steps)``.

    Args:
        hit: above 1/2 where a pixel is hit, ``(..., steps, STRIP)``.
        place: twice the zone, and 1 for tracks along u, ``(..., steps)`` or what becomes that.
        end: whether a step is the first or the last one, ``(..., steps)``.
    """
    return 1 + ZONES * SHAPES + place * 4 + 2 * end.long() + ((hit > 0.5).sum(-1) == 1).long()


def of_rows(hit: Tensor, frames: Tensor) -> Tensor:
    """Spectra of all pixels of training samples, a small cluster and a part of a track each, ``(samples, pixels)``.

    Args:
        hit: above 1/2 where a pixel is hit, ``(samples, pixels)``.
        frames: of both, see `partigan.kinds.pxd_clusters`.
    """
    small, track = frames.split(list(FRAMES), dim=1)
    along = track[:, 7:] + torch.arange(WINDOW, device=frames.device)
    end = (along == 0) | (along == track[:, 4:5] - 1)
    place = 2 * zone(track) + track[:, 3].long()
    steps = of_tracks(hit[:, PIXELS[0] :].unflatten(1, (WINDOW, STRIP)), place[:, None], end)
    return torch.cat((of_small(small)[:, None].expand(-1, PIXELS[0]), steps.repeat_interleave(STRIP, 1)), dim=1)
