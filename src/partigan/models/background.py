"""Events of PXD background on demand: event i of a stream is always the same."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import COLUMNS, ROWS, SENSORS, VXD_IDS, sensor_indices
from partigan.errors import PartiganError, check_number
from partigan.kinds.pxd import makes_events
from partigan.kinds.pxd_clusters import hitmaps_of
from partigan.models.model import load
from partigan.randomness import check_seed
from partigan.reading import assure_memory

MOST = 2**40  # events of a stream
Events = int | Sequence[int]


class Hits(NamedTuple):
    """Hits of events, in the order asked for; in an event by sensor, column and row.

    Attributes:
        event: number in the stream, ``(hits,)`` int64.
        sensor: basf2's VxdID, ``(hits,)`` uint16.
        u: column, ``(hits,)`` uint8.
        v: row from the outer end, ``(hits,)`` uint16.
        charge: ADU, ``(hits,)`` uint8.
    """

    event: NDArray[np.int64]
    sensor: NDArray[np.uint16]
    u: NDArray[np.uint8]
    v: NDArray[np.uint16]
    charge: NDArray[Any]


class PXDBackground:
    """Background hitmaps of the 40 sensors of the PXD, event by event, from a generator.

    Event i of the stream of a seed depends on run, seed and i alone, up to the rounding of the machine: not on which
    other events are asked for, in which order, or by which process. Nothing is kept in memory but the network.

    Args:
        run: a run directory whose generator makes whole maps, or the name of a run that comes with partigan.
        seed: of the stream.
        precision: see `Model.with_precision`; None = float32.
        trust: follow class paths outside partigan.
        verify: refuse files that were changed since the run was made.

    Raises:
        PartiganError: there is no such run, or it is one of another kind.

    References:
        H. Hashemi et al., PE-GAN, section 1: background generated where it is needed in place of files of it.

    Example:
        >>> background = PXDBackground("pxd-fast", seed=1)
        >>> background.maps(7).shape  # 40 sensors in the order of `partigan.data.pxd.SENSORS`
        (40, 250, 768)
        >>> hits = background.hits(7)
        >>> hits.sensor[0].item(), hits.charge.dtype.name  # 1.1.1
        (8480, 'uint8')
    """

    def __init__(
        self,
        run: str | Path = "pxd-fast",
        seed: int = 1,
        precision: str | None = None,
        trust: bool = False,
        verify: bool = True,
    ) -> None:
        check_seed(seed)
        self._model, self.seed = load(run, trust, verify), seed
        if not makes_events(self._model.kind):
            raise PartiganError(
                f"{run} is a run of the kind {self._model.kind.name}, not of whole hitmaps of the PXD; give one of "
                "pxd-fast, pe-gan or another preset for whole maps"
            )
        self._model.generator  # noqa: B018  # refuses networks that do not generate
        if precision is not None:
            self._model = self._model.with_precision(precision)

    def maps(self, events: Events, sensors: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """Images in ADU, ``(40, 250, 768)`` for one event, ``(events, 40, 250, 768)`` for several.

        Args:
            events: number of an event, or several in any order.
            sensors: VxdIDs of the sensors that are wanted, in that order; None = all 40.

        Raises:
            PartiganError: a number that no event has, or a VxdID that no sensor has.
        """
        numbers = _numbers(events)
        chosen = _chosen(sensors)
        assure_memory(2 * len(numbers) * len(chosen) * COLUMNS * ROWS, f"{len(numbers):,} events of maps at once")
        images = np.empty((len(numbers), len(chosen), COLUMNS, ROWS), np.uint8)
        for image, number in zip(images, numbers, strict=True):
            image[:] = self._event(number)[chosen]
        return images if np.ndim(events) else images[0]

    def hitmaps(self, events: Events) -> Hitmaps:
        """The same events as sparse hitmaps, which `write_hitmaps` writes and signal is overlaid with.

        Args:
            events: number of an event, or several in any order.

        Raises:
            PartiganError: a number that no event has.
        """
        return Hitmaps.joined(map(self._hits, _numbers(events)))

    def hits(self, events: Events) -> Hits:
        """The same events as hits; arguments as of `hitmaps`."""
        found, numbers = self.hitmaps(events), np.array(_numbers(events))
        return Hits(numbers[found.map // len(SENSORS)], found.vxd_id, found.u, found.v, found.charge)

    def overlaid(self, signal: Hitmaps, first: int = 0) -> Hitmaps:
        """Digits of signal with background on them, see `Hitmaps.overlaid`.

        Args:
            signal: of some events.
            first: number of the event of background for the first of them; the others follow.

        Raises:
            PartiganError: a number that no event has.
        """
        return signal.overlaid(self.hitmaps(range(first, first + len(signal))))

    def stream(self, first: int = 0) -> Iterator[NDArray[np.uint8]]:
        """All events from number ``first`` on, each as `maps` gives it; it does not end."""
        (number,) = _numbers(first)
        while True:
            yield self._event(number)
            number += 1

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The stream from its first event on."""
        return self.stream()

    def _hits(self, number: int) -> Hitmaps:
        (made,) = self._model.packed(len(SENSORS), self.seed, len(SENSORS) * number)
        return hitmaps_of(made)

    def _event(self, number: int) -> NDArray[np.uint8]:
        made = self._model.sample(len(SENSORS), self.seed, len(SENSORS) * number).x
        images: NDArray[np.uint8] = made[:, 0].byte().numpy()
        return images


def _numbers(events: Any) -> list[int]:
    """Numbers of events, checked."""
    numbers = [*events] if np.ndim(events) else [events]
    check_number("events", len(numbers), "event")
    for number in numbers:
        try:
            fine = 0 <= operator.index(number) < MOST
        except TypeError:
            fine = False
        if not fine:
            raise PartiganError(f"event {number!r} does not exist; events are whole numbers from 0 on, below 2^40")
    return [operator.index(number) for number in numbers]


def _chosen(sensors: Sequence[int] | None) -> NDArray[np.int64]:
    """Indices of sensors by their VxdIDs, checked."""
    if sensors is None:
        return np.arange(len(SENSORS))
    ids = np.asarray(sensors)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or (sensor_indices(ids) < 0).any():
        raise PartiganError(
            f"sensors = {list(sensors)!r}; they are given by their VxdIDs, {VXD_IDS[0]} (1.1.1) to {VXD_IDS[-1]} "
            "(2.12.2)"
        )
    return sensor_indices(ids)
