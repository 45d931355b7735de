"""Shuffled batches whose order depends on seed and epoch alone, so that training can resume anywhere."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

import torch

from partigan.data.batch import Batch
from partigan.data.streams import Windows
from partigan.data.transforms import Transform, with_source
from partigan.errors import PartiganError
from partigan.randomness import rng_for

BUCKETS = 8


class Share(NamedTuple):
    """The part of every global batch that one process takes.

    Attributes:
        rank: number of the process, from 0.
        world: number of processes.
    """

    rank: int
    world: int


ALONE = Share(0, 1)


class Loader:
    """Batches of one named sample, in memory or in windows of a stream; clouds are bucketed by multiplicity.

    Every epoch is shuffled. Clouds are then sorted by multiplicity within groups of ``BUCKETS`` batches and each
    batch is trimmed to its largest cloud, so that little is spent on padding and a batch is still a mixture over
    the whole sample (arXiv:2305.15254, section 3).

    Several processes share batches: each takes every so-many-th sample of a global batch, which is the one that a
    single process with as large a batch would take. A stream is shuffled window by window.

    Args:
        sample: the whole sample, as `Transform.held` gives it, or windows of it.
        batch_size: samples in a batch of a process; the rest at the end of an epoch, or of a window, is dropped.
        seed: makes the order, and the noise of `Transform.batch`, reproducible.
        share: this process among all.
        transform: finishes batches; None leaves them as they are.
        name: of the sample; samples of different names are shuffled independently.

    Attributes:
        per_epoch: batches of this process in an epoch.

    Raises:
        PartiganError: the sample is smaller than one batch for each process.

    Example:
        >>> loader = Loader(Batch(torch.arange(6.0)[:, None]), batch_size=2, seed=1)
        >>> rows = torch.cat([loader.batch(number).x for number in range(3)])
        >>> sorted(rows.flatten().tolist())
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    def __init__(
        self,
        sample: Batch | Windows,
        batch_size: int,
        seed: int,
        share: Share = ALONE,
        transform: Transform | None = None,
        name: str = "data",
    ) -> None:
        self.sample, self.batch_size, self.seed = sample, batch_size, seed
        self.share, self.transform, self.name = share, transform, name
        self._together = batch_size * share.world
        sizes = sample.sizes if isinstance(sample, Windows) else [len(sample)]
        self._ends = [0, *accumulate(size // self._together for size in sizes)]
        self.per_epoch = self._ends[-1]
        if self.per_epoch == 0:
            raise PartiganError(
                f"the training sample {name!r} has {len(sample)} samples, fewer than one batch of {batch_size} for "
                f"each of {share.world} processes; lower --trainer.batch_size or simulate more"
            )
        self._at, self._order = (-1, -1), torch.zeros(0, dtype=torch.long)
        self._held: Batch | None = None

    def batch(self, number: int) -> Batch:
        """The normalised batch of a running number, counted from the start of training."""
        epoch, position = divmod(number, self.per_epoch)
        window = bisect_right(self._ends, position) - 1
        if (epoch, window) != self._at:
            self._take(epoch, window)
        assert self._held is not None
        rows = self._order[position - self._ends[window], self.share.rank :: self.share.world]
        batch = self._held[rows].trimmed()
        if self.transform is None:
            return batch
        transform, rng = self.transform, self._rng("batch", number, self.share.rank)
        return with_source(lambda rows: transform.batch(rows, rng), batch)

    def _rng(self, purpose: str, *numbers: int) -> torch.Generator:
        """The generator of a purpose, one for each name."""
        return rng_for(purpose if self.name == "data" else f"{purpose} {self.name}", self.seed, *numbers)

    def _take(self, epoch: int, window: int) -> None:
        """Have the samples of a window, the only one of a sample in memory, and their order."""
        if isinstance(self.sample, Batch):
            held, rng = self.sample, self._rng("shuffle", epoch)
        else:
            self._held = None  # two windows are in memory, not three
            held, rng = self.sample.window(epoch, window), self._rng("shuffle", epoch, window)
        self._at, self._held, self._order = (epoch, window), held, self._shuffled(held, rng)

    def _shuffled(self, held: Batch, rng: torch.Generator) -> torch.Tensor:
        """Rows of each global batch of samples, ``(batches, batch_size of all processes)``."""
        batches = len(held) // self._together
        rows = torch.randperm(len(held), generator=rng)[: batches * self._together]
        if held.mask is not None:
            multiplicity = held.mask.sum(1)
            groups = torch.split(rows, BUCKETS * self._together)
            rows = torch.cat([group[multiplicity[group].argsort(stable=True)] for group in groups])
        order = rows.view(batches, self._together)
        return order[torch.randperm(batches, generator=rng)]
