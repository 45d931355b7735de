from __future__ import annotations

from pathlib import Path

import pytest
import torch

from partigan.data.samples import file_attributes, read_samples
from partigan.errors import PartiganError
from partigan.simulate.digits import simulate_digits


def test_digits_are_images_with_labels_in_an_order_of_the_seed(tmp_path: Path) -> None:
    files = [simulate_digits(tmp_path / f"{name}.h5", seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, same, other = (read_samples(path, "all", "images", 4) for path in files)
    assert first.x.shape == (1797, 1, 8, 8)
    assert (first.x.min(), first.x.max()) == (0, 1)
    assert first.condition is not None
    assert first.condition.unique().tolist() == [*range(10)]
    assert torch.equal(first.x, same.x)
    assert not torch.equal(first.x, other.x)
    assert torch.equal(first.x.sum((0, 1)), other.x.sum((0, 1)))
    assert file_attributes(files[0])["kind"] == "images"
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        simulate_digits(files[0])
