"""A critic that sees only a few observables of a jet."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.observables.jets import moments

OBSERVABLES = 14
WILD = 20.0  # log pt that no jet reaches
TINY = 1e-9
BEYOND = 1e4  # log odds subtracted from jets out of range: below all others


def observables(x: Tensor, mask: Tensor | None, particles: int) -> Tensor:
    """Observables of jets that rotations and reflections leave unchanged, each of order 1.

    With z_i the share of pt, theta_i the angle and w_i = theta_i exp(i alpha_i) the position about the axis, they
    are: mass over pt (for small angles, sqrt(sum z theta^2)), pt sum, distance of the axis from the origin, width
    sum z theta, fourth moment sum z theta^4, ptD, multiplicity; the harmonics |sum z w^2|^2 (0 for a round jet),
    |sum z w^3|^2 (three prongs) and |sum z theta^2 w|^2 (lopsidedness); and, with equal weight for all particles, the
    means of theta and theta^2, mean and standard deviation of log pt. The first two, the fourth moment, ptD, the
    harmonics and the mean of theta^2 are logarithms; the inverse hyperbolic sine bounds extreme jets.

    Args:
        x: features as `partigan.data.transforms.stretching.JetStretch` gives them, angles and log pt, ``(batch,
            particles, 3)``; those of `partigan.data.transforms.jets.LogStandardise` are close enough.
        mask: real particles; None = all.
        particles: largest number of particles.

    Returns:
        ``(batch, 14)``; see `partigan.observables.jets.moments`.
    """
    real = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
    log_pt = x[..., 2].clamp_max(WILD)
    pt = log_pt.exp() * real
    found = moments(torch.cat((x[..., :2], pt[..., None]), dim=-1), real)
    total, axis, width, square, fourth, dispersion = found.split([1, 2, 1, 1, 1, 1], dim=1)
    eta, phi = (x[..., :2] - axis[:, None]).unbind(-1)
    theta2 = eta**2 + phi**2
    number = real.sum(1, keepdim=True).clamp_min(1)
    of_each = torch.stack((theta2 + TINY, (theta2 + TINY).sqrt(), log_pt), dim=2) * real[..., None]
    far2, far, mean = (of_each.sum(1) / number).split(1, dim=1)
    spread = (((log_pt - mean) ** 2 * real).sum(1, keepdim=True) / number + TINY).sqrt()
    places = (eta**2 - phi**2, 2 * eta * phi, eta**3 - 3 * eta * phi**2, 3 * eta**2 * phi - phi**3)
    harmonics = ((pt / total)[..., None] * torch.stack((*places, theta2 * eta, theta2 * phi), dim=2)).sum(1)
    values = (
        2 * square.log(),
        4 * total.log() - 16,
        3 * (axis.square().sum(1, keepdim=True) + TINY).sqrt(),
        4 * width - 3,
        fourth.log(),
        2 * dispersion.log() + 4,
        6 * number.to(x.dtype) / particles - 5,
        (harmonics.unflatten(1, (3, 2)).square().sum(2) + TINY).log(),
        3 * far - 3,
        2 * far2.log(),
        2 * mean,
        4 * spread - 4,
    )
    return torch.cat(values, dim=1).asinh()


class ObservableCritic(Critic):
    """A small critic that sees only the `observables` of a jet.

    As a judge it records the range of the observables of training jets and puts jets outside of it below all others.
    Such jets are too rare to learn from, but a few of them spoil moments of high order.

    Args:
        particles: largest number of particles.
        hidden: width of its two layers.

    Example:
        >>> ObservableCritic()(torch.randn(5, 30, 3)).score.shape
        torch.Size([5, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True
    lowest: Tensor
    highest: Tensor

    def __init__(self, particles: int = 30, hidden: int = 64) -> None:
        super().__init__()
        self.particles = particles
        self.layers = nn.Sequential(
            nn.Linear(OBSERVABLES, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
        )
        self.head = nn.Linear(hidden, 1)
        self.register_buffer("lowest", torch.full((OBSERVABLES,), torch.inf))
        self.register_buffer("highest", torch.full((OBSERVABLES,), -torch.inf))

    @torch.no_grad()
    def keep_in_mind(self, real: CriticOutput) -> None:
        """Widen the range of the observables to that of these training jets."""
        assert real.features is not None
        torch.minimum(self.lowest, real.features.amin(0), out=self.lowest)
        torch.maximum(self.highest, real.features.amax(0), out=self.highest)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and, as features, the observables ``(batch, 14)``; ``condition`` is not used."""
        seen = observables(x, mask, self.particles)
        return CriticOutput(self.head(self.layers(seen)), seen)

    def log_odds(self, output: CriticOutput) -> Tensor:
        """The score, lowered by 10,000 for jets outside the recorded range."""
        seen = output.features
        assert seen is not None
        return output.score - BEYOND * ((seen < self.lowest) | (seen > self.highest)).any(1, keepdim=True)
