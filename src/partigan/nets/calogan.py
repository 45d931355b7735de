"""CaloGAN: layers of different cells, each handed on to the next one.

Showers are rows of cells, as in files; networks see layers in GeV: of CaloGAN's own calorimeter 3 x 96, 12 x 12 and
12 x 6 cells, of another geometry as many layers as it has, each of its rows and columns or angles and radii. The
condition is the energy in MeV.

References:
    M. Paganini, L. de Oliveira, B. Nachman, CaloGAN: Simulating 3D High Energy Particle Showers in Multi-Layer
    Electromagnetic Calorimeters with Generative Adversarial Networks, arXiv:1712.10321, section III, with the authors'
    published code; minibatch discrimination: T. Salimans et al., arXiv:1606.03498, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.calorimeters import known_geometry
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.testbeam import LocallyConnected

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


def shapes_of(name: str, features: int) -> list[tuple[int, int]]:
    """Rows and columns of the layers of a geometry.

    Raises:
        PartiganError: it is none that partigan knows by name, or has another number of cells.

    Example:
        >>> shapes_of("calogan", 504)
        [(3, 96), (12, 12), (12, 6)]
    """
    known = known_geometry(name)
    if known.voxels != features:
        raise PartiganError(f"the geometry {name} has {known.voxels} cells; these showers have {features}")
    return [layer.shape for layer in known.layers]


def split(x: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Rows of cells as layers, ``(batch, 1, rows, columns)`` each."""
    parts = x.split([rows * columns for rows, columns in shapes], dim=1)
    return [part.view(-1, 1, *shape) for part, shape in zip(parts, shapes, strict=True)]


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
    """Noise times the energy to images; each but the first also sees the one before, resized.

    Args:
        features: number of cells.
        geometry: its name.
        energies: lowest and highest of training, MeV; the noise is multiplied by E over the highest, CaloGAN's 100 GeV.
        latent: dimension of the noise.

    Example:
        >>> generator = CaloGANGenerator(latent=8)
        >>> generator(generator.noise(2, None, torch.Generator()), torch.full((2, 1), 5e4)).shape
        torch.Size([2, 504])
    """

    def __init__(
        self,
        features: int = 504,
        geometry: str = "calogan",
        energies: Sequence[float] = (1000.0, 100000.0),
        latent: int = 1024,
    ) -> None:
        super().__init__()
        self.shapes, self.latent, self.highest = shapes_of(geometry, features), latent, energies[1] / 1000
        self.images = nn.ModuleList(_LayerImage(latent, *shape) for shape in self.shapes)
        self.attention = nn.ModuleList(_Attention(*shape) for shape in self.shapes[1:])

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, latent)``."""
        return torch.randn(size, self.latent, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Cells ``(batch, features)``, not below 0."""
        images = [image(noise * (gev(condition) / self.highest)) for image in self.images]
        mixed = images[:1]
        for image, attention, shape in zip(images[1:], self.attention, self.shapes[1:], strict=True):
            mixed.append(attention(image, functional.adaptive_avg_pool2d(mixed[-1], shape)))
        return torch.cat([image.relu().flatten(1) for image in mixed], dim=1)


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
    """Features of the layers, of their sparsity and energies, alone and among the batch.

    With E_0 the highest energy of training, CaloGAN's 100 GeV, energies are those of the layers over E_0 / 10, their
    sum over E_0, the difference of the sum from what was asked for, and whether that is above E_0 / 20, softly.

    Args:
        features: number of cells.
        geometry: its name.
        energies: lowest and highest of training, MeV.

    Example:
        >>> CaloGANCritic()(torch.rand(4, 504), torch.full((4, 1), 5e4)).score.shape
        torch.Size([4, 1])
    """

    def __init__(
        self, features: int = 504, geometry: str = "calogan", energies: Sequence[float] = (1000.0, 100000.0)
    ) -> None:
        super().__init__()
        self.shapes, self.highest = shapes_of(geometry, features), energies[1] / 1000
        layers = [_LayerCritic(*shape) for shape in self.shapes]
        self.layers, sizes, many = nn.ModuleList(layers), [layer.features for layer in layers], len(layers)
        self.near = nn.ModuleList(_Minibatch(size) for size in sizes)
        self.near_sparsity = nn.ModuleList(_Minibatch(1) for _ in layers)
        self.near_energies = _Minibatch(many)
        self.head = nn.Linear(sum(sizes) + 10 * many + (1 + 10) * many + many + 3 + 10, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, a logit, and the features before it."""
        found, images = [], split(x, self.shapes)
        parts = zip(images, self.layers, self.near, self.near_sparsity, strict=True)
        for image, layer, near, near_sparsity in parts:
            seen = layer(image)
            sparsity = (image.flatten(1) / 1e-4).tanh().mean(1, keepdim=True)
            found += [seen, near(seen), sparsity, near_sparsity(sparsity)]
        energies = torch.cat([image.sum((1, 2, 3))[:, None] for image in images], dim=1) / self.highest
        total = energies.sum(1, keepdim=True)
        away = (total - gev(condition) / self.highest).abs()
        found += [10 * energies, total, away, (1000 * (away - 0.05)).sigmoid(), self.near_energies(10 * energies)]
        features = torch.cat(found, dim=1)
        return CriticOutput(self.head(features), features)
