"""Choice among candidates: a trained critic mends what its generator samples."""

from __future__ import annotations

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
    becomes that of the data. In training mode single candidates are made; each is a sample of the plain generator.

    Args:
        generator: makes candidates.
        judge: the critic.
        candidates: number of candidates of a sample.

    References:
        S. Azadi et al., Discriminator Rejection Sampling, arXiv:1810.06758; S. Diefenbacher et al., DCTRGAN: Improving
        the Precision of Generative Models with Reweighting, arXiv:2009.03796; sampling, importance resampling:
        D. B. Rubin, J. Am. Stat. Assoc. 82 (1987) 543.
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, judge: Critic, candidates: int = 8) -> None:
        super().__init__()
        if candidates < 1:
            raise ValueError(f"candidates = {candidates}; at least one is needed")
        self.generator, self.judge, self.candidates = generator, judge, candidates

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """That of one candidate in training mode; of all, and normal numbers that decide, otherwise."""
        if self.training:
            return self.generator.noise(size, mask, rng)
        drawn = [self.generator.noise(size, mask, rng) for _ in range(self.candidates)]
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
