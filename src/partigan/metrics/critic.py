"""Wasserstein distance of held-out events, estimated by a critic.

References:
    I. Gulrajani et al., Improved training of Wasserstein GANs, arXiv:1704.00028 (gradient penalty).
    M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, arXiv:1701.07875, equation 2 (Kantorovich-Rubinstein duality).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor, nn

from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.samples import seed, standardised_samples, weighted_tables
from partigan.metrics.weighted import Sample, Weighted

_CRITICS = 4  # trained on disjoint parts of the training half
_STEEP = 0.95  # quantile of the slopes that counts as 1
_RATE = 1e-2  # of Adam


class HeldOutCritic(NamedTuple):
    """What critics find on held-out events.

    Attributes:
        distance: estimate of the Wasserstein-1 distance from below, in standard deviations of the features; 0 within
            its error for samples of one distribution.
        p_value: probability of a difference at least as large for samples of one distribution.
    """

    distance: Measurement
    p_value: float


def _perceptron(features: int, width: int, rng: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((features, width), (width, width), (width, 1)):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=rng)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def _slopes(critic: nn.Module, a: Tensor, b: Tensor, rng: torch.Generator, *, graph: bool = False) -> Tensor:
    """Norms of the critic's gradient at random points between rows of both samples."""
    between = torch.lerp(a, b, torch.rand(len(a), 1, generator=rng)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=graph)
    norms: Tensor = gradient.norm(dim=1)
    return norms


class _Rows(NamedTuple):
    """Rows ``(n, features)`` with their weights ``(n,)``; None = all 1."""

    x: Tensor
    weight: Tensor | None

    @classmethod
    def of(cls, sample: Sample) -> _Rows:
        weight = None if sample.weight is None else torch.from_numpy(sample.weight).float()
        return cls(torch.from_numpy(sample.x).float(), weight)

    def split(self, parts: int) -> list[_Rows]:
        weights = [None] * parts if self.weight is None else self.weight.tensor_split(parts)
        return [_Rows(*each) for each in zip(self.x.tensor_split(parts), weights, strict=True)]

    def draw(self, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Rows drawn as often as |w|, and what they count: 1 or -1, over the mean of that; None = 1."""
        if self.weight is None:
            return self.x[torch.randint(len(self.x), (size,), generator=rng)], None
        rows = torch.multinomial(self.weight.abs(), size, replacement=True, generator=rng)
        return self.x[rows], self.weight[rows].sign() * (self.weight.abs().sum() / self.weight.sum())

    def typical(self, size: int, rng: torch.Generator) -> Tensor:
        """The first rows, or rows drawn as often as |w|."""
        return self.x[:size] if self.weight is None else self.draw(size, rng)[0]


def held_out_critic(
    real: ArrayLike | Weighted,
    fake: ArrayLike | Weighted,
    *,
    rng: np.random.Generator,
    steps: int = 200,
    batch_size: int = 512,
    width: int = 64,
) -> HeldOutCritic:
    """Wasserstein-1 distance by critics that train on one half of both samples and are evaluated on the other.

    W1 = max over 1-Lipschitz f of E f(real) - E f(fake) (arXiv:1701.07875, equation 2). Four fully connected critics
    train on disjoint parts of the first half with the one-sided gradient penalty 10 max(|grad f| - 1, 0)^2. On the
    held-out half, the difference of the means of each critic is divided by the 95 % quantile of its slopes between real
    and generated rows. No critic knows the held-out rows, so there is no bias for samples of one distribution. For
    others, the mean underestimates W1 by as much as the critics fall short of the best one (15 to 20 % in the tests).
    The error includes the fluctuation of the held-out rows and the spread of the critics.

    Means of critics are linear in event weights, so these may be negative: rows are drawn as often as |w| and count
    with their sign.

    Args:
        real: ``(rows, features)``; features are divided by their standard deviations in this sample. `Weighted` for
            event weights.
        fake: ``(others, features)``.
        rng: halves the samples and seeds the critics.
        steps: of Adam for each critic.
        batch_size: rows of each sample in a step.
        width: of the two hidden layers.

    Returns:
        The distance, its error and p-value.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 100 rows.
    """
    pair = weighted_tables(100, real=real, fake=fake)
    shuffled = [sample[rng.permutation(len(sample))] for sample in standardised_samples(pair[0], *pair)]
    (train_real, test_real), (train_fake, test_fake) = (_Rows.of(sample).split(2) for sample in shuffled)
    held_real, held_fake = (sample[-(len(sample) // 2) :] for sample in shuffled)
    generator = torch.Generator().manual_seed(seed(rng))
    size = min(len(test_real.x), len(test_fake.x))
    scores_real, scores_fake = [], []
    for part in zip(train_real.split(_CRITICS), train_fake.split(_CRITICS), strict=True):
        critic = _trained(*part, steps, batch_size, width, generator)
        typical = [test.typical(size, generator) for test in (test_real, test_fake)]
        slope = _slopes(critic, typical[0], typical[1], generator).quantile(_STEEP).clamp_min(1e-12)
        scores_real.append(_scores(critic, test_real.x) / float(slope))
        scores_fake.append(_scores(critic, test_fake.x) / float(slope))
    differences = held_real.mean(np.transpose(scores_real)) - held_fake.mean(np.transpose(scores_fake))
    value = float(differences.mean())

    def variances(of_real: Floats, of_fake: Floats) -> Floats:
        return np.asarray(held_real.spread(of_real.T) / len(held_real) + held_fake.spread(of_fake.T) / len(held_fake))

    mean_real, mean_fake = np.mean(scores_real, 0), np.mean(scores_fake, 0)
    of_rows = float(variances(mean_real, mean_fake))
    explained = variances(scores_real - mean_real, scores_fake - mean_fake).sum() / (_CRITICS - 1)
    of_training = max(float(differences.var(ddof=1) - explained), 0.0) / _CRITICS
    p_value = float(stats.norm.sf(value / np.sqrt(of_rows))) if of_rows > 0 else 1.0
    return HeldOutCritic(Measurement(value, float(np.sqrt(of_rows + of_training))), p_value)


def _trained(real: _Rows, fake: _Rows, steps: int, batch_size: int, width: int, rng: torch.Generator) -> nn.Sequential:
    critic = _perceptron(real.x.shape[1], width, rng)
    optimiser = torch.optim.Adam(critic.parameters(), lr=_RATE, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        (a, of_a), (b, of_b) = (sample.draw(batch_size, rng) for sample in (real, fake))
        too_steep = (_slopes(critic, a, b, rng, graph=True) - 1).relu()
        loss = _mean(critic(b), of_b) - _mean(critic(a), of_a) + 10 * too_steep.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return critic


def _mean(scores: Tensor, count: Tensor | None) -> Tensor:
    return scores.mean() if count is None else (scores[:, 0] * count).mean()


def _scores(critic: nn.Module, sample: Tensor) -> Floats:
    return np.asarray(critic(sample)[:, 0].detach().double().numpy())
