"""Networks of air showers that know where the stations stand: one shower, seen by all stations alike.

Maps are those of `partigan.data.transforms.airshowers.AboveTrigger`: signals above the trigger, then arrival times in
us; a silent station is 0. A shower has a core and an axis; a station is told by its distance from the axis and by how
early the plane front reaches it. What is trivial, the plane front and distances, is exact; networks learn the lateral
distribution, the curvature of the front, and fluctuations.

References:
    Ours. Geometry of showers and fronts: Pierre Auger Collaboration, arXiv:2007.09035. Networks with shared functions
    of single elements: M. Zaheer et al., Deep Sets, arXiv:1703.06114.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.images.layers import Condition
from partigan.nets.layers import dense, silent
from partigan.observables.airshowers import CURVED, SPEED, Layout, fitted, station_positions

KM = 1000.0  # m
LIGHT = 1000 * SPEED / KM  # km/us
CLOSEST = 0.15  # km, within which the lateral distribution is flat at first
SOFT = 10.0  # slope of what the critic takes for the share of a station that has triggered
RIDGE = 1e-3  # of the critic's fits, so that their gradients are bounded
LATE = 0.3  # us; unit of times about the front
DECADE = log(10)
SUDDEN = 10.0  # how sharply stations are full


class _Stations(nn.Module):
    """Where stations stand, km, and the zenith angle among the conditions."""

    places: Tensor

    def __init__(self, height: int, width: int, layout: Layout, spacing: float, condition: Condition, zenith: int):
        super().__init__()
        if zenith >= condition.size:
            raise PartiganError(f"zenith = {zenith} is no column of {condition.size} conditions")
        self.shape, self.condition, self.zenith = (height, width), condition, zenith
        places = station_positions(layout, height, width, spacing).flatten(0, 1) / KM
        self.register_buffer("places", places, persistent=False)

    def sine(self, condition: Tensor) -> Tensor | None:
        """Sine of the zenith angle ``(batch, 1)``, where it is known."""
        return condition[:, self.zenith, None].sin() if self.zenith >= 0 else None


def _seen_from(places: Tensor, core: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances from the axis, km^2, and how far along it stations are, km: ``(batch, stations)`` each."""
    line = places - core[:, None]
    along = (line * axis[:, None]).sum(2)
    return (line.square().sum(2) - along.square()).clamp_min(0), along


