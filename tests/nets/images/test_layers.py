"""Layers of image networks beside their formulae."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from partigan.nets.images.layers import (
    Blur,
    ConditionalBatchNorm,
    MinibatchDeviation,
    MinibatchDiscrimination,
    PixelNorm,
    SelfAttention,
    enlarged,
    equalised,
    maker,
    reduced,
)


def test_layers_against_their_formulae() -> None:
    torch.manual_seed(3)
    x = torch.randn(5, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(reduced(enlarged(x, (3, 2)), (3, 2)), x)
    torch.testing.assert_close(PixelNorm()(x).square().mean(1), torch.ones(5, 3, 4).double(), rtol=1e-6, atol=1e-6)
    deviation = x.std(0, unbiased=False).mean()
    torch.testing.assert_close(MinibatchDeviation()(x)[:, 6], deviation.expand(5, 3, 4), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(Blur()(torch.ones(1, 2, 3, 3))[:, :, 1, 1], torch.ones(1, 2))
    assert Blur()(torch.eye(3)[None, None])[0, 0, 1, 1] == pytest.approx((4 + 1 + 1) / 16)

    rows = x[:, :, 0, 0]
    neighbours = MinibatchDiscrimination(6, kernels=2, dimension=3).double()
    points = neighbours.project(rows).view(5, 2, 3)
    for i in range(5):
        close = sum(torch.exp(-(points[i] - points[j]).abs().sum(1)) for j in range(5) if j != i)
        torch.testing.assert_close(neighbours(rows)[i], torch.cat((rows[i], close)))

    layer = equalised(nn.Conv2d(6, 40, 3), rate=0.1).double()
    assert layer.parametrizations.weight.original.std().item() == pytest.approx(10, rel=0.1)
    assert layer.weight.std().item() == pytest.approx((2 / 54) ** 0.5, rel=0.1)

    attention = SelfAttention(6, maker(nn.init.xavier_uniform_)).double()
    assert torch.equal(attention(x), x)  # the gain starts at 0
    attention.gain.data.fill_(2.0)
    key, value = (functional.max_pool2d(part(x), 2, ceil_mode=True) for part in (attention.key, attention.value))
    weights = torch.einsum("nchw,ncij->nhwij", attention.query(x), key).flatten(3).softmax(3).view(5, 3, 4, 2, 2)
    attended = attention.out(torch.einsum("nhwij,ncij->nchw", weights, value))
    torch.testing.assert_close(attention(x), x + 2 * attended)

    norm = ConditionalBatchNorm(6, 2, maker(nn.init.ones_)).double()
    vector = torch.tensor([[1.0, 1.0]] * 5).double()
    torch.testing.assert_close(norm(x, vector), 3 * norm.norm(x) + 2)
    norm.eval()
    torch.testing.assert_close(norm(x, vector), 3 * norm.norm(x) + 2)
