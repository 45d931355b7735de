"""A memory of made samples, so that a critic does not forget what it has seen.

References:
    A. Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training,
    arXiv:1612.07828, section 2.3; J.-Y. Zhu et al., CycleGAN, arXiv:1703.10593, section 4 (50 images).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from partigan.data.batch import Batch
from partigan.errors import PartiganError


class History(nn.Module):
    """Made samples of earlier steps; a critic is shown some of them in place of new ones.

    It is one of the networks of a system, without parameters: what it remembers are buffers, so that checkpoints keep
    them and a training resumes bit for bit. In data-parallel training each process has one of its own, and checkpoints
    keep that of the first alone: after a resumption the others start with its samples.

    Args:
        size: samples that it remembers.
        features: of a row.
        channels: of an image or a trace.
        height: of an image.
        width: of an image.
        bins: of a trace.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.

    Example:
        >>> history, rng = History(size=2, features=1), torch.Generator().manual_seed(0)
        >>> history.mixed(Batch(torch.zeros(2, 1)), rng).x.tolist()  # nothing to remember yet
        [[0.0], [0.0]]
        >>> sorted(history.mixed(Batch(torch.ones(2, 1)), rng).x.flatten().tolist())  # one of two is exchanged
        [0.0, 1.0]
    """

    x: Tensor
    condition: Tensor
    weight: Tensor
    filled: Tensor

    def __init__(
        self,
        size: int = 50,
        features: int = 0,
        channels: int = 0,
        height: int = 0,
        width: int = 0,
        bins: int = 0,
        classes: int = 0,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        if size < 1:
            raise PartiganError(f"a history of size = {size}; it remembers at least one sample")
        shape = [length for length in (channels, height, width, bins, features) if length]
        self.register_buffer("x", torch.zeros(size, *shape))
        labels = torch.zeros(size, dtype=torch.long)
        self.register_buffer("condition", labels if classes else torch.zeros(size, conditions))
        self.register_buffer("weight", torch.ones(size))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def mixed(self, made: Batch, rng: torch.Generator) -> Batch:
        """Made samples, half of them exchanged for remembered ones once the memory is full.

        Args:
            made: new samples, of which those that are exchanged are remembered.
            rng: decides which.

        Raises:
            PartiganError: samples with a mask, which have no one size.
        """
        made = replace(made, source=None)  # critics of pairs would see wrong ones
        if made.mask is not None:
            raise PartiganError("a history remembers samples of one size, not clouds; leave it out")
        size, filled = len(self.x), int(self.filled)
        if filled < size:
            new = made[: size - filled]
            self._remember(torch.arange(filled, filled + len(new), device=self.x.device), new)
            self.filled += len(new)
            return made
        swapped = torch.rand(len(made), generator=rng, device=rng.device) < 0.5
        rows = swapped.nonzero().flatten()[:size]
        places = torch.randperm(size, generator=rng, device=rng.device)[: len(rows)]
        new, old = made[rows], {part: getattr(self, part)[places] for part in ("x", "condition", "weight")}
        self._remember(places, new)
        parts = {part: getattr(made, part) for part in old}
        mixed = {part: now.index_copy(0, rows, old[part]) for part, now in parts.items() if now is not None}
        return replace(made, **mixed)

    def _remember(self, places: Tensor, samples: Batch) -> None:
        self.x[places] = samples.x
        if samples.condition is not None:
            self.condition[places] = samples.condition
        if samples.weight is not None:
            self.weight[places] = samples.weight
