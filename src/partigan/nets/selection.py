"""Choice among candidates: a trained critic mends what its generator samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from partigan.nets.contracts import Critic, Generator

SMALL = 1e-6  # of a uniform number, the distance from 0 and 1 that is kept


class SelectingGenerator(Generator):
    """A generator that, once trained, draws several candidates for every sample and keeps one by its judge's odds.

    The judge is a critic that learns to tell training samples from candidates with the logistic loss, so that its score
    is the logarithm of the ratio of their densities. A candidate is kept with a probability in proportion to that ratio
    among the candidates (sampling, importance resampling): with many candidates the distribution of what the judge sees
    becomes that of the data. What is never made cannot be chosen; so part of the candidates may be made from wider
    noise, for a generator that makes too few rare samples (a defensive mixture).

    In training mode it is the plain generator, with noise as it is.

    Args:
        generator: makes candidates.
        judge: the critic.
        candidates: number of candidates of a sample.
        widths: factors of the noise; every candidate draws one of them.

    References:
        S. Azadi et al., Discriminator Rejection Sampling, arXiv:1810.06758; S. Diefenbacher et al., DCTRGAN: Improving
        the Precision of Generative Models with Reweighting, arXiv:2009.03796; sampling, importance resampling:
        D. B. Rubin, J. Am. Stat. Assoc. 82 (1987) 543; defensive mixtures: T. Hesterberg, Technometrics 37 (1995) 185.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self, generator: Generator, judge: Critic, candidates: int = 8, widths: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        if candidates < 1:
            raise ValueError(f"candidates = {candidates}; at least one is needed")
        if not widths or min(widths) <= 0:
            raise ValueError(f"widths = {list(widths)}; at least one is needed, all above 0")
        self.generator, self.judge, self.candidates, self.widths = generator, judge, candidates, tuple(widths)

    def candidate(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Noise of one candidate for each of ``size`` samples; ``mask`` is that of the call that follows."""
        noise = self.generator.noise(size, mask, rng)
        which = torch.randint(len(self.widths), (size, *[1] * (noise.dim() - 1)), generator=rng, device=rng.device)
        return noise * torch.tensor(self.widths, device=rng.device)[which]

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """The plain generator's in training mode; of all candidates, and normal numbers that decide, otherwise."""
        if self.training:
            return self.generator.noise(size, mask, rng)
        drawn = [self.candidate(size, mask, rng) for _ in range(self.candidates)]
        shape = (*drawn[0].shape[:2], self.candidates)
        return torch.cat((*drawn, torch.randn(shape, generator=rng, device=rng.device)), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``."""
        if self.training:
            single: Tensor = self.generator(noise, condition, mask)
            return single
        batch, width, k = *noise.shape[:2], self.candidates
        of_each = noise[..., :-k].view(batch, width, k, -1).transpose(1, 2).flatten(0, 1)
        repeated = [None if value is None else value.repeat_interleave(k, 0) for value in (condition, mask)]
        made: Tensor = self.generator(of_each, *repeated)
        score = self.judge(made, *repeated).score.view(batch, k)
        decisive = noise[..., -k:] if mask is None else noise[..., -k:] * mask[..., None]
        number = width if mask is None else mask.sum(1, keepdim=True).clamp_min(1)
        uniform = torch.special.ndtr(decisive.sum(1) / number**0.5).clamp(SMALL, 1 - SMALL)
        chosen = (score - (-uniform.log()).log()).argmax(1)  # the largest of scores with Gumbel noise
        return made.view(batch, k, width, -1)[torch.arange(batch, device=made.device), chosen]
