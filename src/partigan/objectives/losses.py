"""Objectives: how the critic's scores of real and generated samples become losses.

An objective is a pair of functions, one for each player. Scores are ``(batch, k)``, high = real; event weights are
``(batch,)`` and act on the real sample only, normalised to mean 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from partigan.errors import PartiganError

ROUND = 1e-6  # below this length the norms of scores have no tip


class Objective(ABC):
    """The losses of critic and generator.

    Attributes:
        compares: the generator's loss looks at the scores of real samples too.
    """

    compares: ClassVar[bool] = False

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Loss of the critic, a scalar; ``real`` and ``fake`` are scores ``(batch, k)``."""

    @abstractmethod
    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Loss of the generator, a scalar; ``real`` is given where the objective ``compares``."""

    def witness(self, score: Tensor, fake: Tensor) -> Tensor:
        """The scalar function of a sample that the critic stands for, ``(batch,)``: what gradient penalties look at.

        Args:
            score: of the samples in question, ``(batch, k)``.
            fake: scores of generated samples, ``(n, k)``.
        """
        return score.sum(1)


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over a batch ``(batch, ...)`` with event weights ``(batch,)``, None = 1."""
    if weight is None:
        return values.mean()
    return (values.flatten(1).mean(1) * weight).sum() / weight.sum()


class _Smoothed(Objective):
    """An objective whose target for real samples may be less than 1.

    Args:
        smoothing: real samples are pulled to ``1 - smoothing`` instead of 1; generated ones are not smoothed.

    References:
        One-sided label smoothing: T. Salimans et al., Improved Techniques for Training GANs, arXiv:1606.03498,
        section 3.4.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise PartiganError(f"smoothing = {smoothing}; it must be at least 0 and below 1")
        self.smoothing = smoothing


class LeastSquares(_Smoothed):
    """LSGAN: real samples are pulled to 1, generated ones to 0, by the generator to 1.

    Args:
        smoothing: one-sided label smoothing.

    References:
        X. Mao et al., Least Squares Generative Adversarial Networks, arXiv:1611.04076, equation 9 with
        a = 0, b = c = 1.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean (D(x) - 1)^2 / 2 + mean D(G(z))^2 / 2."""
        return 0.5 * weighted_mean((real - (1 - self.smoothing)) ** 2, weight) + 0.5 * (fake**2).mean()

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean (D(G(z)) - 1)^2 / 2."""
        return 0.5 * ((fake - 1) ** 2).mean()


class Minimax(_Smoothed):
    """The vanilla GAN as a game for one value function; scores are logits. Its generator saturates.

    Args:
        smoothing: one-sided label smoothing.

    References:
        I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661, equation 1 and algorithm 1.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean log D(x) - mean log (1 - D(G(z)))."""
        loss = functional.softplus(-real)
        if self.smoothing:  # the cross-entropy with the target 1 - smoothing
            loss = loss + self.smoothing * real
        return weighted_mean(loss, weight) + functional.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean log (1 - D(G(z)))."""
        return -functional.softplus(fake).mean()


class NonSaturating(Minimax):
    """The vanilla GAN with the generator's non-saturating loss; scores are logits.

    Args:
        smoothing: one-sided label smoothing.

    References:
        I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661, equation 1 and section 3.
    """

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean log D(G(z))."""
        return functional.softplus(-fake).mean()


class Hinge(Objective):
    """Scores count only until they are on the right side of a margin of 1.

    References:
        J. H. Lim, J. C. Ye, Geometric GAN, arXiv:1705.02894, section 4; T. Miyato et al., Spectral Normalization for
        Generative Adversarial Networks, arXiv:1802.05957, equations 16 and 17.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z)))."""
        return weighted_mean(functional.relu(1 - real), weight) + functional.relu(1 + fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean D(G(z))."""
        return -fake.mean()


class Wasserstein(Objective):
    """The dual form of the Wasserstein-1 distance; the critic has to be kept Lipschitz by a term.

    References:
        M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, arXiv:1701.07875, equation 2.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean D(G(z)) - mean D(x): minus the estimate of the distance."""
        return fake.mean() - weighted_mean(real, weight)

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean D(G(z))."""
        return -fake.mean()


class RelativisticPairing(Objective):
    """R3GAN: each generated sample is held against a real one, so that no mode can be forgotten.

    Real and generated samples of a batch share masks and conditions pair by pair. To be used with R1 and R2.

    References:
        Y. Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441, equation 2 with
        f(t) = - log(1 + exp(-t)); A. Jolicoeur-Martineau, arXiv:1807.00734 (relativistic GANs).
    """

    compares: ClassVar[bool] = True

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean softplus(-(D(x) - D(G(z))))."""
        return weighted_mean(functional.softplus(fake - real), weight)

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean softplus(-(D(G(z)) - D(x)))."""
        assert real is not None
        return weighted_mean(functional.softplus(real - fake), weight)


class Cramer(Objective):
    """Cramér GAN: the energy distance between the distributions of vector-valued scores ``(batch, k)``.

    Unlike the Wasserstein distance of batches it has unbiased gradients. Event weights may be negative, as sWeights
    are. As published, the critic raises the surrogate E f(x) - E f(G(z)) of its own `witness` f, which is what the
    gradient penalty holds: a critic that raised the distance itself would escape the penalty where f is flat. The
    published algorithm draws two batches of generated samples; here all pairs of one batch are used.

    References:
        M. G. Bellemare et al., The Cramer Distance as a Solution to Biased Wasserstein Gradients, arXiv:1705.10743,
        algorithm 1; A. Maevskiy et al., arXiv:1905.11825 (in particle physics, with sWeights).
    """

    compares: ClassVar[bool] = True

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """E f(G(z)) - E f(x)."""
        of_fake = _within(fake, torch.ones_like(fake[:, 0])) - _lengths(fake).mean()  # no sample with itself
        return of_fake - weighted_mean(self.witness(real, fake)[:, None], weight)

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """The energy distance."""
        assert real is not None
        return energy_distance(real, fake, weight)

    def witness(self, score: Tensor, fake: Tensor) -> Tensor:
        """E|h(x) - h(G(z))| - |h(x)|, the critic f of algorithm 1."""
        return _distances(score, fake).mean(1) - _lengths(score)


def energy_distance(real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased, for ``(n, k)`` and ``(m, k)`` with weights ``(n,)`` of the first.

    Raises:
        PartiganError: fewer than two samples, of which there are no pairs.
    """
    if min(len(real), len(fake)) < 2:
        raise PartiganError("the energy distance needs at least two samples in a batch; raise --trainer.batch_size")
    w, one = torch.ones_like(real[:, 0]) if weight is None else weight, torch.ones_like(fake[:, 0])
    across = (w[:, None] * _distances(real, fake)).sum() / (w.sum() * len(fake))
    return 2 * across - _within(real, w) - _within(fake, one)


def _within(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean distance of the pairs of different samples."""
    pairs = weight[:, None] * weight * (1 - torch.eye(len(x), dtype=x.dtype, device=x.device))
    return (pairs * _distances(x, x)).sum() / pairs.sum()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances ``(n, m)``."""
    return _lengths(a[:, None] - b)


def _lengths(x: Tensor) -> Tensor:
    """Euclidean norms over the last axis, differentiable twice: round below `ROUND`, where a norm has its tip.

    From |a|^2 + |b|^2 - 2 ab the slope of small distances would be rounding errors, of any size.
    """
    lengths: Tensor = (x.square().sum(-1) + ROUND**2).sqrt() - ROUND
    return lengths
