"""A small convolutional classifier of images; Fréchet distances use its activations.

References:
    J. T. Springenberg et al., Striving for Simplicity: The All Convolutional Net, arXiv:1412.6806 (strides in place of
    pooling, a mean over the last map); S. Ioffe, C. Szegedy, Batch Normalization, arXiv:1502.03167.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput

SMALLEST = 4  # largest shorter side of the last map, pixels


class ImageClassifier(Critic):
    """Convolutions of 3 x 3 pixels, with stride 2 until the shorter side is at most 4, then means and maxima of maps.

    Images can have any size. Maxima help with images that are almost empty, such as hitmaps.

    Args:
        channels: channels of an image.
        height: pixels.
        width: pixels.
        classes: number of classes.
        filters: maps of the first convolution; doubled at each halving, up to 8 times as many.
        hidden: width of the layer whose outputs are the activations.
        dropout: probability, before the last layer.

    Example:
        >>> ImageClassifier(classes=10)(torch.randn(2, 1, 28, 28)).score.shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        channels: int = 1,
        height: int = 28,
        width: int = 28,
        classes: int = 10,
        filters: int = 16,
        hidden: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        maps, shorter = filters, min(height, width)
        layers = [*_convolution(channels, maps, 1)]
        while shorter > SMALLEST:
            wider = min(2 * maps, 8 * filters)
            layers += _convolution(maps, wider, 2)
            maps, shorter = wider, -(-shorter // 2)
        layers += _convolution(maps, maps, 1)
        self.body = nn.Sequential(*layers)
        self.hidden = nn.Linear(2 * maps, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Logits ``(batch, classes)`` and activations ``(batch, hidden)``, before their ReLU."""
        maps = self.body(x)
        activations = self.hidden(torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), dim=1))
        return CriticOutput(self.out(self.dropout(activations.relu())), activations)


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
