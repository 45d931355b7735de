"""Our networks for sparse hitmaps: an event as a compound process of clusters, whose hits are made adversarially.

How many clusters there are, where, and in which patterns or along which lines is drawn from counts of the training
sample (`partigan.data.cluster_tables`) and is the condition of a map. Networks make what lies inside: one how the
pixels of boxes of at most 3 x 3 share their charge, one hits and charges of the strips along tracks. Both are trained
at once: a sample is one cluster of each, side by side, and the critic has a score for each. `Events`, the deployed
form, makes whole maps, on which clusters that touch are moved apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from partigan.data.cluster_tables import Drawn
from partigan.data.clusters import FRAMES, IS_SMALL, IS_TRACK_U, IS_TRACK_V, PIXELS, SINGLES, SMALL, STRIP, WINDOW, hits
from partigan.data.placing import Placed, apart
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.spectra import SPECTRA, kind_of
from partigan.data.sticks import CONTEXTS, Sticks, broken
from partigan.data.transforms.hitmaps import ClusterShares, charges_of, least_charge
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator, frozen
from partigan.nets.images.patches import ALL_NOISE, BEYOND, Patch, PatchCritic, Strip, StripCritic
from partigan.nets.images.strips import Given, geometry

COLUMNS_OF = 10  # numbers of a cluster in the condition of a map: class + 1, and `Drawn` from u on
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class SparseGenerator(Generator):
    """One cluster of each class from noise; whole maps in the deployed form.

    Args:
        noise: noise values of a small cluster and of a track.
        hidden: features of the hidden layers of the two networks.
        features: values of a sample, to be checked.

    Raises:
        PartiganError: samples that are no clusters.

    Example:
        >>> generator = SparseGenerator()
        >>> frames = torch.tensor([[0, 9, 9, 3, 40, 0, 9, 9, 1, 30, 0.5, 0.5, 1.3, 20, 1, 0, 2, 0]])
        >>> generator(generator.noise(1, None, torch.Generator()), frames).shape  # hits and shares
        torch.Size([1, 178])
    """

    def __init__(
        self,
        noise: tuple[int, int] = (12, 8),
        hidden: tuple[int, int] = (96, 32),
        features: int = 2 * sum(PIXELS),
    ) -> None:
        super().__init__()
        if features != 2 * sum(PIXELS):
            raise PartiganError(f"samples have {features} values; clusters have {2 * sum(PIXELS)}, see docs/pxd.md")
        self.small, self.strip = Patch(noise[0], hidden[0]), Strip(noise[1], hidden[1])
        self.edges, self.breaks = torch.zeros(SPECTRA, 0), torch.zeros(CONTEXTS, 0)
        self.sizes = [self.small.noise, self.strip.noise]

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, values)``."""
        values = sum(self.sizes) + ALL_NOISE * (WINDOW + 2 * BEYOND)
        return torch.randn(size, values, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Hits of a small cluster and of a part of a track, then their shares, ``(batch, 2 * pixels)``."""
        assert condition is not None
        small, whole, steps = noise.split([*self.sizes, noise.shape[1] - sum(self.sizes)], dim=1)
        frames = condition.split(list(FRAMES), dim=1)
        known = along_strip(frames[1], self.strip.off(whole), BEYOND)
        shared, level = self.strip.shared(whole, frames[1])
        track = torch.arange(len(known), device=known.device)[:, None].expand(-1, WINDOW)
        more, every = frames[1][:, 11], frames[1][:, 7] * frames[1][:, 4]
        hits = known[:, BEYOND:-BEYOND, 0].sum(1) + more
        deviation = self.strip.turn(whole) * (1 / hits - 1 / every).clamp_min(0).sqrt()
        given = Given(kind_of(frames[1])[:, None], track, more, track, level, deviation)
        strip = self.strip(known, steps.unflatten(1, (-1, ALL_NOISE)), shared[:, None], given)
        made = (self.small(small, frames[0]), strip.transpose(2, 3).flatten(2))
        return torch.cat(made, dim=2).flatten(1)

    def deployed(self) -> Generator:
        """The form that makes whole maps."""
        return Events(frozen(self))

    def meet(self, transform: ClusterShares) -> None:
        """Keep the charges that shares stand for.

        Args:
            transform: the fitted normalisation.
        """
        self.edges, self.breaks = transform.edges.clone(), transform.breaks.clone()


def along_strip(frame: Tensor, off: tuple[Tensor | float, Tensor | float] = (0.0, 0.0), beyond: int = 0) -> Tensor:
    """`geometry` of parts of tracks ``(batch, pixels, 8)``.

    Args:
        frame: see `partigan.kinds.pxd_clusters`; its last number is the first pixel that is wanted.
        off: see `Strip.off`.
        beyond: pixels before and after the window.
    """
    along = frame[:, -1:] + torch.arange(-beyond, WINDOW + beyond, device=frame.device)
    slope, phase, length, *sides = (frame[:, number, None].expand_as(along) for number in (5, 6, 4, 9, 10))
    return geometry((slope, phase, length), (sides[0], sides[1]), along, off)


class SparseCritic(Critic):
    """A score for each of the two clusters of a sample.

    Args:
        hidden: features of the hidden layers of the two networks.

    Example:
        >>> frames = torch.tensor([[0, 9, 9, 3, 40, 0, 9, 9, 1, 30, 0.5, 0.5, 1.3, 20, 1, 0, 2, 0]])
        >>> SparseCritic()(torch.rand(1, 178), frames).score.shape
        torch.Size([1, 2])
    """

    def __init__(self, hidden: tuple[int, int] = (128, 40)) -> None:
        super().__init__()
        self.small, self.strip = PatchCritic(hidden[0]), StripCritic(hidden[1])

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores ``(batch, 2)``."""
        assert condition is not None
        small, strip = x.unflatten(1, (2, -1)).split(list(PIXELS), dim=2)
        frames = condition.split(list(FRAMES), dim=1)
        strip = strip.unflatten(2, (WINDOW, STRIP))
        along = self.strip(strip, along_strip(frames[1]), frames[1], kind_of(frames[1])[:, None])
        return CriticOutput(torch.cat((self.small(small, frames[0]), along), dim=1))


class MapHits(NamedTuple):
    """Hits of some maps, sorted by map, u and v, ``(hits,)`` each."""

    map: Ints
    u: Ints
    v: Ints
    charge: Ints


class Events(Generator):
    """Whole maps by a trained `SparseGenerator`. Each map has a seed of its own.

    Args:
        generator: in evaluation mode.
    """

    normal = None

    def __init__(self, generator: SparseGenerator) -> None:
        super().__init__()
        self.generator = generator

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """A seed for each map, ``(size, 1)``."""
        return torch.randint(2**62, (size, 1), generator=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Addresses u * 768 + v + 1 and charges of the hits of each map, then zeros, ``(maps, 2, hits)``."""
        assert condition is not None
        if int(noise.min()) < 0:  # looks at a value, as all that follows does: no form in C or ONNX
            raise PartiganError("the seeds of maps are whole numbers from 0")
        made = self.hits(noise[:, 0].numpy(), *unpacked(condition))
        counts = np.bincount(made.map, minlength=len(noise))
        place = np.arange(len(made.map)) - np.repeat(np.cumsum(counts) - counts, counts)
        packed = np.zeros((len(noise), 2, max(int(counts.max(initial=0)), 1)), np.float32)
        packed[made.map, 0, place] = made.u * ROWS + made.v + 1
        packed[made.map, 1, place] = made.charge
        return torch.from_numpy(packed)

    def hits(self, seeds: Ints, sensors: Ints, drawn: Drawn) -> MapHits:
        """The hits of maps.

        Args:
            seeds: for each map, ``(maps,)``.
            sensors: index of the sensor of each map, ``(maps,)``.
            drawn: the clusters, sorted by map.
        """
        rngs = [np.random.default_rng(int(seed)) for seed in seeds]
        single = np.flatnonzero(drawn.kind < SINGLES)
        zero = np.zeros(len(single), np.int64)
        parts = [(single, zero, zero, drawn.long[single])]
        parts.append(self._small(np.flatnonzero(drawn.kind == IS_SMALL), drawn, sensors, rngs))
        parts.append(self._tracks(np.flatnonzero(drawn.kind >= IS_TRACK_V), drawn, sensors, rngs))
        cluster, row, column, charge = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.argsort(cluster, kind="stable")
        cluster, row, column, charge = (each[order] for each in (cluster, row, column, charge))
        u, v, inside = hits(drawn.kind, drawn.u, drawn.v, drawn.wide, drawn.phase, cluster, (row, column))
        cluster, u, v, charge = (each[inside] for each in (cluster, u, v, charge))
        there, number = np.unique(cluster, return_inverse=True)
        first = np.searchsorted(drawn.map, np.arange(len(seeds)))
        own = (there - first[drawn.map[there]]).astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
        seed = np.asarray(seeds, np.uint64)[drawn.map[there]] + own
        u, v = apart(Placed(drawn.map[cluster], number, u, v), seed)
        address = (drawn.map[cluster] * COLUMNS + u) * ROWS + v
        order = np.argsort(address)
        address, charge = address[order], charge[order]
        pixel = address % (COLUMNS * ROWS)
        return MapHits(address // (COLUMNS * ROWS), pixel // ROWS, pixel % ROWS, charge)

    def _small(
        self, chosen: Ints, drawn: Drawn, sensors: Ints, rngs: list[np.random.Generator]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Cluster, column, row and charge of the hits of small clusters."""
        network, map = self.generator.small, drawn.map[chosen]
        columns = (sensors[map], drawn.u[chosen], drawn.v[chosen], drawn.phase[chosen], drawn.long[chosen])
        frame = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
        hit, share = network(torch.from_numpy(_normal(rngs, map, network.noise)), frame).unbind(1)
        of = Sticks.of(frame, self.generator.breaks, least_charge(self.generator.edges))
        charge = broken(share, of)[0].numpy().astype(np.int64)
        which, pixel = np.nonzero(hit.numpy())
        return chosen[which], *np.divmod(pixel, SMALL[1]), charge[which, pixel]

    def _tracks(
        self, chosen: Ints, drawn: Drawn, sensors: Ints, rngs: list[np.random.Generator]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Cluster, pixel along and across, and charge of the hits of tracks."""
        network, map = self.generator.strip, drawn.map[chosen]
        if len(chosen) == 0:
            none = np.zeros(0, np.int64)
            return none, none, none, none
        length = drawn.long[chosen]
        track, along = lined_up(length)
        turned = drawn.kind[chosen] == IS_TRACK_U
        columns = (
            sensors[map],
            drawn.u[chosen],
            drawn.v[chosen],
            turned,
            length,
            drawn.wide[chosen],
            drawn.phase[chosen],
            drawn.dense[chosen],
            drawn.bright[chosen],
            drawn.below[chosen],
            drawn.above[chosen],
        )
        frame = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
        part, owner = parts(track, along, length)
        several = np.bincount(owner)
        anchors = np.where(several > 1, several + 1, 1)  # of the noise that wanders; each part has one of them
        anchor = np.cumsum(anchors) - anchors
        turns = torch.from_numpy(_normal(rngs, np.repeat(map, anchors), network.noise))
        whole = turns[anchor]
        noise = torch.from_numpy(_normal(rngs, np.repeat(map, length + 1), ALL_NOISE))
        noise = functional.pad(noise, (0, 0, BEYOND, BEYOND - 1))
        of = torch.from_numpy(track)
        slope, phase, pixels, *sides = (frame[:, number][of] for number in (5, 6, 4, 9, 10))
        low, high = (each[of, 0] for each in network.off(whole))
        known = geometry(
            (slope, phase, pixels), (sides[0], sides[1]), torch.from_numpy(along.astype(np.float32)), (low, high)
        )
        kind = kind_of(frame)[of][None, BEYOND:-BEYOND]
        more = torch.from_numpy(np.rint(drawn.dense[chosen] * length) - length)
        shared, level = network.shared(whole, frame)
        within = np.arange(len(owner)) - np.searchsorted(owner, owner)
        turn = network.turn(turns)[anchor[owner] + within].numpy()
        size = np.bincount(part, (along >= 0) & (along < length[track])) * drawn.dense[chosen][owner]
        deviation = torch.from_numpy(deviations(turn, size, owner))
        row = [each[None, BEYOND:-BEYOND] for each in (of, torch.from_numpy(part))]
        given = Given(kind, row[0], more, row[1], level[owner], deviation)
        shared = shared[of]
        some = np.flatnonzero((several > 1)[track])
        change = between(turns, anchor[track[some]], along[some].clip(0, length[track[some]] - 1)) - whole[track[some]]
        shared[some] += functional.linear(change, network.whole.weight)
        made = network.pixels(known[None], noise[None], shared[None, 1:-1], given)
        across, step = torch.nonzero(made.hit[0], as_tuple=True)
        hit, spectrum, mean, width, own = (each[0, across, step] for each in made)
        share = network.finish(mean, width, own, hit, spectrum)
        charge = charges_of(share, spectrum, self.generator.edges).numpy()
        at = step.numpy() + BEYOND
        return chosen[track[at]], along[at], across.numpy(), charge


def lined_up(length: Ints) -> tuple[Ints, Ints]:
    """Number and pixel along it of tracks one after another, with a pixel between two and `BEYOND` at both ends."""
    steps = length + 1
    steps[-1] += BEYOND - 1
    begin = np.cumsum(steps) - steps
    steps[0] += BEYOND
    track = np.repeat(np.arange(len(length)), steps)
    return track, np.arange(-BEYOND, len(track) - BEYOND) - begin[track]


def parts(track: Ints, along: Ints, length: Ints) -> tuple[Ints, Ints]:
    """Parts of tracks of at most `WINDOW` pixels: number of that of each pixel, and the track of each part."""
    number = -(-length // WINDOW)
    part = np.cumsum(number) - number
    inside = along.clip(0, length[track] - 1)
    return part[track] + inside * number[track] // length[track], np.repeat(np.arange(len(length)), number)


def deviations(turn: NDArray[np.float32], size: Floats, owner: Ints) -> NDArray[np.float32]:
    """Deviations of the means of parts from that of all hits of their track, see `Given`.

    Args:
        turn: normal, ``(parts,)``.
        size: hits, ``(parts,)``.
        owner: track of each, from 0, rising.
    """
    mean = turn / np.sqrt(size)
    whole, every = (np.bincount(owner, each) for each in (size * mean, size))
    return (mean - (whole / every)[owner]).astype(np.float32)


def between(noise: Tensor, first: Ints, along: Ints) -> Tensor:
    """Normal numbers that change along a track, as those of parts of it that training shows, ``(pixels, values)``.

    Args:
        noise: normal, `WINDOW` pixels after each other.
        first: number of the first one of each track.
        along: pixels.
    """
    number, step = np.divmod(along, WINDOW)
    angle = torch.from_numpy(step.astype(np.float32))[:, None] * (torch.pi / 2 / WINDOW)
    return angle.cos() * noise[first + number] + angle.sin() * noise[first + number + 1]


def packed(drawn: Drawn, maps: int, room: int) -> Tensor:
    """Clusters as conditions: which of the 40 sensors, as 0 or 1, and the clusters of each map, ``(maps, values)``.

    Args:
        drawn: sorted by map.
        maps: their number.
        room: clusters for which there is room in a map.
    """
    counts = np.bincount(drawn.map, minlength=maps)
    place = np.arange(len(drawn.map)) - np.repeat(np.cumsum(counts) - counts, counts)
    clusters = np.zeros((maps, room, COLUMNS_OF), np.float32)
    clusters[drawn.map, place] = np.stack((drawn.kind + 1, *drawn[2:]), axis=1)
    sensor = torch.nn.functional.one_hot(torch.arange(maps) % len(SENSORS), len(SENSORS)).float()
    return torch.cat((sensor, torch.from_numpy(clusters).flatten(1)), dim=1)


def unpacked(condition: Tensor) -> tuple[Ints, Drawn]:
    """The inverse of `packed`: sensors of the maps, and clusters."""
    values = condition.numpy()
    sensor = values[:, : len(SENSORS)].argmax(1)
    clusters = values[:, len(SENSORS) :].reshape(len(values), -1, COLUMNS_OF)
    map, place = np.nonzero(clusters[:, :, 0])
    known = clusters[map, place].astype(np.float64).T
    kind, u, v, long = known[:4].astype(np.int64)
    wide, phase, dense, bright = known[4:8]
    below, above = known[8:].astype(np.int64)
    return sensor, Drawn(map, kind - 1, u, v, long, wide, phase, dense, bright, below, above)


def _normal(rngs: list[np.random.Generator], map: Ints, values: int) -> NDArray[np.float32]:
    """Normal noise for clusters, or pixels, sorted by map, each map from its own generator, ``(n, values)``."""
    counts = np.bincount(map, minlength=len(rngs)).tolist()
    drawn = [rng.standard_normal((n, values), np.float32) for rng, n in zip(rngs, counts, strict=True) if n]
    return np.concatenate(drawn) if drawn else np.zeros((0, values), np.float32)
