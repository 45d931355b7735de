"""Penalties on the critic's slope: what keeps it smooth."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.terms import Showing, Term, Turn


def slope(turn: Turn, sample: Batch) -> Tensor:
    """Gradient of the critic's `Objective.witness` at samples, itself differentiable, ``(batch, values)``.

    Padded particles have no influence: clouds are zero there and a masked critic does not look at them.

    Args:
        turn: the critic, its objective and generated samples.
        sample: where the gradient is taken, in the normalised space.
    """
    x = sample.x.detach().requires_grad_()
    score = turn.critic(x, sample.condition, sample.mask).score
    value = turn.objective.witness(score, turn.fake_output.score.detach(), turn.fake.weight)
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    if sample.mask is not None:
        gradient = gradient * sample.mask[..., None]
    return gradient.flatten(1)


class GradientPenalty(Term):
    """WGAN-GP: the critic's gradient norm is kept at 1 between real and generated samples.

    The norm is taken per sample over all its features; padded particles have no influence, since real and
    generated clouds share their mask and are zero there.

    Args:
        one_sided: only norms above 1 are penalised.

    References:
        I. Gulrajani et al., Improved Training of Wasserstein GANs, arXiv:1704.00028, equation 3, and section 4 for the
        one-sided penalty; H. Petzka et al., arXiv:1709.08894 (one-sided).
    """

    weight: ClassVar[float] = 10.0

    def __init__(self, one_sided: bool = False) -> None:
        self.one_sided = one_sided

    def critic(self, turn: Turn) -> Tensor:
        """Mean (|grad D(x^)| - 1)^2 at random points x^ on the lines from real to generated samples."""
        real, fake = turn.real.x, turn.fake.x.detach()
        shape = (len(real), *[1] * (real.dim() - 1))
        along = torch.rand(shape, generator=turn.rng, device=turn.rng.device, dtype=real.dtype)
        between = real + along.to(real.device) * (fake - real)
        excess: Tensor = slope(turn, replace(turn.real, x=between)).norm(dim=1) - 1
        return (excess.relu() if self.one_sided else excess).square().mean()


class R1(Term):
    """The critic's squared slope on real samples, half of it: it is to be flat where the data are.

    References:
        L. Mescheder, A. Geiger, S. Nowozin, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406,
        equation 9.
    """

    weight: ClassVar[float] = 10.0

    def critic(self, turn: Turn) -> Tensor:
        """Mean |grad D(x)|^2 / 2 on real samples."""
        return self._half_square(turn, turn.real)

    @staticmethod
    def _half_square(turn: Turn, sample: Batch) -> Tensor:
        return 0.5 * slope(turn, sample).square().sum(1).mean()


class R2(R1):
    """The critic's squared slope on generated samples, half of it; arguments as for `R1`.

    References:
        arXiv:1801.04406, section 4.1; with R1 in arXiv:2501.05441, section 2.3.
    """

    def critic(self, turn: Turn) -> Tensor:
        """Mean |grad D(G(z))|^2 / 2."""
        return self._half_square(turn, turn.fake)


class ApproximateR1(Term):
    """R1 without second derivatives: the critic's answer to a little noise on real samples.

    For small ``sigma`` it is sigma^2 |grad D(x)|^2 on average, so that a weight of gamma / (2 sigma^2) does what R1
    does with gamma.

    Args:
        sigma: standard deviation of the noise, in the normalised space.

    References:
        S. Lin et al., Diffusion Adversarial Post-Training for One-Step Video Generation, arXiv:2501.08316.
    """

    weight: ClassVar[float] = 100.0

    def __init__(self, sigma: float = 0.01) -> None:
        self.sigma = _positive("sigma", sigma)

    def critic(self, turn: Turn) -> Tensor:
        """Mean |D(x) - D(x + sigma noise)|^2 on real samples."""
        assert turn.real_output is not None
        noisy = with_noise(turn.real, self.sigma, turn.rng)
        score = turn.critic(noisy.x, noisy.condition, noisy.mask).score
        change: Tensor = turn.real_output.score - score
        return change.square().sum(1).mean()


class InstanceNoise(Term):
    """Gaussian noise on everything that the critic is shown, real and generated, in both players' turns.

    It gives disjoint distributions a common support; it is annealed to nothing over the run.

    References:
        C. K. Sønderby et al., Amortised MAP Inference for Image Super-resolution, arXiv:1610.04490;
        M. Arjovsky, L. Bottou, arXiv:1701.04862, section 3.
    """

    weight: ClassVar[float] = 0.1

    @staticmethod
    def annealing(done: float) -> float:
        """Linearly from 1 to 0."""
        return max(1 - done, 0.0)

    def shown(self, sample: Batch, strength: float, turn: Showing) -> Batch:
        """The sample with noise of standard deviation ``strength``, the term's weight at this point of the run."""
        return with_noise(sample, strength, turn.rng)


class WeightClipping(Term):
    """The first WGAN's way to a Lipschitz critic: every parameter is cut to [-limit, limit] after each of its steps.

    Args:
        limit: the constant c.

    References:
        M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, arXiv:1701.07875, algorithm 1.
    """

    def __init__(self, limit: float = 0.01) -> None:
        self.limit = _positive("limit", limit)

    @torch.no_grad()
    def after_critic_step(self, critic: nn.Module) -> None:
        """Cut the parameters."""
        torch._foreach_clamp_min_(list(critic.parameters()), -self.limit)
        torch._foreach_clamp_max_(list(critic.parameters()), self.limit)


def with_noise(sample: Batch, sigma: float, rng: torch.Generator) -> Batch:
    """A sample with Gaussian noise on every value; padding stays as it is."""
    noise = torch.randn(sample.x.shape, generator=rng, device=rng.device, dtype=sample.x.dtype).to(sample.x.device)
    return replace(sample, x=sample.x + sigma * (noise if sample.mask is None else noise * sample.mask[..., None]))


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise PartiganError(f"{name} = {value}; it must be above 0")
    return value
