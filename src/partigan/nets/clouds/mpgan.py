"""MPGAN: generators and critic that pass messages between all pairs of particles.

In one iteration (equations 1 and 2) every particle receives a message from every particle, itself included, and is
updated from the sum of the messages and its old features.

    m_ij = f_e(h_i, h_j)
    h_i' = f_n(sum_j m_ij, h_i)

The first layer of f_e acts on both particles joined. Computed as the sum of a layer on each, it costs n products
instead of n^2, and nothing of size (n^2, 2 h) is built. The rest of f_e runs in chunks of pairs that stay in the cache.
While gradients are recorded, chunks are not kept but computed again in the backward pass, so memory does not grow with
n^2. The plain formulation is kept as a reference in ``benchmarks/padded_mpgan.py``.

References:
    R. Kansal et al., Particle Cloud Generation with Message Passing Generative Adversarial Networks, NeurIPS 2021,
    arXiv:2106.11535, section 4 and appendix E. Where the paper is silent (layer sizes, slopes, noise), the values are
    those of the authors' published weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from partigan.nets.contracts import Critic, CriticOutput, Generator, is_recorded
from partigan.nets.layers import SLOPE, SMALL_NOISE, binarised, dense, dropped, small_noise

Masking = Literal["given", "learned", "separate", "feature"]

CHUNK = 4096  # pairs of particles at a time


class MessagePassing(nn.Module):
    """One iteration of message passing (equations 1 and 2).

    Args:
        inputs: features of a particle.
        outputs: features of an updated particle.
        edge: widths of the layers of f_e.
        node: widths of the hidden layers of f_n, whose last layer is linear.
        distance: f_e also sees the distance |h_i - h_j|, as in an older version of the authors' network.
        dropout: probability that an output of a layer is dropped in training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        edge: Sequence[int] = (96, 160, 192),
        node: Sequence[int] = (256, 256),
        distance: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.inputs, self.distance, self.dropout = inputs, distance, dropout
        self.pair = nn.Linear(2 * inputs + distance, edge[0])
        self.edge = _layers(edge)
        self.node = _layers([edge[-1] + inputs, *node])
        self.out = nn.Linear(node[-1], outputs)

    def forward(self, h: Tensor, weight: Tensor | None) -> Tensor:
        """Updated particles.

        Args:
            h: ``(batch, particles, inputs)``.
            weight: ``(batch, particles)``, factor of the messages that a particle sends: 1 = real, 0 = padding;
                None = all 1.

        Returns:
            ``(batch, particles, outputs)``.
        """
        h = torch.cat((self._messages(h, weight), h), dim=2)
        for layer in self.node:
            h = self._drop(functional.leaky_relu(layer(h), SLOPE))
        return self._drop(self.out(h))

    def _messages(self, h: Tensor, weight: Tensor | None) -> Tensor:
        """Sums of the messages that each particle receives, ``(batch, particles, edge[-1])``."""
        pair, n = self.pair.weight, h.shape[1]
        received = functional.linear(h, pair[:, : self.inputs], self.pair.bias)
        sent = functional.linear(h, pair[:, self.inputs : 2 * self.inputs])
        if is_recorded():
            return self._sums(received, sent, weight, *((h, h) if self.distance else ()))
        jets, step = max(1, CHUNK // (n * n)), n if n * n <= CHUNK else max(1, CHUNK // n)  # receivers at a time
        weights: Sequence[Tensor | None] = [None] * -(-len(h) // jets) if weight is None else weight.split(jets)
        # split, not sliced: the gradient of every slice would be as large as the whole
        groups = zip(received.split(jets), sent.split(jets), weights, h.split(jets), strict=True)
        rows = []
        for receivers, senders, some, particles in groups:
            if some is not None and not some.requires_grad and bool((some == 1).all()):
                some = None  # no padding in these jets: a plain sum is faster
            parts = []
            for to, coordinates in zip(receivers.split(step, 1), particles.split(step, 1), strict=True):
                arguments = (to, senders, some, *((coordinates, particles) if self.distance else ()))
                if torch.is_grad_enabled():
                    dropping = self.training and self.dropout > 0
                    parts.append(checkpoint(self._sums, *arguments, use_reentrant=False, preserve_rng_state=dropping))
                else:
                    parts.append(self._sums(*arguments))
            rows.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
        return torch.cat(rows)

    def _sums(
        self, received: Tensor, sent: Tensor, weight: Tensor | None, to: Tensor | None = None, of: Tensor | None = None
    ) -> Tensor:
        """Sums over the senders of the messages of a chunk, given the first layer's part of each particle."""
        m = received[:, :, None] + sent[:, None]
        if to is not None and of is not None:
            distance = (to[:, :, None] - of[:, None] + 1e-12).norm(dim=-1, keepdim=True)
            m = m + distance * self.pair.weight[:, -1]
        # in place, except where autograd would have to copy a view
        activation = functional.leaky_relu if torch.is_grad_enabled() else functional.leaky_relu_
        m = self._drop(activation(m, SLOPE))
        for layer in self.edge:
            m = self._drop(activation(layer(m), SLOPE))
        return m.sum(2) if weight is None else (weight[:, None, None] @ m).squeeze(2)

    def _drop(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout) if self.training and self.dropout else x


def _both(made: Tensor, weight: Tensor | None) -> Tensor:
    return made if weight is None else made * weight


def _layers(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))


class _MPGenerator(Generator):
    """Shared by both generators: message passing from a latent cloud to features, then tanh."""

    def __init__(
        self,
        features: int,
        particles: int,
        latent: int,
        hidden: int,
        edge: Sequence[int],
        node: Sequence[int],
        iterations: int,
        masking: Masking,
        binary: bool,
        distance: bool,
    ) -> None:
        super().__init__()
        self.particles, self.latent, self.masking, self.binary = particles, latent, masking, binary
        outputs = features + (masking == "feature")
        widths = [latent, *[hidden] * (iterations - 1), outputs]
        self.layers = nn.ModuleList(MessagePassing(a, b, edge, node, distance) for a, b in pairwise(widths))
        if masking in ("learned", "separate"):
            self.mask_network = nn.Sequential(*dense([latent, 64]), nn.Linear(64, 1), nn.Sigmoid())

    def cloud(self, h: Tensor, own: Tensor | None, mask: Tensor | None) -> Tensor:
        """Make particles from a latent cloud.

        Args:
            h: ``(batch, particles, latent)``.
            own: noise of the network that makes masks, shaped like ``h``.
            mask: ``(batch, particles)``.

        Returns:
            ``(batch, particles, features)``; where the network makes the mask, mask - 1/2 is one more feature.
        """
        weight = None if mask is None else mask.to(h.dtype)
        if own is not None:
            weight = _both(self._made(self.mask_network(own))[..., 0], weight)
        for layer in self.layers:
            h = layer(h, weight)
        x = torch.tanh(h)
        if self.masking == "feature":
            x = torch.cat((x[..., :-1], self._made((x[..., -1:] + 1) / 2) - 0.5), dim=2)
        elif own is not None and weight is not None:
            x = torch.cat((x, weight[..., None] - 0.5), dim=2)
        return x if mask is None else x * mask[..., None]

    def _made(self, mask: Tensor) -> Tensor:
        return binarised(mask) if self.binary else mask


class MPGenerator(_MPGenerator):
    """MP generator: noise for each particle.

    Args:
        features: features of a particle.
        particles: largest number of particles.
        latent: dimension of the noise of a particle.
        hidden: features of a particle between iterations.
        edge: widths of the layers of f_e.
        node: widths of the hidden layers of f_n.
        iterations: of message passing.
        masking: where the mask comes from (appendix E).
            ``given``: from the number of particles, drawn from data; the particles with the smallest first noise
            feature are real. ``learned``: a network makes it from the noise of each particle, and it weights messages.
            ``separate``: the same, from separate noise. ``feature``: the mask is one more feature of the output.
            The last three need `JetNetScale` with ``padding: feature`` and a critic with ``mask_feature``. No mask at
            all needs ``padding: particles``; its ``cut`` is the manual strategy, a cut in pt.
        binary: round masks that the network makes to 0 or 1; gradients pass as if they were not rounded.
        distance: messages see the distance of the particles, as in an older version of the authors' network.

    References:
        arXiv:2106.11535, section 4.

    Example:
        >>> generator = MPGenerator(particles=30)
        >>> mask = torch.arange(30).expand(8, 30) < 20
        >>> generator(generator.noise(8, mask, torch.Generator()), mask=mask).shape
        torch.Size([8, 30, 3])
    """

    normal = None  # sorted
    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 32,
        hidden: int = 32,
        edge: Sequence[int] = (96, 160, 192),
        node: Sequence[int] = (256, 256),
        iterations: int = 2,
        masking: Masking = "given",
        binary: bool = True,
        distance: bool = False,
    ) -> None:
        super().__init__(features, particles, latent, hidden, edge, node, iterations, masking, binary, distance)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, particles, latent)``, or twice the latent where masks have separate noise.

        With a mask, noise is drawn for all particles, sorted by its first feature and cut to the width of the mask, so
        that the real particles, which come first, have the smallest values.
        """
        width = self.latent * (2 if self.masking == "separate" else 1)
        noise = small_noise(size, self.particles, width, rng=rng)
        return noise if mask is None else _sorted(noise)[:, : mask.shape[1]]

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``, one more feature with a learned mask; no ``condition``."""
        own = {"learned": noise, "separate": noise[..., self.latent :]}.get(self.masking)
        return self.cloud(noise[..., : self.latent], own, mask)


