"""One-dimensional convolutions for time traces: refiner, critic, classifier, and the parts of an autoencoder.

References:
    M. Erdmann, L. Geiger, J. Glombitza, D. Schmidt, Generating and refining particle detector simulations using the
    Wasserstein distance in adversarial networks, arXiv:1802.03325, section 4 (a refiner of residual convolutions and a
    Wasserstein critic; sizes are not published, these are ours); K. He et al., arXiv:1512.03385 (residual blocks).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Coder, Critic, CriticOutput, CuttingTranslator, NoisyTranslator
from partigan.nets.layers import Range, one_hot, silent

KERNEL = 5


def _joined(x: Tensor, condition: Tensor | None, classes: int) -> Tensor:
    """Traces with their conditions, or the classes as 0 and 1, as further channels that are constant in time."""
    if condition is None:
        return x
    if not condition.is_floating_point():
        condition = one_hot(condition, classes, x)
    return torch.cat((x, condition[:, :, None].expand(-1, -1, x.shape[2])), dim=1)


def _convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv1d:
    """A convolution that keeps the length, or divides it by the stride, rounded up."""
    return nn.Conv1d(inputs, outputs, KERNEL, stride, dilation * (KERNEL // 2), dilation)


class _Residual(nn.Module):
    """Two convolutions, the second over wider distances, added to what goes in."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width), _convolution(width, width, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(functional.leaky_relu(self.first(functional.leaky_relu(x, 0.2)), 0.2))
        return x + changed


