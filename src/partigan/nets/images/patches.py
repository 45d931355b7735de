"""Small networks for what lies inside the frame of a cluster of pixels: a box, or a strip along a track.

A pixel has two numbers: whether it is hit, 0 or 1, and a share, 0 without hit, see
`partigan.data.transforms.hitmaps.ClusterShares`. Hits and the charge of boxes are known; what is learned is how their
pixels share it. Of a strip as many pixels are hit as is known, those of the largest logits plus normal numbers, a gate
that is hard forwards and has the slope of a sigmoid backwards (straight-through, Y. Bengio et al., arXiv:1308.3432).
A share is where a mean plus a width times a normal number lies in the distribution of these, so that an untrained
network has the right spectrum. Critics see exactly what generators make.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.data.clusters import PATTERNS, SMALL, STRIP
from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.spectra import PITCH_CHANGES, SPECTRA, of_tracks
from partigan.data.sticks import BREAKS, CONTEXTS, LAYER, SLICES, Sticks, breaks_of, broken
from partigan.data.transforms.hitmaps import ClusterShares, charges_of, least_charge
from partigan.nets.images.shares import WIDTHS, Shares
from partigan.nets.images.strips import (
    FAR,
    GEOMETRY,
    SIDE,
    Given,
    Pixels,
    chosen,
    levelled,
    reaching,
    roomy,
    softened,
)

SLOPE = 0.2
GRID = 128  # places of the share at which a critic knows the charge
BEYOND = 2  # pixels of a strip before and after what is wanted: convolutions of a `Strip`
LOADS = (10.0, 14.0, 20.0, 32.0)  # ADU a hit: edges of small clusters whose shares are uniform by themselves
LINEAR = 50.0  # ADU: unit of charges as critics see them
RARE, BURST = 2.5, 24.0  # of the noise of steps: beyond this (one in 160) pixels across are hit together
STEP_NOISE = 4  # noise of each pixel along a strip
ALL_NOISE = STEP_NOISE + 2 * STRIP  # and two values for every pixel across it


class Place(nn.Module):
    """Sensor and place of a cluster as features.

    Args:
        features: their number.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.sensor = nn.Embedding(len(SENSORS), features)
        nn.init.normal_(self.sensor.weight, std=0.1)
        self.across = nn.Linear(8, features)

    def forward(self, place: Tensor) -> Tensor:
        """Features ``(batch, features)`` of sensor, column and row ``(batch, 3)``."""
        u, v = 2 * place[:, 1] / COLUMNS - 1, 2 * place[:, 2] / ROWS - 1
        sensor, late = place[:, 0].long(), (place[:, 2] >= PITCH_CHANGES).to(place)
        layer = 2 * LAYER.to(place)[sensor] - 1
        along = torch.stack((u, 2 * u**2 - 1, v, 2 * v**2 - 1, 4 * v**3 - 3 * v, late, late * v, layer), dim=1)
        return self.sensor(sensor) + self.across(along)  # type: ignore[no-any-return]