class MPLFCGenerator(_MPGenerator):
    """MP-LFC generator: a linear layer makes a latent cloud from one vector of noise.

    Args:
        features: features of a particle.
        particles: largest number of particles.
        noise_size: dimension of the noise of a jet.
        latent: dimension of a particle of the latent cloud.
        hidden: features of a particle between iterations.
        edge: widths of the layers of f_e.
        node: widths of the hidden layers of f_n.
        iterations: of message passing.
        masking: ``given``: the particles with the smallest first latent feature are real; others as in `MPGenerator`.
        binary: round masks that the network makes to 0 or 1.

    References:
        arXiv:2106.11535, section 4.

    Example:
        >>> generator = MPLFCGenerator(iterations=1)
        >>> generator(generator.noise(2, None, torch.Generator())).shape
        torch.Size([2, 30, 3])
    """

    normal = SMALL_NOISE
    equivariant: ClassVar[bool] = False
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        noise_size: int = 128,
        latent: int = 32,
        hidden: int = 32,
        edge: Sequence[int] = (96, 160, 192),
        node: Sequence[int] = (256, 256),
        iterations: int = 2,
        masking: Literal["given", "learned", "feature"] = "given",
        binary: bool = True,
    ) -> None:
        super().__init__(features, particles, latent, hidden, edge, node, iterations, masking, binary, False)
        self.noise_size = noise_size
        self.lift = nn.Linear(noise_size, particles * latent)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Normal with width 0.2, ``(size, noise_size)``."""
        return small_noise(size, self.noise_size, rng=rng)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``, as many as ``mask`` is wide; ``condition`` is not used."""
        h = self.lift(noise).unflatten(1, (self.particles, self.latent))
        if mask is not None:
            h = _sorted(h)[:, : mask.shape[1]]
        return self.cloud(h, h if self.masking == "learned" else None, mask)


