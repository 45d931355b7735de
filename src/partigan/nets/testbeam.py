"""Networks of the calorimeter WGAN with constrainers, for seven layers of 12 x 15 cells of a test beam.

Showers are rows of 1,260 cells, as in files; networks see them as ``(7, 12, 15)``, in MIP and without a logarithm. The
condition is the energy in MeV and the place where the particle hits, in mm; networks take GeV over 100 and cm.

References:
    M. Erdmann, J. Glombitza, T. Quast, Precise simulation of electromagnetic calorimeter showers using a Wasserstein
    generative adversarial network, arXiv:1807.01954, section 4, with the authors' published code. Where they do not say
    it, convolutions keep the size and LeakyReLU stands between layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.data.calorimeter import geometry
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator

LAYERS, ROWS, COLUMNS = 7, 12, 15
CELLS = LAYERS * ROWS * COLUMNS
CONDITIONS = 3
SLOPE = 0.2


class LocallyConnected(nn.Module):
    """A convolution whose weights differ from place to place.

    Args:
        inputs: channels.
        outputs: channels.
        shape: height and width of what goes in, padding included.
        kernel: height and width of the filters.
        stride: along both sides.
        bias: whether there is one for each place and channel.

    Example:
        >>> LocallyConnected(3, 2, (5, 4), (2, 2))(torch.zeros(1, 3, 5, 4)).shape
        torch.Size([1, 2, 4, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        shape: tuple[int, int],
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.height, self.width = ((s - k) // t + 1 for s, k, t in zip(shape, kernel, stride, strict=True))
        places, values = self.height * self.width, inputs * math.prod(kernel)
        limit = math.sqrt(6 / (values + outputs * math.prod(kernel)))
        self.weight = nn.Parameter(torch.empty(places, values, outputs).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(places, 1, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, outputs, height, width)``."""
        patches = functional.unfold(x, self.kernel, stride=self.stride).permute(2, 0, 1)
        found = patches @ self.weight
        if self.bias is not None:
            found = found + self.bias
        maps: Tensor = found.permute(1, 2, 0).unflatten(2, (self.height, self.width))
        return maps


def scaled(condition: Tensor | None) -> Tensor:
    """Energy in 100 GeV and place in cm.

    Raises:
        PartiganError: there is no such condition.
    """
    if condition is None or condition.dim() != 2 or condition.shape[1] != CONDITIONS:
        raise PartiganError(
            "these networks need the energy of the particle and the place where it hits as condition, (showers, 3): "
            "those of 'partigan simulate calorimeter --geometry testbeam'"
        )
    return condition / condition.new_tensor([1e5, 10.0, 10.0])


class TestBeamGenerator(Generator):
    """Ten uniform numbers and the condition to seven maps by transposed convolutions, which are then joined.

    Args:
        features: number of cells, 1,260.
        latent: dimension of the noise, uniform between -1 and 1.

    Example:
        >>> generator = TestBeamGenerator()
        >>> noise = generator.noise(2, None, torch.Generator())
        >>> generator(noise, torch.tensor([[32000.0, 1.0, 2.0]] * 2)).shape
        torch.Size([2, 1260])
    """

    __test__ = False  # pytest
    alive: Tensor

    normal = None  # uniform

    def __init__(self, features: int = CELLS, latent: int = 10) -> None:
        super().__init__()
        _check(features)
        self.latent = latent
        self.maps = nn.ModuleList(_layer_map(latent + CONDITIONS) for _ in range(LAYERS))
        self.joined = nn.Sequential(
            nn.Conv2d(LAYERS, 64, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(64, 128, (5, 6)),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(128, 14, 3),
            nn.LeakyReLU(SLOPE),
            LocallyConnected(14, LAYERS, (14, 17), (3, 3)),
            nn.ReLU(),
        )
        alive = torch.from_numpy(geometry("testbeam").layers[0].alive()).float().view(ROWS, COLUMNS)
        self.register_buffer("alive", alive, persistent=False)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Uniform between -1 and 1, ``(size, latent)``."""
        return 2 * torch.rand(size, self.latent, generator=rng, device=rng.device) - 1

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Cells ``(batch, 1260)``, not below 0, dead ones 0."""
        x = torch.cat((noise, scaled(condition)), dim=1)
        found: Tensor = self.joined(torch.cat([layer(x) for layer in self.maps], dim=1))
        return (found * self.alive).flatten(1)


def _check(features: int) -> None:
    if features != CELLS:
        raise PartiganError(f"this network is for the {CELLS} cells of the test beam; these showers have {features}")


def _layer_map(inputs: int) -> nn.Sequential:
    """A map of 20 x 24 from the noise and condition."""
    parts: list[nn.Module] = [nn.Linear(inputs, 10), nn.LeakyReLU(SLOPE), nn.Linear(10, 16 * 3 * 4)]
    parts += [nn.Unflatten(1, (16, 3, 4))]
    before = 16
    for width in (16, 32, 64):
        parts += [nn.ConvTranspose2d(before, width, 3, 2, 1, 1), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
        before = width
    return nn.Sequential(*parts, nn.Conv2d(before, 1, (5, 9)))


class TestBeamCritic(Critic):
    """Two-dimensional convolutions with the layers as channels, and a further one made of the condition.

    Args:
        features: number of cells, 1,260.

    Example:
        >>> TestBeamCritic()(torch.zeros(2, 1260), torch.tensor([[32000.0, 1.0, 2.0]] * 2)).score.shape
        torch.Size([2, 1])
    """

    __test__ = False

    def __init__(self, features: int = CELLS) -> None:
        super().__init__()
        _check(features)
        cells = ROWS * COLUMNS
        self.condition = nn.Sequential(nn.Linear(CONDITIONS, 10), nn.LeakyReLU(SLOPE), nn.Linear(10, cells))
        parts: list[nn.Module] = []
        before = LAYERS + 1
        for width, kernel in ((256, 5), (128, 3), (64, 3), (32, 3), (16, 3)):
            parts += [nn.Conv2d(before, width, kernel, padding=kernel // 2)]
            parts += [nn.LayerNorm([width, ROWS, COLUMNS]), nn.LeakyReLU(SLOPE)]
            before = width
        self.layers = nn.Sequential(*parts, nn.Flatten(), nn.Linear(before * cells, 10), nn.LeakyReLU(SLOPE))
        self.head = nn.Linear(10, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and the last ten units."""
        further = self.condition(scaled(condition)).view(-1, 1, ROWS, COLUMNS)
        hidden = self.layers(torch.cat((x.view(-1, LAYERS, ROWS, COLUMNS), further), dim=1))
        return CriticOutput(self.head(hidden), hidden)


class TestBeamConstrainer(Critic):
    """Three-dimensional convolutions that read the energy (MeV) or the place (mm) off a shower.

    Args:
        features: number of cells, 1,260.
        reads: ``energy``, one number not below 0, or ``place``, two.

    Example:
        >>> TestBeamConstrainer()(torch.rand(2, 1260)).score.shape
        torch.Size([2, 1])
    """

    __test__ = False

    def __init__(self, features: int = CELLS, reads: str = "energy") -> None:
        super().__init__()
        _check(features)
        if reads not in ("energy", "place"):
            raise PartiganError(f"reads = {reads!r} of TestBeamConstrainer; there are energy and place")
        self.energy = reads == "energy"
        parts: list[nn.Module] = [nn.Conv3d(1, 1, 3, padding=1), nn.BatchNorm3d(1), nn.LeakyReLU(SLOPE)]
        before = 1
        for width in (16, 16, 32, 32):
            parts += [nn.Conv3d(before, width, (2, 3, 3)), nn.BatchNorm3d(width), nn.LeakyReLU(SLOPE)]
            before = width
        parts += [nn.Conv3d(before, 64, (2, 3, 5)), nn.BatchNorm3d(64), nn.LeakyReLU(SLOPE), nn.Flatten()]
        self.layers = nn.Sequential(*parts)
        self.head = nn.Linear(64 * 2 * 2 * 3, 1 if self.energy else 2)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """What is read, ``(batch, 1 or 2)``, as the score."""
        read = self.head(self.layers(x.view(-1, 1, LAYERS, ROWS, COLUMNS)))
        return CriticOutput(1e5 * read.relu() if self.energy else 10 * read)
