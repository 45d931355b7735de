"""Our networks for hitmaps: whole maps without seams, seeds, gate."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from partigan.errors import PartiganError
from partigan.nets.images.hitmap import HitmapGenerator, hit


def _hitmaps(**more: Any) -> HitmapGenerator:
    torch.manual_seed(1)
    options = {"height": 16, "width": 24, "conditions": 5, "whole": (50, 72), "widths": (6, 5, 4, 3)} | more
    generator = HitmapGenerator(1, **options).double()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def _placed(size: int, rate: float) -> Tensor:
    """Conditions of two classes, the first place, and a number of clusters in 1000 pixels."""
    given = torch.tensor([1.0, 0.0, -1.0, -1.0, math.log(rate)]).double().repeat(size, 1)
    given[1::2, :2] = torch.tensor([0.0, 1.0]).double()
    return given


def _inputs(generator: HitmapGenerator, noise: Tensor, given: Tensor, corner: Tensor) -> list[Tensor]:
    """What the levels of 8 and 2 pixels begin with, and the noise of pixels."""
    fixed = torch.cat((given[:, :2], torch.ones_like(given[:, :1])), dim=1)
    levels = generator.split(noise)
    return [*(generator.seeded(levels[n], n, fixed, corner, given[:, -1]) for n in (0, 2)), levels[3]]


def test_hitmaps_of_one_pass_are_those_of_overlapping_windows() -> None:
    generator, (height, width) = _hitmaps(), (16, 24)
    deployed = generator.deployed()
    given = _placed(2, 60.0)
    noise = deployed.noise(2, None, torch.Generator().manual_seed(3)).double()
    whole = deployed(noise, given)
    assert whole.shape == (2, 1, 50, 72)
    assert 0.01 < (whole > -1).double().mean() < 0.9
    inputs = _inputs(deployed, noise, given, torch.zeros(2, 2).double())
    shapes = [shape[1:] for shape in generator.shapes() if shape[0]]
    for u, v in ((0, 0), (8, 16), (16, 24), (32, 48), (24, 40)):
        parts = [
            x[:, :, u // cell : u // cell + rows, v // cell : v // cell + columns]
            for x, cell, (rows, columns) in zip(inputs, (8, 2, 2), shapes, strict=True)
        ]
        part = generator.render({0: parts[0], 2: parts[1]}, parts[2])
        torch.testing.assert_close(part, whole[:, :, u : u + height, v : v + width])
    assert not torch.allclose(part, whole[:, :, 16 : 16 + height, 40 : 40 + width])


def test_whole_hitmaps_have_as_many_seeds_as_expected_inside() -> None:
    generator = _hitmaps(long=0.2)
    for linear in generator.fields.values():
        linear.weight.data.zero_()
    deployed, given = generator.deployed(), _placed(6, 20.0)
    noise = deployed.noise(6, None, torch.Generator().manual_seed(3)).double()
    long, single, _ = _inputs(deployed, noise, given, torch.zeros(6, 2).double())
    pixels = functional.pixel_shuffle(single[:, :4], 2)[:, 0]
    assert (pixels[:, 6:-6, 6:-6] > 0.5).sum((1, 2)).tolist() == [round(50 * 72 * 0.8 * 20 / 1000)] * 6
    assert (pixels > 0.5).sum() == (pixels[:, 6:-6, 6:-6] > 0.5).sum()  # none outside
    assert (single[:, 4:].abs().amax(1) > 0.1).sum() <= 4 * (pixels > 0.5).sum()  # marks are those of seeds
    assert (long[:, 0, :5] > 0.5).sum() == 0

    given = _placed(3000, 20.0)
    given[:, 2:4] = 0.0
    noise = generator.noise(3000, None, torch.Generator().manual_seed(4)).double()
    long, single, _ = _inputs(generator, noise, given, torch.full((3000, 2), 20.0).double())
    assert (single[:, :4] > 0.5).double().mean().item() == pytest.approx(0.8 * 0.02, rel=0.02)
    inside = long[:, 0, 5:-5, 5:-5]
    assert (inside > 0.5).double().mean().item() == pytest.approx(0.2 * 64 * 0.02, rel=0.05)


def test_gate_is_hard_forwards_and_soft_backwards() -> None:
    logit = torch.tensor([-3.0, -0.1, 0.1, 3.0], requires_grad=True)
    gate = hit(logit)
    assert gate.tolist() == [0, 0, 1, 1]
    gate.sum().backward()
    soft = logit.detach().sigmoid()
    torch.testing.assert_close(logit.grad, soft * (1 - soft))
    whole = _hitmaps().deployed()
    x = whole(whole.noise(2, None, torch.Generator().manual_seed(3)).double(), _placed(2, 30.0))
    assert not ((x > -1) & (x < 0)).any()  # the gap below the threshold
    assert (x == -1).any()
    assert (x >= 0).any()
    plain = _hitmaps(gate=False).deployed()
    x = plain(plain.noise(2, None, torch.Generator().manual_seed(3)).double(), _placed(2, 30.0))
    assert ((x > -1) & (x < 0)).any()
    assert x.min() >= -1
    assert x.max() <= 1


def test_hitmaps_larger_than_the_map_are_refused() -> None:
    with pytest.raises(PartiganError, match=r"whole = \(10, 72\) with crops of 16 x 24"):
        _hitmaps(whole=(10, 72))