def _sorted(particles: Tensor) -> Tensor:
    """Particles in increasing order of their first feature."""
    order = particles[..., 0].argsort(dim=1)
    return particles.gather(1, order[..., None].expand_as(particles))


class MPCritic(Critic):
    """MP critic: message passing, the mean over real particles, one linear layer; the features are the mean.

    Args:
        features: features of a particle.
        hidden: features of a particle after each iteration.
        edge: widths of the layers of f_e.
        node: widths of the hidden layers of f_n.
        iterations: of message passing.
        dropout: probability that an output of a layer is dropped in training.
        mask_feature: mask - 1/2 is a last feature of particles; it weights messages and mean.

    References:
        arXiv:2106.11535, section 4.

    Example:
        >>> MPCritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        hidden: int = 32,
        edge: Sequence[int] = (96, 160, 192),
        node: Sequence[int] = (256, 256),
        iterations: int = 2,
        dropout: float = 0.5,
        mask_feature: bool = False,
    ) -> None:
        super().__init__()
        self.mask_feature = mask_feature
        widths = [features + mask_feature, *[hidden] * iterations]
        self.layers = nn.ModuleList(MessagePassing(a, b, edge, node, dropout=dropout) for a, b in pairwise(widths))
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and mean particle ``(batch, hidden)``; ``condition`` is not used."""
        weight = None if mask is None else mask.to(x.dtype)
        if self.mask_feature:
            weight = _both((x[..., -1] + 0.5).clamp(0, 1), weight)
        for layer in self.layers:
            x = layer(x, weight)
        if weight is None:
            mean = x.mean(1)
        else:
            mean = (x * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1)
        return CriticOutput(self.head(mean), mean)
