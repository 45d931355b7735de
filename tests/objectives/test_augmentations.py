from __future__ import annotations

import pytest
import torch

from helpers import toy_batch
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.augmentations import Augmentation, Flip, Shift


@pytest.mark.parametrize("augmentation", [Flip(-1), Flip(-2), Shift(-1, 0.5), Shift(-2, 0.25)])
def test_augmentations_move_pixels_of_some_samples(augmentation: Augmentation) -> None:
    images = Batch(torch.arange(40 * 2 * 4 * 8.0).view(40, 2, 4, 8))
    changed = augmentation(images, torch.Generator().manual_seed(0)).x
    moved = (changed != images.x).flatten(1).any(1)
    assert 10 < moved.sum() <= 40
    assert {*changed[5].flatten().tolist()} <= {*images.x[5].flatten().tolist()}  # no new values
    with pytest.raises(PartiganError, match="cannot change clouds"):
        augmentation(toy_batch(5, 3, masked=True), torch.Generator())


def test_shift_by_hand() -> None:
    rows = Batch(torch.arange(6.0).repeat(50, 1))
    found = {tuple(row) for row in Shift(-1, 0.4)(rows, torch.Generator().manual_seed(0)).x.tolist()}
    assert found == {
        (2, 3, 4, 5, 5, 4),
        (1, 2, 3, 4, 5, 5),
        (0, 1, 2, 3, 4, 5),
        (0, 0, 1, 2, 3, 4),
        (1, 0, 0, 1, 2, 3),
    }
