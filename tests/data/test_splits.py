from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from partigan.data.splits import split_rows, stored_rows
from partigan.errors import PartiganError


def effective(attributes: dict[str, object], samples: int) -> dict[str, tuple[int, int]]:
    return {
        split: stored_rows(attributes, samples, split, Path("a.h5"), "jets") for split in ("train", "valid", "test")
    }


@pytest.mark.parametrize("samples", [7, 10, 13, 200, 3001])
@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"split_train": (0, 0.9)},
        {"split_test": (0, 0.2)},
        {"split_valid": (0.6, 1.0)},
        {"split_valid": (0, 0.2), "split_test": (0.2, 0.4)},
        {"split_train": (0.3, 1.0), "split_valid": (0.0, 0.15)},
    ],
)
def test_effective_splits_never_overlap(stored: dict[str, tuple[float, float]], samples: int) -> None:
    rows = {name: [round(a * samples), round(b * samples)] for name, (a, b) in stored.items()}
    try:
        found = effective(rows, samples)
    except PartiganError as error:
        assert samples < 14
        assert "holds no jets" in str(error)  # noqa: PT017
        return
    used = np.concatenate([np.arange(*pair) for pair in found.values()])
    assert sorted(used) == [*range(samples)]
    for name, pair in rows.items():
        assert found[name.removeprefix("split_")] == tuple(pair)


def test_the_rest_is_divided_as_70_15_15() -> None:
    assert effective({}, 200) == {split: split_rows(200, split) for split in ("train", "valid", "test")}
    assert effective({"split_train": (0, 2700)}, 3000) == {
        "train": (0, 2700),
        "valid": (2700, 2850),
        "test": (2850, 3000),
    }
    found = effective({"split_test": (0, 500)}, 3000)
    assert found == {"train": (500, 2559), "valid": (2559, 3000), "test": (0, 500)}


def test_what_is_left_must_be_one_piece() -> None:
    stored = {"split_train": (10, 20)}
    assert stored_rows(stored, 30, "train", Path("a.h5"), "jets") == (10, 20)
    with pytest.raises(PartiganError, match=r"leave rows 0 to 10 and 20 to 30.* write the attribute split_test, too"):
        stored_rows(stored, 30, "test", Path("a.h5"), "jets")
    with pytest.raises(PartiganError, match="test split is rows 30 to 30 of 30, which holds no jets"):
        stored_rows({"split_train": (0, 20), "split_valid": (20, 30)}, 30, "test", Path("a.h5"), "jets")
    with pytest.raises(PartiganError, match="unknown split 'tset'"):
        stored_rows(stored, 30, "tset", Path("a.h5"), "jets")