class TraceTranslator(CuttingTranslator, NoisyTranslator):
    """The refiner: R(x) = x + f(x) + s(x) n, with f and s from residual convolutions and n one Gaussian number a bin.

    The last layer starts at zero, so a new refiner changes nothing. Without n a network can only enlarge the noise that
    a trace has; where the detector is noisier than its simulation, it has to add some.

    Args:
        channels: of a trace.
        bins: of a trace.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: feature maps.
        blocks: residual blocks, whose reach doubles from one to the next.

    Example:
        >>> traces = torch.randn(3, 1, 80)
        >>> torch.equal(TraceTranslator()(traces), traces)
        True
    """

    def __init__(
        self,
        channels: int = 1,
        bins: int = 80,
        classes: int = 0,
        conditions: int = 0,
        width: int = 24,
        blocks: int = 3,
    ) -> None:
        super().__init__()
        self.shape, self.classes = (channels, bins), classes
        self.enter = _convolution(channels + classes + conditions, width)
        self.blocks = nn.Sequential(*(_Residual(width, 2**block) for block in range(blocks)))
        self.leave = silent(_convolution(width, 2 * channels))
        self.range = Range()

    def noise(self, rng: torch.Generator) -> Tensor:
        """A Gaussian number for each bin of one trace, ``(channels, bins)``."""
        return torch.randn(self.shape, generator=rng, device=rng.device)

    def forward(
        self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Traces ``(batch, channels, bins)``; ``noise`` is shaped like them."""
        if noise is None:
            noise = torch.randn_like(x)
        hidden = self.blocks(self.enter(_joined(x, condition, self.classes)))
        shift, spread = self.leave(functional.leaky_relu(hidden, 0.2)).chunk(2, dim=1)
        traces: Tensor = self.range(x + shift + spread * noise)
        return traces


class _Body(nn.Module):
    """Three convolutions of stride 2 and a dense layer, without normalisation, as gradient penalties ask for."""

    def __init__(self, channels: int, bins: int, classes: int, width: int, hidden: int) -> None:
        super().__init__()
        self.classes = classes
        sizes = (channels, width, 2 * width, 2 * width)
        pairs = itertools.pairwise(sizes)
        self.convolutions = nn.ModuleList(_convolution(inputs, outputs, 2) for inputs, outputs in pairs)
        for _ in self.convolutions:
            bins = -(-bins // 2)
        self.dense = nn.Linear(sizes[-1] * bins, hidden)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = _joined(x, condition, self.classes)
        for convolution in self.convolutions:
            x = functional.leaky_relu(convolution(x), 0.2)
        dense: Tensor = self.dense(x.flatten(1))
        return dense


class TraceCritic(Critic):
    """Scores of traces, or of codes; the features are the last hidden layer.

    Args:
        channels: of a trace.
        bins: of a trace.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: feature maps of the first convolution; the others have twice as many.
        hidden: width of the dense layer.

    Example:
        >>> TraceCritic()(torch.zeros(5, 1, 80)).score.shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        channels: int = 1,
        bins: int = 80,
        classes: int = 0,
        conditions: int = 0,
        width: int = 32,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.body = _Body(channels + classes + conditions, bins, classes, width, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last hidden layer ``(batch, hidden)``."""
        hidden = functional.leaky_relu(self.body(x, condition), 0.2)
        return CriticOutput(self.head(hidden), hidden)


class TraceClassifier(Critic):
    """Logits of classes of traces; the features are the activations of the last layer but one.

    Args:
        channels: of a trace.
        bins: of a trace.
        classes: number of classes.
        width: feature maps of the first convolution; the others have twice as many.
        hidden: width of the dense layer.

    Example:
        >>> TraceClassifier(classes=3)(torch.zeros(5, 1, 80)).score.shape
        torch.Size([5, 3])
    """

    def __init__(self, channels: int = 1, bins: int = 80, classes: int = 2, width: int = 16, hidden: int = 32) -> None:
        super().__init__()
        self.body, self.out = _Body(channels, bins, 0, width, hidden), nn.Linear(hidden, classes)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Logits ``(batch, classes)`` and activations ``(batch, hidden)``, before their ReLU."""
        activations = self.body(x, None)
        return CriticOutput(self.out(activations.relu()), activations)


class TraceEncoder(Coder):
    """Traces to codes ``(batch, code, bins / 2)``; the encoder of `partigan.nets.translation.SharedEncoder`.

    What convolutions find is added to the trace itself, of which every other bin is a channel. The last layer starts at
    zero, so a new autoencoder changes nothing.

    Args:
        channels: of a trace.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: feature maps.
        code: channels of the code, at least two for each of the trace.

    Raises:
        PartiganError: a code that is too narrow.

    Example:
        >>> TraceEncoder()(torch.zeros(5, 1, 80)).shape
        torch.Size([5, 4, 40])
    """

    def __init__(
        self, channels: int = 1, classes: int = 0, conditions: int = 0, width: int = 24, code: int = 4
    ) -> None:
        super().__init__()
        if code < 2 * channels:
            raise PartiganError(f"code = {code}; a code of traces of {channels} channels has at least {2 * channels}")
        self.classes, self.code = classes, code
        self.enter = _convolution(channels + classes + conditions, width)
        self.block, self.leave = _Residual(width, 2), silent(_convolution(width, code, 2))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Codes of traces ``(batch, channels, bins)``."""
        hidden = self.block(self.enter(_joined(x, condition, self.classes)))
        found: Tensor = self.leave(functional.leaky_relu(hidden, 0.2))
        even = functional.pad(x, (0, x.shape[2] % 2))
        halves = torch.cat((even[:, :, ::2], even[:, :, 1::2]), dim=1)
        return found + functional.pad(halves, (0, 0, 0, self.code - halves.shape[1]))


class TraceDecoder(Coder):
    """Codes to traces, the way back of `TraceEncoder`.

    Args:
        channels: of a trace.
        bins: of a trace.
        classes: number of class labels, 0 = none.
        conditions: number of float conditions, 0 = none.
        width: feature maps.
        code: channels of the code.

    Example:
        >>> traces = torch.randn(5, 1, 80)
        >>> torch.equal(TraceDecoder()(TraceEncoder()(traces)), traces)
        True
    """

    def __init__(
        self,
        channels: int = 1,
        bins: int = 80,
        classes: int = 0,
        conditions: int = 0,
        width: int = 24,
        code: int = 4,
    ) -> None:
        super().__init__()
        self.channels, self.classes, self.bins = channels, classes, bins
        self.enter = _convolution(code + classes + conditions, 2 * width)
        self.block, self.leave = _Residual(width, 2), silent(_convolution(width, channels))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Traces of codes ``(batch, code, bins / 2)``."""
        hidden = self.block(self._in_time(self.enter(_joined(x, condition, self.classes))))
        found: Tensor = self.leave(functional.leaky_relu(hidden, 0.2))
        return found + self._in_time(x[:, : 2 * self.channels])

    def _in_time(self, halves: Tensor) -> Tensor:
        """Half as many channels of twice as many bins, every other one from the second half of the channels."""
        even, odd = halves.chunk(2, dim=1)
        return torch.stack((even, odd), dim=3).flatten(2)[:, :, : self.bins]
