"""Single samples: galleries of images, mosaics of clouds, images or rows, neighbours, the blind page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from partigan.data.batch import Batch
from partigan.metrics.memorisation import Memorisation
from partigan.report.style import EITHER, Values, plain, style

COLUMNS = 4  # samples in a row of a mosaic
DECADES = 1000.0  # ratio of the largest and the smallest value above 0, from which a colour scale is logarithmic
STEEP = 20.0  # largest value over the mean, above which rows are drawn on a logarithmic scale


def gallery(real: Values, fake: Values, high: float, columns: int = 6) -> Figure:
    """The first images of two samples side by side, on one grey scale from 0.

    Args:
        real: ``(n, height, width)``.
        fake: ``(m, height, width)``.
        high: value shown in black.
        columns: images in a row of each side, and rows.
    """
    with style():
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        for axis, sample, title in zip(figure.subplots(1, 2), (real, fake), ("real", "generated"), strict=True):
            height, width = np.add(sample.shape[1:], 1)  # a line of half grey between images
            shown = np.full((columns**2, height, width), high / 2)
            shown[: len(sample), :-1, :-1] = sample[: columns**2]
            tiled = shown.reshape(columns, columns, height, width).swapaxes(1, 2)
            axis.imshow(tiled.reshape(columns * height, columns * width), cmap="Greys", vmin=0, vmax=high)
            share = float((sample > high).mean()) if sample.size else 0.0
            axis.set_title(title + f" ({100 * share:.2g} % of the pixels above the scale)" * (share > 0), fontsize=11)
            axis.set(xticks=[], yticks=[])
    return figure


def random_rows(sample: Batch, number: int, rng: np.random.Generator) -> Batch:
    """Up to ``number`` different rows of a sample, in random order."""
    return rows_of(sample, rng.choice(len(sample), min(number, len(sample)), replace=False))


def rows_of(sample: Batch, rows: ArrayLike) -> Batch:
    """Rows of a sample, without what figures do not show."""
    index = torch.as_tensor(np.asarray(rows))
    return Batch(sample.x[index], None if sample.mask is None else sample.mask[index])


class Blind(NamedTuple):
    """Real and generated samples in random order.

    Attributes:
        samples: the samples, which numbers from 1 name.
        key: the numbers of the generated ones.
    """

    samples: Batch
    key: list[int]

    @classmethod
    def of(cls, real: Batch, fake: Batch, rng: np.random.Generator) -> Blind:
        """Equal numbers of both, where there are enough."""
        chosen = [random_rows(sample, 2 * COLUMNS, rng) for sample in (real, fake)]
        order = rng.permutation(sum(map(len, chosen)))
        return cls(rows_of(Batch.joined(chosen), order), (np.flatnonzero(order >= len(chosen[0])) + 1).tolist())

    def page(self) -> Figure:
        """All samples under their numbers."""
        return mosaic(self.samples, [str(number) for number in range(1, len(self.samples) + 1)])


def neighbours(found: Memorisation, fake: Batch, training: Batch) -> Figure:
    """The generated samples nearest to training samples, relative to held-out ones, above these training samples."""
    first = np.argsort(found.ratio, kind="stable")[:COLUMNS]
    pair = Batch.joined([rows_of(fake, first), rows_of(training, found.training_rows[first])])
    titles = [f"generated, ratio {found.ratio[row]:.2f}" for row in first] + ["training"] * len(first)
    return mosaic(pair, titles, len(first))


def translations(parts: Mapping[str, Tensor], rng: np.random.Generator) -> Figure:
    """Some samples in columns, what they were above what was made of them and, of pairs, what they should be.

    Args:
        parts: samples by their title, from the top row on, ``(rows, ...)`` in the same order.
        rng: chooses the samples.
    """
    first = next(iter(parts.values()))
    chosen = torch.from_numpy(rng.choice(len(first), min(COLUMNS, len(first)), replace=False))
    wide = first.dim() == 4 and first.shape[3] >= 2 * first.shape[2]  # of which a mosaic has half as many in a row
    shown = Batch(torch.cat([part[chosen].float() for part in parts.values()]))
    titles = [title for title in parts for _ in chosen]
    return mosaic(shown, titles, len(chosen) * (2 if wide else 1))


def mosaic(samples: Batch, titles: Sequence[str], columns: int = COLUMNS) -> Figure:
    """Single samples side by side: clouds as discs whose area is the third feature, images on one colour scale.

    Of images with more pixels than can be shown the largest values of blocks are; sparse ones have a scale of roots,
    those that span more than three decades a logarithmic one.

    Args:
        samples: clouds ``(rows, particles, features)`` with a mask, images ``(rows, channel, height, width)``, of which
            the first channel is shown, traces ``(rows, channel, bins)``, summed over channels and with a scale for each
            column, or tables ``(rows, features)``, as profiles; rows of which few values are large, such as showers,
            have a logarithmic scale.
        titles: above each of them.
        columns: in a row.
    """
    x = samples.x.float().numpy()
    shared: bool | Literal["col"] = True
    if x.ndim == 3 and samples.mask is None:
        x, shared = x.sum(1), "col"
    height = 2.3
    if x.ndim == 4:
        x = _blocks(x[:, 0])
        columns = columns if x.shape[2] < 2 * x.shape[1] else columns // 2
        height = min(height, 8.6 / columns * x.shape[1] / x.shape[2] + 0.3)
        norm = _scale(x)
    lines, steep = -(-len(samples) // columns), x.ndim == 2 and x.min() >= 0 and x.max() > STEEP * x.mean()
    with style():
        figure = Figure(figsize=(8.6, height * lines), layout="constrained")
        axes = figure.subplots(lines, columns, sharex=True, sharey=shared, squeeze=False).ravel()
        mask = None if samples.mask is None else samples.mask.numpy()
        if mask is not None:
            reach = float(np.abs(x[..., :2][mask]).max(initial=1e-6)) * 1.05
            scale = 400 / max(float(x[..., 2][mask].max(initial=0)), 1e-12) if x.shape[-1] > 2 else 0.0
        for row, (axis, title) in enumerate(zip(axes[: len(x)], titles, strict=False)):
            if mask is not None:
                area = x[row, mask[row], 2].clip(0) * scale if x.shape[-1] > 2 else 9.0
                axis.scatter(*x[row, mask[row], :2].T, s=area, color=EITHER, alpha=0.5, edgecolors="#333", lw=0.5)
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            elif samples.x.ndim == 4:
                axis.imshow(x[row], norm=norm, cmap=mpl.colormaps["viridis"].with_extremes(bad="white"))
            else:
                axis.step(range(x.shape[1]), x[row], where="mid", color=EITHER)
                if steep:
                    axis.set_yscale("symlog", linthresh=float(np.quantile(x[x > 0], 0.1)))
                    axis.set_ylim(0, 2 * float(x.max()))
            axis.set_title(plain(title), fontsize=10)
            axis.set(xticks=[], yticks=[])
        for axis in axes[len(x) :]:
            axis.set_axis_off()
    return figure


def _scale(images: Values) -> Normalize:
    """The colour scale of images."""
    low, high = float(images.min()), float(images.max())
    least = float(images[images > 0].min(initial=np.inf))
    if low >= 0 and high > DECADES * least:
        return LogNorm(least, high)
    return PowerNorm(0.5 if np.median(images) == low < high else 1.0, low, high)


def _blocks(images: Values) -> Values:
    """Largest values of the blocks of images ``(n, height, width)``, as small as leaves at most 400 pixels a side."""
    block = -(-max(images.shape[1:]) // 400)
    rows, columns = (-(-side // block) * block for side in images.shape[1:])
    padding = ((0, 0), (0, rows - images.shape[1]), (0, columns - images.shape[2]))
    padded = np.pad(images, padding, constant_values=images.min(initial=np.inf))
    return np.asarray(padded.reshape(len(images), rows // block, block, columns // block, block).max((2, 4)))
