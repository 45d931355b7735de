"""Feature quantisation: one set of codes for the features of real and of generated images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FeatureQuantisation(nn.Module):
    """Replace the features of every pixel by the nearest code of a dictionary, which follows the features.

    Gradients pass unchanged (straight-through). In training each call moves the codes: with n_k pixels nearest to code
    k, whose features sum to s_k,

        N_k <- decay N_k + (1 - decay) n_k,    m_k <- decay m_k + (1 - decay) s_k,    e_k <- m_k / N_k.

    Args:
        features: feature maps.
        codes: entries of the dictionary.
        decay: of its running means.

    References:
        Y. Zhao et al., Feature Quantization Improves GAN Training, arXiv:2004.02088, section 3.
    """

    codes: Tensor
    number: Tensor
    total: Tensor

    def __init__(self, features: int, codes: int, decay: float = 0.9) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codes", torch.randn(codes, features))
        self.register_buffer("number", torch.ones(codes))
        self.register_buffer("total", self.codes.clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised maps ``(batch, features, height, width)`` and their distance from x, ``(batch, 1)``.

        The distance is the mean square over features and pixels, with a gradient for x only.
        """
        pixels = x.movedim(1, -1)
        nearest = torch.cdist(pixels.detach().flatten(0, -2), self.codes.to(x)).argmin(1)
        if self.training:
            self._follow(pixels.detach().flatten(0, -2), nearest)
        chosen = self.codes.to(x)[nearest].view_as(pixels)
        distance = (pixels - chosen).square().flatten(1).mean(1, keepdim=True)
        return (pixels + (chosen - pixels).detach()).movedim(-1, 1), distance

    def _follow(self, rows: Tensor, nearest: Tensor) -> None:
        """Move the codes that are nearest to at least one of the rows ``(pixels, features)``."""
        number = torch.bincount(nearest, minlength=len(self.codes)).to(self.number)
        total = torch.zeros_like(self.total).index_add_(0, nearest, rows.to(self.total))
        self.number.lerp_(number, 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        used = number > 0
        self.codes[used] = self.total[used] / self.number[used, None]
