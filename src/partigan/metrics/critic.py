"""The Wasserstein distance that a critic sees on events that it was not trained on.

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
from partigan.metrics.samples import seed, some, standardised, tables


class HeldOutCritic(NamedTuple):
    """What a critic found on held-out events.

    Attributes:
        distance: difference of the critic's means over its steepest slope, in standard deviations of the features:
            a lower bound of the Wasserstein-1 distance, 0 within its error for samples of one distribution.
        p_value: probability of so great a difference for samples of one distribution.
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
    return torch.linalg.vector_norm(gradient, dim=1)


def held_out_critic(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    steps: int = 500,
    batch_size: int = 512,
    width: int = 64,
) -> HeldOutCritic:
    """Wasserstein-1 distance by a critic that is trained on one half of both samples and evaluated on the other.

    W1 = max over 1-Lipschitz f of E f(real) - E f(fake) (arXiv:1701.07875, equation 2). A fully connected critic is
    trained with the one-sided gradient penalty 10 max(|grad f| - 1, 0)^2. On the held-out half the difference of its
    means is divided by its steepest slope between real and generated rows, so it is a lower bound of W1 up to slopes
    that these rows do not show. The critic does not know the held-out rows, so there is no bias for samples of one
    distribution, and the error is that of a difference of two means.

    Args:
        real: ``(rows, features)``; features are divided by their standard deviation in this sample.
        fake: ``(others, features)``.
        rng: halves the samples and seeds the critic.
        steps: of Adam.
        batch_size: rows of each sample in a step.
        width: of the two hidden layers.

    Returns:
        The distance, its error and p-value.

    Raises:
        PartiganError: for values that are not finite, differing features and less than 100 rows.
    """
    pair = tables(100, real=real, fake=fake)
    shuffled = [some(sample, len(sample), rng) for sample in standardised(pair[0], *pair)]
    halves = [torch.from_numpy(sample).float().tensor_split(2) for sample in shuffled]
    (train_real, test_real), (train_fake, test_fake) = halves
    generator = torch.Generator().manual_seed(seed(rng))
    critic = _perceptron(train_real.shape[1], width, generator)
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        a, b = (
            sample[torch.randint(len(sample), (batch_size,), generator=generator)]
            for sample in (train_real, train_fake)
        )
        too_steep = (_slopes(critic, a, b, generator, graph=True) - 1).relu()
        loss = critic(b).mean() - critic(a).mean() + 10 * too_steep.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    size = min(len(test_real), len(test_fake))
    steepest = _slopes(critic, test_real[:size], test_fake[:size], generator).max().clamp_min(1e-12)
    with torch.no_grad():
        of_real, of_fake = (_scores(critic, sample) / float(steepest) for sample in (test_real, test_fake))
    value = float(of_real.mean() - of_fake.mean())
    error = float(np.sqrt(of_real.var(ddof=1) / len(of_real) + of_fake.var(ddof=1) / len(of_fake)))
    p_value = float(stats.norm.sf(value / error)) if error > 0 else 1.0
    return HeldOutCritic(Measurement(value, error), p_value)


def _scores(critic: nn.Module, sample: Tensor) -> Floats:
    return np.asarray(critic(sample)[:, 0].double().numpy())
