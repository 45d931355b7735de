"""Single samples, few as they may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import rng
from partigan.data.batch import Batch
from partigan.metrics.memorisation import memorisation
from partigan.report.samples import Blind, mosaic, neighbours, random_rows
from partigan.report.style import png

pytestmark = pytest.mark.drawn


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_samples_are_drawn_where_there_are_few(size: int) -> None:
    x = torch.randn(size, 4, 3, generator=torch.Generator().manual_seed(1))
    clouds = Batch(x, torch.ones(size, 4, dtype=torch.bool))
    shown = random_rows(clouds, 8, rng())
    assert len(shown) == min(size, 8)
    assert png(mosaic(shown, [""] * 8)).startswith(b"\x89PNG")
    blind = Blind.of(clouds, clouds, rng())
    assert len(blind.samples) == 2 * min(size, 8)
    assert len(blind.key) == min(size, 8)


def test_nearest_samples_stand_above_each_other() -> None:
    samples = [torch.randn(size, 3, generator=torch.Generator().manual_seed(size)) for size in (30, 40, 50)]
    found = memorisation(*samples, rng=rng())
    axes = neighbours(found, Batch(samples[2]), Batch(samples[0])).axes
    assert axes[0].get_title().startswith("generated, ratio")
    assert axes[len(axes) // 2].get_title() == "training"


def test_single_hits_of_large_maps_are_seen_in_pictures() -> None:
    x = torch.zeros(2, 1, 250, 768)
    x[1, 0, 249, 767] = 50.0
    figure = mosaic(Batch(x), ["", ""])
    shown = [axis.get_images()[0] for axis in figure.axes if axis.get_images()]
    assert [image.get_array().max() for image in shown] == [0, 50]
    assert max(shown[0].get_array().shape) <= 400
    assert shown[0].norm(np.array([10.0]))[0] > 0.4  # of 50


def test_images_that_span_decades_have_a_logarithmic_scale() -> None:
    images = torch.zeros(2, 1, 9, 9)
    images[:, 0, 4, 4], images[:, 0, 4, 5], images[1, 0, 0, 0] = 1e7, 200.0, 30.0
    for scale, wanted in ((1.0, "LogNorm"), (0.0, "PowerNorm")):
        shown = images if scale else images.clamp_max(1000)
        (image,) = mosaic(Batch(shown), ["a", "b"]).axes[0].images
        assert type(image.norm).__name__ == wanted
