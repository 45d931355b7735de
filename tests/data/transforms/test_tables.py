from __future__ import annotations

import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.transforms.tables import Standardise


def test_features_get_a_standard_deviation_of_1_and_go_back_exactly() -> None:
    rows = Batch(torch.randn(200, 3) * torch.tensor([1.0, 5.0, 0.1]) + 7)
    standard = Standardise()
    standard.fit(rows)
    assert standard.forward(rows).x.std(0).tolist() == pytest.approx([1, 1, 1])
    torch.testing.assert_close(standard.inverse(standard.forward(rows)).x, rows.x)


def test_nothing_generated_leaves_the_range_of_the_training_sample() -> None:
    rows = Batch(torch.randn(200, 3))
    standard = Standardise()
    standard.fit(rows)
    wild = standard.inverse(Batch(1e6 * torch.randn(50, 3))).x
    assert (wild >= rows.x.amin(0) - 1e-5).all()
    assert (wild <= rows.x.amax(0) + 1e-5).all()
