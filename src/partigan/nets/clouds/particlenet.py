"""ParticleNet, a classifier of jets: edge convolutions over the nearest neighbours of each particle.

The edge network sees a particle and the difference to its neighbour. Its first layer is linear, so it is a sum of two
products a particle, and no input of double width is built for an edge:

    W [x_i, x_j - x_i] + b  =  (W_x - W_d) x_i + b  +  W_d x_j

In evaluation mode batch normalisation is folded into the linear layers, and edges are computed in chunks of jets that
stay in the cache.

References:
    H. Qu, L. Gouskos, ParticleNet: Jet tagging via particle clouds, Phys. Rev. D 101 (2020) 056019, arXiv:1902.08570.
    R. Kansal et al., Particle cloud generation with message passing generative adversarial networks,
    NeurIPS 2021, arXiv:2106.11535 (the network of the Fréchet ParticleNet distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.contracts import Critic, CriticOutput
from partigan.nets.layers import nearest_neighbours

CHUNK = 2**19  # values of the edges of a chunk


class NormalisedLayer(nn.Module):
    """Linear layer, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the linear layer; in evaluation mode with the normalisation folded in."""
        weight, bias, norm = self.linear.weight, self.linear.bias, self.norm
        if self.training:
            return weight, bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return weight * scale[:, None], (bias - norm.running_mean) * scale + norm.bias

    def finish(self, h: Tensor) -> Tensor:
        """Normalisation in training mode and ReLU, in place."""
        return (self.norm(h) if self.training else h).relu_()

    def forward(self, h: Tensor) -> Tensor:
        """Rows ``(n, outputs)`` of rows ``(n, inputs)``."""
        weight, bias = self.affine()
        return self.finish(torch.addmm(bias, h, weight.t()))


class EdgeConvolution(nn.Module):
    """Mean over the neighbours j of particle i of a three-layer network of (x_i, x_j - x_i).

    Args:
        inputs: features of a particle.
        outputs: features of an updated particle, and width of the layers.

    References:
        Y. Wang et al., Dynamic graph CNN for learning on point clouds, arXiv:1801.07829.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = NormalisedLayer(2 * inputs, outputs)
        self.others = nn.Sequential(NormalisedLayer(outputs, outputs), NormalisedLayer(outputs, outputs))

    def forward(self, x: Tensor, neighbours: Tensor, valid: Tensor | None) -> Tensor:
        """Updated particles; 0 for those without neighbours.

        Args:
            x: ``(batch, particles, inputs)``.
            neighbours: indices of the neighbours, ``(batch, particles, k)``.
            valid: shaped like ``neighbours``, True for those that count; None = all.

        Returns:
            ``(batch, particles, outputs)``.
        """
        weight, bias = self.first.affine()
        of_own, of_other = weight.split(x.shape[2], dim=1)
        own, other = x @ (of_own - of_other).t() + bias, x @ of_other.t()
        jets = len(x)
        if not self.training:  # batch normalisation looks at the whole batch
            jets = max(1, CHUNK // max(1, neighbours[0].numel() * own.shape[2]))
        chunks = [part.split(jets) for part in (own, other, neighbours)]
        valids: Sequence[Tensor | None] = [None] * len(chunks[0]) if valid is None else valid.split(jets)
        return torch.cat([self._chunk(*parts) for parts in zip(*chunks, valids, strict=True)])

    def _chunk(self, own: Tensor, other: Tensor, neighbours: Tensor, valid: Tensor | None) -> Tensor:
        jets, particles, width = own.shape
        k = neighbours.shape[2]
        start = torch.arange(0, jets * particles, particles, device=own.device)
        rows = (neighbours + start[:, None, None]).flatten()
        other = other.reshape(-1, width)
        if valid is None:
            h = other.index_select(0, rows).view(-1, k, width) + own.reshape(-1, 1, width)
            new: Tensor = self.others(self.first.finish(h.view(-1, width)))
            return new.view(jets, particles, k, width).mean(2)
        edges = valid.flatten().nonzero()[:, 0]
        h = other.index_select(0, rows[edges]) + own.reshape(-1, width).index_select(0, edges // k)
        h = self.others(self.first.finish(h))
        padded: Tensor = h.new_zeros(len(rows), width).index_put((edges,), h)
        return padded.view(jets, particles, k, width).sum(2) / valid.sum(2, keepdim=True).clamp_min(1)


class ParticleNet(Critic):
    """ParticleNet of the Fréchet ParticleNet distance: 3 edge convolutions with skip connections, 2 linear layers.

    The first convolution takes the nearest neighbours in the first two features (eta_rel and phi_rel), the others in
    all features, including those of earlier layers. Without a mask all particles count, padded ones too: the published
    network was trained so, with padding at the origin.

    Args:
        features: features of a particle.
        classes: number of classes.
        widths: outputs of each edge convolution.
        neighbours: number of neighbours k.
        hidden: width of the layer whose outputs are the activations.
        dropout: probability, before the last layer.

    References:
        arXiv:2106.11535, section 5.2 and appendix C; arXiv:1902.08570.

    Example:
        >>> ParticleNet(classes=2)(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 2])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        classes: int = 5,
        widths: Sequence[int] = (64, 128, 256),
        neighbours: int = 16,
        hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.neighbours = neighbours
        inputs = list(accumulate(widths, initial=features))
        self.convolutions = nn.ModuleList(EdgeConvolution(i, o) for i, o in zip(inputs, widths, strict=False))
        self.hidden = nn.Linear(inputs[-1], hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Logits ``(batch, classes)`` and activations ``(batch, hidden)``, before their ReLU."""
        for number, convolution in enumerate(self.convolutions):
            with torch.no_grad():
                nearest = nearest_neighbours(x if number else x[..., :2], self.neighbours, mask)
            x = torch.cat((convolution(x, *nearest), x), dim=2)
        if mask is None:
            pooled = x.mean(1)
        else:
            pooled = torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        activations = self.hidden(pooled)
        return CriticOutput(self.out(self.dropout(activations.relu())), activations)
