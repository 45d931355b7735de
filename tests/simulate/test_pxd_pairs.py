from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from partigan.data.hitmaps import MAXIMUM, THRESHOLD
from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.simulate.pxd_pairs import FROM_EVENT, simulate_pxd_pairs


def _pairs(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["source"][:], file["images"][:]


@pytest.mark.parametrize("task", ["digitiser", "resolution", "background"])
def test_pairs_show_one_place_before_and_after(task: str, tmp_path: Path) -> None:
    path = simulate_pxd_pairs(task, 410, tmp_path / "pairs.h5", width=64, background=1.0)  # type: ignore[arg-type]
    assert kind_of(path).name == "images"
    before, after = _pairs(path)
    assert before.shape == after.shape == (410, 1, 32, 64)
    assert before.dtype == after.dtype == np.float32
    assert not np.array_equal(after[:10], after[FROM_EVENT:])
    hit = after > 0
    assert (after[hit] == np.floor(after[hit])).all()
    assert after[hit].min() >= THRESHOLD
    assert after.max() <= MAXIMUM
    match task:
        case "digitiser":  # noise of a few ADU and the threshold; saturation above about 155 ADU
            assert (before[hit] > 0).all()
            middle = hit & (before > 20) & (before < 100)
            assert np.abs(after[middle] - before[middle]).mean() < 1.5
            assert (~hit & (before > 0)).sum() > 0.05 * hit.sum()
        case "resolution":
            blocks = before.reshape(410, 16, 2, 32, 2)
            assert (blocks == blocks[:, :, :1, :, :1]).all()
            np.testing.assert_allclose(before.sum((1, 2, 3)), after.sum((1, 2, 3)), rtol=1e-5)
        case _:
            assert (after >= before).all()
            assert (after > 0).mean() == pytest.approx(5 * (before > 0).mean(), rel=0.3)


def test_one_side_alone_and_the_same_again(tmp_path: Path) -> None:
    before, after = _pairs(simulate_pxd_pairs("digitiser", 30, tmp_path / "pairs.h5"))
    for view, expected in (("before", before), ("after", after)):
        path = simulate_pxd_pairs("digitiser", 30, tmp_path / f"{view}.h5", view)  # type: ignore[arg-type]
        with h5py.File(path) as file:
            assert "source" not in file
            assert np.array_equal(file["images"][:], expected)
    assert not np.array_equal(_pairs(simulate_pxd_pairs("digitiser", 30, tmp_path / "b.h5", seed=2))[0], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n = 0; at least one pair"),
        ({"background": 0.0}, r"background = 0\.0; it is above 0"),
        ({"height": 251}, "images of 251 x 32 pixels; sensors have 250 x 768"),
        ({"task": "resolution", "width": 31}, "32 x 31 pixels; coarse ones need multiples of 2"),
        ({"task": "showers"}, "task = 'showers'; there are digitiser, resolution, background"),
        ({"view": "both"}, "view = 'both'; there are pairs, before and after"),
    ],
)
def test_pairs_that_cannot_be(change: dict[str, object], message: str, tmp_path: Path) -> None:
    options: dict[str, object] = {"task": "digitiser", "n": 3, "out": tmp_path / "pairs.h5"} | change
    with pytest.raises(PartiganError, match=message):
        simulate_pxd_pairs(**options)  # type: ignore[arg-type]
    (tmp_path / "pairs.h5").write_text("here")
    with pytest.raises(PartiganError, match="exists"):
        simulate_pxd_pairs("digitiser", 3, tmp_path / "pairs.h5")
