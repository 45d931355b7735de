"""Latent reconstruction: how near to given samples can a generator come?

References:
    P. Bojanowski et al., Optimizing the latent space of generative networks, arXiv:1707.05776.
    L. Metz et al., Unrolled generative adversarial networks, arXiv:1611.02163, section 3.4 (the use for missing modes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, refuse_infinite


class Reconstruction(NamedTuple):
    """What a generator made of given samples.

    Attributes:
        z: the latent vectors found, ``(rows, *latent)``.
        x: what the generator makes of them, ``(rows, ...)``.
        distance: Euclidean distance from each target, ``(rows,)``.
    """

    z: Tensor
    x: Tensor
    distance: Floats

    def quantile(self, q: float) -> Measurement:
        """A quantile of the distances, with half the width of its 68 % interval of order statistics as error."""
        low, high = (stats.binom.ppf(p, len(self.distance), q) / len(self.distance) for p in stats.norm.cdf([-1, 1]))
        value, bottom, top = np.quantile(self.distance, [q, low, high])
        return Measurement(float(value), float((top - bottom) / 2))


@dataclass(frozen=True)
class Search:
    """How latent vectors are searched.

    Attributes:
        steps: of Adam for each start.
        restarts: number of starts.
        learning_rate: of Adam, falling to 0 as a cosine.
        prior: weight of |z|^2, which keeps z where the generator was trained.

    Raises:
        PartiganError: no steps or starts.
    """

    steps: int = 200
    restarts: int = 4
    learning_rate: float = 0.1
    prior: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise PartiganError(f"{self.steps} steps and {self.restarts} restarts; at least one of each is needed")


def reconstruct(
    generator: Callable[[Tensor], Tensor],
    targets: ArrayLike,
    latent: tuple[int, ...],
    *,
    rng: torch.Generator,
    search: Search | None = None,
) -> Reconstruction:
    """Search, for each target x, the latent vector z for which G(z) is nearest.

    Minimises |G(z) - x|^2 + prior |z|^2 by Adam from normally distributed z; the best z seen over all steps and
    restarts is kept. Samples that the generator cannot make stay at a distance. All rows are searched at once: give a
    part of the sample where that is too much.

    Args:
        generator: any differentiable function of ``(rows, *latent)`` to ``(rows, ...)`` that treats rows separately,
            such as a generator in ``eval`` mode with its condition fixed.
        targets: ``(rows, ...)``, the shape of what the generator makes.
        latent: shape of a latent vector.
        rng: draws the starts; on the device of the generator.
        search: how to search; None = as `Search` says.

    Returns:
        The latent vectors, what is made of them, and the distances.

    Raises:
        PartiganError: for targets that are not finite, differing shapes.
    """
    search = search or Search()
    x = torch.as_tensor(np.asarray(targets), dtype=torch.float32, device=rng.device)
    refuse_infinite(np.asarray(x.cpu().flatten(1).isfinite().all(1).numpy()), "target")
    best = torch.full((len(x),), torch.inf, device=rng.device)
    best_z = torch.zeros(len(x), *latent, device=rng.device)
    for _ in range(search.restarts):
        z = torch.randn(best_z.shape, generator=rng, device=rng.device).requires_grad_()
        optimiser = torch.optim.Adam([z], lr=search.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, search.steps)
        for _ in range(search.steps):
            made = generator(z)
            if made.shape != x.shape:
                raise PartiganError(f"the generator makes {tuple(made.shape)}; the targets are {tuple(x.shape)}")
            loss = (made - x).flatten(1).square().sum(1) + search.prior * z.flatten(1).square().sum(1)
            better = loss.detach() < best
            best_z, best = torch.where(_like(better, z), z.detach(), best_z), torch.where(better, loss.detach(), best)
            (z.grad,) = torch.autograd.grad(loss.sum(), z)
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        made = generator(best_z)
    distance = (made - x).flatten(1).norm(dim=1).double().cpu().numpy()
    return Reconstruction(best_z, made, distance)


def _like(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (x.dim() - 1))
