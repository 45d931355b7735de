"""Objectives: how the critic's scores of real and generated samples become losses.

An objective is a pair of functions, one for each player. Scores are ``(batch, k)``, high = real; event weights are
``(batch,)``, with the mean 1 over the training sample, and may be negative. A generated sample carries the weight of
the real one whose conditions it has (arXiv:1905.11825); it has none where there are no conditions. What a
translator makes carries the weight of what it was made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.objectives.together import of_all

ROUND = 1e-6  # below this length the norms of scores have no tip
SHORT = 16  # scores of which distances are taken from differences


class Objective(ABC):
    """The losses of critic and generator.

    Attributes:
        compares: the generator's loss looks at the scores of real samples too.
        weighs: generated samples may have event weights of their own, as those made of weighted ones have.
    """

    compares: ClassVar[bool] = False
    weighs: ClassVar[bool] = True

    @abstractmethod
    def critic(
        self,
        real: Tensor,
        fake: Tensor,
        weight: Tensor | None = None,
        fake_weight: Tensor | None = None,
    ) -> Tensor:
        """Loss of the critic, a scalar.

        Args:
            real: scores of real samples, ``(batch, k)``.
            fake: of generated ones, ``(batch, k)``.
            weight: event weights of the real ones, ``(batch,)``; None = all 1.
            fake_weight: of the generated ones, ``(batch,)``; None = all 1.
        """

    @abstractmethod
    def generator(
        self,
        real: Tensor | None,
        fake: Tensor,
        weight: Tensor | None = None,
        fake_weight: Tensor | None = None,
    ) -> Tensor:
        """Loss of the generator, a scalar; ``real`` is given where the objective ``compares``; else as `critic`."""

    def witness(self, score: Tensor, fake: Tensor, fake_weight: Tensor | None = None) -> Tensor:
        """The scalar function of a sample that the critic stands for, ``(batch,)``: what gradient penalties look at.

        Args:
            score: of the samples in question, ``(batch, k)``.
            fake: scores of generated samples, ``(n, k)``.
            fake_weight: their event weights, ``(n,)``; None = all 1.
        """
        return score.sum(1)


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over a batch ``(batch, ...)`` of values times event weights ``(batch,)``, None = 1.

    Weights have the mean 1 over the training sample. The sum of those in a batch may be anything, also 0: what is left
    out is left out on average only, so that the mean has no bias.
    """
    if weight is None:
        return values.mean()
    return (values.flatten(1).mean(1) * weight).mean()


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

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean (D(x) - 1)^2 / 2 + mean D(G(z))^2 / 2."""
        return 0.5 * weighted_mean((real - (1 - self.smoothing)) ** 2, weight) + 0.5 * weighted_mean(
            fake**2, fake_weight
        )

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean (D(G(z)) - 1)^2 / 2."""
        return 0.5 * weighted_mean((fake - 1) ** 2, fake_weight)


class Minimax(_Smoothed):
    """The vanilla GAN as a game for one value function; scores are logits. Its generator saturates.

    Args:
        smoothing: one-sided label smoothing.

    References:
        I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661, equation 1 and algorithm 1.
    """

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """- mean log D(x) - mean log (1 - D(G(z)))."""
        loss = functional.softplus(-real)
        if self.smoothing:  # the cross-entropy with the target 1 - smoothing
            loss = loss + self.smoothing * real
        return weighted_mean(loss, weight) + weighted_mean(functional.softplus(fake), fake_weight)

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean log (1 - D(G(z)))."""
        return -weighted_mean(functional.softplus(fake), fake_weight)


class NonSaturating(Minimax):
    """The vanilla GAN with the generator's non-saturating loss; scores are logits.

    Args:
        smoothing: one-sided label smoothing.

    References:
        I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661, equation 1 and section 3.
    """

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """- mean log D(G(z))."""
        return weighted_mean(functional.softplus(-fake), fake_weight)


class Hinge(Objective):
    """Scores count only until they are on the right side of a margin of 1.

    References:
        J. H. Lim, J. C. Ye, Geometric GAN, arXiv:1705.02894, section 4; T. Miyato et al., Spectral Normalization for
        Generative Adversarial Networks, arXiv:1802.05957, equations 16 and 17.
    """

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z)))."""
        return weighted_mean(functional.relu(1 - real), weight) + weighted_mean(functional.relu(1 + fake), fake_weight)

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """- mean D(G(z))."""
        return -weighted_mean(fake, fake_weight)


