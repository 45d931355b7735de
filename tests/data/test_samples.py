from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds import find


@pytest.mark.parametrize(("name", "shape"), [("rows", (3,)), ("images", (2, 4, 5))], ids=("tables", "images"))
@pytest.mark.parametrize("with_labels", [True, False])
def test_files_give_back_what_was_written(tmp_path: Path, name: str, shape: tuple[int, ...], with_labels: bool) -> None:
    kind = find({"rows": "tables", "images": "images"}[name])
    x = torch.randn(100, *shape)
    condition = torch.arange(100) % 4 if with_labels else torch.randn(100, 2)
    batch = Batch(x, condition=condition, weight=torch.rand(100) - 0.2)
    kind.format.write(tmp_path / "a.h5", [batch[:60], batch[60:]], {"made": "here"}, {"features": ["a", "b", "c"]})
    found = kind.format.read(tmp_path / "a.h5", "all")
    assert torch.equal(found.x, x)
    assert torch.equal(found.condition, condition)
    assert torch.equal(found.weight, batch.weight)
    assert [len(kind.format.read(tmp_path / "a.h5", split)) for split in ("train", "valid", "test")] == [70, 15, 15]
    assert kind.format.attributes(tmp_path / "a.h5") == {"made": "here"}
    arguments = kind.conditions.arguments(found)
    assert (arguments["classes"], arguments["conditions"]) == ((4, 0) if with_labels else (0, 2))
    training, description = kind.format.training(tmp_path / "a.h5"), kind.format.describe(tmp_path / "a.h5")
    state = json.loads(json.dumps(kind.conditions.state(training, description)))
    drawn, mask = kind.conditions.draw(state, 1000, torch.Generator().manual_seed(0))
    assert mask is None
    assert drawn.shape == (1000, *condition.shape[1:])
    assert {*drawn.flatten().tolist()} <= {*condition[:70].flatten().tolist()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.full((9, 2), np.nan)}, r"rows row 0: NaN or infinite values \(6 such rows\)"),
        ({"rows": np.zeros((9, 2, 2))}, r"rows is float64\[9, 2, 2\]; rows with 2 dimensions"),
        ({"other": np.zeros((9, 2))}, r"no dataset 'rows' \(it has other\)"),
        (
            {"rows": np.zeros((9, 2)), "labels": np.zeros(9)},
            r"labels is float64\[9\]; it must be integers of 1 dimensions, one row for each of 9 samples",
        ),
        (
            {"rows": np.zeros((9, 2)), "labels": np.full(9, -1)},
            "labels row 0 is -1; count classes from 0, below 65,536",
        ),
        (
            {"rows": np.zeros((9, 2)), "labels": np.full(9, 2**64 - 1, np.uint64)},
            "labels row 0 is 18446744073709551615",
        ),
        ({"rows": np.zeros((9, 2)), "labels": np.full(9, 2**40)}, "labels row 0 is 1099511627776"),
        ({"rows": np.full((9, 2), 1e300)}, "rows row 0: NaN or infinite values"),
        (
            {"rows": np.zeros((9, 2)), "weights": np.zeros(8)},
            r"weights is float64\[8\]; it must be numbers of 1 dimensions, one row for each of 9 samples",
        ),
        (
            {"rows": np.zeros((9, 2)), "labels": np.zeros(9, int), "conditions": np.zeros((9, 1))},
            "there are labels and conditions",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        for name, values in change.items():
            file[name] = values
    with pytest.raises(PartiganError, match=message):
        find("tables").format.read(tmp_path / "bad.h5", "train")
