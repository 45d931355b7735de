"""Small networks for what lies inside the frame of a cluster of pixels: a box, or a strip along a long track.

A pixel has two numbers: whether it is hit, 0 or 1, and the share of the training hits with less charge, 0 without hit.
Generators give three numbers a pixel, and two normal ones are drawn for it. The pixel is hit where its logit and the
first exceed 0, a gate that is hard forwards and has the slope of a sigmoid backwards (straight-through, Y. Bengio et
al., arXiv:1308.3432). Its share is the normal distribution at its mean plus its width times the second, so that an
untrained network has the right spectrum. Critics see exactly what generators make.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from partigan.data.clusters import PATTERNS, STRIP
from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.transforms.hitmaps import ClusterShares

SLOPE = 0.2
PITCH_CHANGES = 512  # row at which the pitch along v changes
GRID = 128  # places of the share at which a critic knows the charge
BEYOND = 3  # pixels of a strip before and after what is wanted: convolutions of a `Strip`
CELLS, MEMORY, SMALLEST = 256, 200, 1e-6  # of the distribution of generated shares: cells, steps, least share of one
GEOMETRY = 6  # what a network knows of a strip at each pixel along it
STEP_NOISE = 4  # noise of each pixel along a strip
ALL_NOISE = STEP_NOISE + 2 * STRIP  # and two values for every pixel across it


def hard(logit: Tensor) -> Tensor:
    """1 where the logit is positive, else 0; the gradient is that of the sigmoid."""
    there = (logit > 0).to(logit)
    if not logit.requires_grad:
        return there
    soft = torch.sigmoid(logit)
    return there + (soft - soft.detach())


class Pixels(nn.Module):
    """Hits and shares from what a network gives for pixels.

    Shares of real hits are uniform. Those of generated ones are made so by their own distribution, which is counted
    during training over the last `MEMORY` steps or so.

    Attributes:
        memory: steps, the present one included, whose mean is kept.
    """

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.memory = MEMORY
        self.register_buffer("counts", torch.full((CELLS,), 1 / CELLS))

    def forward(self, made: Tensor, noise: Tensor, inside: Tensor) -> Tensor:
        """``(..., 2, pixels)``; shares are 0 without hit.

        Args:
            made: logit, mean and logarithm of the width, ``(..., 3, pixels)``.
            noise: for the gate and for the share, ``(..., 2, pixels)``.
            inside: 1 where there may be hits, else 0, ``(..., pixels)``.
        """
        logit, mean, width = made.unbind(-2)
        gate, spread = noise.unbind(-2)
        hit = hard(logit + gate) * inside
        share = self._uniform(torch.special.ndtr(mean + width.clamp(-5, 2).exp() * spread), hit)
        return torch.stack((hit, hit * share), dim=-2)

    def _uniform(self, share: Tensor, hit: Tensor) -> Tensor:
        place = share.detach() * CELLS
        cell = place.long().clamp_max(CELLS - 1)
        if self.training and hit.any():
            seen = torch.bincount(cell[hit > 0], minlength=CELLS).to(share)
            self.counts.lerp_(seen / seen.sum(), 1 / self.memory)
        edges = functional.pad((self.counts + SMALLEST).cumsum(0), (1, 0))
        edges = edges / edges[-1]
        low = edges[cell]
        return low + (share * CELLS - cell) * (edges[cell + 1] - low)


class Place(nn.Module):
    """Sensor and place of a cluster as features.

    Args:
        features: their number.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.sensor = nn.Embedding(len(SENSORS), features)
        nn.init.normal_(self.sensor.weight, std=0.1)
        self.across = nn.Linear(7, features)

    def forward(self, place: Tensor) -> Tensor:
        """Features ``(batch, features)`` of sensor, column and row ``(batch, 3)``."""
        u, v = 2 * place[:, 1] / COLUMNS - 1, 2 * place[:, 2] / ROWS - 1
        late = (place[:, 2] >= PITCH_CHANGES).to(place)
        along = torch.stack((u, 2 * u**2 - 1, v, 2 * v**2 - 1, 4 * v**3 - 3 * v, late, late * v), dim=1)
        return self.sensor(place[:, 0].long()) + self.across(along)  # type: ignore[no-any-return]


