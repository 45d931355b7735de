from __future__ import annotations

import torch

from partigan.nets.layers import Range


def test_values_that_a_sample_lacks_are_cut_and_can_be_moved_back() -> None:
    """Without ``inward`` gradients pass as they are; with it, none leads further out."""
    x = torch.tensor([-3.0, -3.0, 0.25, 0.25, 0.5, 0.5, 4.0, 4.0], requires_grad=True)
    slope = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    for inward, expected in ((False, slope), (True, torch.tensor([0.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0]))):
        within = Range(inward)
        assert torch.equal(within(x), x)
        within.set((-1.0, 0.5, 1.0), (0.0, 255.0))
        raw = 1.0 * x
        made = within(raw)
        assert made.tolist() == [-1, -1, -1, -1, 0.5, 0.5, 1, 1]
        assert torch.equal(torch.autograd.grad((made * slope).sum(), x)[0], expected)
        assert torch.equal(within(x.detach()), made.detach())
