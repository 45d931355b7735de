"""CaloGAN: three layers of different cells, each handed on to the next one.

Showers are rows of 504 cells, as in files; networks see layers of 3 x 96, 12 x 12 and 12 x 6 cells, in GeV. The
condition is the energy in MeV.

References:
    M. Paganini, L. de Oliveira, B. Nachman, CaloGAN: Simulating 3D High Energy Particle Showers in Multi-Layer
    Electromagnetic Calorimeters with Generative Adversarial Networks, arXiv:1712.10321, section III, with the authors'
    published code; minibatch discrimination: T. Salimans et al., arXiv:1606.03498, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.testbeam import LocallyConnected

SHAPES = ((3, 96), (12, 12), (12, 6))
CELLS = sum(rows * columns for rows, columns in SHAPES)
SLOPE = 0.3
CLOSED = -10.0  # bias of what is carried over, at first


def gev(condition: Tensor | None) -> Tensor:
    """Energies of the particles in GeV, ``(batch, 1)``.

    Raises:
        PartiganError: there are none.
    """
    if condition is None or condition.dim() != 2:
        raise PartiganError("CaloGAN needs the energy of the particle as condition, (showers, 1)")
    return condition[:, :1] / 1000


def split(x: Tensor) -> list[Tensor]:
    """Rows of cells as three layers, ``(batch, 1, rows, columns)`` each.

    Raises:
        PartiganError: another number of cells.
    """
    if x.shape[1] != CELLS:
        raise PartiganError(f"CaloGAN is for {CELLS} cells; these showers have {x.shape[1]}")
    parts = x.split([rows * columns for rows, columns in SHAPES], dim=1)
    return [part.view(-1, 1, *shape) for part, shape in zip(parts, SHAPES, strict=True)]


class _LayerImage(nn.Module):
    """A layer from noise that knows its energy."""

    def __init__(self, latent: int, rows: int, columns: int) -> None:
        super().__init__()
        high, wide = rows + 2, columns + 2
        self.layers = nn.Sequential(
            nn.Linear(latent, high * wide * 36),
            nn.Unflatten(1, (36, high, wide)),
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(36, 16, 2),
            nn.LeakyReLU(SLOPE),
            nn.BatchNorm2d(16),
            LocallyConnected(16, 6, (high, wide), (2, 2)),
            nn.LeakyReLU(SLOPE),
            LocallyConnected(6, 1, (high - 1, wide - 1), (2, 2), bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.layers(x)
        return image


class _Attention(nn.Module):
    """A new image mixed cell by cell with the one carried over, by two maps that add up to 1."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.maps = LocallyConnected(2, 2, (rows + 2, columns + 2), (3, 3))
        assert self.maps.bias is not None
        with torch.no_grad():
            self.maps.bias[..., 1] = CLOSED

    def forward(self, new: Tensor, carried: Tensor) -> Tensor:
        both = torch.cat((new, carried), dim=1)
        share = self.maps(functional.pad(both, (1, 1, 1, 1))).softmax(1)
        mixed: Tensor = (share * both).sum(1, keepdim=True)
        return mixed


class CaloGANGenerator(Generator):
    """Noise times the energy to three images; each but the first also sees the one before, resized.

    Args:
        features: number of cells, 504.
        latent: dimension of the noise, which is multiplied by E / 100 GeV.

    Example:
        >>> generator = CaloGANGenerator(latent=8)
        >>> generator(generator.noise(2, None, torch.Generator()), torch.full((2, 1), 5e4)).shape
        torch.Size([2, 504])
    """

    def __init__(self, features: int = CELLS, latent: int = 1024) -> None:
        super().__init__()
        if features != CELLS:
            raise PartiganError(f"CaloGAN is for {CELLS} cells; these showers have {features}")
        self.latent = latent
        self.images = nn.ModuleList(_LayerImage(latent, *shape) for shape in SHAPES)
        self.attention = nn.ModuleList(_Attention(*shape) for shape in SHAPES[1:])

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, latent)``."""
        return torch.randn(size, self.latent, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Cells ``(batch, 504)``, not below 0."""
        first, second, third = (image(noise * (gev(condition) / 100)) for image in self.images)
        carried = functional.avg_pool2d(first.repeat_interleave(4, dim=2), (1, 8))
        second = self.attention[0](second, carried)
        third = self.attention[1](third, functional.avg_pool2d(second, (1, 2)))
        return torch.cat([image.relu().flatten(1) for image in (first, second, third)], dim=1)


