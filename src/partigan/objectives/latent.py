"""Latent optimisation: the noise takes a step that the critic likes before the generator is given it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.terms import Term, Turn


class LatentOptimisation(Term):
    """LOGAN's natural gradient step of the noise, in both players' turns.

    With f(z) = D(G(z)) and g its gradient the generator is given z + dz, where

        dz = step / (damping + |g|^2) g,

    the natural gradient with Fisher matrix g g^T + damping. The players' gradients flow through dz, and the mean of
    |dz|^2 is added to both losses with the term's weight. Unlike in the paper the noise stays normal and is not clipped
    to [-1, 1]. Samples are generated without the step.

    Args:
        step: alpha.
        damping: beta.

    Raises:
        PartiganError: the damping is not above 0.

    References:
        Y. Wu et al., LOGAN: Latent Optimisation for Generative Adversarial Networks, arXiv:1912.00953, section 3.
    """

    weight: ClassVar[float] = 300.0

    def __init__(self, step: float = 0.9, damping: float = 5.0) -> None:
        if damping <= 0:
            raise PartiganError(f"damping = {damping} of LatentOptimisation; it must be above 0")
        self.step, self.damping = step, damping

    def noise(self, noise: Tensor, batch: Batch, generator: nn.Module, critic: nn.Module) -> Tensor:
        """The noise after the step, which is a function of both networks' parameters."""
        with torch.enable_grad():
            start = noise.detach().requires_grad_()
            made = generator(start, batch.condition, batch.mask)
            score = critic(made, batch.condition, batch.mask).score
            (slope,) = torch.autograd.grad(score.sum(), start, create_graph=True)
            norm = slope.flatten(1).square().sum(1).view(-1, *[1] * (slope.dim() - 1))
            return noise + self.step / (self.damping + norm) * slope

    def critic(self, turn: Turn) -> Tensor:
        """Mean of |dz|^2."""
        assert turn.noise is not None
        drawn, given = turn.noise
        return (given - drawn).flatten(1).square().sum(1).mean()

    def generator(self, turn: Turn) -> Tensor:
        """Mean of |dz|^2."""
        return self.critic(turn)
