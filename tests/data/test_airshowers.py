"""Files of air showers: those of others, and what no array can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.samples import write_samples
from partigan.data.sources import source
from partigan.errors import PartiganError
from partigan.kinds import find, kind_of

N = 40
Arrays = dict[str, np.ndarray]


def exercise(**changes: Any) -> Arrays:
    """Arrays as in exercise 11.1."""
    rng = np.random.default_rng(0)
    silent = rng.random((N, 9, 9)) < 0.7
    axis = rng.standard_normal((N, 3)) + np.array([0, 0, 5])
    arrays = {
        "signal": np.where(silent, np.nan, 120 + 900 * rng.random((N, 9, 9))),
        "time": np.where(silent, np.nan, 1e-6 * rng.standard_normal((N, 9, 9))),
        "logE": rng.uniform(18.5, 20, N),
        "showeraxis": axis / np.linalg.norm(axis, axis=1, keepdims=True),
        "showercore": rng.standard_normal((N, 3)),
    }
    return {name: values for name, values in (arrays | changes).items() if values is not None}


def tutorial() -> Arrays:
    """Arrays as in exercise 18.2."""
    rng = np.random.default_rng(0)
    return {"shower_maps": 200 * rng.random((N, 9, 9, 1)) * (rng.random((N, 9, 9, 1)) < 0.3)}


def saved(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_the_tutorials_file(tmp_path: Path) -> None:
    arrays = tutorial()
    path = saved(tmp_path / "airshowers.npz", arrays)
    kind = kind_of(path)
    sample = kind.format.read(path, "all")
    assert kind.name == "airshower"
    assert kind.format.count(path) == N
    np.testing.assert_allclose(sample.x.numpy()[:, 0], arrays["shower_maps"][..., 0], rtol=1e-6)
    assert sample.condition is None
    assert kind.format.describe(path)["channels"] == ["signal"]
    logarithms = saved(tmp_path / "log.npz", {"shower_maps": np.log10(1 + arrays["shower_maps"])})
    torch.testing.assert_close(kind.format.read(logarithms, "all").x, sample.x, rtol=1e-4, atol=1e-4)
    assert len(find("airshower-signal").format.read(path, "valid")) == 6


def test_the_exercises_file(tmp_path: Path) -> None:
    arrays = exercise()
    path = saved(tmp_path / "airshowers.npz", arrays)
    kind = kind_of(path)
    sample, described = kind.format.read(path, "all"), kind.format.describe(path)
    hit = np.isfinite(arrays["signal"])
    assert ((sample.x[:, 0] > 0).numpy() == hit).all()
    np.testing.assert_allclose(sample.x.numpy()[:, 1][hit], arrays["time"][hit] * 1e9, rtol=1e-5)
    assert (sample.x.numpy()[:, 1][~hit] == 0).all()
    assert sample.condition is not None
    np.testing.assert_allclose(sample.condition[:, 0], arrays["logE"] - 18, rtol=1e-5)
    np.testing.assert_allclose(np.cos(sample.condition[:, 1].numpy()), arrays["showeraxis"][:, 2], rtol=1e-5)
    assert described["columns"] == {"conditions": {"log_energy": "lg(E/EeV)", "zenith": "rad"}}
    assert described["layout"] == "offset"
    blocks = [*kind.format.blocks(path, 16)]
    assert [len(block) for block in blocks] == [16, 16, 8]
    assert torch.equal(Batch.joined(blocks).x, sample.x)
    assert source(path, kind).drawn(10, 1)[1] == N
    alone = kind.format.read(saved(tmp_path / "alone.npz", exercise(time=None)), "all")
    assert alone.x.shape == (N, 1, 9, 9)
    energies = exercise(logE=None, energy=10 ** (exercise()["logE"] - 18), mass=np.full(N, 4.0))
    other = kind.format.read(saved(tmp_path / "energy.npz", energies), "all").condition
    assert other is not None
    torch.testing.assert_close(other[:, :2], sample.condition)
    assert other[0, 2].item() == pytest.approx(np.log(4))


def _with(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (exercise(signal=None), "has time, logE, showeraxis, showercore; 'shower_maps', or 'signal' and"),
        (exercise(signal=np.ones((N, 81))), r"signal has the shape \[40, 81\]; \(showers, rows, columns\) is needed"),
        (exercise(time=np.ones((N, 9, 8))), r"time has the shape \[40, 9, 8\], \[40, 9, 9\] is needed"),
        (exercise(logE=np.ones(3)), r"logE has the shape \[3\], \[40\] is needed"),
        (exercise(logE=_with(exercise()["logE"], 7, np.nan)), "logE row 7 is NaN, infinite or not above 0"),
        (exercise(mass=_with(np.ones(N), 3, 0.0)), "mass row 3 is NaN, infinite or not above 0"),
        (exercise(time=np.full((N, 9, 9), 1e-6)), "signal and time of row 0 are NaN at different stations"),
        (exercise(signal=np.where(np.isnan(exercise()["signal"]), np.nan, np.inf)), "signal row 0: NaN or infinite"),
        (exercise(signal=-exercise()["signal"]), "40 showers have signals below 0, the first in row 0"),
        ({"shower_maps": _with(tutorial()["shower_maps"], (5, 0, 0, 0), np.nan)}, "shower_maps row 5: NaN or infinite"),
    ],
)
def test_files_that_cannot_be_read(arrays: Arrays, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", arrays)
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(PartiganError, match=message):
        find("airshower").format.read(path, "all")


def test_damaged_files_and_files_of_others(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.npz", exercise()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:5000])
    with pytest.raises(PartiganError, match=r"cut\.npz.*cannot be read as numpy arrays"):
        find("airshower").format.read(tmp_path / "cut.npz", "all")
    saved(tmp_path / "objects.npz", {"signal": np.array([{}], dtype=object)})
    with pytest.raises(PartiganError, match="signal has the shape"):
        find("airshower").format.read(tmp_path / "objects.npz", "all")
    with pytest.raises(PartiganError, match="layout of no kind"):
        kind_of(saved(tmp_path / "b.npz", {"x": np.ones(3)}))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((4, 0, 1, 1), -1.0, "1 showers have signals below 0, the first in row 4"),
        ((4, 1, 0, 0), 5.0, "1 showers have an arrival time at a station without signal, the first in row 4"),
        ((4, 0, 0, 0), float("nan"), "maps row 4: NaN or infinite values"),
    ],
)
def test_maps_that_no_array_has(place: tuple[int, ...], value: float, message: str, tmp_path: Path) -> None:
    maps = torch.zeros(20, 2, 5, 5)
    maps[:, :, 2] = 300.0
    maps[place] = value
    write_samples(tmp_path / "a.h5", "maps", [Batch(maps)], {"channels": ["signal", "time"]})
    with pytest.raises(PartiganError, match=message):
        find("airshower").format.read(tmp_path / "a.h5", "all")
    with pytest.raises(PartiganError, match=message):
        source(maps, find("airshower"))


def test_arrays_in_memory() -> None:
    given = {"x": np.full((50, 9, 9), 300.0), "conditions": np.ones((50, 2))}
    data = source(given, find("airshower"))
    assert data.read("train").x.shape == (35, 1, 9, 9)
    assert data.describe()["columns"] == {"conditions": {"0": "", "1": ""}}
    assert source(given, find("airshower-signal")).read("train").condition is None
    with pytest.raises(PartiganError, match="maps of air showers are"):
        source(np.ones((50, 3, 9, 9)), find("airshower"))