class _Minibatch(nn.Module):
    """How near a sample is to the others of its batch, in ``kernels`` spaces of ``dimension`` numbers."""

    def __init__(self, features: int, kernels: int = 10, dimension: int = 10) -> None:
        super().__init__()
        self.map, self.kernels = nn.Linear(features, kernels * dimension, bias=False), kernels

    def forward(self, x: Tensor) -> Tensor:
        placed = self.map(x).unflatten(1, (self.kernels, -1))
        distance = (placed[:, None] - placed).abs().sum(3)
        near: Tensor = (-distance).exp().sum(1)
        return near


class _LayerCritic(nn.Module):
    """Features of a layer: convolution, then locally connected, with zeros around."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 64, 2), nn.LeakyReLU(SLOPE)]
        before, high, wide = 64, rows, columns
        for maps, kernel, stride in ((16, (3, 3), (1, 2)), (8, (2, 2), (1, 1)), (8, (2, 2), (1, 2))):
            layer = LocallyConnected(before, maps, (high + 2, wide + 2), kernel, stride)
            parts += [nn.ZeroPad2d(1), layer, nn.LeakyReLU(SLOPE), nn.BatchNorm2d(maps)]
            before, high, wide = maps, layer.height, layer.width
        self.layers, self.features = nn.Sequential(*parts, nn.Flatten()), before * high * wide

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


class CaloGANCritic(Critic):
    """Features of the three layers, of their sparsity and energies, alone and among the batch.

    Energies are those of the layers over 10 GeV, their sum over 100 GeV, the difference of the sum from what was asked
    for, and whether that is above 5 GeV, softly.

    Args:
        features: number of cells, 504.

    Example:
        >>> CaloGANCritic()(torch.rand(4, 504), torch.full((4, 1), 5e4)).score.shape
        torch.Size([4, 1])
    """

    def __init__(self, features: int = CELLS) -> None:
        super().__init__()
        if features != CELLS:
            raise PartiganError(f"CaloGAN is for {CELLS} cells; these showers have {features}")
        layers = [_LayerCritic(*shape) for shape in SHAPES]
        self.layers, sizes = nn.ModuleList(layers), [layer.features for layer in layers]
        self.near = nn.ModuleList(_Minibatch(size) for size in sizes)
        self.near_sparsity = nn.ModuleList(_Minibatch(1) for _ in SHAPES)
        self.near_energies = _Minibatch(len(SHAPES))
        self.head = nn.Linear(sum(sizes) + 10 * 3 + (1 + 10) * 3 + len(SHAPES) + 3 + 10, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, a logit, and the features before it."""
        found, images = [], split(x)
        parts = zip(images, self.layers, self.near, self.near_sparsity, strict=True)
        for image, layer, near, near_sparsity in parts:
            seen = layer(image)
            sparsity = (image.flatten(1) / 1e-4).tanh().mean(1, keepdim=True)
            found += [seen, near(seen), sparsity, near_sparsity(sparsity)]
        energies = torch.cat([image.sum((1, 2, 3))[:, None] for image in images], dim=1)
        total = energies.sum(1, keepdim=True)
        away = (total - gev(condition)).abs()
        found += [
            energies / 10,
            total / 100,
            away / 100,
            (10 * (away - 5)).sigmoid(),
            self.near_energies(energies / 10),
        ]
        features = torch.cat(found, dim=1)
        return CriticOutput(self.head(features), features)