class FootprintGenerator(Generator):
    """A shower with core, axis and a few numbers of its own, which stations see through one shared network.

    - The axis has the zenith angle of the condition, or one that is learned, and any azimuth; the core is anywhere on a
      disc about the middle of the array, whose radius is learned.
    - A small network of condition and noise gives the shower's numbers. The shared network takes them, the distance of
      a station from the axis and its place along it, to the logarithms of two mean signals (muons, electromagnetic
      particles), their width, and delay and spread of the arrival time behind the plane front.
    - Each station has two normal numbers: signal = mean + width e, time = plane + delay + spread f. What is below the
      trigger is silent.

    Args:
        channels: 1 = signals, 2 = signals and times.
        height: stations along one side.
        width: stations along the other.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        layout: of the array.
        spacing: of the stations, m.
        zenith: column of the zenith angle among the conditions, rad; -1 = it is not among them.
        energy: column of lg(E/EeV), with which signals grow in proportion at first; -1 = it is not among them.
        latent: numbers of a shower.
        hidden: features of both networks.

    Example:
        >>> generator = FootprintGenerator()
        >>> generator(generator.noise(5, None, torch.Generator())).shape
        torch.Size([5, 2, 9, 9])
    """

    def __init__(
        self,
        channels: int = 2,
        height: int = 9,
        width: int = 9,
        classes: int = 0,
        conditions: int = 0,
        layout: Layout = "cartesian",
        spacing: float = 1500.0,
        zenith: int = -1,
        energy: int = -1,
        latent: int = 8,
        hidden: int = 32,
    ) -> None:
        super().__init__()
        self.stations = _Stations(height, width, layout, spacing, Condition(classes, conditions), zenith)
        self.channels, self.latent, self.energy = channels, latent, energy
        size = self.stations.condition.size
        self.shower = dense((latent + size, 2 * hidden, 2 * hidden))
        self.own = silent(nn.Linear(2 * hidden, 5))  # two levels, curvature, offset, zenith angle
        self.first, self.second = nn.Linear(5, hidden), nn.Linear(hidden, hidden)
        self.of_shower = nn.Linear(2 * hidden, 2 * hidden)
        self.out = silent(nn.Linear(hidden, 5))  # two signals, their width, delay and spread of the time
        self.radius = nn.Parameter(torch.tensor(log(spacing / 2 / KM)))  # of the cores
        self.slopes = nn.Parameter(torch.tensor([-4.7, -6.1]))  # of the lateral distributions
        self.levels = nn.Parameter(torch.tensor([2.6, 3.4]))  # logarithms of the signals in 1 km, at 10 EeV
        self.fullest = nn.Parameter(torch.tensor([14.0, 14.0]))  # logarithms of the largest ones
        self.threshold = nn.Parameter(torch.tensor(0.75))
        self.narrower = nn.Parameter(torch.tensor(0.1))  # times of large signals spread less

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, 4 + latent + 2 stations)``: azimuth, core, the shower's own, then the stations'."""
        width = 4 + self.latent + 2 * len(self.stations.places)
        return torch.randn(size, width, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Maps ``(batch, channels, height, width)``."""
        number = len(self.stations.places)
        arrow, core, shared, e, f = noise.split((2, 2, self.latent, number, number), dim=1)
        known = self.stations.condition(condition, noise)
        shower = self.shower(torch.cat((shared, known), dim=1))
        first, second, curvature, offset, tilt = self.own(shower).unbind(1)
        scale = DECADE * (known[:, self.energy] - 1) if self.energy >= 0 else torch.zeros_like(first)
        sine = self.stations.sine(known)
        axis = functional.normalize(arrow, dim=1) * (tilt[:, None].sigmoid() if sine is None else sine)
        away = self.radius.exp() * (1 - (-core.square().sum(1, keepdim=True) / 2).exp()).sqrt()
        far, along = _seen_from(self.stations.places, away * functional.normalize(core, dim=1), axis)
        distance = 0.5 * (far + CLOSEST**2).log()
        one, two, width, delay, spread = self._station(shower, distance, far, along).unbind(2)
        level = self.levels + torch.stack((first + scale, second + scale), dim=1)  # logarithms of signals in 1 km
        power = level[:, None] + self.slopes * distance[..., None] + torch.stack((one, two), dim=2)
        mean = (power - functional.softplus(power - self.fullest, beta=SUDDEN)).clamp_min(-10).exp().sum(2)
        signal = mean - self.threshold + (mean / 20 + 0.06).sqrt() * width.clamp(-4, 4).exp() * e
        x = signal.relu().log1p() / DECADE
        maps = [x]
        if self.channels == 2:
            late = far / 6 * (1 + curvature[:, None]) + 0.1 * offset[:, None] + LATE * delay
            wide = 0.2 * (spread.clamp(-4, 4) - self.narrower * x).exp()
            maps.append((late - along / LIGHT + wide * f) * (x > 0))
        return torch.stack(maps, dim=1).view(len(noise), self.channels, *self.stations.shape)

    def _station(self, shower: Tensor, distance: Tensor, far: Tensor, along: Tensor) -> Tensor:
        """What a station makes of a shower, ``(batch, stations, 5)``."""
        seen = torch.stack((distance, distance.square() / 2, far / 20, along / 3, along * far.sqrt() / 10), dim=2)
        gain = self.of_shower(shower)[:, None].chunk(2, dim=2)
        hidden = functional.silu(self.first(seen) + gain[0])
        made: Tensor = self.out(functional.silu(self.second(hidden) + gain[1]))
        return made


