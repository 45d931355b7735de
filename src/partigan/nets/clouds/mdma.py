"""MDMA: generator and critic around one mean-field token, linear in the number of particles.

The particles of a jet exchange information only through one token, the mean field, which attends to them. With a
single query per head, linear maps fold and nothing of size (particles, hidden) is built (``a`` are the activated
particles, ``W`` the layer that lifts them to the hidden dimension):

    attention score   q . K (W a)              = (W^T K^T q) . a
    weighted values   sum_i w_i V (W a_i)      = V W (sum_i w_i a_i)
    particle update   U [W a, m]               = (U_x W) a + U_m m

Attention, values and update act on ``a`` in the small latent dimension. Outputs and gradients equal those of the
unfolded network, kept as a reference in ``benchmarks/unfolded_mdma.py``.

References:
    B. Käch, I.-A. Melzer-Pellmann, Attention to Mean-Fields for Particle Cloud Generation, arXiv:2305.15254,
    section 3 and figure 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.contracts import Critic, CriticOutput, Generator
from partigan.nets.layers import weight_normalised

Activation = Callable[[Tensor], Tensor]
Linear = Callable[[int, int], nn.Linear]


class MeanFieldBlock(nn.Module):
    """The building block of figure 1, folded.

    Particles and mean field pass the same activation and lifting layer. The layer-normalised mean field attends to the
    particles and, with the multiplicity, is mapped back to the latent dimension. Every particle is then updated from
    itself and the new mean field. The activation comes *before* the shared lifting layer, as in the authors' published
    code; figure 1 draws it after.

    Args:
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet; a multiple of ``heads``.
        heads: attention heads.
        linear: makes a linear layer, given the numbers of inputs and outputs.
        activation: applied to particles and mean field at the start.
    """

    def __init__(self, latent: int, hidden: int, heads: int, linear: Linear, activation: Activation) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.lift = linear(latent, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.query = linear(hidden, hidden)
        self.key = linear(hidden, hidden)
        self.value = linear(hidden, hidden)
        self.merge = linear(hidden, hidden)
        self.lower = linear(hidden + 1, latent)
        self.update = linear(hidden + latent, latent)

    def forward(
        self,
        x: Tensor,
        mean_field: Tensor,
        multiplicity: Tensor,
        padding: Tensor | None,
        residual: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One exchange between particles and mean field.

        Args:
            x: ``(batch, particles, latent)``.
            mean_field: ``(batch, latent)``.
            multiplicity: ``(batch, 1)``, scaled.
            padding: ``(batch, particles, 1)``, 0 for real particles and -inf for padding; None = all real.
            residual: shaped like ``x``, added to the new particles, overwritten where no gradients are recorded;
                None = nothing.

        Returns:
            New particles and new mean field, shaped like the old ones.
        """
        heads, batch = self.heads, len(x)
        lift, lift_bias = self.lift.weight, self.lift.bias
        hidden, latent = lift.shape
        depth = hidden // heads
        active = self.activation(x)

        query = self.query(self.norm(self.lift(self.activation(mean_field)))) * depth**-0.5
        # (heads, depth, latent): keys of each head in the latent space; their bias cancels in the softmax
        key = (self.key.weight @ lift).view(heads, depth, latent)
        probe = torch.bmm(query.view(batch, heads, depth).transpose(0, 1), key)  # (heads, batch, latent)
        scores = torch.bmm(active, probe.permute(1, 2, 0))  # (batch, particles, heads)
        if padding is not None:
            scores.add_(padding)
        pooled = torch.bmm(scores.softmax(1).transpose(1, 2), active)  # (batch, heads, latent)
        value_weight = self.value.weight
        value = (value_weight @ lift).view(heads, depth, latent)
        value_bias = value_weight @ lift_bias + self.value.bias
        values = torch.bmm(pooled.transpose(0, 1), value.transpose(1, 2))  # (heads, batch, depth)
        attended = self.merge(values.transpose(0, 1).reshape(batch, hidden) + value_bias)
        mean_field = self.lower(torch.cat((attended, multiplicity), dim=1))

        update = self.update.weight
        from_x, from_field = update[:, :hidden], update[:, hidden:]
        shift = torch.addmm(from_x @ lift_bias + self.update.bias, mean_field, from_field.t())
        flat, weight = active.reshape(-1, latent), (from_x @ lift).t()
        if residual is None:
            new = flat @ weight
        elif torch.is_grad_enabled():
            new = torch.addmm(residual.view(-1, latent), flat, weight)
        else:
            new = residual.view(-1, latent).addmm_(flat, weight)
        new = new.view(x.shape)  # in place, a change of a view has a backward pass of three copies
        return new + shift[:, None] if torch.is_grad_enabled() else new.add_(shift[:, None]), mean_field


