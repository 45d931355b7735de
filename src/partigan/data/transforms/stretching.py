"""Alignment and stretching of jets, so that a generator need not learn what all jets share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform, varying_rows, wrong_shapes, zero_padded
from partigan.errors import PartiganError
from partigan.observables.jets import rotated

REACH = 4.0  # quantiles are tabled at evenly spaced normal levels from -4 to 4
TINY = 1e-9  # least pt sum, for jets without particles
WIDTHS = (0.25, 0.05)  # of stretched jets: standard deviations of log pt sum, and of each coordinate of the axis
ANGLE, PT = 0.17, 0.017  # units of the angles and of pt: near the spread and the median of particles


class JetStretch(Transform):
    """Jets in a common orientation, with pt sum and axis spread out.

    The features become eta_rel / 0.17, phi_rel / 0.17 and log(pt_rel / 0.017), after two steps:

    - Alignment. Physics, and a detector seen from the jet's centre, hardly depend on the direction in the plane of
      (eta, phi), so a generator need not learn it. A jet is turned about its centre until its longer axis (of the
      tensor of angles weighted by pt) lies along eta, and mirrored until its third moments along both axes are
      positive. The inverse cannot know the orientation: `partigan.nets.clouds.turning.TurningGenerator` draws one.
    - Stretching. The leading particles carry nearly all pt of a jet, about its own axis. So log pt sum and axis spread
      by 0.06 and 0.01 only, far less than those of an untrained generator. Monotone functions, fitted to the training
      jets, map log pt sum and the distance of the axis from the centre to those of normal distributions of `WIDTHS`.
      All pt change by a common factor, all angles by a common shift. The inverse shrinks errors by factors of four. The
      functions are linear between tabled quantiles and bounded, so that no generated jet has a pt sum or an axis beyond
      those of the training jets. Particles are kept within the training range of pt and distance, too. On the training
      sample the inverse is exact, but for the orientation.

    Args:
        knots: number of tabled quantiles.
        align: False leaves the first step out.

    References:
        Ours. Turning and mirroring jets: L. de Oliveira et al., Jet-Images - Deep Learning Edition, arXiv:1511.05190,
        section 3. Mapping distributions by their quantiles is customary in corrections of simulated observables.

    Example:
        >>> x = torch.rand(20, 5, 3, generator=torch.Generator().manual_seed(1)) - torch.tensor([0.5, 0.5, 0.0])
        >>> jets = Batch(x, torch.ones(20, 5, dtype=torch.bool))
        >>> transform = JetStretch(knots=9)
        >>> transform.fit(jets)
        >>> back = transform.inverse(transform.forward(jets))
        >>> torch.allclose(back.x, aligned(jets).x, atol=1e-5)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("seen", "range")
    levels: Tensor
    seen: Tensor
    range: Tensor

    def __init__(self, knots: int = 65, align: bool = True) -> None:
        super().__init__()
        if knots < 3:
            raise PartiganError(f"JetStretch has knots = {knots}; it needs at least 3")
        self.align = align
        self.register_buffer("levels", torch.linspace(-REACH, REACH, knots), persistent=False)
        for name in self.constants:
            self.register_buffer(name, torch.zeros(0))

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of jets and the range of particles.

        Raises:
            PartiganError: the sample has no mask, or a feature that does not vary.
        """
        if sample.mask is None:
            raise PartiganError("JetStretch needs clouds with a mask, which the training sample lacks")
        varying_rows(sample, sample.x)
        share = 0.5 * (1 + torch.erf(self.levels.double() / 2**0.5))
        share[0], share[-1] = 0.0, 1.0
        self.seen = torch.quantile(_jet(sample)[0].double(), share, dim=0).T.contiguous().float()
        rows = _scaled(_moved(sample, self.seen, self._stretched()))[sample.mask]
        self.range = torch.stack((rows[:, :2].norm(dim=1).amax(), rows[:, 2].amin(), rows[:, 2].amax()))

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        jets = aligned(sample) if self.align else sample
        return zero_padded(sample, _scaled(_moved(jets, self.seen, self._stretched())))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        farthest, lowest, highest = self.range
        angle, log_pt = sample.x[..., :2], sample.x[..., 2:].clamp(lowest, highest)
        squared = angle.square().sum(-1, keepdim=True)
        angle = angle * (farthest * squared.clamp_min(farthest**2).rsqrt())
        jets = zero_padded(sample, torch.cat((angle * ANGLE, log_pt.exp() * PT), dim=-1))
        return zero_padded(sample, _moved(jets, self._stretched(), self.seen))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from wrong_shapes(values, ("seen", (2, len(self.levels))), ("range", (3,)))
        if (values["seen"].diff(dim=1) < 0).any():
            yield "seen", "has quantiles that fall"
        farthest, lowest, highest = values["range"]
        if farthest <= 0:
            yield "range", "has a greatest distance that is not above 0"
        if lowest > highest:
            yield "range", "has a lowest log pt above the highest"

    def _stretched(self) -> Tensor:
        """The table that `seen` is mapped to, ``(2, knots)``: log pt sum normal about its median, distance Rayleigh."""
        log_pt = self.seen[0, len(self.levels) // 2] + WIDTHS[0] * self.levels
        return torch.stack((log_pt, WIDTHS[1] * (-2 * torch.special.log_ndtr(-self.levels)).sqrt()))


def interpolated(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear functions, constant beyond their ends.

    Args:
        x: where, ``(functions, n)``.
        knots: rising, ``(functions, k)``; where several are equal, the function jumps.
        values: at the knots, ``(functions, k)``.

    Returns:
        ``(functions, n)``, differentiable with respect to ``x``.
    """
    x = torch.clamp(x, knots[:, :1], knots[:, -1:])
    above = torch.searchsorted(knots.contiguous(), x.detach()).clamp(1, knots.shape[1] - 1)
    x0, x1 = knots.gather(1, above - 1), knots.gather(1, above)
    y0, y1 = values.gather(1, above - 1), values.gather(1, above)
    width = x1 - x0
    return y0 + (x - x0) / torch.where(width > 0, width, 1.0) * (y1 - y0)


