"""Our networks for sparse hitmaps: an event as a compound process of clusters, whose hits are made adversarially.

How many clusters there are, where, and in which boxes or along which lines is drawn from counts of the training sample
(`partigan.data.cluster_tables`) and is the condition of a map. Networks make what lies inside: one for boxes of at most
3 x 3 pixels, one for larger boxes, one for the strips along long tracks. All three are trained at once: a sample is one
cluster of each class, side by side, and the critic has a score for each. `Events`, the deployed form, makes whole maps:
boxes whose hits do not touch all four sides, or not each other, are made anew, and clusters that touch are moved apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.cluster_tables import Drawn
from partigan.data.clusters import (
    FRAMES,
    IS_LONG_U,
    IS_LONG_V,
    IS_MEDIUM,
    IS_SMALL,
    MEDIUM,
    PIXELS,
    SINGLES,
    SMALL,
    STRIP,
    WINDOW,
    hits,
)
from partigan.data.hitmaps import MAXIMUM
from partigan.data.placing import Placed, apart
from partigan.data.pxd import COLUMNS, ROWS, SENSORS
from partigan.data.transforms.hitmaps import ClusterShares
from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator, frozen
from partigan.nets.images.patches import ALL_NOISE, BEYOND, Patch, PatchCritic, Pixels, Strip, StripCritic, geometry

COLUMNS_OF = 6  # numbers of a cluster in the condition of a map: class + 1, and `Drawn` from u on
TRIALS = 6  # of boxes
COUNTED = 32  # samples for each of the transform's frames in which shares are counted
Ints = NDArray[np.int64]


class ClusterGenerator(Generator):
    """One cluster of each class from noise; whole maps in the deployed form.

    Args:
        noise: noise values of a small and of a larger box, and of a long track.
        hidden: features of the hidden layers of the three networks.
        features: values of a sample, to be checked.

    Raises:
        PartiganError: samples that are no clusters.

    Example:
        >>> generator = ClusterGenerator()
        >>> frames = torch.tensor([[0, 9, 9, 3, 0, 9, 9, 4, 7.0, 0, 9, 9, 1, 30, 0.5, 0.5, 0]])
        >>> generator(generator.noise(1, None, torch.Generator()), frames).shape  # hits and shares
        torch.Size([1, 514])
    """

    def __init__(
        self,
        noise: tuple[int, int, int] = (12, 24, 8),
        hidden: tuple[int, int, int] = (64, 96, 16),
        features: int = 2 * sum(PIXELS),
    ) -> None:
        super().__init__()
        if features != 2 * sum(PIXELS):
            raise PartiganError(f"samples have {features} values; clusters have {2 * sum(PIXELS)}, see docs/pxd.md")
        self.small = Patch(SMALL, True, noise[0], hidden[0])
        self.medium = Patch(MEDIUM, False, noise[1], hidden[1])
        self.strip = Strip(noise[2], hidden[2])
        self.edges, self.frames = torch.zeros(len(PIXELS), 0), torch.zeros(0, sum(FRAMES))
        self.sizes = [part.noise for part in (self.small, self.medium, self.strip)]

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, values)``."""
        values = sum(self.sizes) + ALL_NOISE * (WINDOW + 2 * BEYOND)
        return torch.randn(size, values, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Hits of a small cluster, a medium one and a part of a track, then their shares, ``(batch, 2 * pixels)``."""
        assert condition is not None
        small, medium, track, steps = noise.split([*self.sizes, noise.shape[1] - sum(self.sizes)], dim=1)
        frames = condition.split(list(FRAMES), dim=1)
        known = along_strip(frames[2], BEYOND)
        shared = self.strip.shared(track, frames[2])
        strip = self.strip(known, steps.unflatten(1, (-1, ALL_NOISE)), shared[:, None])
        made = (
            self.small(small, frames[0]),
            self.medium(medium, frames[1]),
            strip.transpose(1, 2).flatten(2),
        )
        return torch.cat(made, dim=2).flatten(1)

    def deployed(self) -> Generator:
        """The form that makes whole maps; its shares are made uniform anew, since weights may be averages."""
        twin, rng = frozen(self), torch.Generator().manual_seed(0)
        if len(self.frames):
            parts = [part for part in twin.modules() if isinstance(part, Pixels)]
            twin.train()
            for number in range(1, COUNTED + 1):
                for part in parts:
                    part.memory = number
                with torch.no_grad():
                    twin(twin.noise(len(self.frames), None, rng), self.frames)
            twin.eval()
        return Events(twin)

    def meet(self, transform: ClusterShares) -> None:
        """Keep the charges that shares stand for, and some frames.

        Args:
            transform: the fitted normalisation.
        """
        self.edges, self.frames = transform.edges.clone(), transform.frames.clone()


def along_strip(frame: Tensor, beyond: int = 0) -> Tensor:
    """`geometry` of parts of tracks ``(batch, pixels, 6)``.

    Args:
        frame: sensor, column, row, 1 for tracks along u, length, slope, phase, and the first pixel that is wanted.
        beyond: pixels before and after the window.
    """
    length, slope, phase, first = (frame[:, number : number + 1] for number in range(4, 8))
    along = first + torch.arange(-beyond, WINDOW + beyond, device=frame.device)
    return geometry(slope.expand_as(along), phase.expand_as(along), length.expand_as(along), along)


class ClusterCritic(Critic):
    """A score for each of the three clusters of a sample.

    Args:
        hidden: features of the hidden layers of the three networks.

    Example:
        >>> frames = torch.tensor([[0, 9, 9, 3, 0, 9, 9, 4, 7.0, 0, 9, 9, 1, 30, 0.5, 0.5, 0]])
        >>> ClusterCritic()(torch.rand(1, 514), frames).score.shape
        torch.Size([1, 3])
    """

    def __init__(self, hidden: tuple[int, int, int] = (96, 128, 24)) -> None:
        super().__init__()
        self.small, self.medium = PatchCritic(SMALL, True, hidden[0]), PatchCritic(MEDIUM, False, hidden[1])
        self.strip = StripCritic(hidden[2])

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores ``(batch, 3)``."""
        assert condition is not None
        parts = x.unflatten(1, (2, -1)).split(list(PIXELS), dim=2)
        frames = condition.split(list(FRAMES), dim=1)
        strip = parts[2].unflatten(2, (WINDOW, STRIP))
        scores = (
            self.small(parts[0], frames[0]),
            self.medium(parts[1], frames[1]),
            self.strip(strip, along_strip(frames[2]), frames[2]),
        )
        return CriticOutput(torch.cat(scores, dim=1))


class MapHits(NamedTuple):
    """Hits of some maps, sorted by map, u and v, ``(hits,)`` each."""

    map: Ints
    u: Ints
    v: Ints
    charge: Ints


class Events(Generator):
    """Whole maps by a trained `ClusterGenerator`. Each map has a seed of its own.

    Args:
        generator: in evaluation mode.
    """

    normal = None

    def __init__(self, generator: ClusterGenerator) -> None:
        super().__init__()
        self.generator = generator
        self.edges = generator.edges.numpy()

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
        for network, kind in ((self.generator.small, IS_SMALL), (self.generator.medium, IS_MEDIUM)):
            parts.append(self._boxes(network, np.flatnonzero(drawn.kind == kind), drawn, sensors, rngs))
        parts.append(self._tracks(np.flatnonzero(drawn.kind >= IS_LONG_V), drawn, sensors, rngs))
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

    def _boxes(
        self, network: Patch, chosen: Ints, drawn: Drawn, sensors: Ints, rngs: list[np.random.Generator]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Cluster, column, row and charge of the hits of small or medium clusters."""
        height, width = network.frames.size
        last = (drawn.phase,) if network.patterns else (drawn.long, drawn.wide)
        columns = (sensors[drawn.map[chosen]], *(each[chosen] for each in (drawn.u, drawn.v, *last)))
        frame = np.stack(columns, axis=1).astype(np.float32)
        made: list[tuple[Ints, Ints, NDArray[np.float32]]] = []
        wanted = np.arange(len(chosen))
        for trial in range(TRIALS):
            if len(wanted) == 0:
                break
            map, frames = drawn.map[chosen[wanted]], torch.from_numpy(frame[wanted])
            row, pixel = network.inside(frames)
            whole, own = _normal(rngs, map, network.values), _normal(rngs, map[row], 2)
            known = network.known(torch.from_numpy(whole), frames)[row, :, pixel]
            there, share = network.finish(known.T, torch.from_numpy(own.T.copy()), torch.ones(len(row))).numpy()
            hit = np.zeros((len(wanted), height * width), bool)
            hit[row, pixel] = there > 0
            fine = np.ones(len(wanted), bool)
            if trial < TRIALS - 1 and not network.patterns:
                fine = in_one(hit.reshape(-1, height, width), frame[wanted, 3:].astype(np.int64))
            kept = np.flatnonzero((there > 0) & fine[row])
            made.append((wanted[row[kept]], pixel[kept], share[kept]))
            wanted = wanted[~fine]
        if not made:
            none = np.zeros(0, np.int64)
            return none, none, none, none
        which, pixel, share = (np.concatenate(each) for each in zip(*made, strict=True))
        charge = self._charge(share, 0 if network.patterns else 1)
        return chosen[which], pixel // width, pixel % width, charge

    def _tracks(
        self, chosen: Ints, drawn: Drawn, sensors: Ints, rngs: list[np.random.Generator]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Cluster, pixel along and across, and charge of the hits of long tracks."""
        network = self.generator.strip
        if len(chosen) == 0:
            none = np.zeros(0, np.int64)
            return none, none, none, none
        steps = drawn.long[chosen] + 2 * BEYOND
        track = np.repeat(np.arange(len(chosen)), steps)
        along = np.arange(len(track)) - np.repeat(np.cumsum(steps) - steps, steps) - BEYOND
        axis = drawn.kind[chosen] == IS_LONG_U
        map = drawn.map[chosen]
        frame = np.stack((sensors[map], drawn.u[chosen], drawn.v[chosen], axis), axis=1)
        whole = _normal(rngs, map, network.noise)
        noise = torch.from_numpy(_normal(rngs, map[track], ALL_NOISE))
        columns = (drawn.wide[chosen][track], drawn.phase[chosen][track], drawn.long[chosen][track], along)
        known = geometry(*(torch.from_numpy(each.astype(np.float32)) for each in columns))
        shared = network.shared(torch.from_numpy(whole), torch.from_numpy(frame.astype(np.float32)))
        made = network(known[None], noise[None], shared[torch.from_numpy(track[1:-1])][None])[0].numpy()
        step, across = np.nonzero(made[:, 0] > 0)
        charge = self._charge(made[step, 1, across], 2)
        step += BEYOND
        return chosen[track[step]], along[step], across, charge

    def _charge(self, share: NDArray[np.float32], part: int) -> Ints:
        """Shares to ADU, by the table of small clusters, medium ones, or long tracks."""
        return np.searchsorted(self.edges[part], share, side="right").clip(max=MAXIMUM)


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
    return sensor, Drawn(map, kind - 1, u, v, long, known[4], known[5])


def _normal(rngs: list[np.random.Generator], map: Ints, values: int) -> NDArray[np.float32]:
    """Normal noise for clusters, or pixels, sorted by map, each map from its own generator, ``(n, values)``."""
    counts = np.bincount(map, minlength=len(rngs)).tolist()
    drawn = [rng.standard_normal((n, values), np.float32) for rng, n in zip(rngs, counts, strict=True) if n]
    return np.concatenate(drawn) if drawn else np.zeros((0, values), np.float32)


def in_one(hit: NDArray[np.bool_], box: Ints) -> NDArray[np.bool_]:
    """Whether the hits of boxes touch all four sides, and all hang together with sides or corners, ``(boxes,)``.

    Args:
        hit: ``(boxes, columns, rows)``, at most 8 columns.
        box: columns and rows of each, ``(boxes, 2)``.
    """
    rows: NDArray[np.uint8] = np.zeros(hit[:, 0].shape, np.uint8)  # a byte for each row
    for bit in range(hit.shape[1]):
        rows |= hit[:, bit].view(np.uint8) << bit
    every = np.bitwise_or.reduce(rows, axis=1)
    touches = (rows[:, 0] > 0) & (every & 1 > 0) & (every >> (box[:, 0] - 1).astype(np.uint8) > 0)
    touches &= np.take_along_axis(rows, box[:, 1:] - 1, axis=1)[:, 0] > 0
    reached: NDArray[np.uint8] = np.zeros_like(rows)
    reached[:, 0] = rows[:, 0] & -rows[:, 0]
    before = rows
    while (reached != before).any():
        before, around = reached, reached.copy()
        around[:, 1:] |= reached[:, :-1]
        around[:, :-1] |= reached[:, 1:]
        reached = np.asarray((around | around << 1 | around >> 1) & rows, np.uint8)
    return np.asarray(touches & (reached == rows).all(1))