class Charges(nn.Module):
    """What a critic sees of pixels: hit, share, and the charge on a logarithmic and a linear scale.

    Args:
        part: 0 for small clusters, 1 for medium ones, 2 for long tracks.
    """

    scales: Tensor

    def __init__(self, part: int) -> None:
        super().__init__()
        self.part = part
        self.register_buffer("scales", torch.zeros(2, GRID + 1))

    def meet(self, transform: ClusterShares) -> None:
        """Take the charges that shares stand for.

        Args:
            transform: the fitted normalisation.
        """
        edges = transform.edges[self.part]  # upper edges of the charges
        if len(edges) == 0:
            return
        grid = torch.linspace(0, 1, GRID + 1, device=edges.device)
        charge = torch.bucketize(grid, edges, right=True).clamp(THRESHOLD, MAXIMUM).float()
        self.scales.copy_(torch.stack(((charge / 20).log(), charge / 50)))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 2, ...)`` hit and share to ``(batch, 4, ...)``."""
        hit, share = x.unbind(1)
        at = share.detach().clamp(0, 1) * GRID
        cell = at.long().clamp(0, GRID - 1)
        part = share * GRID - cell
        seen = [hit, share]
        for scale in self.scales:
            low = scale[cell]
            seen.append(hit * (low + part * (scale[cell + 1] - low)))
        return torch.stack(seen, dim=1)


class Frames(nn.Module):
    """Features of the boxes of clusters, or of their patterns where which pixels are hit is known.

    Args:
        size: columns and rows of the largest box.
        patterns: frames end with a pattern, see `partigan.data.clusters.PATTERNS`; else with columns and rows.
        features: their number.
    """

    inside: Tensor

    def __init__(self, size: tuple[int, int], patterns: bool, features: int) -> None:
        super().__init__()
        self.size, self.patterns = size, patterns
        inside = torch.from_numpy(PATTERNS).float() if patterns else _boxes(size)
        self.register_buffer("inside", inside, persistent=False)
        self.place, self.shape = Place(features), nn.Embedding(len(inside), features)
        nn.init.normal_(self.shape.weight, std=0.5)

    def index(self, frame: Tensor) -> Tensor:
        """Number of each pattern or box, ``(batch,)``."""
        last = frame[:, 3:].long()
        return last[:, 0] if self.patterns else (last[:, 0] - 1) * self.size[1] + last[:, 1] - 1

    def forward(self, frame: Tensor) -> Tensor:
        """``(batch, features)`` of sensor, column, row, and pattern or columns and rows of the box."""
        return self.place(frame[:, :3]) + self.shape(self.index(frame))  # type: ignore[no-any-return]


class Patch(nn.Module):
    """Generator of boxes of pixels.

    Args:
        size: columns and rows of the largest box.
        patterns: which pixels are hit is known.
        noise: noise values of the whole, beside two for each pixel.
        hidden: features of the hidden layers.
    """

    def __init__(self, size: tuple[int, int], patterns: bool, noise: int, hidden: int) -> None:
        super().__init__()
        self.pixels, self.values, self.patterns = size[0] * size[1], noise, patterns
        self.noise = noise + 2 * self.pixels
        self.frames = Frames(size, patterns, hidden)
        self.finish = Pixels()
        self.first, self.second = nn.Linear(noise, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, (2 if patterns else 3) * self.pixels)

    def inside(self, frame: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and pixel of all pixels that may be hit, for frames ``(batch, 4 or 5)``."""
        shape, pixel = np.nonzero(self.frames.inside.numpy())
        index = self.frames.index(frame).numpy()
        size = np.bincount(shape, minlength=len(self.frames.inside))
        begin = np.cumsum(size) - size
        row = np.repeat(np.arange(len(index)), size[index])
        number = np.arange(len(row)) - np.repeat(np.cumsum(size[index]) - size[index], size[index])
        return row, pixel[begin[index][row] + number]

    def known(self, noise: Tensor, frame: Tensor) -> Tensor:
        """What `Pixels` takes, from the noise of the whole: ``(batch, 3, pixels)``."""
        h = functional.leaky_relu(self.first(noise) + self.frames(frame), SLOPE)
        made = self.last(functional.leaky_relu(self.second(h), SLOPE)).unflatten(1, (-1, self.pixels))
        return functional.pad(made, (0, 0, 1, 0), value=torch.inf) if self.patterns else made

    def forward(self, noise: Tensor, frame: Tensor) -> Tensor:
        """Hit and share ``(batch, 2, pixels)``; frames as of `Frames`."""
        whole, own = noise[:, : self.values], noise[:, self.values :].unflatten(1, (2, -1))
        inside = self.frames.inside[self.frames.index(frame)]
        return self.finish(self.known(whole, frame), own, inside)  # type: ignore[no-any-return]


