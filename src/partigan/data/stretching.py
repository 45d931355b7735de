"""Stretching of jets: what nearly all jets share, pt sum and axis, becomes easy to hit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms import Features
from partigan.errors import PartiganError

REACH = 4.0  # quantiles are tabled at evenly spaced normal levels of at most this
TINY = 1e-9  # of a pt sum, for jets without particles
WIDTHS = (0.25, 0.05, 0.05)  # standard deviations of log pt sum, eta and phi of the axis in stretched jets
ANGLE, PT = 0.17, 0.017  # units of the angles and of pt: near the spread and the median of particles


class JetStretch(Features):
    """Jets whose pt sum and axis are spread out, as eta_rel / 0.17, phi_rel / 0.17 and log(pt_rel / 0.017).

    The leading particles of a jet carry nearly all of its pt, about its own axis: log pt sum and axis are spread by
    0.06 and 0.01 only, far less than a young generator's. Each of the three is mapped by a monotone function of its
    own, fitted to the training jets, to a normal distribution of `WIDTHS`, by a common factor of all pt and a shift of
    all angles. On the way back errors shrink with it, by factors of four. The functions are linear between tabled
    quantiles and bounded, so that no generated jet has a pt sum or an axis beyond the training jets', and features of
    stretched particles are kept within theirs; on the training sample the inverse is exact.

    Args:
        knots: tabled quantiles of each.

    References:
        Ours; mapping distributions by their quantiles is customary in corrections of simulated observables.
    """

    constants: ClassVar[tuple[str, ...]] = ("seen", "lowest", "highest")

    def __init__(self, knots: int = 65) -> None:
        if knots < 3:
            raise PartiganError(f"JetStretch has knots = {knots}; it needs at least 3")
        self.levels = torch.linspace(-REACH, REACH, knots)
        self.seen = self.lowest = self.highest = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of jets and the bounds of particles.

        Raises:
            PartiganError: the sample has no mask, or a feature that does not vary.
        """
        if sample.mask is None:
            raise PartiganError("JetStretch needs clouds with a mask, which the training sample lacks")
        self._rows(sample, sample.x)
        share = 0.5 * (1 + torch.erf(self.levels.double() / 2**0.5))
        share[0], share[-1] = 0.0, 1.0
        self.seen = torch.quantile(_jet(sample).double(), share, dim=0).T.contiguous().float()
        rows = _scaled(self._moved(sample, self.seen, self._stretched()))[sample.mask]
        self.lowest, self.highest = rows.amin(0), rows.amax(0)

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return self._masked(sample, _scaled(self._moved(sample, self.seen, self._stretched())))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        _, lowest, highest = self._beside(sample.x)
        x = torch.clamp(sample.x, lowest, highest)
        jets = self._masked(sample, torch.cat((x[..., :2] * ANGLE, x[..., 2:].exp() * PT), dim=-1))
        return self._masked(sample, self._moved(jets, self._stretched(), self.seen))

    def _stretched(self) -> Tensor:
        """The table that `seen` is mapped to, ``(3, knots)``: normal, with the same medians."""
        return self.seen[:, len(self.levels) // 2, None] + torch.tensor(WIDTHS)[:, None] * self.levels

    @staticmethod
    def _moved(sample: Batch, before: Tensor, after: Tensor) -> Tensor:
        """Features of jets whose pt sum and axis are mapped from one table of quantiles to another."""
        old = _jet(sample)
        new = interpolated(old.T.contiguous(), before.to(old.device), after.to(old.device)).T
        angle = sample.x[..., :2] + (new - old)[:, None, 1:]
        return torch.cat((angle, sample.x[..., 2:] * (new - old)[:, None, :1].exp()), dim=-1)


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


def _jet(sample: Batch) -> Tensor:
    """Logarithm of the pt sum, and axis (eta, phi) of jets, ``(batch, 3)``."""
    angle, pt = sample.x[..., :2], sample.x[..., 2:]
    total = pt.sum(1).clamp_min(TINY)
    return torch.cat((total.log(), (pt * angle).sum(1) / total), dim=1)


def _scaled(x: Tensor) -> Tensor:
    """Particles in the units of the normalised space."""
    return torch.cat((x[..., :2] / ANGLE, (x[..., 2:] / PT).clamp_min(torch.finfo(x.dtype).tiny).log()), dim=-1)
