"""TreeGAN: a tree of particles, each made from its ancestors.

References:
    D. Shu, S. Park, J. Kwon, 3D Point Cloud Generative Adversarial Network Based on Tree Structured Graph
    Convolutions, arXiv:1905.06292, equations 3 to 5; sizes for jets: arXiv:2106.11535, appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Generator
from partigan.nets.layers import SLOPE, SMALL_NOISE, small_noise


class TreeConvolution(nn.Module):
    """One level of the tree: every node branches, and each child sums contributions of all its ancestors.

    Args:
        widths: features of the nodes of each level from the root to the parents.
        outputs: features of a child.
        nodes: number of parents.
        degree: children of a parent.
        support: factor of the inner width of the loop term.
        last: the children are leaves, without bias and activation.
    """

    def __init__(self, widths: Sequence[int], outputs: int, nodes: int, degree: int, support: int, last: bool) -> None:
        super().__init__()
        inputs = widths[-1]
        self.degree = degree
        self.ancestors = nn.ModuleList(nn.Linear(width, outputs, bias=False) for width in widths)
        self.branch = nn.Parameter(torch.empty(nodes, inputs, degree * inputs))
        self.widen = nn.Linear(inputs, support * inputs, bias=False)
        self.narrow = nn.Linear(support * inputs, outputs, bias=False)
        self.bias = None if last else nn.Parameter(torch.empty(degree, outputs))
        nn.init.xavier_uniform_(self.branch, gain=nn.init.calculate_gain("relu"))
        if self.bias is not None:
            nn.init.uniform_(self.bias, -1 / math.sqrt(outputs), 1 / math.sqrt(outputs))

    def forward(self, tree: list[Tensor]) -> Tensor:
        """The children ``(batch, nodes * degree, outputs)`` of a tree of levels ``(batch, nodes, features)``."""
        parents = tree[-1]
        batch, nodes, inputs = parents.shape
        # each ancestor contributes to all of its descendants among the parents
        parts = [layer(level) for layer, level in zip(self.ancestors, tree, strict=True)]
        root = torch.stack([part.repeat_interleave(nodes // part.shape[1], dim=1) for part in parts]).sum(0)
        branches = functional.leaky_relu(torch.bmm(parents.transpose(0, 1), self.branch), SLOPE).transpose(0, 1)
        loop = self.narrow.weight @ self.widen.weight  # two linear layers with nothing between them are one
        children = functional.linear(branches.reshape(batch, nodes * self.degree, inputs), loop)
        children = children + root.repeat_interleave(self.degree, dim=1)
        return children if self.bias is None else functional.leaky_relu(children + self.bias.repeat(nodes, 1), SLOPE)


class TreeGANGenerator(Generator):
    """Generator of TreeGAN; the first ``particles`` leaves of the last level are the particles.

    It always makes the largest number of particles and ignores masks.

    Args:
        features: features of a particle.
        particles: number of particles.
        latent: dimension of the noise, the root.
        hidden: features of the inner nodes.
        degrees: children of a node at each level; None = 2 at as many levels as the particles need.
        support: factor of the inner width of the loop terms.

    Raises:
        PartiganError: fewer leaves than particles.

    References:
        arXiv:2106.11535, section 5 ("TreeGAN").

    Example:
        >>> generator = TreeGANGenerator(latent=8, hidden=8)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    normal = SMALL_NOISE

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 96,
        hidden: int = 64,
        degrees: Sequence[int] | None = None,
        support: int = 10,
    ) -> None:
        super().__init__()
        degrees = degrees or [2] * max(1, math.ceil(math.log2(particles)))
        if math.prod(degrees) < particles:
            raise PartiganError(
                f"degrees = {degrees}: the tree has {math.prod(degrees)} leaves; give at least {particles}"
            )
        self.latent, self.particles = latent, particles
        widths = [latent, *[hidden] * (len(degrees) - 1), features]
        self.levels = nn.ModuleList(
            TreeConvolution(
                widths[: k + 1], widths[k + 1], math.prod(degrees[:k]), degree, support, k == len(degrees) - 1
            )
            for k, degree in enumerate(degrees)
        )

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, latent)``."""
        return small_noise(size, self.latent, rng=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; neither ``condition`` nor ``mask`` is used."""
        tree = [noise[:, None]]
        for level in self.levels:
            tree.append(level(tree))
        return tree[-1][:, : self.particles]