class _MeanFieldNetwork(nn.Module):
    """Shared by generator and critic: the embedding, the blocks and the first mean field."""

    def __init__(
        self,
        features: int,
        particles: int,
        latent: int,
        hidden: int,
        heads: int,
        blocks: int,
        linear: Linear,
        activation: Activation,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise PartiganError(f"hidden = {hidden}; give a multiple of heads = {heads}")
        self.features, self.particles = features, particles
        self.embed = linear(features, latent)
        self.blocks = nn.ModuleList(MeanFieldBlock(latent, hidden, heads, linear, activation) for _ in range(blocks))

    def start(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Embedded particles, mean field = their sum over a constant, scaled multiplicity, padding scores."""
        x = self.embed(x)
        if mask is None:
            multiplicity = x.new_full((len(x), 1), x.shape[1])
            total, padding = x.sum(1), None
        else:
            real = mask[..., None].to(x.dtype)
            multiplicity = real.sum(1)
            total = (x * real).sum(1)
            padding = torch.zeros_like(real).masked_fill(~mask[..., None], -torch.inf)
        return x, total / self.particles, multiplicity / self.particles, padding


class MDMAGenerator(Generator):
    """Generator of MDMA: residual connections between the particles before and after a block, GELU.

    The defaults give the paper's 87k parameters (85,235); the configuration in the authors' published code has
    111,555.

    Args:
        features: features of a particle, and of its noise.
        particles: largest number of particles, the constant that scales sum and multiplicity.
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet.
        heads: attention heads.
        blocks: number of blocks.

    References:
        arXiv:2305.15254, section 3.

    Example:
        >>> generator = MDMAGenerator(particles=30)
        >>> mask = torch.ones(8, 30, dtype=torch.bool)
        >>> generator(generator.noise(8, mask, torch.Generator()), mask=mask).shape
        torch.Size([8, 30, 3])
    """

    equivariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 16,
        hidden: int = 48,
        heads: int = 16,
        blocks: int = 7,
    ) -> None:
        super().__init__()
        self.body = _MeanFieldNetwork(features, particles, latent, hidden, heads, blocks, nn.Linear, functional.gelu)
        self.out = nn.Linear(latent, features)

    def noise(self, size: int, mask: Tensor | None, rng: torch.Generator) -> Tensor:
        """Standard normal, ``(size, particles, features)``; as many particles as ``mask`` is wide."""
        width = self.body.particles if mask is None else mask.shape[1]
        return torch.randn(size, width, self.body.features, generator=rng, device=rng.device)

    def forward(self, noise: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Particles ``(batch, particles, features)``; ``condition`` is not used."""
        x, mean_field, multiplicity, padding = self.body.start(noise, mask)
        for block in self.body.blocks:
            x, mean_field = block(x, mean_field, multiplicity, padding, residual=x)
        particles: Tensor = self.out(x)
        return particles if mask is None else particles * mask[..., None]


class MDMACritic(Critic):
    """Critic of MDMA: residual connections between mean fields, weight-normalised layers, LeakyReLU 0.01.

    The defaults give the paper's 43k parameters (42,418); the features are the last mean field.

    Args:
        features: features of a particle.
        particles: largest number of particles, the constant that scales sum and multiplicity.
        latent: dimension l of a particle between blocks.
        hidden: dimension h in which particles and mean field meet, and of the two-layer head.
        heads: attention heads.
        blocks: number of blocks.

    References:
        arXiv:2305.15254, section 3; weight normalisation in critics: S. Xiang, H. Li, arXiv:1704.03971.

    Example:
        >>> MDMACritic()(torch.randn(8, 30, 3)).score.shape
        torch.Size([8, 1])
    """

    invariant: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(
        self,
        features: int = 3,
        particles: int = 30,
        latent: int = 16,
        hidden: int = 64,
        heads: int = 16,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.body = _MeanFieldNetwork(
            features, particles, latent, hidden, heads, blocks, weight_normalised, functional.leaky_relu
        )
        self.head = nn.Sequential(weight_normalised(latent, hidden), nn.LeakyReLU(0.01), weight_normalised(hidden, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None, mask: Tensor | None = None) -> CriticOutput:
        """Score ``(batch, 1)`` and last mean field ``(batch, latent)``; ``condition`` is not used."""
        x, mean_field, multiplicity, padding = self.body.start(x, mask)
        for block in self.body.blocks:
            x, change = block(x, mean_field, multiplicity, padding)
            mean_field = mean_field + change
        return CriticOutput(self.head(mean_field), mean_field)