def aligned(sample: Batch) -> Batch:
    """Jets turned and mirrored about the origin of (eta_rel, phi_rel), to a common orientation.

    Args:
        sample: jets ``(batch, particles, 3)``, zero where padded.

    Returns:
        The same jets: the tensor of the angles about the axis, weighted by pt, is diagonal, its larger value first, and
        the third moments along both directions are not negative.
    """
    angle, pt = sample.x[..., :2], sample.x[..., 2:]
    centred = angle - _axis(sample)[1][:, None]
    eta, phi = (pt * centred * centred).sum(1).unbind(1)
    both = (pt * centred.prod(-1, keepdim=True)).sum((1, 2))
    back = -0.5 * torch.atan2(2 * both, eta - phi)
    third = (pt * rotated(centred, back) ** 3).sum(1, keepdim=True)
    mirrored = torch.where(third < 0, -1.0, 1.0) * rotated(angle, back)
    return replace(sample, x=torch.cat((mirrored, pt), dim=-1))


def _axis(sample: Batch) -> tuple[Tensor, Tensor]:
    """The pt sum ``(batch, 1)`` and the axis, ``(batch, 2)``, of jets."""
    total = sample.x[..., 2:].sum(1).clamp_min(TINY)
    return total, (sample.x[..., 2:] * sample.x[..., :2]).sum(1) / total


def _jet(sample: Batch) -> tuple[Tensor, Tensor]:
    """Logarithm of the pt sum and distance of the axis from the origin, ``(batch, 2)``, and the axis' direction."""
    total, axis = _axis(sample)
    distance = (axis.square().sum(1, keepdim=True) + TINY**2).sqrt()
    return torch.cat((total.log(), distance), dim=1), axis / distance


def _scaled(x: Tensor) -> Tensor:
    """Particles in the units of the normalised space."""
    return torch.cat((x[..., :2] / ANGLE, (x[..., 2:] / PT).clamp_min(torch.finfo(x.dtype).tiny).log()), dim=-1)


def _moved(sample: Batch, before: Tensor, after: Tensor) -> Tensor:
    """Features of jets whose pt sum and axis are mapped from one table of quantiles to another."""
    old, direction = _jet(sample)
    new = interpolated(old.T.contiguous(), before, after).T
    angle = sample.x[..., :2] + ((new - old)[:, 1:] * direction)[:, None]
    return torch.cat((angle, sample.x[..., 2:] * (new - old)[:, None, :1].exp()), dim=-1)
