"""Samples that do not fit into memory: a split of a file, read in windows of shuffled blocks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from partigan.data.batch import Batch
from partigan.randomness import rng_for
from partigan.reading import free_memory

WINDOW = 2**27  # bytes of samples in a window; a constant, so that the order does not depend on the machine
BLOCKS = 32  # pieces of a window that lie apart in the file
COPIES = 4  # of samples that training holds: as read, normalised, and what a transform needs on the way
SHARE = 0.5  # of the free memory that a training in memory may take

Reader = Callable[[int, int], Batch]


class Stream:
    """A split of a file, shuffled in two steps: which blocks make a window, and the samples of a window.

    A window is what is in memory at a time, with the next one, which is read in the background. Its size depends on the
    size of a sample alone. So the order is a function of seed and epoch.

    Args:
        read: gives the samples from one row of the file to another.
        first: first row of the split.
        last: one past its last row.
        each: bytes of a sample.
        name: of the sample; samples of different names are shuffled independently.

    Attributes:
        sizes: samples of each window.
    """

    def __init__(self, read: Reader, first: int, last: int, each: float, name: str = "data") -> None:
        self._read, self._first, self._last, self.name = read, first, last, name
        self._block = max(int(WINDOW / each / BLOCKS), 1)
        self._blocks = -(-(last - first) // self._block)
        whole = self._block * BLOCKS
        self.sizes = [whole] * ((last - first) // whole)
        if rest := (last - first) % whole:
            self.sizes.append(rest)
        self._order: tuple[tuple[int, int], list[int]] = ((-1, -1), [])

    def __len__(self) -> int:
        return self._last - self._first

    def window(self, seed: int, epoch: int, number: int) -> Batch:
        """The samples of a window of an epoch, block after block."""
        if self._order[0] != (seed, epoch):
            rng = rng_for(f"blocks {self.name}", seed, epoch)
            self._order = (seed, epoch), self._shuffled(rng)
        blocks = self._order[1][number * BLOCKS : (number + 1) * BLOCKS]
        return Batch.joined([self._rows(block) for block in sorted(blocks)])

    def _shuffled(self, rng: torch.Generator) -> list[int]:
        """Blocks in random order; one that is not whole comes last, so that windows keep their sizes."""
        whole = (self._last - self._first) // self._block
        return [*torch.randperm(whole, generator=rng).tolist(), *range(whole, self._blocks)]

    def _rows(self, block: int) -> Batch:
        start = self._first + block * self._block
        return self._read(start, min(start + self._block, self._last))


def stream_of(read: Reader, first: int, last: int, name: str = "data", asked: bool | None = None) -> Stream | None:
    """A stream of rows that do not fit into memory for a training; None where they do.

    Args:
        read: gives the samples from one row of the file to another.
        first: first row.
        last: one past the last row.
        name: of the sample.
        asked: whether to stream, as before an interruption; None = by the free memory.
    """
    head = read(first, min(first + 256, last))
    each = bytes_of(head) / len(head)
    needed = COPIES * each * (last - first)
    wanted = needed > SHARE * free_memory() if asked is None else asked
    return Stream(read, first, last, each, name) if wanted else None


def bytes_of(sample: Batch) -> int:
    """Bytes of all parts of a sample."""
    parts = (sample.x, sample.mask, sample.condition, sample.weight, sample.source, sample.truth)
    return sum(part.nbytes for part in parts if part is not None)


class Windows:
    """What a loader takes of a stream: its windows, normalised, the next of which is read meanwhile.

    Args:
        stream: the samples.
        seed: of the order.
        change: what is done to samples before they are held.
    """

    def __init__(self, stream: Stream, seed: int, change: Callable[[Batch], Batch]) -> None:
        self._stream, self._seed, self._change = stream, seed, change
        self.sizes = stream.sizes
        self._reader = ThreadPoolExecutor(1, "partigan-reader")
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def __len__(self) -> int:
        return len(self._stream)

    def window(self, epoch: int, number: int) -> Batch:
        """A window of an epoch."""
        at, found = (epoch, number), None
        if self._next is not None and self._next[0] == at:
            found = self._next[1].result()
        self._next = None
        window = self._made(*at) if found is None else found
        after = (epoch, number + 1) if number + 1 < len(self.sizes) else (epoch + 1, 0)
        self._next = after, self._reader.submit(self._made, *after)
        return window

    def _made(self, epoch: int, number: int) -> Batch:
        return self._change(self._stream.window(self._seed, epoch, number))


def of_mean_1(sample: Batch, mean: float | None = None) -> Batch:
    """A sample with its event weights over their mean, or over a mean that is known."""
    if sample.weight is None:
        return sample
    weight = sample.weight.double()
    return replace(sample, weight=(weight / (weight.mean() if mean is None else mean)).float())
