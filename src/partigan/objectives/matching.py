"""Terms that match what the critic sees in real and generated samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from partigan.errors import PartiganError
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

    def generator(self, turn: Turn) -> Tensor:
        """Mean over the batch of the squared distance between the mean fields of real and generated jets."""
        assert turn.real_output is not None
        real, fake = turn.real_output.features, turn.fake_output.features
        if real is None or fake is None:
            raise PartiganError(
                f"MeanFieldMatching needs a critic that returns features; {type(turn.critic).__name__} returns none"
            )
        return ((real - fake) ** 2).mean()