class Charges(nn.Module):
    """What a critic sees of pixels of tracks: hit, share, and the charge on a logarithmic and a linear scale."""

    scales: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scales", torch.zeros(2, SPECTRA, GRID + 1))

    def meet(self, transform: ClusterShares) -> None:
        """Take the charges that shares stand for.

        Args:
            transform: the fitted normalisation.
        """
        edges = transform.edges
        if edges.shape[1] == 0:
            return
        grid = torch.linspace(0, 1, GRID + 1, device=edges.device).expand(SPECTRA, -1)
        spectrum = torch.arange(SPECTRA, device=edges.device)[:, None].expand_as(grid)
        charge = charges_of(grid, spectrum, edges).clamp(THRESHOLD, MAXIMUM).float()
        self.scales.copy_(torch.stack(scaled(charge)))

    def forward(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """``(batch, 2, ...)`` hit and share, with the spectrum of each ``(batch, ...)``, to ``(batch, 4, ...)``."""
        hit, share = x.unbind(1)
        cell = (share.detach().clamp(0, 1) * GRID).long().clamp(0, GRID - 1)
        part = share * GRID - cell
        seen = [hit, share]
        for scale in self.scales:
            low = scale[spectrum, cell]
            seen.append(hit * (low + part * (scale[spectrum, cell + 1] - low)))
        return torch.stack(seen, dim=1)


def scaled(charge: Tensor) -> tuple[Tensor, Tensor]:
    """Charges in ADU as critics see them, on a logarithmic and a linear scale."""
    return (charge / 20).log(), charge / LINEAR


class Patterns(nn.Module):
    """Features of small clusters.

    Args:
        features: their number.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.place, self.shape = Place(features), nn.Embedding(len(PATTERNS), features)
        self.charge = nn.Linear(2, features)
        nn.init.normal_(self.shape.weight, std=0.5)

    def forward(self, frame: Tensor) -> Tensor:
        """``(batch, features)`` of sensor, column, row, pattern and charge."""
        charge = torch.stack(scaled(frame[:, 4]), dim=1)
        return self.place(frame[:, :3]) + self.shape(frame[:, 3].long()) + self.charge(charge)  # type: ignore[no-any-return]


class Patch(nn.Module):
    """Generator of how the pixels of small clusters share their charge, see `partigan.data.sticks`.

    Args:
        noise: noise values of the whole, beside one for each pixel.
        hidden: features of the hidden layers.
    """

    hit: Tensor

    def __init__(self, noise: int, hidden: int) -> None:
        super().__init__()
        self.pixels, self.values = SMALL[0] * SMALL[1], noise
        self.noise = noise + self.pixels
        self.register_buffer("hit", torch.from_numpy(PATTERNS).float(), persistent=False)
        self.frames = Patterns(hidden)
        self.first, self.second = nn.Linear(noise, hidden), nn.Linear(hidden, hidden)
        self.last, self.finish = nn.Linear(hidden, 2 * self.pixels), Shares(2 * BREAKS * (len(LOADS) + 1))

    def forward(self, noise: Tensor, frame: Tensor) -> Tensor:
        """Hit and share ``(batch, 2, pixels)``; frames: sensor, column, row, pattern and charge."""
        whole, own = noise[:, : self.values], noise[:, self.values :]
        h = functional.leaky_relu(self.first(whole) + self.frames(frame), SLOPE)
        mean, width = self.last(functional.leaky_relu(self.second(h), SLOPE)).chunk(2, dim=1)
        layer, pattern = LAYER.to(frame.device)[frame[:, 0].long()], frame[:, 3].long()
        hit, number = self.hit[pattern], breaks_of(layer, pattern)
        taken = (number >= 0).to(noise)
        load = torch.bucketize(frame[:, 4] / hit.sum(1).clamp_min(1), torch.tensor(LOADS, device=frame.device))[:, None]
        share = self.finish(mean, width, own, taken, number.clamp_min(0) * (len(LOADS) + 1) + load)
        return torch.stack((hit, share + 0.5 * (hit - taken)), dim=1)


class PatchCritic(nn.Module):
    """Critic of small clusters.

    Args:
        hidden: features of the hidden layers.
    """

    breaks: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.frames, self.least = Patterns(hidden), THRESHOLD
        self.register_buffer("breaks", torch.linspace(0, 1, SLICES + 1).repeat(CONTEXTS, 1))
        self.first = nn.Linear(4 * SMALL[0] * SMALL[1], hidden)
        self.second, self.last = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)

    def meet(self, transform: ClusterShares) -> None:
        """Take the charges that shares stand for.

        Args:
            transform: the fitted normalisation.
        """
        if transform.edges.shape[1]:
            self.least = least_charge(transform.edges)
            self.breaks.copy_(transform.breaks)

    def forward(self, x: Tensor, frame: Tensor) -> Tensor:
        """Score ``(batch, 1)`` of what `Patch` gives."""
        hit, share = x.unbind(1)
        charge = broken(share, Sticks.of(frame, self.breaks, self.least))[1]
        charge = torch.stack(scaled(charge), dim=1) * hit[:, None]
        h = functional.leaky_relu(self.first(torch.cat((x, charge), dim=1).flatten(1)) + self.frames(frame), SLOPE)
        return self.last(functional.leaky_relu(self.second(h), SLOPE))  # type: ignore[no-any-return]


class Along(nn.Linear):
    """A convolution along the last axis but one, without padding, as one product of matrices.

    Args:
        inputs: features.
        outputs: features.
        taps: pixels, or groups of pixels, that one output sees.
        fold: pixels that become one.
    """

    def __init__(self, inputs: int, outputs: int, taps: int, fold: int = 1) -> None:
        super().__init__(inputs * fold * taps, outputs)
        self.taps, self.fold = taps, fold
        nn.init.normal_(self.weight, std=(2 / self.in_features) ** 0.5)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, pixels, inputs)`` to ``(batch, pixels / fold - taps + 1, outputs)``."""
        x = x.reshape(len(x), x.shape[1] // self.fold, -1)
        size = x.shape[1] - self.taps + 1
        taps = torch.cat([x[:, tap : tap + size] for tap in range(self.taps)], dim=2)
        return functional.linear(taps, self.weight, self.bias)


class Strip(nn.Module):
    """Generator of the pixels along a track: convolutions along its axis.

    Args:
        noise: noise values of a whole track.
        hidden: feature maps.
    """

    def __init__(self, noise: int, hidden: int) -> None:
        super().__init__()
        self.noise = noise
        self.frames, self.whole = Lines(hidden), nn.Linear(noise, hidden)
        self.first = Along(GEOMETRY + STEP_NOISE, hidden, 3)
        self.second = Along(hidden, hidden, 3)
        self.last, self.finish = nn.Linear(hidden, 3 * STRIP + 1), Shares(SPECTRA)
        self.mean = nn.Linear(hidden, 1)
        self.room, self.focus = nn.Parameter(torch.tensor(0.25)), nn.Parameter(torch.tensor(14.0))
        nn.init.normal_(self.last.weight, std=0.01)  # at first the line and the noise alone decide
        nn.init.zeros_(self.last.bias)

    def off(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels that tracks are off both ends of their lines, which lie at half pixels: uniform, ``(tracks, 1)``."""
        low, high = (self.room * torch.special.erf(noise[:, :2] / 2**0.5)).split(1, dim=1)
        return low, high

    @staticmethod
    def turn(noise: Tensor) -> Tensor:
        """The noise of parts of tracks that their mean charges deviate by, ``(parts,)``."""
        return noise[:, 2]

    def shared(self, noise: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Features of whole tracks ``(tracks, hidden)``, and `Given.level`; frame: see `Lines`."""
        about = self.frames(frame)
        level = 2 * (frame[:, 8:9] / 20).log() + self.mean(functional.leaky_relu(about, SLOPE))
        return about + self.whole(noise), level[:, 0]

    def forward(self, known: Tensor, noise: Tensor, shared: Tensor, given: Given) -> Tensor:
        """Hit and share ``(batch, 2, STRIP, pixels)``; all as in `pixels`."""
        hit, spectrum, mean, width, own = self.pixels(known, noise, shared, given)
        return torch.stack((hit, self.finish(mean, width, own, hit, spectrum)), dim=1)

    def pixels(self, known: Tensor, noise: Tensor, shared: Tensor, given: Given) -> Pixels:
        """Hits, and what their shares come from, without the `BEYOND` first and last pixels of what is given.

        Beyond the ends of a track are zeros; so one pixel between two tracks is enough.

        Every pixel along the track has at least one hit across it, and all hits of a track hang together; there are
        none beyond its ends. As many as are asked for are hit, those of the largest logits.

        Args:
            known: `geometry`, ``(batch, pixels, 8)``.
            noise: ``(batch, pixels, 4 + 2 STRIP)``.
            shared: from `shared`, ``(batch, pixels - 2 or 1, hidden)``.
            given: of the wanted pixels.
        """
        gate, own = _first_across(noise[:, BEYOND:-BEYOND, STEP_NOISE:]).chunk(2, dim=1)
        inside = known[:, :, :1]
        h = self.first(inside * torch.cat((known, noise[:, :, :STEP_NOISE]), dim=2)) + shared
        h = self.second(inside[:, 1:-1] * functional.leaky_relu(h, SLOPE))
        made = _first_across(self.last(functional.leaky_relu(h, SLOPE)))
        logit, mean, width, together = made.split([STRIP, STRIP, STRIP, 1], dim=1)
        gate = gate + BURST * (1 + together).relu() * (noise[:, None, BEYOND:-BEYOND, 0] - RARE).relu()
        known = _first_across(known[:, BEYOND:-BEYOND])
        away = torch.arange(-SIDE, SIDE + 1, device=known.device)[:, None] - known[:, 3:4] / 2
        logit = torch.where(roomy(known), logit - self.focus * away**2 + gate, -FAR / 10)
        there, limit = chosen(reaching(logit.detach(), known, given), known, given)
        hit = there.to(logit)
        if logit.requires_grad:
            soft = softened(logit, limit, there, known, given)
            hit = hit + (soft - soft.detach())
        mean = mean + levelled(mean + width.clamp(*WIDTHS).exp() * own, there.to(own), given)
        spectrum = of_tracks(there.sum(1), given.kind.expand(given.track.shape), known[:, 1:3].any(1))
        return Pixels(hit, spectrum[:, None].expand_as(hit), mean, width, own)


def _first_across(x: Tensor) -> Tensor:
    """``(batch, pixels, values)`` to ``(batch, values, pixels)``, which lie side by side in memory."""
    return x.transpose(1, 2).contiguous()


class Lines(nn.Module):
    """Features of whole tracks.

    Args:
        features: their number.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.place, self.line = Place(features), nn.Linear(6, features)

    def forward(self, frame: Tensor) -> Tensor:
        """``(batch, features)`` of frames as in `partigan.kinds.pxd_clusters`."""
        turned, length, dense, bright, *sides = (frame[:, number] for number in (3, 4, 7, 8, 9, 10))
        line = torch.stack((turned, (length / 8).log(), 2 * dense.log(), (bright / 20).log(), *sides), dim=1)
        return self.place(frame[:, :3]) + self.line(line)  # type: ignore[no-any-return]


class StripCritic(nn.Module):
    """Critic of parts of strips: sums of local features at three scales, and the mean charge over that of the track.

    Args:
        hidden: feature maps.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.charges, self.frames = Charges(), Lines(2 * hidden)
        sizes = (hidden, hidden, 2 * hidden)
        self.scales = nn.ModuleList((Along(4 * STRIP + GEOMETRY, sizes[0], 3),))
        self.scales.extend(Along(a, b, 2, 2) for a, b in pairwise(sizes))
        self.join, self.second = nn.Linear(sum(sizes) + 5, 2 * hidden), nn.Linear(2 * hidden, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, known: Tensor, frame: Tensor, kind: Tensor) -> Tensor:
        """Score ``(batch, 1)`` of hits and shares ``(batch, 2, pixels, STRIP)``; the rest as in `Strip`."""
        spectrum = of_tracks((x[:, 0] > 0.5).sum(2), kind, known[:, :, 1:3].any(2))
        seen = self.charges(x, spectrum[:, :, None].expand(x[:, 0].shape))
        h, sums = torch.cat((seen.transpose(1, 2).flatten(2), known), dim=2), []
        for number, convolution in enumerate(self.scales):
            h = functional.leaky_relu(convolution(h[:, : h.shape[1] // 2 * 2] if number else h), SLOPE)
            sums.append(h.sum(1) / x.shape[2] ** 0.5)
        total = seen.sum((2, 3))
        mean = LINEAR * total[:, 3:] / total[:, :1].clamp_min(1)
        sums += [total / x.shape[2], mean / frame[:, 8:9] - 1]
        h = functional.leaky_relu(self.join(torch.cat(sums, dim=1)) + self.frames(frame), SLOPE)
        return self.last(functional.leaky_relu(self.second(h), SLOPE))  # type: ignore[no-any-return]
