"""Shares of hits that are uniform in each spectrum, whatever a network makes of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CELLS, FARTHEST, MEMORY = 64, 5.0, 150  # of the distribution of shares: cells, see `_bent`, steps
LARGEST, WIDTHS = 4.0, (-3.0, 0.5)  # absolute mean of a pixel, and logarithm of its width: none lies far out
PRIOR = 50.0  # hits of each spectrum that are spread as those of all


def _bent(x: Tensor) -> Tensor:
    """All numbers between -1 and 1, rising; nearly x / `FARTHEST` in the middle."""
    return x * (x**2 + FARTHEST**2).rsqrt()


class Shares(nn.Module):
    """Shares of hits from what a network gives for pixels.

    Shares of real hits are uniform in each spectrum. Those of generated ones are made so by their own distribution,
    which is counted during training over the last `MEMORY` steps or so, and once more, over all of `passes`, for
    averaged weights (`partigan.training.players.Players.recounted`); in cells that are finest in its tails. No value
    lies beyond the cells: these would all have one share, and the largest charge. A share is at most what the largest
    of as many hits has, since of n hits one in n is larger than all others.

    Args:
        spectra: their number.
    """

    counts: Tensor
    prior: Tensor
    passes = 1000  # of 256 tracks: cells in the tails of a spectrum have some hundreds of hits
    kept = 1 - 1 / MEMORY

    def __init__(self, spectra: int) -> None:
        super().__init__()
        bent = torch.linspace(-1, 1, CELLS + 1)
        ends = torch.special.ndtr(FARTHEST * bent * (1 - bent**2).rsqrt())
        self.register_buffer("prior", ends.diff(), persistent=False)
        self.register_buffer("counts", self.prior.repeat(spectra, 1))

    def recount(self) -> None:
        """Forget the distribution; nothing of what is seen from now on is forgotten."""
        self.counts.copy_(self.prior)
        self.kept = 1.0

    def forward(self, mean: Tensor, width: Tensor, noise: Tensor, hit: Tensor, spectrum: Tensor) -> Tensor:
        """Shares, 0 without hit; all are shaped alike.

        Args:
            mean: of the normal number that the share comes from.
            width: logarithm of the standard deviation of that.
            noise: standard normal.
            hit: 1 or 0.
            spectrum: number of the spectrum of each.
        """
        mean = LARGEST * (mean / LARGEST).tanh()
        place = (_bent(mean + width.clamp(*WIDTHS).exp() * noise) + 1) * (CELLS / 2)
        cell = place.detach().long().clamp_max(CELLS - 1)
        if self.training:
            seen = torch.bincount((spectrum * CELLS + cell)[hit > 0], minlength=self.counts.numel())
            self.counts.mul_(self.kept).add_(seen.reshape(self.counts.shape) + (1 - self.kept) * self.prior)
        of_all = self.counts.sum(0)
        edges = functional.pad((self.counts + PRIOR * of_all / of_all.sum()).cumsum(1), (1, 0))
        total = edges[:, -1:]
        edges, largest = edges / total, 1 - 0.5 / total[:, 0]
        low = edges[spectrum, cell]
        share = low + (place - cell) * (edges[spectrum, cell + 1] - low)
        return hit * torch.minimum(share, largest[spectrum])
