from __future__ import annotations

import torch

from partigan.data.batch import Batch


def clouds() -> Batch:
    mask = torch.arange(4) < torch.tensor([1, 3, 2])[:, None]
    return Batch(torch.rand(3, 4, 2) * mask[..., None], mask, torch.arange(3), weight=torch.ones(3))


def test_rows_and_devices_of_every_part() -> None:
    batch = clouds()
    part = batch[torch.tensor([2, 0])]
    assert len(part) == 2
    assert part.condition is not None
    assert part.condition.tolist() == [2, 0]
    assert torch.equal(part.x, batch.x[[2, 0]])
    assert part.source is None
    moved = batch[:2].to("meta")
    assert {tensor.device.type for tensor in (moved.x, moved.mask, moved.condition, moved.weight)} == {"meta"}  # type: ignore[union-attr]


def test_padding_that_no_cloud_needs_is_trimmed() -> None:
    batch = clouds()
    assert batch.trimmed().x.shape == (3, 3, 2)
    assert batch[:1].trimmed().x.shape == (1, 1, 2)
    assert batch[:0].trimmed().x.shape == (0, 1, 2)
    table = Batch(torch.rand(3, 4))
    assert table.trimmed() is table


def test_joined_batches_have_all_rows_of_every_part() -> None:
    batch = clouds()
    joined = Batch.joined([batch[:1], batch[1:]])
    for name in ("x", "mask", "condition", "weight"):
        assert torch.equal(getattr(joined, name), getattr(batch, name))
    assert joined.source is None
