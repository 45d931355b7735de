"""A critic of jets that sees nothing but a few observables of theirs."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.observables.jets import moments

OBSERVABLES = 8
WILD = 20.0  # log pt of no jet


def observables(x: Tensor, mask: Tensor | None, particles: int) -> Tensor:
    """Mass over pt, pt sum, axis (eta, phi), width, fourth moment, ptD and multiplicity of jets, each of order 1.

    All but axis, width and multiplicity are logarithms; the inverse hyperbolic sine keeps wild jets in reach.

    Args:
        x: features as `partigan.data.stretching.JetStretch` gives them, angles and log pt, ``(batch, particles, 3)``;
            those of `partigan.data.transforms.LogStandardise` are near enough.
        mask: real particles; None = all.
        particles: largest number of particles.

    Returns:
        ``(batch, 8)``. Mass over pt is that of small angles, sqrt(sum z theta^2); see
        `partigan.observables.jets.moments`.
    """
    real = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
    found = moments(torch.cat((x[..., :2], x[..., 2:].clamp_max(WILD).exp()), dim=-1), real)
    total, axis, width, square, fourth, dispersion = found.split([1, 2, 1, 1, 1, 1], dim=1)
    values = (
        2 * square.log(),
        4 * total.log() - 16,
        3 * axis,
        4 * width - 3,
        fourth.log(),
        2 * dispersion.log() + 4,
        6 * real.sum(1, keepdim=True).to(x.dtype) / particles - 5,
    )
    return torch.cat(values, dim=1).asinh()


class ObservableCritic(Critic):
    """A small critic that sees nothing of a jet but `observables`.

    Args:
        particles: largest number of particles.
        hidden: width of its two layers.
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

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

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last layer ``(batch, hidden)``; ``condition`` is not used."""
        features = self.layers(observables(x, mask, self.particles))
        return CriticOutput(self.head(features), features)
