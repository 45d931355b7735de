"""What several networks share."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import weight_norm


def weight_normalised(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weight normalisation (T. Salimans, D. Kingma, arXiv:1602.07868)."""
    layer: nn.Linear = weight_norm(nn.Linear(inputs, outputs))
    return layer
