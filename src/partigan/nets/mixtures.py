"""A generator of rows with an explicit density: each feature is a mixture of normals, given those before it.

References:
    B. Uria, I. Murray, H. Larochelle, RNADE: The real-valued neural autoregressive density-estimator, arXiv:1306.0186
    (the density); A. Grover, M. Dhar, S. Ermon, Flow-GAN, arXiv:1705.08868 (likelihood and critic for one generator).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.contracts import Generator
from partigan.nets.explicit import LOG_2PI
from partigan.nets.layers import one_hot

_NARROWEST = 0.01  # standard deviation of a normal


class MixtureGenerator(Generator):
    """Rows feature by feature, each from a mixture of normals that a network of its own makes of those before it.

    Of the noise one number chooses the normal of a feature and another one the place in it. The density is known, so
    that `partigan.systems.losses.LikelihoodLoss` can train it; a critic moves the normals, but not the odds of
    choosing them.

    Args:
        features: numbers in a row.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        components: normals of a mixture.
        width: units of a hidden layer.
        depth: number of hidden layers.

    Example:
        >>> generator = MixtureGenerator(features=3)
        >>> generator(generator.noise(5, None, torch.Generator())).shape
        torch.Size([5, 3])
    """

    before: Tensor

    def __init__(
        self,
        features: int = 2,
        classes: int = 0,
        conditions: int = 0,
        components: int = 8,
        width: int = 96,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.features, self.classes, self.components = features, classes, components
        self.parts = nn.ModuleList()
        self.register_buffer("before", torch.ones(components, components).triu()[:, :-1], persistent=False)
        for before in range(features):
            layers: list[nn.Module] = []
            inputs = max(classes + conditions, 1) + before
            for _ in range(depth):
                layers += [nn.Linear(inputs, width), nn.SiLU()]
                inputs = width
            out = nn.Linear(inputs, 3 * components)
            with torch.no_grad():  # a new mixture is wide
                out.bias[components : 2 * components] = torch.linspace(-2, 2, components)
            self.parts.append(nn.Sequential(*layers, out))

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, 2 features)``."""
        return torch.randn(size, 2 * self.features, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Rows ``(batch, features)``."""
        chance, place = torch.special.ndtr(noise[:, : self.features]), noise[:, self.features :]
        seen = self._given(condition, noise)
        for number in range(self.features):
            odds, mean, width = self._mixture(number, seen)
            below = odds.softmax(1) @ self.before
            chosen = (chance[:, number : number + 1] > below).sum(1, keepdim=True)
            value = mean.gather(1, chosen) + width.gather(1, chosen) * place[:, number : number + 1]
            seen = torch.cat((seen, value), dim=1)
        return seen[:, -self.features :]

    def surprise(self, x: Tensor, condition: Tensor | None, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Minus the logarithm of the density at rows, for each feature, ``(batch,)``.

        Args:
            x: normalised rows.
            condition: of the rows.
            mask: not needed here.
            rng: not needed here.
        """
        seen, found = torch.cat((self._given(condition, x), x), dim=1), x.new_zeros(len(x))
        for number in range(self.features):
            before = seen.shape[1] - self.features + number
            odds, mean, width = self._mixture(number, seen[:, :before])
            pull = (x[:, number : number + 1] - mean) / width
            logs = odds.log_softmax(1) - 0.5 * pull.square() - width.log()
            found = found - logs.logsumexp(1) + 0.5 * LOG_2PI
        return found / self.features

    def _given(self, condition: Tensor | None, like: Tensor) -> Tensor:
        """Conditions, labels as one number for each class, or 1 where there are none."""
        if condition is None:
            return torch.ones_like(like[:, :1])
        return condition if condition.is_floating_point() else one_hot(condition, self.classes, like)

    def _mixture(self, number: int, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of odds, means and standard deviations of a feature, ``(batch, components)`` each."""
        odds, mean, width = self.parts[number](seen).chunk(3, dim=1)
        return odds, mean, _NARROWEST + functional.softplus(width)
