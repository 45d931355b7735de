"""For short trainings: critics that see a jet's observables, and a generator that chooses among candidates."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from partigan.nets.clouds.mdma import MDMACritic
from partigan.nets.contracts import Critic, CriticOutput, Generator

OBSERVABLES = 8
SMALL = 1e-6  # below all observables of jets


def observables(x: Tensor, mask: Tensor | None, particles: int) -> Tensor:
    """Mass, pt sum, axis (eta, phi), width, fourth moment, ptD and multiplicity of jets, each brought near 1.

    With z_i the share of pt and theta_i the angle to the axis, mass is pt sqrt(sum z_i theta_i^2), width
    sum z_i theta_i, the fourth moment sum z_i theta_i^4 and ptD sqrt(sum z_i^2). All but axis, width and multiplicity
    are logarithms; constants make them of order 1, and the inverse hyperbolic sine keeps wild jets in reach.

    Args:
        x: features as `partigan.data.stretching.JetStretch` gives them: angles and log pt, ``(batch, particles, 3)``.
        mask: real particles.
        particles: largest number of particles.

    Returns:
        ``(batch, 8)``.

    References:
        A. J. Larkoski, J. Thaler, W. J. Waalewijn, arXiv:1408.3122 (generalised angularities).
    """
    if mask is None:
        number, angle, pt = x.new_full((len(x), 1), x.shape[1]), x[..., :2], x[..., 2:].exp()
    else:
        x, number = x.masked_fill(~mask[..., None], 0.0), mask.sum(1, keepdim=True).to(x.dtype)
        angle, pt = x[..., :2], x[..., 2:].exp() * mask[..., None]
    total = pt.sum(1).clamp_min(SMALL)
    share = pt / total[:, None]
    axis = (share * angle).sum(1)
    theta2 = (angle - axis[:, None]).square().sum(-1, keepdim=True).clamp_min(SMALL)
    mass = (share * theta2).sum(1).log() / 2
    width = (share * theta2.sqrt()).sum(1)
    fourth = (share * theta2.square()).sum(1).log()
    dispersion = share.square().sum(1).clamp_min(SMALL).log()
    values = (
        4 * mass,
        4 * total.log() - 16,
        3 * axis,
        4 * width - 3,
        fourth,
        2 * dispersion + 4,
        6 * number / particles - 5,
    )
    return torch.cat(values, dim=1).asinh()


class ObservableCritic(Critic):
    """A small critic that sees nothing of a jet but `observables`.

    Args:
        particles: largest number of particles.
        hidden: width of its two layers.
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, particles: int = 30, hidden: int = 64) -> None:
        super().__init__()
        self.particles = particles
        self.layers = nn.Sequential(
            nn.Linear(OBSERVABLES, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
        )
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last layer ``(batch, hidden)``; ``condition`` is not used."""
        features = self.layers(observables(x, mask, self.particles))
        return CriticOutput(self.head(features), features)


class ObservingCritic(MDMACritic):
    """MDMA's critic and an `ObservableCritic` beside it; the scores of both count alike.

    Args:
        features: features of a particle.
        particles: largest number of particles.
        latent: dimension of a particle between blocks.
        hidden: dimension in which particles and mean field meet, and width of the `ObservableCritic`.
        heads: attention heads.
        blocks: number of blocks.

    References:
        Blocks: arXiv:2305.15254, section 3; the rest is ours.
    """

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 16,
        hidden: int = 64,
        heads: int = 4,
        blocks: int = 2,
    ) -> None:
        super().__init__(features, particles, latent, hidden, heads, blocks)
        self.observer = ObservableCritic(particles, hidden)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Scores ``(batch, 2)`` and last mean field ``(batch, latent)``; ``condition`` is not used."""
        seen = super().forward(x, condition, mask)
        score = torch.cat((seen.score, self.observer(x, condition, mask).score), dim=1)
        return CriticOutput(score, seen.features)


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
            return self._candidate(noise, condition, mask)
        batch, width, k = *noise.shape[:2], self.candidates
        of_each = noise[..., :-k].view(batch, width, k, -1).transpose(1, 2).flatten(0, 1)
        repeated = [None if value is None else value.repeat_interleave(k, 0) for value in (condition, mask)]
        made = self._candidate(of_each, *repeated)
        score = self.judge(made, *repeated).score.view(batch, k)
        decisive = noise[..., -k:] if mask is None else noise[..., -k:] * mask[..., None]
        number = width if mask is None else mask.sum(1, keepdim=True).clamp_min(1)
        uniform = torch.special.ndtr(decisive.sum(1) / number**0.5).clamp(SMALL, 1 - SMALL)
        chosen = (score - (-uniform.log()).log()).argmax(1)  # the largest of scores with Gumbel noise
        return made.view(batch, k, width, -1)[torch.arange(batch, device=made.device), chosen]

    def _candidate(self, noise: Tensor, condition: Tensor | None, mask: Tensor | None) -> Tensor:
        made: Tensor = self.generator(noise, condition, mask)
        return made