class Wasserstein(Objective):
    """The dual form of the Wasserstein-1 distance; the critic has to be kept Lipschitz by a term.

    References:
        M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, arXiv:1701.07875, equation 2.
    """

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean D(G(z)) - mean D(x): minus the estimate of the distance."""
        return weighted_mean(fake, fake_weight) - weighted_mean(real, weight)

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """- mean D(G(z))."""
        return -weighted_mean(fake, fake_weight)


class RelativisticPairing(Objective):
    """R3GAN: each generated sample is held against a real one, so that no mode can be forgotten.

    Real and generated samples of a batch share masks and conditions pair by pair. To be used with R1 and R2.

    References:
        Y. Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441, equation 2 with
        f(t) = - log(1 + exp(-t)); A. Jolicoeur-Martineau, arXiv:1807.00734 (relativistic GANs).
    """

    compares: ClassVar[bool] = True
    weighs: ClassVar[bool] = False

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """Mean softplus(-(D(x) - D(G(z))))."""
        return weighted_mean(functional.softplus(fake - real), weight)

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
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

    def critic(
        self, real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """E f(G(z)) - E f(x)."""
        real, fake, weight, fake_weight = _together(real, fake, weight, fake_weight)
        of_fake = _within(fake, fake_weight) - weighted_mean(_lengths(fake)[:, None], fake_weight)  # none with itself
        return of_fake - weighted_mean(_witness(real, fake, fake_weight)[:, None], weight)

    def generator(
        self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
    ) -> Tensor:
        """The energy distance."""
        assert real is not None
        return energy_distance(*_together(real, fake, weight, fake_weight))

    def witness(self, score: Tensor, fake: Tensor, fake_weight: Tensor | None = None) -> Tensor:
        """E|h(x) - h(G(z))| - |h(x)|, the critic f of algorithm 1."""
        return _witness(score, of_all(fake), None if fake_weight is None else of_all(fake_weight))


def _witness(score: Tensor, fake: Tensor, fake_weight: Tensor | None) -> Tensor:
    distances = _distances(score, fake)
    return (distances if fake_weight is None else distances * fake_weight).mean(1) - _lengths(score)


def _together(
    real: Tensor, fake: Tensor, weight: Tensor | None, fake_weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Scores and weights of all processes."""
    weights = (None if each is None else of_all(each) for each in (weight, fake_weight))
    return of_all(real), of_all(fake), *weights  # type: ignore[return-value]


def energy_distance(
    real: Tensor, fake: Tensor, weight: Tensor | None = None, fake_weight: Tensor | None = None
) -> Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased, for ``(n, k)`` and ``(m, k)``, each with weights of mean 1.

    Raises:
        PartiganError: fewer than two samples, of which there are no pairs.
    """
    if min(len(real), len(fake)) < 2:
        raise PartiganError("the energy distance needs at least two samples in a batch; raise --trainer.batch_size")
    across = _distances(real, fake)
    across = across if fake_weight is None else across * fake_weight
    return 2 * weighted_mean(across, weight) - _within(real, weight) - _within(fake, fake_weight)


def _within(x: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean distance of the pairs of different samples."""
    distances = _distances(x, x) * (1 - torch.eye(len(x), dtype=x.dtype, device=x.device))
    if weight is not None:
        distances = distances * weight[:, None] * weight
    return distances.sum() / (len(x) * (len(x) - 1))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances ``(n, m)``.

    From |a|^2 + |b|^2 - 2 ab, which spares the differences of all pairs, in double precision: in single precision the
    slopes of small distances would be rounding errors, of any size. Short rows take the differences.
    """
    if a.shape[1] <= SHORT or a.device.type == "mps":  # which knows no double precision
        return _lengths(a[:, None] - b)
    x, y = a.double(), b.double()
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return ((squares.clamp_min(0) + ROUND**2).sqrt() - ROUND).to(a.dtype)


def _lengths(x: Tensor) -> Tensor:
    """Euclidean norms over the last axis, differentiable twice: round below `ROUND`, where a norm has its tip."""
    lengths: Tensor = (x.square().sum(-1) + ROUND**2).sqrt() - ROUND
    return lengths
