"""Fully connected networks for rows of numbers: generator, translator, critic and classifier of tables.

References:
    I. Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661 (fully connected players); M. Mirza,
    S. Osindero, Conditional Generative Adversarial Nets, arXiv:1411.1784 (conditions joined to the input);
    K. He et al., Deep Residual Learning, arXiv:1512.03385 (translator).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator, Translator
from partigan.nets.layers import one_hot, silent

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh"]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class _Layers(nn.Module):
    """Hidden layers of one width; the input is joined with its condition."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        conditions: int,
        width: int,
        depth: int,
        activation: str,
        batch_norm: bool,
        linear: Callable[[int, int], nn.Module],
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = []
        for layer in range(depth):
            block = [linear(inputs + classes + conditions if layer == 0 else width, width)]
            if batch_norm:
                block.append(nn.BatchNorm1d(width))
            block.append(_ACTIVATIONS[activation]())
            layers += [_Residual(*block)] if residual and layer else block
        self.hidden = nn.Sequential(*layers)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if condition is not None:
            if not condition.is_floating_point():
                condition = one_hot(condition, self.classes, x)
            x = torch.cat((x, condition), dim=1)
        hidden: Tensor = self.hidden(x)
        return hidden


class _Residual(nn.Sequential):
    """Layers whose output is added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + super().forward(x)
        return y


class TableGenerator(Generator):
    """Rows from noise and, where there is one, a condition.

    Args:
        features: numbers in a row.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        latent: dimension of the noise.
        width: units of a hidden layer.
        depth: number of hidden layers.
        activation: after each of them.
        batch_norm: batch normalisation of hidden layers.
        residual: hidden layers after the first add to their input.

    Example:
        >>> generator = TableGenerator(features=2, latent=8)
        >>> generator(generator.noise(5, None, torch.Generator())).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        features: int = 2,
        classes: int = 0,
        conditions: int = 0,
        latent: int = 16,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "relu",
        batch_norm: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.body = _Layers(latent, classes, conditions, width, depth, activation, batch_norm, nn.Linear, residual)
        self.out = nn.Linear(width, features)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, latent)``."""
        return torch.randn(size, self.latent, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Rows ``(batch, features)``."""
        rows: Tensor = self.out(self.body(noise, condition))
        return rows


class TableTranslator(Translator):
    """Rows changed by a fully connected network of row and condition, which is added to them.

    The last layer starts at zero, so a new translator changes nothing.

    Args:
        features: numbers in a row.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: units of a hidden layer.
        depth: number of hidden layers.
        activation: after each of them.

    Example:
        >>> rows = torch.randn(5, 2)
        >>> torch.equal(TableTranslator(features=2)(rows), rows)
        True
    """

    def __init__(
        self,
        features: int = 2,
        classes: int = 0,
        conditions: int = 0,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.body = _Layers(features, classes, conditions, width, depth, activation, False, nn.Linear)
        self.out = silent(nn.Linear(width, features))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Rows ``(batch, features)``."""
        rows: Tensor = x + self.out(self.body(x, condition))
        return rows


class TableCritic(Critic):
    """Scores of rows; the features are the last hidden layer.

    Args:
        features: numbers in a row.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: units of a hidden layer.
        depth: number of hidden layers.
        activation: after each of them.
        batch_norm: batch normalisation of hidden layers; not with gradient penalties.
        spectral_norm: largest singular value of every layer (1 in T. Miyato et al., arXiv:1802.05957); a larger value
            allows a steeper critic; None = not normalised.
        outputs: dimension k of the score.
        residual: hidden layers after the first add to their input.
        differences: pairs of features whose differences the critic is given, too (pidgan's auxiliary features).

    Raises:
        PartiganError: a pair of features that rows do not have.

    Example:
        >>> TableCritic(features=2, outputs=8)(torch.zeros(5, 2)).score.shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        features: int = 2,
        classes: int = 0,
        conditions: int = 0,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "leaky_relu",
        batch_norm: bool = False,
        spectral_norm: float | None = None,
        outputs: int = 1,
        residual: bool = False,
        differences: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        if strange := [pair for pair in differences if not all(0 <= each < features for each in pair)]:
            raise PartiganError(
                f"the critic is given the difference of the features {strange[0][0]} and {strange[0][1]}, and rows "
                f"have {features}, counted from 0; change system.critic.differences"
            )
        self.pairs = [[pair[side] for pair in differences] for side in (0, 1)]
        linear = nn.Linear if spectral_norm is None else partial(_Spectral, spectral_norm)
        features += len(differences)
        self.body = _Layers(features, classes, conditions, width, depth, activation, batch_norm, linear, residual)
        self.head = linear(width, outputs)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, outputs)`` and last hidden layer ``(batch, width)``."""
        if self.pairs[0]:
            x = torch.cat((x, x[:, self.pairs[0]] - x[:, self.pairs[1]]), dim=1)
        hidden = self.body(x, condition)
        return CriticOutput(self.head(hidden), hidden)


class TableClassifier(Critic):
    """Logits of classes of rows; the features are the activations of the last layer but one.

    Args:
        features: numbers in a row.
        classes: number of classes.
        width: units of a hidden layer.
        depth: number of hidden layers.
        activation: after each of them.
        hidden: width of the layer whose outputs are the activations.

    Example:
        >>> TableClassifier(features=2, classes=3)(torch.zeros(5, 2)).score.shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        features: int = 2,
        classes: int = 2,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "relu",
        hidden: int = 32,
    ) -> None:
        super().__init__()
        self.body = _Layers(features, 0, 0, width, depth, activation, False, nn.Linear)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Logits ``(batch, classes)`` and activations ``(batch, hidden)``, before their ReLU."""
        activations = self.hidden(self.body(x, None))
        return CriticOutput(self.out(activations.relu()), activations)


class _Spectral(nn.Module):
    """A linear layer with a given largest singular value."""

    def __init__(self, largest: float, inputs: int, outputs: int) -> None:
        super().__init__()
        self.largest = largest
        self.linear: nn.Module = spectral_norm(nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.largest * x)
        return y
