"""Our networks for sparse hitmaps: trained on crops, they make whole maps in one pass without seams.

**Generator.** Convolutions over noise with values at every position. No layer pads: every level is made with the margin
that the next one needs, so a pixel comes out the same in a crop and in a map. Levels have cells of 8, 4, 2 and 1
pixels.

*Seeds.* Clusters are few and independent. A pixel is a seed where its noise exceeds a quantile, with probability p; so
is a cell of 8 x 8 pixels for long tracks. ln p is the logarithm of the rate, given by the condition, plus a learned
polynomial of the position for every sensor. Where there is a seed, further noise passes, the marks, whose mean can
depend on sensor and position. In a whole map the number of seed pixels is exactly the expected one: its fluctuation
comes from the condition, as the number of particles in a jet does. Seeds of long tracks fluctuate freely.

*Gate.* The last layer gives two numbers a pixel: the logit of a hit and its charge. A pixel is hit where the logit is
positive; in the backward pass the gate has the slope of the logit's sigmoid (straight-through, Y. Bengio et al.,
arXiv:1308.3432). Charges are between 0 and 1, so the gap below the threshold is part of the model.

**Critic.** Strided convolutions without normalisation. The features are sums over positions at all scales, divided by
the square root of the number of positions. A small network adds the condition.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator, frozen
from partigan.nets.images.heads import Conditioning, Head
from partigan.nets.images.layers import Condition, maker

CELLS = (8, 4, 2)  # pixels along a side of a cell at each level
REACH = (3, 2, 2)  # convolutions of 3 x 3 at each of these levels
LAST = 2  # and on pixels, including the one that makes the image
POLYNOMIALS = 7  # T0 to T4 along the width, T1 and T2 along the height
SHARPNESS = 0.1  # of seeds, standard deviations of their noise
MODULATION = 0.7  # largest logarithm of the factor of the seed density that depends on the position
NOTHING = -1.0  # no hit, in `partigan.data.transforms.hitmaps.EqualisedCharge`; charges are between 0 and 1


def _margins() -> tuple[int, ...]:
    """Cells around the image that the noise of each level needs, from coarse to fine."""
    margins = [math.ceil(LAST / 2)]
    for reach in REACH[::-1]:
        margins.append(math.ceil(margins[-1] / (2 if len(margins) > 1 else 1)) + reach)
    return tuple(margins[::-1])


MARGINS = _margins()
_make = maker(lambda weight: nn.init.kaiming_normal_(weight, a=0.2))


class HitmapGenerator(Generator):
    """Hitmaps from noise at every position: crops, or whole maps in the deployed form.

    Args:
        channels: channels of an image.
        height: pixels u of a crop.
        width: pixels v of a crop.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        whole: height and width of the whole map. The last three conditions then are the positions of the crop's first
            row and column, between -1 and 1, and the logarithm of the clusters in 1000 pixels. None: there are no
            positions, and the rate is learned.
        widths: feature maps of the levels of 8, 4, 2 and 1 pixels.
        marks: noise values of a seed of a long track, and of a pixel.
        long: share of the clusters that begin as long tracks.
        rate: start value of a learned rate, clusters in 1000 pixels.
        gate: separate hit and charge; False = one intensity, to be cut below 0.

    Raises:
        PartiganError: a map smaller than its crops, or too few conditions for positions and rate.

    Example:
        >>> generator = HitmapGenerator(height=16, width=24, conditions=4, whole=(32, 48))
        >>> place = torch.tensor([[0.0, -1.0, -1.0, 1.4]])  # one feature, row, column, log rate
        >>> generator(generator.noise(1, None, torch.Generator()), place).shape
        torch.Size([1, 1, 16, 24])
        >>> deployed = generator.deployed()
        >>> deployed(deployed.noise(1, None, torch.Generator()), place).shape
        torch.Size([1, 1, 32, 48])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 64,
        width: int = 96,
        classes: int = 0,
        conditions: int = 0,
        whole: tuple[int, int] | None = None,
        widths: tuple[int, int, int, int] = (32, 24, 16, 8),
        marks: tuple[int, int] = (8, 8),
        long: float = 0.05,
        rate: float = 4.0,
        gate: bool = True,
    ) -> None:
        super().__init__()
        if whole is not None and (whole[0] < height or whole[1] < width or conditions < 4):
            raise PartiganError(
                f"whole = {whole} with crops of {height} x {width} and {conditions} conditions; give a map not smaller "
                "than a crop, and conditions that end with two positions and a rate"
            )
        self.condition = Condition(classes, conditions)
        self.size, self.whole, self.gate, self.channels = (height, width), whole, gate, channels
        self.noises = (1 + marks[0], 0, 4 + marks[1], 4)
        self.shares = {0: long * CELLS[0] ** 2, 2: 1 - long}
        fixed = self.condition.size - (0 if whole is None else 3)
        self.log_rate = None if whole is not None else nn.Parameter(torch.tensor(rate).log())
        self.fields = nn.ModuleDict()
        for level, number in zip(self.shares, marks, strict=True):
            linear = nn.Linear(fixed + 1, POLYNOMIALS * (1 + number), bias=False)
            nn.init.zeros_(linear.weight)
            self.fields[str(level)] = linear
        self.levels = nn.ModuleList()
        before = 0
        for size, number, noise in zip(widths, REACH, self.noises, strict=False):
            ins = [before + noise, *[size] * (number - 1)]
            self.levels.append(nn.ModuleList(_make(nn.Conv2d(i, size, 3)) for i in ins))
            before = size
        last = widths[3]
        self.enlarge = _make(nn.ConvTranspose2d(widths[2] + 4, last, 2, 2))
        self.body = nn.ModuleList(_make(nn.Conv2d(last, last, 3)) for _ in range(LAST - 1))
        self.head = maker(nn.init.orthogonal_)(nn.Conv2d(last, channels * (2 if gate else 1), 3))
        self.own = nn.Parameter(torch.tensor(1.5))  # training starts with hits at seeds only

    def deployed(self) -> HitmapGenerator:
        """The form that makes whole maps, where ``whole`` is given."""
        twin = frozen(self)
        twin.size = self.whole or self.size
        return twin

    def shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of the noise of each level, margins included."""
        cells = self._cells()
        places = zip(self.noises, [*cells, cells[-1]], MARGINS, strict=True)
        return [(noise, rows + 2 * margin, columns + 2 * margin) for noise, (rows, columns), margin in places]

    def _cells(self) -> list[tuple[int, int]]:
        """Cells of each level that cover an image, from coarse to fine."""
        height, width = self.size
        return [(math.ceil(height / cell), math.ceil(width / cell)) for cell in CELLS]

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, values)``, one level after another."""
        return torch.randn(size, sum(math.prod(shape) for shape in self.shapes()), generator=rng, device=rng.device)

    def split(self, noise: Tensor) -> list[Tensor]:
        """The noise of each level, ``(batch, channels, height, width)``."""
        shapes = self.shapes()
        parts = noise.split([math.prod(shape) for shape in shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Images ``(batch, channels, height, width)``."""
        given = self.condition(condition, noise)
        levels = self.split(noise)
        if self.whole is None:
            fixed, corner, log_rate = given, None, self.log_rate.expand(len(given))  # type: ignore[union-attr]
        else:
            fixed, corner, log_rate = given[:, :-3], self._corner(given[:, -3:-1]), given[:, -1]
        fixed = torch.cat((fixed, torch.ones_like(noise[:, :1])), dim=1)
        inputs = {level: self.seeded(levels[level], level, fixed, corner, log_rate) for level in self.shares}
        return self.render(inputs, levels[3])

    def _corner(self, places: Tensor) -> Tensor:
        """Row and column of the crop's first pixel in the map, ``(batch, 2)``."""
        assert self.whole is not None
        room = [whole - part for whole, part in zip(self.whole, self.size, strict=True)]
        return (places + 1) / 2 * places.new_tensor(room)

    def _places(self, level: int, corner: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Centres of a level's cells, -1 to 1 across the map: ``(batch or 1, rows)`` and ``(batch or 1, columns)``."""
        cell, margin = CELLS[level], MARGINS[level]
        if corner is None:
            corner = like.new_zeros(1, 2)
        ends = self.size if self.whole is None else self.whole
        found = []
        for axis in (0, 1):
            index = torch.arange(like.shape[2 + axis], device=like.device, dtype=like.dtype) - margin
            centre = corner[:, axis, None] + (index + 0.5) * cell
            found.append(2 * centre / ends[axis] - 1)
        return found[0], found[1]

    def _field(self, coefficients: Tensor, level: int, corner: Tensor | None, like: Tensor) -> Tensor:
        """Polynomials of the position, ``(batch, k, rows, columns)``, for coefficients ``(batch, k, 7)``."""
        if self.whole is None:
            return coefficients[:, :, 0, None, None]
        u, v = (x.clamp(-1, 1) for x in self._places(level, corner, like))
        along = torch.stack((torch.ones_like(v), v, 2 * v**2 - 1, 4 * v**3 - 3 * v, 8 * v**4 - 8 * v**2 + 1), dim=1)
        across = torch.stack((u, 2 * u**2 - 1), dim=1)
        return (coefficients[:, :, :5] @ along)[:, :, None] + (coefficients[:, :, 5:] @ across)[..., None]

    def seeded(self, noise: Tensor, level: int, fixed: Tensor, corner: Tensor | None, log_rate: Tensor) -> Tensor:
        """Seeds, between 0 and 1, and their marks: the input of a level.

        Args:
            noise: of the level, ``(batch, seeds + marks, rows, columns)``.
            level: 0 for long tracks, with one seed a cell; 2 for pixels, with four.
            fixed: condition of the map, ``(batch, k)``.
            corner: first row and column in the map, ``(batch, 2)``; None without positions.
            log_rate: logarithm of the clusters in 1000 pixels, ``(batch,)``.

        Returns:
            Shaped like the noise.
        """
        number = 1 if level == 0 else 4
        field = self._field(0.3 * self.fields[str(level)](fixed).unflatten(1, (-1, POLYNOMIALS)), level, corner, noise)
        p = (log_rate[:, None, None, None] + MODULATION * torch.tanh(field[:, :1])).exp() * (self.shares[level] / 1000)
        p = p.clamp(1e-9, 0.5).expand(-1, 1, *noise.shape[2:])
        if self.whole is not None:  # no seeds outside the map
            u, v = self._places(level, corner, noise)
            p = torch.where((u.abs() < 1)[:, None, :, None] & (v.abs() < 1)[:, None, None, :], p, 1e-9)
        score = noise[:, :number] + torch.special.ndtri(p)
        if level == 2 and self.whole is not None and self.size == self.whole:
            score = score - _last_of(score, (number * p.flatten(1).sum(1)).round().long())
        there = torch.sigmoid(score / SHARPNESS)
        return torch.cat((there, (noise[:, number:] + field[:, 1:]) * there.amax(1, keepdim=True)), dim=1)

    def render(self, inputs: dict[int, Tensor], pixels: Tensor) -> Tensor:
        """Images from the seeds and marks of each level, and the noise of pixels."""
        x = _last(inputs[0])
        for level, convolutions in enumerate(self.levels):
            if level > 0:
                x = self._below(x, level)
                x = torch.cat((x, _last(inputs[level])), dim=1) if level in inputs else x
            for convolution in convolutions.children():
                x = functional.leaky_relu_(convolution(x), 0.2)
        x = functional.leaky_relu_(self.enlarge(torch.cat((x, _last(pixels)), dim=1)), 0.2)
        height, width = self.size
        x = x[:, :, : height + 2 * LAST, : width + 2 * LAST]
        for convolution in self.body:
            x = functional.leaky_relu_(convolution(x), 0.2)
        margin = 2 * MARGINS[2]
        own = functional.pixel_shuffle(inputs[2][:, :4], 2)[:, :, margin : margin + height, margin : margin + width]
        return self._intensity(self.head(x), self.own * (2 * own - 1))

    def _below(self, x: Tensor, level: int) -> Tensor:
        """The maps of the previous level, on the cells and margin of this one."""
        margin = MARGINS[level]
        first = margin % 2  # the previous level covers whole cells
        height, width = (side + 2 * margin for side in self._cells()[level])
        return functional.interpolate(x, scale_factor=2)[:, :, first : first + height, first : first + width]

    def _intensity(self, out: Tensor, own: Tensor) -> Tensor:
        """Log intensity from the last layer's output plus the pixel's own seed."""
        if not self.gate:
            return torch.tanh(out + own)
        logit, charge = out.split(self.channels, dim=1)
        logit = logit + own
        return NOTHING + hit(logit) * (torch.sigmoid(charge) - NOTHING)


def hit(logit: Tensor) -> Tensor:
    """1 where the logit is positive, else 0; the gradient is that of the sigmoid (straight-through)."""
    hard = (logit > 0).to(logit)
    if not logit.requires_grad:
        return hard
    soft = torch.sigmoid(logit)
    return hard + (soft - soft.detach())


def _last(x: Tensor) -> Tensor:
    """Channels last in memory, faster for convolutions with few channels."""
    return x.contiguous(memory_format=torch.channels_last)


def _last_of(score: Tensor, number: Tensor) -> Tensor:
    """Between the ``number``-th largest score of an image and the next, ``(batch, 1, 1, 1)``."""
    number = number.clamp_min(1)
    ranked = score.flatten(1).topk(int(number.max()) + 1).values
    return ranked.gather(1, torch.stack((number - 1, number), dim=1)).mean(1)[:, None, None, None]


class HitmapCritic(Critic):
    """Sums of local features at several scales, and the condition.

    Args:
        channels: channels of an image.
        height: not used, images can have any size.
        width: not used.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        widths: feature maps with a pixel pitch of 1, 2, 4 and 8.
        hidden: features of the embedded condition, and half of those before the score.
        conditioning: how the condition is used, see `Head`.

    Example:
        >>> HitmapCritic()(torch.randn(2, 1, 64, 96)).score.shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 64,
        width: int = 96,
        classes: int = 0,
        conditions: int = 0,
        widths: tuple[int, int, int, int] = (16, 32, 48, 64),
        hidden: int = 32,
        conditioning: Conditioning = "projection",
    ) -> None:
        super().__init__()
        condition = Condition(classes, conditions)
        self.condition = condition
        self.scales = nn.ModuleList([_make(nn.Conv2d(channels, widths[0], 3, padding=1))])
        for before, after in pairwise(widths):
            self.scales.append(_make(nn.Conv2d(before, after, 4, 2, padding=2)))
        self.last = _make(nn.Conv2d(widths[3], widths[3], 3, padding=1))
        features = sum(widths) + widths[3]
        self.join = _make(nn.Linear(features, 2 * hidden))
        if condition.size:
            self.embed = nn.Sequential(_make(nn.Linear(condition.size, hidden)), nn.LeakyReLU(0.2))
            self.local = _make(nn.Linear(hidden, widths[1], bias=False))
            self.whole = _make(nn.Linear(hidden, 2 * hidden, bias=False))
        self.head = Head(2 * hidden, condition, conditioning, _make)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, features ``(batch, 2 hidden)`` and outputs of the ``conditioning``."""
        h = _last(x - NOTHING)
        sums = []
        embedded = self.embed(self.condition(condition, x)) if self.condition.size else None
        for number, convolution in enumerate(self.scales):
            h = convolution(h)
            if number == 1 and embedded is not None:
                h = h + self.local(embedded)[..., None, None]
            h = functional.leaky_relu_(h, 0.2)
            sums.append(_sum(h))
        sums.append(_sum(functional.leaky_relu(self.last(h), 0.2)))
        features = self.join(torch.cat(sums, dim=1))
        if embedded is not None:
            features = features + self.whole(embedded)
        return self.head(functional.leaky_relu(features, 0.2), condition)  # type: ignore[no-any-return]


def _sum(x: Tensor) -> Tensor:
    """Sums over positions, divided by the root of their number: fluctuations do not depend on the size."""
    return x.flatten(2).sum(2) / math.sqrt(x.shape[2] * x.shape[3])
