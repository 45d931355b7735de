"""Terms that match what the critic sees in real and generated samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from partigan.objectives.terms import Term, Turn


class MeanFieldMatching(Term):
    """MDMA's matching of the critic's last mean field, jet by jet.

    Generated and real jets are not paired, so the loss is least not at zero but near the spread of the real mean
    fields; the paper switches it off after 30,000 steps.

    Args:
        weight: factor of the term.
        until: step after which it is switched off; None = never.

    References:
        arXiv:2305.15254, section 3.2; T. Salimans et al., arXiv:1606.03498, section 3.1 (feature matching of means).
    """

    compares: ClassVar[bool] = True

    def __init__(self, weight: float = 1.0, until: int | None = None) -> None:
        super().__init__(weight, until)

    def generator(self, turn: Turn) -> Tensor:
        """Mean over the batch of the squared distance between the mean fields of real and generated jets."""
        real, fake = self.output(turn, "features", "real"), self.output(turn, "features")
        return ((real - fake) ** 2).mean()


class FeatureMatching(Term):
    """The critic's features of generated samples are to have the mean that they have for real ones.

    Args:
        weight: factor of the term.
        until: step after which it is switched off; None = never.

    References:
        T. Salimans et al., Improved Techniques for Training GANs, arXiv:1606.03498, section 3.1.
    """

    compares: ClassVar[bool] = True

    def __init__(self, weight: float = 1.0, until: int | None = None) -> None:
        super().__init__(weight, until)

    def generator(self, turn: Turn) -> Tensor:
        """|E f(x) - E f(G(z))|^2."""
        real, fake = self.output(turn, "features", "real"), self.output(turn, "features")
        weight = turn.real.weight
        mean = real.mean(0) if weight is None else (real * weight[:, None]).sum(0) / weight.sum()
        return (mean - fake.mean(0)).square().sum()
