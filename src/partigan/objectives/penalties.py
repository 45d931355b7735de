"""Penalties on the critic's gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from partigan.objectives.terms import Term, Turn


class GradientPenalty(Term):
    """WGAN-GP: the critic's gradient norm is kept at 1 between real and generated samples.

    The norm is taken per sample over all its features; padded particles have no influence, since real and
    generated clouds share their mask and are zero there.

    Args:
        weight: the factor lambda.
        until: step after which the penalty is switched off; None = never.

    References:
        I. Gulrajani et al., Improved Training of Wasserstein GANs, arXiv:1704.00028, equation 3.
    """

    def __init__(self, weight: float = 10.0, until: int | None = None) -> None:
        super().__init__(weight, until)

    def critic(self, turn: Turn) -> Tensor:
        """Mean (|grad D(x^)| - 1)^2 at random points x^ on the lines from real to generated samples."""
        real, fake = turn.real.x, turn.fake.x.detach()
        shape = (len(real), *[1] * (real.dim() - 1))
        along = torch.rand(shape, generator=turn.rng, device=turn.rng.device, dtype=real.dtype)
        between = (real + along.to(real.device) * (fake - real)).requires_grad_()
        score = turn.critic(between, turn.real.condition, turn.real.mask).score
        (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
        norm: Tensor = slope.flatten(1).norm(dim=1)
        return (norm - 1).square().mean()
