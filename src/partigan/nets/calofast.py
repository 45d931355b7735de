"""Networks of `calo-fast`: layer energies and numbers of hits first, then voxels about them.

References:
    Ours; see `partigan.nets.explicit` for the distributions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from partigan.data.transforms.calorimeter_layers import LEAST, OFFSET, SCALE, LayerRatios
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError
from partigan.nets.calorimeters import known_geometry, placed_energy
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.explicit import Bent, BentFlow, Groups, log_probability_of_choice
from partigan.nets.layers import dense

TINY = 1e-6
SLOPE = 1.5  # of the smooth step that stands for a choice in gradients
SEEN = 10  # numbers that a critic sees of each layer


class _Layers(nn.Module):
    """What both networks know: the geometry, and what features of layers stand for.

    Args:
        name: of the geometry.
        energies: lowest and highest of training, MeV.
        conditions: number of conditions.
    """

    places: Tensor

    def __init__(self, name: str, energies: Sequence[float], conditions: int) -> None:
        super().__init__()
        known = known_geometry(name)
        self.groups = Groups([layer.size for layer in known.layers])
        self.global_features = 2 * len(known.layers)
        self.energies, self.conditions = list(energies), conditions + 2
        self.tables = LayerRatios.plain(known)
        places = torch.zeros(known.voxels, 6 * len(known.layers))
        for number, cells in enumerate(known.cells):
            unit = float(cells.r[cells.r > 0].min())
            place = torch.stack((cells.eta, cells.phi, cells.r)).float() / unit
            rows = slice(cells.first, cells.first + len(cells.r))
            places[rows, number :: len(known.layers)] = torch.cat((place, place.square())).T
        self.register_buffer("places", places, persistent=False)

    def meet(self, transform: Transform) -> None:
        """Take the tables of the transform of the run.

        Raises:
            PartiganError: it is another transform, or one of another geometry.
        """
        if not isinstance(transform, LayerRatios) or len(transform.sizes) != len(self.groups.sizes):
            raise PartiganError("the networks of calo-fast need the transform LayerRatios, of the same geometry")
        self.tables = copy.deepcopy(transform).to(self.tables.knots.device)

    def condition(self, condition: Tensor | None) -> Tensor:
        """Ln E between -1 and 1, its square and its cube, and where the particle hits, ``(batch, conditions + 2)``."""
        given = placed_energy(condition, self.energies)
        t = given[:, :1]
        return torch.cat((t, t.square(), t**3, given[:, 1:]), dim=1)

    def layers(self, features: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Energies, numbers of hits, and where in voxels' features the threshold is, ``(batch, layers)`` each."""
        assert condition is not None
        energy, number = self.tables.layers(features, condition[:, 0])
        mean = energy / number.clamp_min(1) / self.tables.threshold
        return energy, number, OFFSET - mean.clamp_min(1).log() / SCALE

    def seen(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What there is to see in a shower.

        For each layer: logarithms of its energy over the particle's and over the threshold of its hits; number of
        hits, its logarithm and that of the number of hits with most of the energy, 1 / sum of squared shares; centres
        in eta and phi in units of their statistical errors; logarithms of the centre in r and of the widths.

        Args:
            x: normalised showers, see `partigan.data.transforms.calorimeter_layers.LayerRatios`.
            condition: of the particles.

        Returns:
            ``(batch, 10 layers)``, features of layers; hits and features of voxels, ``(batch, voxels)`` each.
        """
        assert condition is not None
        energy, number, edge = self.layers(x, condition)
        y = x[:, self.global_features :].relu()
        hits = (2 * y).clamp_max(1.0)
        relative = ((y - OFFSET).clamp_max(4.0) * SCALE).exp()
        low = ((edge - OFFSET) * SCALE).exp()
        above = hits * (relative - self.groups.spread(low)).relu()
        left = (number * (1 - low)).clamp_min(0)
        scale = left / self.groups.sums(above).clamp_min(TINY)
        weight = hits * self.groups.spread(low) + above * self.groups.spread(scale)
        total = self.groups.sums(weight).clamp_min(TINY)
        share = weight / self.groups.spread(total)
        eta, phi, r, eta2, phi2, r2 = (share @ self.places).chunk(6, dim=1)
        wide = [(b - a.square()).clamp_min(0) + 0.01 for a, b in ((eta, eta2), (phi, phi2), (r, r2))]
        many = 1 / self.groups.sums(share.square()).clamp_min(TINY)
        count = self.groups.sums(hits)
        here = (total / (total + 1e-3)).detach() * (number > 0)
        columns = (
            (energy / condition[:, :1] + 1e-6).log() / 4 + 1,
            OFFSET - 2 - edge,
            4 * count / count.new_tensor(self.groups.sizes) - 2,
            (1 + count).log() - 3,
            (1 + many.clamp_max(1e4)).log() - 2,
            eta * (many / wide[0]).sqrt() / 2,
            phi * (many / wide[1]).sqrt() / 2,
            (r + 0.1).log() - 1,
            0.5 * (wide[0] + wide[1]).log() - 1,
            0.5 * wide[2].log() - 1,
        )
        return torch.cat([column * here for column in columns], dim=1), hits, y


class _SharedLayers(nn.Module):
    """Five numbers for each voxel of layers of the same voxels, which share their weights; a part is each layer's own.

    Args:
        layers: how many.
        voxels: of each.
        hidden: inputs that all layers share.
        width: of the hidden layer.
    """

    def __init__(self, layers: int, voxels: int, hidden: int, width: int) -> None:
        super().__init__()
        self.of_layer = nn.Parameter(0.1 * torch.randn(layers, width))
        self.of_shower, self.of_features = nn.Linear(hidden, width), nn.Linear(3, width, bias=False)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 5 * voxels)

    def forward(self, hidden: Tensor, features: Tensor) -> Tensor:
        """``(batch, 5 layers voxels)``, the first number of all voxels first.

        Args:
            hidden: ``(batch, hidden)``.
            features: of the layers, ``(batch, layers, 3)``.
        """
        own = self.of_shower(hidden)[:, None] + self.of_features(features) + self.of_layer
        found: Tensor = self.out(nn.functional.silu(self.norm(own))).unflatten(2, (5, -1))
        return found.transpose(1, 2).flatten(1)


class LayerGenerator(Generator):
    """Showers in the features of `LayerRatios`.

    A flow, which changes nothing at first, makes the 2 L features of layers from normal numbers: at first they are
    independent, as the transform makes of real showers. Of these features follow the energies and the numbers of hits
    of the layers. A second network takes them, the particle's energy and further noise to five numbers for each voxel;
    layers of the same voxels share its last weights.
    The first is a score: of each layer, as many voxels as it has hits with the largest scores plus Gumbel noise are
    hit. The others say how bright the voxel is: they bend a normal number of its own to a distribution that is cut at
    the threshold (`partigan.nets.explicit.Bent`). So voxels fluctuate by themselves, as numbers of particles do, beside
    what they do together.

    All that is an explicit model. `surprise` is its likelihood on real showers, which a phase of its own may use
    (`partigan.systems.losses.LikelihoodLoss`); what it leaves, such as how the energies of the hits of a layer depend
    on each other, the critic sees.

    Args:
        features: number of voxels.
        conditions: number of conditions, the first of them the energy in MeV, the others where the particle hits in mm.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        latent: dimension of the noise that voxels share.
        width: of hidden layers.
        depth: number of hidden layers.

    Example:
        >>> generator = LayerGenerator(geometry="ds1-photons")
        >>> generator(generator.noise(5, None, torch.Generator()), torch.full((5, 1), 1000.0)).shape
        torch.Size([5, 378])
    """

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        latent: int = 8,
        width: int = 192,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.known = _Layers(geometry, energies, conditions)
        self.latent, self.voxels, layers = latent, features, self.known.global_features
        self.flow = BentFlow(layers, self.known.conditions, steady=1)  # the total energy is as the transform makes it
        parts: list[nn.Module] = []
        before = layers + len(self.known.groups.sizes) + self.known.conditions + latent
        for _ in range(depth):
            parts += [nn.Linear(before, width), nn.LayerNorm(width), nn.SiLU()]
            before = width
        self.body, sizes = nn.Sequential(*parts), self.known.groups.sizes
        self.out: nn.Module = nn.Linear(before, 5 * features)
        if self.known.groups.alike:
            self.out = _SharedLayers(len(sizes), sizes[0], before, width // 2)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, 2 layers + latent + 2 voxels)``."""
        width = self.known.global_features + self.latent + 2 * self.voxels
        return torch.randn(size, width, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Showers ``(batch, 2 layers + voxels)``."""
        groups = self.known.groups
        own, shared, gate, bright = noise.split((self.known.global_features, self.latent, self.voxels, self.voxels), 1)
        layers = self.flow(own, self.known.condition(condition))
        _, number, edge = self.known.layers(layers, condition)
        score, brightness = self._voxels(layers, edge, condition, shared)
        score = score - (-torch.special.log_ndtr(gate)).log()
        above = score - groups.spread(groups.thresholds(score.detach(), number))
        value = brightness.above(bright, groups.spread(edge)).clamp_min(LEAST)
        soft = (SLOPE * above).sigmoid()
        hit = soft + ((above > 0).to(soft) - soft).detach()
        return torch.cat((layers, hit * value), dim=1)

    def surprise(self, x: Tensor, condition: Tensor | None, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Minus the log-likelihood of real showers, ``(batch,)``: of layers, by features, and of voxels, by voxels.

        The probability of the hits is that of their choice, given their number. Where a layer has only one hit, its
        brightness is sure and does not count.

        Args:
            x: normalised showers.
            condition: of the particles.
            mask: not needed here.
            rng: draws the noise that voxels share.
        """
        groups = self.known.groups
        layers, voxels = x[:, : self.known.global_features], x[:, self.known.global_features :]
        shared = torch.randn(len(x), self.latent, generator=rng, device=rng.device).to(x)
        _, number, edge = self.known.layers(layers, condition)
        score, brightness = self._voxels(layers, edge, condition, shared)
        hit = voxels > 0
        of_hits = log_probability_of_choice(score, hit, groups).sum(1)
        low = groups.spread(edge)
        of_values = brightness.log_density_above(torch.maximum(torch.where(hit, voxels, low), low), low).clamp_min(-50)
        free = hit & (groups.spread(number) > 1.5)
        of_layers = self.flow.log_density(layers, self.known.condition(condition))
        found = of_layers / layers.shape[1] + (of_hits + torch.where(free, of_values, 0.0).sum(1)) / self.voxels
        return -found

    def _voxels(self, layers: Tensor, edge: Tensor, condition: Tensor | None, shared: Tensor) -> tuple[Tensor, Bent]:
        """Scores of the voxels, and how bright they are."""
        given = torch.cat((layers, edge / 2, self.known.condition(condition), shared), dim=1)
        hidden = self.body(given)
        if self.known.groups.alike:
            ratio, number = layers.chunk(2, dim=1)
            found = self.out(hidden, torch.stack((ratio.roll(-1, 1), number, edge - OFFSET + 1), dim=2))
        else:
            found = self.out(hidden)
        score, rest = found[:, : self.voxels], found[:, self.voxels :]
        bent = Bent.of(rest)
        return 2 * score, bent._replace(middle=OFFSET + bent.middle, width=0.4 * bent.width)


class LayerCritic(Critic):
    """What `LayerGenerator` makes, as a row of voxels with what is to be seen in the layers.

    The features that it gives are those of the layers and the energy.

    Args:
        features: number of voxels.
        conditions: number of conditions, the first of them the energy in MeV, the others where the particle hits in mm.
        geometry: its name.
        energies: lowest and highest of training, MeV.
        width: of hidden layers.
        depth: number of hidden layers.

    Example:
        >>> LayerCritic(geometry="ds1-photons")(torch.zeros(5, 378), torch.full((5, 1), 1000.0)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        features: int = 368,
        conditions: int = 1,
        geometry: str = "ds1-photons",
        energies: Sequence[float] = (256.0, 4194304.0),
        width: int = 256,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.known = _Layers(geometry, energies, conditions)
        own = self.known.global_features + SEEN * len(self.known.groups.sizes) + self.known.conditions
        widths = (own + 2 * features, *[width] * depth)
        self.layers, self.head = dense(widths), nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and features of layers ``(batch, 12 layers + conditions + 2)``."""
        of_layers, hits, energies = self.known.seen(x, condition)
        own = torch.cat((x[:, : self.known.global_features], of_layers, self.known.condition(condition)), dim=1)
        return CriticOutput(self.head(self.layers(torch.cat((own, hits, energies / math.pi), dim=1))), own)
