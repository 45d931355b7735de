"""ParticleNet beside the edge-by-edge network of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from partigan.nets.clouds.particlenet import EdgeConvolution, NormalisedLayer, ParticleNet
from partigan.nets.layers import nearest_neighbours


def edge_by_edge(convolution: EdgeConvolution, jet: Tensor, coordinates: Tensor, k: int) -> Tensor:
    """The convolution of one jet as it is written in the paper, in evaluation mode."""
    rows = []
    for i in range(len(jet)):
        order = (coordinates - coordinates[i]).square().sum(1).argsort().tolist()
        nearest = [j for j in order if j != i][:k]
        h = torch.stack([torch.cat((jet[i], jet[j] - jet[i])) for j in nearest])
        for layer in (convolution.first, *convolution.others):
            assert isinstance(layer, NormalisedLayer)
            norm = layer.norm
            h = functional.linear(h, layer.linear.weight, layer.linear.bias)
            h = functional.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
        rows.append(h.mean(0))
    return torch.stack(rows)


def network() -> ParticleNet:
    torch.manual_seed(1)
    net = ParticleNet(classes=2, widths=(8, 12), neighbours=5, hidden=6).double()
    net(torch.randn(40, 9, 3, dtype=torch.double))  # moves the running means
    return net.eval()


@pytest.mark.parametrize("particles", [2, 4, 6, 20])
def test_it_is_the_network_of_the_paper(particles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partigan.nets.clouds.particlenet.CHUNK", 1000)
    net, jets = network(), torch.randn(7, particles, 3, dtype=torch.double)
    jets[:, -2:] = jets[:, -1:]  # as padding does
    expected = []
    for jet in jets:
        h = jet
        for number, convolution in enumerate(net.convolutions):
            assert isinstance(convolution, EdgeConvolution)
            h = torch.cat((edge_by_edge(convolution, h, h if number else h[:, :2], 5), h), dim=1)
        expected.append(net.hidden(h.mean(0)))
    output = net(jets)
    torch.testing.assert_close(output.features, torch.stack(expected))
    torch.testing.assert_close(output.score, net.out(torch.stack(expected).relu()))


def test_training_normalises_real_edges_only() -> None:
    jets, mask = torch.randn(6, 12, 3), torch.arange(12) < torch.tensor([1, 2, 4, 7, 11, 12])[:, None]
    torch.manual_seed(1)
    layer = EdgeConvolution(3, 4)
    neighbours, valid = nearest_neighbours(jets, 5, mask)
    assert valid is not None
    assert torch.equal(valid.sum(2), torch.where(mask, (mask.sum(1, keepdim=True) - 1).clamp(0, 5), 0))
    out = layer(jets, neighbours, valid)
    edges = torch.stack(
        [torch.cat((jets[b, i], jets[b, neighbours[b, i, n]] - jets[b, i])) for b, i, n in valid.nonzero()]
    )
    h = edges
    for part in (layer.first, *layer.others):
        h = part(h)
    sums = torch.zeros(6, 12, 4)
    for (b, i, _), row in zip(valid.nonzero(), h, strict=True):
        sums[b, i] += row
    torch.testing.assert_close(out, sums / valid.sum(2, keepdim=True).clamp_min(1))
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
