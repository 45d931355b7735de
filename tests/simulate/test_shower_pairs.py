from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.simulate.shower_pairs import AT_ONCE, DEPTHS, READOUT, simulate_shower_pairs


def test_coarse_and_fine_cells_of_the_same_shower(tmp_path: Path) -> None:
    n = AT_ONCE + 20
    path = simulate_shower_pairs(n, tmp_path / "pairs.h5", cells=16, energies="fixed, 20000")
    assert kind_of(path).name == "images"
    with h5py.File(path) as file:
        before, after = file["source"][:], file["images"][:]
    assert before.shape == after.shape == (n, len(DEPTHS), 16, 16)
    assert after[after > 0].min() > READOUT
    blocks = before.reshape(n, len(DEPTHS), 4, 4, 4, 4)
    assert (blocks == blocks[..., :1, :, :1]).all()
    np.testing.assert_allclose(before.sum((2, 3)), after.sum((2, 3)), rtol=1e-5)
    total = after.sum((1, 2, 3))
    assert total.mean() == pytest.approx(20_000, rel=0.1)  # 20 radiation lengths hold it, 6 x 6 cm nearly do
    assert total.std() / total.mean() == pytest.approx(0.2 / 20**0.5, rel=0.3)  # sampling
    assert not np.array_equal(after[:20], after[AT_ONCE:])


def test_one_side_alone(tmp_path: Path) -> None:
    for view, name in (("pairs", "images"), ("pairs", "source"), ("after", "images"), ("before", "images")):
        simulate_shower_pairs(5, tmp_path / f"{view}-{name}.h5", view, cells=8)  # type: ignore[arg-type]
    sides = {}
    for path in tmp_path.glob("*.h5"):
        with h5py.File(path) as file:
            sides[path.stem] = file[path.stem.partition("-")[2]][:]
    assert np.array_equal(sides["pairs-images"], sides["after-images"])
    assert np.array_equal(sides["pairs-source"], sides["before-images"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n = 0; at least one pair"),
        ({"view": "both"}, "view = 'both'; there are pairs"),
        ({"particle": "muon"}, "particle = 'muon'; there are electron, photon, pion"),
        ({"cells": 129}, "cells = 129; there are 1 to 128"),
        ({"cells": 30}, "block = 4; cells = 30 need one that divides them"),
        ({"energies": "log, 5"}, "--energies: the energies 'log, 5'"),
    ],
)
def test_pairs_that_cannot_be(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_shower_pairs(**{"n": 3, "out": tmp_path / "pairs.h5", **change})
    assert not list(tmp_path.iterdir())
