"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A copy of a network whose weights follow the original with a half-life.

    Args:
        network: the network to follow.
        half_life: in updates; 0 = the copy is always equal to the original.
        decay: what the copy keeps of itself in an update, in place of a half-life; None = from the half-life.

    References:
        Y. Yazici et al., The Unusual Effectiveness of Averaging in GAN Training, arXiv:1806.04498.
    """

    def __init__(self, network: nn.Module, half_life: float, decay: float | None = None) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = (0.5 ** (1 / half_life) if half_life > 0 else 0.0) if decay is None else decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the present weights; buffers are copied."""
        torch._foreach_lerp_(
            list(self.network.parameters()), [p.detach() for p in network.parameters()], 1 - self.decay
        )
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
