from __future__ import annotations

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.kinds import find
from partigan.metrics.frechet import frechet_distance


def _images(size: int, side: int, seed: int, scale: float = 1.0) -> Batch:
    """Images of three shapes with random strengths."""
    rng = np.random.default_rng(seed)
    shapes = np.random.default_rng(0).normal(size=(3, side * side))
    x = scale * rng.normal(size=(size, 3)) @ shapes
    return Batch(torch.from_numpy(x.reshape(size, 1, side, side)))


def test_the_components_of_many_pixels_are_those_of_few() -> None:
    """With more pixels than images, too, a change of width gives the distance of normal distributions."""
    evaluate = find("images").evaluation.validate
    found = {side: evaluate(_images(200, side, 1), _images(200, side, 2, 2.0))["frechet"] for side in (6, 200)}
    of_normals = frechet_distance(np.zeros(3), np.eye(3), np.zeros(3), 4 * np.eye(3))
    assert list(found.values()) == pytest.approx([of_normals] * 2, rel=0.4)
    same = _images(200, 200, 1)
    assert evaluate(same, same)["frechet"] == pytest.approx(0, abs=1e-6)


def test_occupied_pixels_and_their_mean() -> None:
    x = torch.zeros(2, 1, 4, 5)
    x[0, 0, 1, :4] = torch.tensor([1.0, -2.0, 3.0, 6.0])
    seen = find("images").observables.compute(Batch(x), {})
    assert seen["occupied"].tolist() == [0.2, 0.0]
    assert seen["hit"].tolist() == [2.0, 0.0]
