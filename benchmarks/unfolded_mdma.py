"""MDMA written out as in the paper: the reference for values and speed of the folded network."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from partigan.nets.clouds.mdma import MDMACritic, MDMAGenerator, MeanFieldBlock

Network = TypeVar("Network", MDMAGenerator, MDMACritic)


class UnfoldedBlock(nn.Module):
    """Figure 1 with `nn.MultiheadAttention` on padded particles; it shares no code with the folded block."""

    def __init__(self, folded: MeanFieldBlock) -> None:
        super().__init__()
        hidden = len(folded.lift.weight)
        self.activation = folded.activation
        self.lift, self.norm, self.lower, self.update = (
            _plain(folded.lift),
            folded.norm,
            _plain(folded.lower),
            _plain(folded.update),
        )
        self.attention = nn.MultiheadAttention(hidden, folded.heads, batch_first=True, dtype=folded.query.bias.dtype)
        with torch.no_grad():
            layers = (folded.query, folded.key, folded.value)
            self.attention.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
            self.attention.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
            self.attention.out_proj.weight.copy_(folded.merge.weight)
            self.attention.out_proj.bias.copy_(folded.merge.bias)

    def forward(
        self,
        x: Tensor,
        mean_field: Tensor,
        multiplicity: Tensor,
        padding: Tensor | None,
        residual: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """New particles and new mean field, see `MeanFieldBlock`."""
        lifted = self.lift(self.activation(x))
        query = self.norm(self.lift(self.activation(mean_field)))[:, None]
        ignore = None if padding is None else padding[..., 0] < 0
        attended, _ = self.attention(query, lifted, lifted, key_padding_mask=ignore, need_weights=False)
        mean_field = self.lower(torch.cat((attended[:, 0], multiplicity), dim=-1))
        spread = mean_field[:, None].expand(-1, x.shape[1], -1)
        new = self.update(torch.cat((lifted, spread), dim=-1))
        return new if residual is None else new + residual, mean_field


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
    twin.body.blocks = nn.ModuleList(UnfoldedBlock(block) for block in network.body.blocks)
    return twin