class PatchCritic(nn.Module):
    """Critic of boxes of pixels; arguments as of `Patch`.

    Args:
        size: columns and rows of the largest box.
        patterns: which pixels are hit is known.
        hidden: features of the hidden layers.
    """

    def __init__(self, size: tuple[int, int], patterns: bool, hidden: int) -> None:
        super().__init__()
        self.side = size[1]
        self.charges, self.frames = Charges(0 if patterns else 1), Frames(size, patterns, hidden)
        self.first = nn.Linear(4 * size[0] * size[1], hidden)
        self.second, self.last = nn.Linear(hidden + 4, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor, frame: Tensor) -> Tensor:
        """Score ``(batch, 1)`` of what `Patch` gives."""
        seen = self.charges(x)
        h = functional.leaky_relu(self.first(seen.flatten(1)) + self.frames(frame), SLOPE)
        h = self.second(torch.cat((h, seen.sum(2) / self.side), dim=1))
        return self.last(functional.leaky_relu(h, SLOPE))  # type: ignore[no-any-return]


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
    return torch.stack([inside, *ends, 2 * (line - line.floor()) - 1, slope, slope.abs()], dim=-1)


class Along(nn.Module):
    """A convolution along the last axis but one, without padding, as one product of matrices.

    Args:
        inputs: features.
        outputs: features.
        taps: pixels, or groups of pixels, that one output sees.
        fold: pixels that become one.
    """

    def __init__(self, inputs: int, outputs: int, taps: int, fold: int = 1) -> None:
        super().__init__()
        self.taps, self.fold, self.outputs = taps, fold, outputs
        self.linear = nn.Linear(inputs * fold, taps * outputs, bias=False)
        nn.init.normal_(self.linear.weight, std=(2 / (inputs * fold * taps)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, pixels, inputs)`` to ``(batch, pixels / fold - taps + 1, outputs)``."""
        x = x.reshape(len(x), x.shape[1] // self.fold, -1)
        parts = self.linear(x).split(self.outputs, dim=2)
        size = x.shape[1] - self.taps + 1
        out: Tensor = parts[0][:, :size] + self.bias
        for tap in range(1, self.taps):
            out = out + parts[tap][:, tap : tap + size]
        return out


class Strip(nn.Module):
    """Generator of the pixels along a track: convolutions along its axis.

    Args:
        noise: noise values of a whole track.
        hidden: feature maps.
    """

    def __init__(self, noise: int, hidden: int) -> None:
        super().__init__()
        self.noise = noise
        self.place, self.axis, self.whole = Place(hidden), nn.Linear(1, hidden), nn.Linear(noise, hidden)
        self.first = Along(GEOMETRY + STEP_NOISE, hidden, 3)
        self.body = nn.ModuleList(Along(hidden, hidden, 3) for _ in range(BEYOND - 1))
        self.last, self.finish = nn.Linear(hidden, 3 * STRIP), Pixels()

    def shared(self, noise: Tensor, frame: Tensor) -> Tensor:
        """Features of whole tracks ``(tracks, hidden)``; frame: sensor, column, row, and 1 for tracks along u."""
        return self.place(frame[:, :3]) + self.axis(frame[:, 3:4]) + self.whole(noise)  # type: ignore[no-any-return]

    def forward(self, known: Tensor, noise: Tensor, shared: Tensor) -> Tensor:
        """Hit and share ``(batch, pixels, 2, STRIP)``, without the `BEYOND` first and last pixels of what is given.

        Every pixel along the track has at least one hit across it, and several without a gap; there are none beyond its
        ends.

        Args:
            known: `geometry`, ``(batch, pixels, 6)``.
            noise: ``(batch, pixels, 4 + 2 STRIP)``.
            shared: from `shared`, ``(batch, pixels - 2 or 1, hidden)``.
        """
        own = noise[:, BEYOND:-BEYOND, STEP_NOISE:].unflatten(2, (2, STRIP))
        h = functional.leaky_relu(self.first(torch.cat((known, noise[:, :, :STEP_NOISE]), dim=2)) + shared, SLOPE)
        for convolution in self.body:
            h = functional.leaky_relu(convolution(h), SLOPE)
        made = self.last(h).unflatten(2, (3, STRIP))
        logit = (made[:, :, 0] + own[:, :, 0]).detach()
        largest, where = logit.max(2, keepdim=True)
        lift = torch.where(largest <= 0, 1e-6 - largest, 0.0)
        own = torch.stack((own[:, :, 0] + lift, own[:, :, 1]), dim=2)
        gaps = (logit + lift <= 0).cumsum(2)
        joined = (gaps == gaps.gather(2, where)).to(logit)  # no gap between a pixel and the one of the largest logit
        return self.finish(made, own, known[:, BEYOND:-BEYOND, :1] * joined)  # type: ignore[no-any-return]


class StripCritic(nn.Module):
    """Critic of parts of strips: sums of local features at three scales.

    Args:
        hidden: feature maps.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.charges, self.place, self.axis = Charges(2), Place(hidden), nn.Linear(1, hidden)
        sizes = (hidden, hidden, 2 * hidden)
        self.scales = nn.ModuleList((Along(4 * STRIP + GEOMETRY, sizes[0], 3),))
        self.scales.extend(Along(a, b, 2, 2) for a, b in pairwise(sizes))
        self.join = nn.Linear(sum(sizes) + 4, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, known: Tensor, frame: Tensor) -> Tensor:
        """Score ``(batch, 1)`` of hits and shares ``(batch, 2, pixels, STRIP)``."""
        seen = self.charges(x)
        h, sums = torch.cat((seen.transpose(1, 2).flatten(2), known), dim=2), []
        for number, convolution in enumerate(self.scales):
            h = functional.leaky_relu(convolution(h[:, : h.shape[1] // 2 * 2] if number else h), SLOPE)
            sums.append(h.sum(1) / x.shape[2] ** 0.5)
        sums.append(seen.sum((2, 3)) / x.shape[2])
        features = self.join(torch.cat(sums, dim=1)) + self.place(frame[:, :3]) + self.axis(frame[:, 3:4])
        return self.last(functional.leaky_relu(features, SLOPE))  # type: ignore[no-any-return]


def _boxes(size: tuple[int, int]) -> Tensor:
    """``(boxes, pixels)``: which pixels lie in each box, 0 or 1."""
    rows, columns = (torch.arange(side) for side in size)
    up, along = (each[:, None] >= each for each in (rows, columns))
    return (up[:, None, :, None] & along[None, :, None, :]).flatten(0, 1).flatten(1).float()
