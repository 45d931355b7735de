"""MDMA written out as in the paper: the reference for values and speed of the folded network."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator
from partigan.nets.clouds.mean_field import Activation, MeanFieldBlock, MeanFieldNetwork

Network = TypeVar("Network", MDMAGenerator, MDMACritic)


class UnfoldedBlock(nn.Module):
    """Figure 1 with `nn.MultiheadAttention` on padded particles; it shares no code with the folded chain."""

    def __init__(self, folded: MeanFieldBlock, heads: int, activation: Activation) -> None:
        super().__init__()
        hidden = len(folded.lift.weight)
        self.activation = activation
        self.lift, self.norm, self.lower, self.update = (
            _plain(folded.lift),
            folded.norm,
            _plain(folded.lower),
            _plain(folded.update),
        )
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True, dtype=folded.query.bias.dtype)
        with torch.no_grad():
            layers = (folded.query, folded.key, folded.value)
            self.attention.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
            self.attention.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
            self.attention.out_proj.weight.copy_(folded.merge.weight)
            self.attention.out_proj.bias.copy_(folded.merge.bias)

    def forward(
        self, x: Tensor, mean_field: Tensor, multiplicity: Tensor, ignore: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """New particles and new mean field, without residual connections."""
        lifted = self.lift(self.activation(x))
        query = self.norm(self.lift(self.activation(mean_field)))[:, None]
        attended, _ = self.attention(query, lifted, lifted, key_padding_mask=ignore, need_weights=False)
        mean_field = self.lower(torch.cat((attended[:, 0], multiplicity), dim=-1))
        spread = mean_field[:, None].expand(-1, x.shape[1], -1)
        return self.update(torch.cat((lifted, spread), dim=-1)), mean_field


class UnfoldedNetwork(nn.Module):
    """Embedding, first mean field and unfolded blocks."""

    def __init__(self, folded: MeanFieldNetwork) -> None:
        super().__init__()
        self.features, self.particles, self.embed = folded.features, folded.particles, _plain(folded.embed)
        self.blocks = nn.ModuleList(UnfoldedBlock(block, folded.heads, folded.activation) for block in folded.blocks)
        self.of_particles = folded.activation is functional.gelu

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Particles and mean field after all blocks."""
        x = self.embed(x)
        real = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x.dtype)
        mean_field, multiplicity = (x * real).sum(1) / self.particles, real.sum(1) / self.particles
        for block in self.blocks:
            new, change = block(x, mean_field, multiplicity, None if mask is None else ~mask)
            x, mean_field = (x + new, change) if self.of_particles else (new, mean_field + change)
        return x, mean_field


def _plain(layer: nn.Linear) -> nn.Linear:
    """A linear layer with the same values and no parametrisation."""
    plain = nn.Linear(layer.in_features, layer.out_features, dtype=layer.bias.dtype)
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
        plain.bias.copy_(layer.bias)
    return plain


def unfold(network: Network) -> Network:
    """A copy of the network with unfolded blocks and the same weights."""
    twin = copy.deepcopy(network)
    twin.body = UnfoldedNetwork(network.body)
    return twin
