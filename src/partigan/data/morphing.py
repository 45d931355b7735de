"""Quantile morphing of jets: in the normalised space independent normal numbers are already nearly jets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.randomness import rng_for

REACH = 3.8  # the quantiles of a feature are tabled at evenly spaced normal levels of at most this ...
EXTREME = 4.3  # ... and its least and greatest value here
TINY = 1e-9  # of a pt sum, for jets without particles


class JetMorph(Transform):
    """Jets to a space in which independent standard normal numbers are jets of the right pt, axis, mass and spectra.

    Two steps, fitted to the training jets:

    - *Jet.* pt sum, axis (the mean angles, weighted by pt) and mass are mapped, each by a monotone function of its
      own, to what they are in jets of independently drawn particles: pt of a jet's particles times a common factor,
      their angles scaled about the axis and shifted with it. Mass is sqrt(sum_ij pt_i pt_j theta_ij^2 / 2), which
      scales with the angles exactly.
    - *Particles.* eta_rel, phi_rel and log pt_rel of the particles of each pt rank are mapped to a standard normal
      distribution by their quantiles.

    So all that a generator has to make are the correlations: peaks of the mass spectrum and the narrow pt sum, which
    the way back brings, are smooth in the normalised space. Independent draws are found by iteration, since what is
    drawn depends on how the training jets were mapped. The functions are linear between tabled quantiles, so that the
    inverse is exact on the training sample, and bounded: nothing generated has a pt sum outside what training jets
    have, and particles that would be farther from the centre than those of any training jet are drawn in to that
    distance, the radius of the jets. No training particle is copied: of each feature of a rank a few dozen quantiles
    are kept.

    Args:
        knots: tabled quantiles of a feature, or of a jet's quantity.
        iterations: of the fit.
        least: particles of a rank from which its quantiles are taken at least; ranks with fewer share those of the
            ranks before them.

    References:
        Ours; mapping distributions by their quantiles is customary in corrections of simulated observables.
    """

    constants: ClassVar[tuple[str, ...]] = ("ranks", "seen", "drawn", "radius")

    def __init__(self, knots: int = 65, iterations: int = 3, least: int = 200) -> None:
        if knots < 3 or iterations < 1 or least < 2:
            raise PartiganError("JetMorph needs at least 3 knots, 1 iteration and 2 particles")
        self.knots, self.iterations, self.least = knots, iterations, least
        inner = torch.linspace(-REACH, REACH, knots - 2)
        self.levels = torch.cat((torch.tensor([-EXTREME]), inner, torch.tensor([EXTREME])))
        self.ranks = self.seen = self.drawn = self.radius = torch.zeros(0)

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of particles and of jets.

        Raises:
            PartiganError: the sample has a feature that does not vary.
        """
        if sample.mask is None or not (sample.x[sample.mask].double().std(0) > 0).all():
            raise PartiganError("the training sample has a feature that does not vary; it cannot be normalised")
        rng = rng_for("morph", self.knots)
        self.radius = _distance(sample.x).max()
        self.seen, moved = self._quantiles(_jet(sample)), sample
        for _ in range(self.iterations):
            self.ranks = self._rank_quantiles(moved)
            noise = torch.randn(sample.x.shape, generator=rng)
            self.drawn = self._quantiles(_jet(self._particles(replace(sample, x=noise))))
            for end, beside in ((0, 1), (-1, -2)):  # the step of extreme jets is that of the outermost quantile
                self.drawn[:, end] = self.drawn[:, beside] + self.seen[:, end] - self.seen[:, beside]
            moved = self._moved(sample, self.seen, self.drawn)
        ends = self._rank_quantiles(moved)  # no training particle may lie beyond the tables
        self.ranks[..., 0] = torch.minimum(self.ranks[..., 0], ends[..., 0])
        self.ranks[..., -1] = torch.maximum(self.ranks[..., -1], ends[..., -1])

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        x = _log_pt(self._moved(sample, self.seen, self.drawn).x)
        curves = x.permute(1, 2, 0).flatten(0, 1).contiguous()
        levels = self.levels.to(x.device).expand(len(curves), -1)
        normal = interpolated(curves, self._tables(x), levels)
        return _masked(replace(sample, x=normal.view(*x.shape[1:], -1).permute(2, 0, 1)))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        jets = self._moved(self._particles(sample), self.drawn, self.seen)
        radius = self.radius.to(jets.x.device)
        inside = radius / _distance(jets.x).clamp_min(radius)
        return replace(jets, x=torch.cat((jets.x[..., :2] * inside, jets.x[..., 2:]), dim=-1))

    def state(self) -> dict[str, Any]:
        """Quantiles of ranks, of jets as seen in training and as drawn, and the largest distance of a particle."""
        return {name: getattr(self, name).tolist() for name in self.constants}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the quantiles of `state`."""
        for name in self.constants:
            setattr(self, name, torch.tensor(state[name]))

    def _tables(self, x: Tensor) -> Tensor:
        """Quantiles of the ranks that clouds ``(batch, particles, 3)`` have, ``(particles * 3, knots)``."""
        return self.ranks[: x.shape[1]].flatten(0, 1).to(x.device)

    def _particles(self, sample: Batch) -> Batch:
        """Normal numbers to particles, before the jet's step."""
        curves = sample.x.permute(1, 2, 0).flatten(0, 1).contiguous()
        levels = self.levels.to(curves.device).expand(len(curves), -1)
        y = interpolated(curves, levels, self._tables(sample.x)).view(*sample.x.shape[1:], -1).permute(2, 0, 1)
        return _masked(replace(sample, x=torch.cat((y[..., :2], y[..., 2:].exp()), dim=-1)))

    def _moved(self, sample: Batch, before: Tensor, after: Tensor) -> Batch:
        """Jets whose pt sum, axis and mass are mapped from one table of quantiles to another."""
        old = _jet(sample)
        new = interpolated(old.T.contiguous(), before.to(old.device), after.to(old.device)).T
        pt_factor = (new[:, 0] - old[:, 0]).exp()
        angle_factor = (new[:, 3] - old[:, 3]).exp() / pt_factor
        angle = (sample.x[..., :2] - old[:, None, 1:3]) * angle_factor[:, None, None] + new[:, None, 1:3]
        return _masked(replace(sample, x=torch.cat((angle, sample.x[..., 2:] * pt_factor[:, None, None]), dim=-1)))

    def _quantiles(self, values: Tensor) -> Tensor:
        """Quantiles at the levels of each column, ``(columns, knots)``."""
        share = 0.5 * (1 + torch.erf(self.levels.double() / 2**0.5))
        share[0], share[-1] = 0.0, 1.0
        table = np.quantile(values.double().numpy(), share.numpy(), axis=0)  # torch's takes 16 million values at most
        return torch.from_numpy(table.T).float()

    def _rank_quantiles(self, sample: Batch) -> Tensor:
        """Quantiles of each rank, ``(particles, 3, knots)``."""
        assert sample.mask is not None
        x, tables = _log_pt(sample.x), []
        number = sample.mask.sum(0)
        for rank in range(x.shape[1]):
            first = rank
            while first > 0 and number[first : rank + 1].sum() < self.least:
                first -= 1
            tables.append(self._quantiles(x[:, first : rank + 1][sample.mask[:, first : rank + 1]]))
        return torch.stack(tables)


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
    """Logarithm of the pt sum, axis (eta, phi), and logarithm of the mass of jets, ``(batch, 4)``."""
    angle, pt = sample.x[..., :2], sample.x[..., 2:]
    total = pt.sum(1).clamp_min(TINY)
    axis = (pt * angle).sum(1) / total
    mass2 = total[:, 0] * (pt * (angle - axis[:, None]).square()).sum((1, 2))
    return torch.cat((total.log(), axis, 0.5 * mass2.clamp_min(TINY).log()[:, None]), dim=1)


def _distance(x: Tensor) -> Tensor:
    """Distance of particles from the jet's centre in (eta_rel, phi_rel), ``(batch, particles, 1)``."""
    return x[..., :2].square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()


def _log_pt(x: Tensor) -> Tensor:
    """The same features with the logarithm of pt."""
    return torch.cat((x[..., :2], x[..., 2:].clamp_min(torch.finfo(x.dtype).tiny).log()), dim=-1)


def _masked(sample: Batch) -> Batch:
    return sample if sample.mask is None else replace(sample, x=sample.x * sample.mask[..., None])
