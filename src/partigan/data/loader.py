"""Shuffled batches whose order depends on seed and epoch alone, so that training can resume anywhere."""

from __future__ import annotations

from typing import NamedTuple

import torch

from partigan.data.batch import Batch
from partigan.data.transforms import Transform, with_source
from partigan.errors import PartiganError
from partigan.randomness import rng_for

BUCKETS = 8


class Share(NamedTuple):
    """The part of all batches that one process takes.

    Attributes:
        rank: number of the process, from 0.
        world: number of processes; each takes every ``world``-th batch.
    """

    rank: int
    world: int


ALONE = Share(0, 1)


class Loader:
    """Batches of one named sample that lies in memory; clouds are bucketed by multiplicity.

    Every epoch is shuffled. Clouds are then sorted by multiplicity within groups of ``BUCKETS`` batches and each
    batch is trimmed to its largest cloud, so that little is spent on padding and a batch is still a mixture over
    the whole sample (arXiv:2305.15254, section 3).

    Args:
        sample: the whole sample, as `Transform.held` gives it.
        batch_size: samples in a batch; the rest at the end of an epoch is dropped.
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
        sample: Batch,
        batch_size: int,
        seed: int,
        share: Share = ALONE,
        transform: Transform | None = None,
        name: str = "data",
    ) -> None:
        self.sample, self.batch_size, self.seed = sample, batch_size, seed
        self.share, self.transform, self.name = share, transform, name
        self.per_epoch = len(sample) // (batch_size * share.world)
        if self.per_epoch == 0:
            raise PartiganError(
                f"the training sample {name!r} has {len(sample)} samples, fewer than one batch of {batch_size} for "
                f"each of {share.world} processes; lower --trainer.batch_size or simulate more"
            )
        self._epoch, self._order = -1, torch.zeros(0, dtype=torch.long)

    def batch(self, number: int) -> Batch:
        """The normalised batch of a running number, counted from the start of training."""
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        batch = self.sample[self._order[position * self.share.world + self.share.rank]].trimmed()
        if self.transform is None:
            return batch
        transform, rng = self.transform, self._rng("batch", number, self.share.rank)
        return with_source(lambda rows: transform.batch(rows, rng), batch)

    def _rng(self, purpose: str, *numbers: int) -> torch.Generator:
        """The generator of a purpose, one for each name."""
        return rng_for(purpose if self.name == "data" else f"{purpose} {self.name}", self.seed, *numbers)

    def _shuffled(self, epoch: int) -> torch.Tensor:
        """Rows of each batch of an epoch, ``(batches, batch_size)``."""
        rng = self._rng("shuffle", epoch)
        batches = self.per_epoch * self.share.world
        rows = torch.randperm(len(self.sample), generator=rng)[: batches * self.batch_size]
        if self.sample.mask is not None:
            multiplicity = self.sample.mask.sum(1)
            groups = torch.split(rows, BUCKETS * self.batch_size)
            rows = torch.cat([group[multiplicity[group].argsort(stable=True)] for group in groups])
        order = rows.view(batches, self.batch_size)
        return order[torch.randperm(batches, generator=rng)]
