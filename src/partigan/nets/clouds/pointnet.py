"""PointNet-Mix: a shared network for each particle, then maximum and mean over the particles.

References:
    C. Qi et al., PointNet, arXiv:1612.00593; H. Wang et al., Rethinking Sampling in 3D Point Cloud Generative
    Adversarial Networks, arXiv:2006.07029, section 5 (maximum and mean pooling mixed); sizes for jets:
    arXiv:2106.11535, appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.layers import dense, with_mask


class PointNetMixCritic(Critic):
    """PointNet-Mix critic; the features are the maxima and means over the particles.

    Args:
        features: features of a particle.
        shared: widths of the layers that see one particle.
        widths: of the hidden layers that see maxima and means.
        mask_feature: mask - 1/2 is a last feature of particles; it is appended where a mask is given.

    References:
        arXiv:2106.11535, section 5.

    Example:
        >>> PointNetMixCritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        shared: Sequence[int] = (64, 128, 1024),
        widths: Sequence[int] = (512,),
        mask_feature: bool = False,
    ) -> None:
        super().__init__()
        self.mask_feature = mask_feature
        self.shared = dense([features + mask_feature, *shared])
        self.head = nn.Sequential(*dense([2 * shared[-1], *widths]), nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and pooled particles ``(batch, 2 shared[-1])``; ``condition`` is not used."""
        x = self.shared(with_mask(x, mask) if self.mask_feature else x)
        pooled = torch.cat((x.amax(1), x.mean(1)), dim=1)
        return CriticOutput(self.head(pooled), pooled)
