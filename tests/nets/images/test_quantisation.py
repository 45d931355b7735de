"""Feature quantisation."""

from __future__ import annotations

import torch

from partigan.nets.images.quantisation import FeatureQuantisation


def test_feature_quantisation_by_hand() -> None:
    torch.manual_seed(4)
    layer = FeatureQuantisation(2, codes=3, decay=0.75).double()
    layer.codes.copy_(torch.tensor([[0.0, 0.0], [4.0, 4.0], [100.0, 0.0]]))
    layer.total.copy_(layer.codes)
    x = torch.tensor([[1.0, 0.0], [5.0, 5.0], [4.0, 5.0], [0.0, 1.0]], dtype=torch.float64).T.reshape(1, 2, 2, 2)
    x.requires_grad_()
    before = layer.codes.clone()
    with torch.no_grad():
        assert torch.equal(layer.eval()(x)[0].flatten(2)[0].T, before[[0, 1, 1, 0]])
    assert torch.equal(layer.codes, before)
    layer.train()(x)
    expected = torch.stack(
        ((0.75 * before[0] + 0.25 * torch.ones(2)) / 1.25, (0.75 * before[1] + 0.25 * torch.tensor([9.0, 10.0])) / 1.25)
    )
    torch.testing.assert_close(layer.codes, torch.cat((expected, before[2:])))
    maps, distance = layer.eval()(x)
    rows = x.flatten(2)[0].T
    torch.testing.assert_close(distance, (rows - layer.codes[[0, 1, 1, 0]]).square().mean().view(1, 1))
    (slope,) = torch.autograd.grad((maps * torch.arange(8).view(1, 2, 2, 2)).sum(), x, retain_graph=True)
    assert torch.equal(slope, torch.arange(8.0).double().view(1, 2, 2, 2))  # straight through
    (slope,) = torch.autograd.grad(distance.sum(), x)
    torch.testing.assert_close(slope.flatten(2)[0].T, (rows - layer.codes[[0, 1, 1, 0]]) / 4)
