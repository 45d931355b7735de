"""GraphCNN-GAN: edge-conditioned convolutions over the nearest neighbours in feature space.

References:
    D. Valsesia, G. Fracastoro, E. Magli, Learning Localized Generative Models for 3D Point Clouds via Graph
    Convolution, ICLR 2019; the convolution: M. Simonovsky, N. Komodakis, arXiv:1704.02901, equation 1; sizes for jets:
    arXiv:2106.11535, appendix D, and the authors' published weights, whose batch statistics fix the order of
    activation and normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.contracts import Generator
from partigan.nets.layers import SLOPE, SMALL_NOISE, gathered, nearest_neighbours, small_noise


class EdgeConditionedConvolution(nn.Module):
    """Mean over neighbours j of W(x_j - x_i) x_j, plus a linear map of x_i.

    W is linear in the difference, so the mean over neighbours is one product with the mean of (x_j - x_i) x_j^T, and no
    matrix is built for an edge.

    Args:
        inputs: features of a particle.
        outputs: features of an updated particle.
        k: number of neighbours.
    """

    def __init__(self, inputs: int, outputs: int, k: int) -> None:
        super().__init__()
        self.k, self.outputs = k, outputs
        self.matrix = nn.Linear(inputs, inputs * outputs)
        self.root = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Updated particles ``(batch, particles, outputs)``."""
        with torch.no_grad():
            neighbours, _ = nearest_neighbours(x, self.k)
        near = gathered(x, neighbours)
        inputs = x.shape[2]
        moments = (near - x[:, :, None]).transpose(2, 3) @ near / near.shape[2]  # (batch, particles, difference, x_j)
        weight = self.matrix.weight.view(inputs, self.outputs, inputs).permute(2, 0, 1).reshape(-1, self.outputs)
        constant = self.matrix.bias.view(inputs, self.outputs)
        new: Tensor = moments.flatten(2) @ weight + near.mean(2) @ constant + self.root(x)
        return new


class GraphCNNGenerator(Generator):
    """GraphCNN generator: one vector of noise, a linear layer to all particles, convolutions with batch normalisation.

    It always makes the largest number of particles and ignores masks.

    Args:
        features: features of a particle.
        particles: number of particles.
        latent: dimension of the noise.
        widths: features of a particle before each convolution.
        k: number of neighbours.

    References:
        arXiv:2106.11535, section 5 ("GraphCNN").

    Example:
        >>> generator = GraphCNNGenerator()
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    normal = SMALL_NOISE

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 128,
        widths: Sequence[int] = (32, 24),
        k: int = 20,
    ) -> None:
        super().__init__()
        self.latent, self.shape = latent, (particles, widths[0])
        self.lift = nn.Linear(latent, particles * widths[0])
        pairs = list(zip(widths, [*widths[1:], features], strict=True))
        self.convolutions = nn.ModuleList(EdgeConditionedConvolution(a, b, k) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, latent)``."""
        return small_noise(size, self.latent, rng=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; neither ``condition`` nor ``mask`` is used."""
        x: Tensor = self.lift(noise).unflatten(1, self.shape)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(functional.leaky_relu(x, SLOPE))
            x = norm(x.flatten(0, 1)).view(x.shape)
        return x
