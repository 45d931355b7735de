"""Shuffled batches whose order depends on seed and epoch alone, so that training resumes anywhere."""

from __future__ import annotations

import torch

from partigan.data.batch import Batch
from partigan.data.transforms import Transform
from partigan.errors import PartiganError
from partigan.randomness import rng_for

BUCKETS = 8


class Loader:
    """Batches of a sample that lies in memory; clouds are bucketed by multiplicity.

    Every epoch is shuffled. Clouds are then sorted by multiplicity within groups of ``BUCKETS`` batches and each
    batch is trimmed to its largest cloud, so that little is spent on padding and a batch is still a mixture over
    the whole sample (arXiv:2305.15254, section 3).

    Args:
        sample: the whole sample, as `Transform.held` gives it.
        batch_size: samples in a batch; what is left at the end of an epoch is dropped.
        seed: makes the order, and the noise of `Transform.batch`, reproducible.
        rank: number of this process among ``world``; each takes every ``world``-th batch.
        world: number of processes.
        transform: finishes batches; None = they are taken as they are.
    """

    def __init__(
        self,
        sample: Batch,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        transform: Transform | None = None,
    ) -> None:
        self.sample, self.batch_size, self.seed, self.transform = sample, batch_size, seed, transform
        self.rank, self.world = rank, world
        self.per_epoch = len(sample) // (batch_size * world)
        if self.per_epoch == 0:
            raise PartiganError(
                f"the training sample has {len(sample)} samples, fewer than one batch of {batch_size} for each of "
                f"{world} processes; lower --trainer.batch_size or simulate more"
            )
        self._epoch, self._order = -1, torch.zeros(0, dtype=torch.long)

    def batch(self, number: int) -> Batch:
        """The normalised batch of a running number, counted from the start of training."""
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        batch = self.sample[self._order[position * self.world + self.rank]].trimmed()
        if self.transform is None:
            return batch
        return self.transform.batch(batch, rng_for("batch", self.seed, number, self.rank))

    def _shuffled(self, epoch: int) -> torch.Tensor:
        """Rows of each batch of an epoch, ``(batches, batch_size)``."""
        rng = rng_for("shuffle", self.seed, epoch)
        batches = self.per_epoch * self.world
        rows = torch.randperm(len(self.sample), generator=rng)[: batches * self.batch_size]
        if self.sample.mask is not None:
            multiplicity = self.sample.mask.sum(1)
            groups = torch.split(rows, BUCKETS * self.batch_size)
            rows = torch.cat([group[multiplicity[group].argsort(stable=True)] for group in groups])
        order = rows.view(batches, self.batch_size)
        return order[torch.randperm(batches, generator=rng)]
