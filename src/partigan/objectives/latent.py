"""Latent optimisation: the noise takes a step that the critic likes before the generator is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

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
        weight: factor of the regularisation.
        step: alpha.
        damping: beta.
        until: step after which it is switched off; None = never.

    Raises:
        PartiganError: the damping is not above 0.

    References:
        Y. Wu et al., LOGAN: Latent Optimisation for Generative Adversarial Networks, arXiv:1912.00953, section 3.
    """

    def __init__(
        self, weight: float = 300.0, step: float = 0.9, damping: float = 5.0, until: int | None = None
    ) -> None:
        super().__init__(weight, until)
        if damping <= 0:
            raise PartiganError(f"damping = {damping} of LatentOptimisation; it must be above 0")
        self.step, self.damping = step, damping
        self._change = torch.zeros(0)

    def noise(self, noise: Tensor, batch: Batch, networks: Mapping[str, Any]) -> Tensor:
        """The noise after the step, which is a function of both networks' parameters."""
        with torch.enable_grad():
            start = noise.detach().requires_grad_()
            made = networks["generator"](start, batch.condition, batch.mask)
            score = networks["critic"](made, batch.condition, batch.mask).score
            (slope,) = torch.autograd.grad(score.sum(), start, create_graph=True)
            norm = slope.flatten(1).square().sum(1).view(-1, *[1] * (slope.dim() - 1))
            self._change = self.step / (self.damping + norm) * slope
            return noise + self._change

    def critic(self, turn: Turn) -> Tensor:
        """Mean of |dz|^2."""
        return self._change.flatten(1).square().sum(1).mean()

    def generator(self, turn: Turn) -> Tensor:
        """Mean of |dz|^2."""
        return self.critic(turn)
