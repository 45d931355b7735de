"""Objectives: how the critic's scores of real and generated samples become losses.

An objective is a pair of functions, one for each player. Scores are ``(batch, k)``, high = real; event weights are
``(batch,)`` and act on the real sample only, normalised to mean 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn import functional


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


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over a batch ``(batch, ...)`` with event weights ``(batch,)``, None = 1."""
    if weight is None:
        return values.mean()
    return (values.flatten(1).mean(1) * weight).sum() / weight.sum()


class LeastSquares(Objective):
    """LSGAN: real samples are pulled to 1, generated ones to 0, by the generator to 1.

    References:
        X. Mao et al., Least Squares Generative Adversarial Networks, arXiv:1611.04076, equation 9 with
        a = 0, b = c = 1.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean (D(x) - 1)^2 / 2 + mean D(G(z))^2 / 2."""
        return 0.5 * weighted_mean((real - 1) ** 2, weight) + 0.5 * (fake**2).mean()

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean (D(G(z)) - 1)^2 / 2."""
        return 0.5 * ((fake - 1) ** 2).mean()


class NonSaturating(Objective):
    """The vanilla GAN with the generator's non-saturating loss; scores are logits.

    References:
        I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661, equation 1 and section 3.
    """

    def critic(self, real: Tensor, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean log D(x) - mean log (1 - D(G(z)))."""
        return weighted_mean(functional.softplus(-real), weight) + functional.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor, weight: Tensor | None = None) -> Tensor:
        """- mean log D(G(z))."""
        return functional.softplus(-fake).mean()


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
