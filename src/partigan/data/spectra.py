"""Spectra of the charge of tracks' pixels that are counted apart, so that networks need not learn them.

The charge of a pixel goes by the path of a particle in it: by the pitch, axis and length of a track, and whether a step
along the track is one pixel wide, or its end. Number 0 is the spectrum of all hits of all clusters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from partigan.data.cluster_sensors import GROUPS
from partigan.data.clusters import STRIP, WINDOW

PITCH_CHANGES = 512
"""Row at which the pitch along v changes."""
LONG = (5, 6, 7, 9, 13, 17, 41)
"""Pixels: edges of the lengths of tracks."""
KINDS = (8, 2, len(LONG) + 1)
"""Zone (layer, forward or backward, and pitch along v), axis and length of tracks."""
ROLES = 4
"""In a track: whether a step is the first or last one, and whether it has one hit."""
SPECTRA = 1 + math.prod(KINDS) * ROLES
_GROUPS = torch.from_numpy(GROUPS)


def kind_of(frame: Tensor) -> Tensor:
    """Which of the `KINDS` tracks are, ``(tracks,)``; frames as in `partigan.kinds.pxd_clusters`."""
    zone = 2 * _GROUPS.to(frame.device)[frame[:, 0].long()] + (frame[:, 2] >= PITCH_CHANGES).long()
    long = (frame[:, 4:5] >= frame.new_tensor(LONG)).sum(1)
    return (zone * KINDS[1] + frame[:, 3].long()) * KINDS[2] + long


def of_tracks(hits: Tensor, kind: Tensor, end: Tensor) -> Tensor:
    """Spectra of the pixels of each step along tracks, ``(..., steps)``.

    Args:
        hits: number at each step, ``(..., steps)``.
        kind: see `kind_of`, ``(..., steps)`` or what becomes that.
        end: whether a step is the first or the last one, ``(..., steps)``.
    """
    return 1 + kind * ROLES + 2 * end.long() + (hits == 1).long()


def of_strips(hit: Tensor, frame: Tensor) -> Tensor:
    """Spectra of all pixels of parts of tracks, ``(samples, WINDOW * STRIP)``.

    Args:
        hit: above 1/2 where a pixel is hit, ``(samples, WINDOW * STRIP)``.
        frame: see `partigan.kinds.pxd_clusters`, ``(samples, 13)``.
    """
    along = frame[:, -1:] + torch.arange(WINDOW, device=frame.device)
    end = (along == 0) | (along == frame[:, 4:5] - 1)
    hits = (hit.unflatten(1, (WINDOW, STRIP)) > 0.5).sum(2)
    return of_tracks(hits, kind_of(frame)[:, None], end).repeat_interleave(STRIP, 1)
