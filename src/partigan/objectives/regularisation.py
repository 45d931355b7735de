"""Terms on the weights themselves and on the codes of features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from partigan.objectives.terms import Term, Turn


class OrthogonalRegularisation(Term):
    """The rows of every weight matrix are kept at right angles to each other; their lengths are free.

    Args:
        players: whose weights: ``critic``, ``generator`` or ``both``.

    References:
        A. Brock, J. Donahue, K. Simonyan, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
        arXiv:1809.11096, equation 3 (without the diagonal); A. Brock et al., arXiv:1609.07093.
    """

    weight: ClassVar[float] = 1e-4

    def __init__(self, players: Literal["critic", "generator", "both"] = "both") -> None:
        self.players = players

    def critic(self, turn: Turn) -> Tensor | None:
        """The sum over the critic's weight matrices."""
        return None if self.players == "generator" else self._sum(turn.critic)

    def generator(self, turn: Turn) -> Tensor | None:
        """The sum over the generator's weight matrices."""
        assert turn.generator is not None
        return None if self.players == "critic" else self._sum(turn.generator)

    @staticmethod
    def _sum(network: nn.Module) -> Tensor:
        """Sum over the matrices W (rows = outputs) of |W W^T, without its diagonal|^2."""
        total = torch.zeros((), device=next(network.parameters()).device)
        for _, matrix in weight_matrices(network):
            gram = matrix @ matrix.T
            total = total + (gram - gram.diag().diag()).square().sum()
        return total


class Commitment(Term):
    """The critic's features stay near their codes, for critics with feature quantisation (``extras: {codes: 256}``).

    References:
        Y. Zhao et al., Feature Quantization Improves GAN Training, arXiv:2004.02088, section 3.
    """

    def critic(self, turn: Turn) -> Tensor:
        """Mean squared distance of the features of real and of generated samples from their codes."""
        return (self.output(turn, "commitment", "real").mean() + self.output(turn, "commitment").mean()) / 2


def weight_matrices(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every layer's weight as a matrix (outputs, inputs) by the layer's name; normalised where the layer does so."""
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1 and not isinstance(module, nn.Embedding):
            yield name, weight.flatten(1)
