"""Histograms do not hide what lies outside their range."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import rng
from partigan.report.distributions import Counts, by_class, compare, images, overlay


def test_shares_outside_the_range_stand_above_the_panel() -> None:
    real, fake = rng(1).normal(size=5000), np.concatenate([rng(2).normal(size=4500), np.full(500, 50.0)])
    top, bottom = compare((real, fake), "x").axes
    assert top.get_title(loc="right") == "% above: real 0.02, gen. 10"
    assert bottom.get_xlim()[1] < 10
    flat = np.linspace(0, 1, 500)
    assert compare((flat, flat), "x").axes[0].get_title(loc="right") == ""


def test_ratios_outside_the_range_are_marked() -> None:
    real = np.repeat(np.arange(10.0), 100)
    bottom = compare((real, np.concatenate([real, np.full(500, 3.0)])), "x", integer=True).axes[1]
    marks = [line.get_xdata() for line in bottom.get_lines() if line.get_marker() == "^"]
    assert [list(x) for x in marks] == [[3.0]]


def test_histograms_are_normalised_to_whole_samples() -> None:
    real, fake = rng(1).normal(size=1000), rng(2).normal(size=1000) + 8
    counts = Counts.of(real, fake, "x")
    assert counts.sizes == (1000, 1000)
    assert sum(counts.generated) < 10
    assert Counts(**counts._asdict()) == counts
    top = overlay({"a": counts, "b": Counts.of(real, real, "x")}).axes[0]
    assert "a 99" in top.get_title(loc="right") or "a 1e+02" in top.get_title(loc="right")


def test_pixels_above_the_scale_have_a_colour_of_their_own() -> None:
    real = np.full((4, 4), 0.5)
    for bright, extend in ((0.5, "neither"), (0.7, "max")):
        figure = images(real, np.where(np.eye(4) > 0, bright, 0.5), (0, 4, 0, 4), ("x", "y", "mean"))
        assert figure.axes[-1]._colorbar.extend == extend  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_few_samples_can_be_drawn(size: int) -> None:
    compare((np.arange(size, dtype=float), np.zeros(size)), "x", log=True)


def test_what_lies_outside_an_image_stands_in_its_title() -> None:
    axes = images(np.ones((2, 2)), np.ones((2, 2)), (0, 2, 0, 2), ("x", "y", "mean"), (0.0, 0.0313)).axes
    assert [axis.get_title() for axis in axes[:2]] == ["real", "generated (3.1 % outside)"]


def test_means_of_classes_with_their_ratio() -> None:
    classes = np.repeat([0.25, 0.75, 1.25], 200)
    real, fake = 2 + 0.1 * rng(1).normal(size=(2, 600))
    figure = by_class((classes, real), (classes[:400], fake[:400] + np.log10(1.2)), "signal", ratio=True, decades=True)
    top, bottom = figure.axes
    assert top.get_yscale() == "log"
    (drawn,) = [container for container in bottom.containers if len(container.lines[0].get_xdata())]
    assert drawn.lines[0].get_xdata().tolist() == [0.25, 0.75]  # classes that both have
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), 1.2, rtol=0.1)
    assert len(by_class((classes, real), (classes, fake), "signal").axes) == 1