class FootprintCritic(Critic):
    """Shower observables, and a shared network of single stations, about the core and the front that it finds.

    Its features are the observables and the condition.

    Args:
        channels: 1 = signals, 2 = signals and times.
        height: stations along one side.
        width: stations along the other.
        classes: number of classes; 0 = none.
        conditions: number of float conditions; 0 = none.
        layout: of the array.
        spacing: of the stations, m.
        zenith: column of the zenith angle among the conditions, rad; -1 = it is not among them.
        most: stations that it looks at, those with the largest signals.
        hidden: features of the stations' network, and half of those of the shower's.

    Example:
        >>> FootprintCritic()(torch.zeros(5, 2, 9, 9)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        channels: int = 2,
        height: int = 9,
        width: int = 9,
        classes: int = 0,
        conditions: int = 0,
        layout: Layout = "cartesian",
        spacing: float = 1500.0,
        zenith: int = -1,
        most: int = 32,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.stations = _Stations(height, width, layout, spacing, Condition(classes, conditions), zenith)
        self.timed, self.most = channels == 2, min(most, height * width)
        size = self.stations.condition.size + (16 if self.timed else 8)
        self.first, self.second = nn.Linear(8 if self.timed else 6, hidden), nn.Linear(hidden, hidden)
        self.of_shower = nn.Linear(size, hidden)
        self.layers, self.head = dense((size + hidden, 2 * hidden, 2 * hidden)), nn.Linear(2 * hidden, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)``, and observables with the condition."""
        known = self.stations.condition(condition, x)
        found, seen, share = self._seen(x.flatten(2), known)
        own = torch.cat((found, known), dim=1)
        hidden = functional.silu(self.first(seen) + self.of_shower(own)[:, None])
        hidden = functional.silu(self.second(hidden))
        pooled = (hidden * share[..., None]).sum(1) / 8
        return CriticOutput(self.head(self.layers(torch.cat((own, pooled), dim=1))), own)

    def _seen(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observables ``(batch, 8 or 16)``, what is seen of stations ``(batch, stations, 6 or 8)``, shares of them.

        A silent station has no time, so that a slope at it would mean nothing; there is none.
        """
        chosen = x[:, 0].topk(self.most, dim=1).indices
        x = x.gather(2, chosen[:, None].expand(-1, x.shape[1], -1))
        places = self.stations.places[chosen]
        signal = x[:, 0].clamp(0, 9) * (x[:, 0] > 0)
        share, above = (SOFT * signal).clamp_max(1), (DECADE * signal).expm1()
        number, weight = share.sum(1), (1 + above).sqrt() - 1
        core = (weight[..., None] * places).sum(1) / (weight.sum(1, keepdim=True) + 1e-3)
        east, north = places.unbind(2)
        plane, axis = self._plane(x, places, share)
        far, along = _seen_from(places, core, axis)
        distance = 0.5 * (far + CLOSEST**2).log()
        line = fitted((torch.ones_like(east), distance), signal, share, RIDGE)
        found = [(above.sum(1) + 1).log10() - 3, number / 5 - 2, signal.amax(1) - 3, line[:, 0] - 1, line[:, 1] + 2]
        found += [*(3 * core).T, 3 * _length(core)[:, 0]]
        of_stations = [2 * signal - 1, share, distance, along / 3, east / 5, north / 5]
        if self.timed:
            parts = (torch.ones_like(east), east, north, far)
            front = fitted(parts, x[:, 1], share, RIDGE)
            left = _left(x[:, 1], parts, front) * share / LATE
            after = _left(x[:, 1], parts[:3], plane) * share / LATE
            sine, tilt = self.stations.sine(known), _length(axis)[:, 0]
            found += [3 * tilt - 2, 20 * (tilt - (0.5 if sine is None else sine[:, 0])), *(2 * axis).T]
            found += [
                (10 * front[:, 3] - 1).asinh() * (number - CURVED + 1).clamp(0, 1),
                (left.square().sum(1) / (number + 1) + 0.01).log() + 1,
                (5 * (left * signal).sum(1) / (number + 1)).asinh(),
                (5 * (after * distance).sum(1) / (number + 1)).asinh(),
            ]
            of_stations += [left.asinh(), after.asinh()]
        return torch.stack(found, dim=1), torch.stack(of_stations, dim=2), share

    def _plane(self, x: Tensor, places: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """A plane front as fitted, ``(batch, 3)``, and its axis; without times, from above."""
        east, north = places.unbind(2)
        if not self.timed:
            return east.new_zeros(len(x), 3), east.new_zeros(len(x), 2)
        plane = fitted((torch.ones_like(east), east, north), x[:, 1], share, RIDGE)
        axis = -LIGHT * plane[:, 1:]
        return plane, axis / _length(axis).clamp_min(1.0)


def _length(vectors: Tensor) -> Tensor:
    """Lengths ``(batch, 1)``, whose slope has an end at 0."""
    return (vectors.square().sum(1, keepdim=True) + 1e-6).sqrt()


def _left(values: Tensor, parts: tuple[Tensor, ...], constants: Tensor) -> Tensor:
    """What a fitted sum of parts leaves of values."""
    return values - (torch.stack(parts, dim=2) @ constants[..., None])[..., 0]
