"""Hitmaps of the PXD as clusters: trained on clusters, whole maps everywhere else.

``pxd-layers`` is the same with layer 2 in sequence after layer 1: see `partigan.data.cluster_partners`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.cluster_numbers import capacity
from partigan.data.cluster_partners import PartnerCounts, with_partners
from partigan.data.cluster_tables import WIDTHS, Counts, Tables
from partigan.data.clusters import (
    FRAMES,
    IS_SMALL,
    IS_TRACK_U,
    IS_TRACK_V,
    OUTSIDE,
    PIXELS,
    SMALL,
    STRIP,
    WINDOW,
    Found,
    found,
)
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import ROWS, SENSORS
from partigan.data.track_looks import looks, sides
from partigan.documents import Rule
from partigan.errors import PartiganError
from partigan.kinds import classifiers
from partigan.kinds.hitmaps import ClusterEvaluation, HitmapObservables, sensors
from partigan.kinds.kind import Kind
from partigan.kinds.pxd import MapConditions, MapFormat
from partigan.nets.images.clusters import packed

EVENTS_AT_ONCE = 20
PARTNERS = {
    "often": [[Rule(float, lambda x: x >= 0, "a number of partners")]],
    **{name: [Rule(float, lambda x: 0 <= x <= 1, "a share")] for name in ("turned", "off")},
}
TRAINED = 300_000  # samples of a training, a small cluster and a part of a track in each


class ClusterFormat(MapFormat):
    """Whole maps, and clusters to train on. Files are those of whole maps.

    A training sample is one small cluster and a part of a track, drawn at random from all of the training split. Its
    condition has 18 features: sensor, column, row, pattern and charge of the first; sensor, column, row, 1 for a track
    along u, length, slope, phase, hits a pixel along it, mean charge of its hits, columns of hits below and above its
    line, hits of the part beyond one a pixel, and the first pixel of the part of the second.

    Args:
        layers: count partners of clusters of layer 1 in layer 2, too.
    """

    also = ("pxd",)

    def __init__(self, layers: bool = False) -> None:
        self.layers = layers

    def training(self, path: Path) -> Batch:
        """Clusters of the training split."""
        return rows(list(_blocks(path)), np.random.default_rng(1))

    def write(self, path: Path, chunks: Iterable[Batch], attributes: dict[str, Any], state: dict[str, Any]) -> None:
        """Write maps, or hits as addresses and charges ``(maps, 2, hits)``, as events: a file of the kind pxd."""
        write_hitmaps(path, map(hitmaps_of, chunks), {**attributes, "kind": "pxd"})

    def describe(self, path: Path) -> dict[str, Any]:
        """Numbers of clusters and the tables of their places and frames."""
        return {"clusters": tables_of(_blocks(path), self.layers)}

    def check(self, sample: Batch) -> Batch:
        """Refuse arrays: training takes clusters of whole events."""
        raise PartiganError("pxd-clusters takes clusters of whole events; give a file of hitmaps, not arrays")


class ClusterConditions(MapConditions):
    """Whole events, each with clusters of its own."""

    chunk = 400
    group = 40
    schema = MappingProxyType(
        {
            "mean": [Rule(float, lambda x: x >= 0, "a number of clusters")],
            "excess": [Rule(float, lambda x: x >= 0, "a variance")],
            "common": Rule(float, lambda x: x >= 0, "a covariance"),
            "widths": [Rule(int, lambda x: x > 0, "a number of columns")],
            **{name: [[Rule(int, lambda x: True, "clusters, or columns to skip below 0")]] for name in WIDTHS},
            "partners?": PARTNERS,
        }
    )

    def arguments(self, sample: Batch) -> dict[str, Any]:
        """The number of values of a sample, hits and shares."""
        return {"features": 2 * sample.x.shape[1]}

    def state(self, sample: Batch, description: dict[str, Any]) -> dict[str, Any]:
        """Numbers and tables, see `partigan.data.cluster_tables`."""
        clusters: dict[str, Any] = description["clusters"]
        return clusters

    def ready(self, state: dict[str, Any]) -> dict[str, Any]:
        """The tables, to draw from."""
        return {"tables": Tables(state), "room": capacity(state), "partners": state.get("partners")}

    def draw(self, state: dict[str, Any], size: int, rng: torch.Generator) -> tuple[Tensor | None, Tensor | None]:
        """The clusters of whole events, without their hits."""
        state = state if "room" in state else self.ready(state)
        own = np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng)))
        events = -(-size // len(SENSORS))
        drawn = state["tables"].draw(events, own)
        if state["partners"]:
            drawn = with_partners(drawn, state["partners"], own)
        return packed(drawn, events * len(SENSORS), state["room"])[:size], None

    def told(self, condition: Tensor) -> Tensor:
        """The sensors."""
        return condition[:, : len(SENSORS)].argmax(1)

    def classes(self, sample: Batch) -> Tensor | None:
        """The sensor of each map."""
        return torch.from_numpy(sensors(sample))


def _blocks(path: Path) -> Iterator[tuple[Found, int]]:
    """Clusters of the training split, some events at a time."""
    hitmaps = read_hitmaps(path, "train")
    for first in range(0, len(hitmaps), EVENTS_AT_ONCE):
        some = hitmaps.events(first, min(first + EVENTS_AT_ONCE, len(hitmaps)))
        yield found(some), len(some)


def tables_of(blocks: Iterable[tuple[Found, int]], layers: bool = False) -> dict[str, Any]:
    """What is counted of clusters of some events at a time; ``layers``: with partners in layer 2."""
    kinds: list[Any] = [Counts, PartnerCounts] if layers else [Counts]
    counted: list[Any] = []
    for block in blocks:
        more = [kind(*block) for kind in kinds]
        for one, other in zip(counted, more, strict=False):
            one.add(other)
        counted = counted or more
    state: dict[str, Any] = counted[0].state()
    return {**state, "partners": counted[1].state()} if layers else state


def hitmaps_of(chunk: Batch) -> Hitmaps:
    """Maps, or hits as addresses and charges, as sparse hitmaps; they are whole events, sensor after sensor."""
    if chunk.x.dim() == 4:
        return Hitmaps.of_images(chunk.x[:, 0], sensors(chunk))
    address, charge = chunk.x.numpy().astype(np.int64).transpose(1, 0, 2)
    map, place = np.nonzero(address)
    u, v = np.divmod(address[map, place] - 1, ROWS)
    events = -(-len(chunk) // len(SENSORS))
    return Hitmaps.of(events, map // len(SENSORS), map % len(SENSORS), u, v, charge[map, place])


def rows(blocks: list[tuple[Found, int]], rng: np.random.Generator, number: int = TRAINED) -> Batch:
    """Training samples: a small cluster and a part of a track in each.

    Args:
        blocks: clusters of events.
        rng: chooses them.
        number: of samples, at most; as many as parts cover all tracks.

    Raises:
        PartiganError: a class has no clusters.
    """
    kinds, lengths = (np.concatenate([getattr(block, name) for block, _ in blocks]) for name in ("kind", "long"))
    owner = np.repeat(np.arange(len(blocks)), [len(block.kind) for block, _ in blocks])
    place = np.concatenate([np.arange(len(block.kind)) for block, _ in blocks])
    classes = ((IS_SMALL,), (IS_TRACK_V, IS_TRACK_U))
    available = [np.flatnonzero(np.isin(kinds, of)) for of in classes]
    for name, some in zip(("small clusters", "tracks"), available, strict=True):
        if len(some) == 0:
            raise PartiganError(f"the training events have no {name} (see docs/pxd.md); give more events")
    available[1] = np.repeat(available[1], -(-lengths[available[1]] // WINDOW))  # all pixels as often
    number = min(number, len(available[1]))
    charges = np.zeros((number, sum(PIXELS)), np.float16)
    frames = np.zeros((number, sum(FRAMES)), np.float32)
    for part, some in enumerate(available):
        chosen = np.resize(rng.permutation(some), number)
        pixels = charges[:, sum(PIXELS[:part]) : sum(PIXELS[: part + 1])]
        frame = frames[:, sum(FRAMES[:part]) : sum(FRAMES[: part + 1])]
        for index, (block, _) in enumerate(blocks):
            mine = np.flatnonzero(owner[chosen] == index)
            if len(mine):
                _fill(pixels, frame, mine, block, place[chosen[mine]], part, rng)
    return Batch(torch.from_numpy(charges), condition=torch.from_numpy(frames))


def _fill(
    pixels: NDArray[np.float16],
    frame: NDArray[np.float32],
    row: NDArray[np.int64],
    block: Found,
    chosen: NDArray[np.int64],
    part: int,
    rng: np.random.Generator,
) -> None:
    """Pixels and frames of chosen clusters of a block into the given rows."""
    size = np.diff(block.first)[chosen]
    which = np.repeat(np.arange(len(chosen)), size)
    hit = np.arange(len(which)) - np.repeat(np.cumsum(size) - size, size) + block.first[chosen][which]
    along, across, charge = block.row[hit], block.column[hit], block.charge[hit]
    columns = [block.map[chosen] % len(SENSORS), block.u[chosen], block.v[chosen]]
    if part == 0:
        frame[row] = np.stack((*columns, block.phase[chosen], block.long[chosen]), axis=1)
        pixels[row[which], along * SMALL[1] + across] = charge
        return
    length = block.long[chosen]
    first = rng.integers(-OUTSIDE, np.maximum(length + OUTSIDE - WINDOW, -OUTSIDE) + 1)
    turned = block.kind[chosen] == IS_TRACK_U
    line = (turned, length, block.wide[chosen], block.phase[chosen])
    along = along - first[which]
    seen = (along >= 0) & (along < WINDOW)
    steps = np.minimum(first + WINDOW, length) - np.maximum(first, 0)
    more = np.bincount(which[seen], minlength=len(chosen)) - steps
    told = (each[chosen] for each in (*looks(block, rng), *sides(block)))
    frame[row] = np.stack((*columns, *line, *told, more, first), axis=1)
    assert across.max(initial=0) < STRIP
    pixels[row[which[seen]], along[seen] * STRIP + across[seen]] = charge[seen]


PXD_CLUSTERS = Kind(
    "pxd-clusters",
    ClusterFormat(),
    ClusterConditions(),
    HitmapObservables(),
    ClusterEvaluation(classifiers.sensors(8, 20), validated=400),
)
PXD_LAYERS = replace(PXD_CLUSTERS, name="pxd-layers", format=ClusterFormat(layers=True))
