"""MPGAN written out as in the paper: the reference for values and speed of the chunked network."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from partigan.nets.clouds.mpgan import MessagePassing, MPCritic, MPGenerator, MPLFCGenerator
from partigan.nets.layers import SLOPE

Network = TypeVar("Network", MPGenerator, MPLFCGenerator, MPCritic)


class PaddedMessagePassing(nn.Module):
    """Equations 1 and 2 on all pairs of padded particles, joined and kept for the backward pass."""

    def __init__(self, layer: MessagePassing) -> None:
        super().__init__()
        self.edge = nn.ModuleList([layer.pair, *layer.edge])
        self.node, self.out, self.distance, self.drop = layer.node, layer.out, layer.distance, nn.Dropout(layer.dropout)

    def forward(self, h: Tensor, weight: Tensor | None) -> Tensor:
        """Updated particles, see `MessagePassing`."""
        n = h.shape[1]
        receiver, sender = h[:, :, None].expand(-1, n, n, -1), h[:, None].expand(-1, n, n, -1)
        parts = [receiver, sender]
        if self.distance:
            parts.append((receiver - sender + 1e-12).norm(dim=-1, keepdim=True))
        m = torch.cat(parts, dim=-1)
        for layer in self.edge:
            m = self.drop(functional.leaky_relu(layer(m), SLOPE))
        if weight is not None:
            m = m * weight[:, None, :, None]
        h = torch.cat((m.sum(2), h), dim=-1)
        for layer in self.node:
            h = self.drop(functional.leaky_relu(layer(h), SLOPE))
        return self.drop(self.out(h))


def padded(network: Network) -> Network:
    """A copy of the network with message passing written out."""
    twin = copy.deepcopy(network)
    twin.layers = nn.ModuleList(PaddedMessagePassing(layer) for layer in twin.layers)  # type: ignore[arg-type]
    return twin
