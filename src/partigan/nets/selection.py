"""Choice among candidates: a trained judge corrects the distribution of what a generator makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, Generator, WrappedGenerator, frozen

SMALL = 1e-6  # distance that uniform numbers keep from 0 and 1


class SelectingGenerator(WrappedGenerator):
    """A plain generator with a judge; deployed, it draws several candidates a sample and the judge chooses one.

    The judge is a critic. It learns to tell training samples from candidates with the logistic loss, so its score is
    the logarithm of the ratio of their densities. `SelectedGenerator` keeps a candidate with a probability in
    proportion to that ratio (sampling, importance resampling): with many candidates, the distribution of what the judge
    sees becomes that of the data. Samples that are never made cannot be chosen. For a generator that makes too few rare
    samples, part of the candidates can come from wider noise (a defensive mixture).

    Args:
        generator: makes candidates.
        judge: the critic.
        candidates: number of candidates of a sample.
        widths: factors of the noise; every candidate draws one of them.

    Raises:
        PartiganError: no candidates, or widths that are not above 0.

    References:
        S. Azadi et al., Discriminator Rejection Sampling, arXiv:1810.06758; S. Diefenbacher et al., DCTRGAN: Improving
        the Precision of Generative Models with Reweighting, arXiv:2009.03796; sampling, importance resampling:
        D. B. Rubin, J. Am. Stat. Assoc. 82 (1987) 543; defensive mixtures: T. Hesterberg, Technometrics 37 (1995) 185.

    Example:
        >>> from partigan.nets.clouds.mdma import MDMAGenerator
        >>> from partigan.nets.clouds.observing import ObservableCritic
        >>> generator = SelectingGenerator(MDMAGenerator(blocks=1), ObservableCritic(), candidates=4).deployed()
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    def __init__(
        self, generator: Generator, judge: Critic, candidates: int = 8, widths: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__(generator)
        if candidates < 1:
            raise PartiganError(f"candidates = {candidates}; give at least one")
        if not widths or min(widths) <= 0:
            raise PartiganError(f"widths = {list(widths)}; give at least one, all above 0")
        self.judge, self.candidates, self.widths = judge, candidates, tuple(widths)

    def candidate(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Noise of one candidate for each of ``size`` samples, for the judge's training."""
        return _candidate(self.generator, self.widths, size, mask, rng)

    def deployed(self) -> SelectedGenerator:
        """The form that chooses among candidates."""
        return SelectedGenerator(self.generator.deployed(), frozen(self.judge), self.candidates, self.widths).eval()


class SelectedGenerator(Generator):
    """Deployed form of `SelectingGenerator`: the judge chooses one of several candidates for every sample.

    Shapes:
        noise ``(batch, particles, candidates * (that of the generator + 1))``: all candidates, then normal numbers that
        decide; jets ``(batch, particles, features)``.

    Args:
        generator: makes candidates, in its deployed form.
        judge: the trained critic.
        candidates: number of candidates of a sample.
        widths: factors of the noise; every candidate draws one of them.
    """

    normal = None  # of several widths
    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, generator: Generator, judge: Critic, candidates: int, widths: Sequence[float]) -> None:
        super().__init__()
        self.generator, self.judge, self.candidates, self.widths = generator, judge, candidates, tuple(widths)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Noise of all candidates, and normal numbers that decide."""
        drawn = [_candidate(self.generator, self.widths, size, mask, rng) for _ in range(self.candidates)]
        shape = (*drawn[0].shape[:2], self.candidates)
        return torch.cat((*drawn, torch.randn(shape, generator=rng, device=rng.device)), dim=-1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``."""
        batch, width, k = *noise.shape[:2], self.candidates
        of_each = noise[..., :-k].view(batch, width, k, -1).transpose(1, 2).flatten(0, 1)
        repeated = [None if value is None else value.repeat_interleave(k, 0) for value in (condition, mask)]
        made: Tensor = self.generator(of_each, *repeated)
        log_odds = self.judge.log_odds(self.judge(made, *repeated)).view(batch, k)
        decisive = noise[..., -k:] if mask is None else noise[..., -k:] * mask[..., None]
        number = width if mask is None else mask.sum(1, keepdim=True).clamp_min(1)
        uniform = torch.special.ndtr(decisive.sum(1) / number**0.5).clamp(SMALL, 1 - SMALL)
        chosen = (log_odds - (-uniform.log()).log()).argmax(1)  # Gumbel noise: the largest is a draw by the odds
        return made.view(batch, k, width, -1)[torch.arange(batch, device=made.device), chosen]


def _candidate(
    generator: Generator, widths: Sequence[float], size: int, mask: Tensor | None, rng: torch.Generator
) -> Tensor:
    """Noise of one candidate for each sample, times a width drawn for each."""
    noise = generator.noise(size, mask, rng)
    which = torch.randint(len(widths), (size, *[1] * (noise.dim() - 1)), generator=rng, device=rng.device)
    return noise * torch.tensor(widths, device=rng.device)[which]
