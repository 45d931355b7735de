"""Geometries, and files of the CaloChallenge and of CaloGAN: round trips, order of voxels, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.calorimeter import geometry, parsed
from partigan.data.calorimeter_files import read_showers, write_showers
from partigan.errors import PartiganError
from partigan.kinds import kind_of


def download(path: Path, voxels: int = 368, **changes: Any) -> Path:
    """A file as the CaloChallenge publishes them: two datasets, no attributes."""
    rng = np.random.default_rng(0)
    parts = {
        "incident_energies": 2.0 ** rng.integers(8, 23, (50, 1)),
        "showers": np.where(rng.random((50, voxels)) < 0.3, rng.exponential(50.0, (50, voxels)), 0.0),
    }
    with h5py.File(path, "w") as file:
        for name, values in (parts | changes).items():
            if values is not None:
                file.create_dataset(name, data=values, compression="gzip")
    return path


@pytest.mark.parametrize(
    ("voxels", "name", "sizes"),
    [
        (368, "ds1-photons", [8, 160, 190, 5, 5]),
        (533, "ds1-pions", [8, 100, 100, 5, 150, 160, 10]),
        (6480, "ds2", [144] * 45),
        (40500, "ds3", [900] * 45),
    ],
)
def test_published_binnings(voxels: int, name: str, sizes: list[int]) -> None:
    known = geometry(name)
    assert known.voxels == voxels
    assert [layer.size for layer in known.layers] == sizes


def test_a_download_of_the_challenge_round_trips_exactly(tmp_path: Path) -> None:
    path = download(tmp_path / "dataset_1_photons_1.hdf5")
    kind = kind_of(path)
    assert kind.name == "calorimeter"
    sample = kind.format.read(path, "all")
    kind.format.write(tmp_path / "b.h5", [sample[:20], sample[20:]], {"seed": 1}, kind.format.describe(path))
    with h5py.File(path) as one, h5py.File(tmp_path / "b.h5") as two:
        for name in ("incident_energies", "showers"):
            np.testing.assert_array_equal(one[name][()].astype(np.float32), two[name][()])
            assert two[name].compression == "gzip"
            assert two[name].shape == one[name].shape
    again = kind.format.read(tmp_path / "b.h5", "all")
    assert torch.equal(again.x, sample.x)
    assert again.condition is not None
    assert sample.condition is not None
    assert torch.equal(again.condition, sample.condition)
    assert len(kind.format.read(path, "train")) == 35


def test_calogans_layout_round_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {"layer_0": (3, 96), "layer_1": (12, 12), "layer_2": (12, 6)}
    parts = {name: rng.random((20, *shape)).astype(np.float32) for name, shape in shapes.items()}
    with h5py.File(tmp_path / "eplus.hdf5", "w") as file:
        file["energy"] = rng.uniform(1, 100, (20, 1))
        file["overflow"] = np.zeros((20, 3))
        for name, values in parts.items():
            file[name] = values
    kind = kind_of(tmp_path / "eplus.hdf5")
    sample = kind.format.read(tmp_path / "eplus.hdf5", "all")
    assert sample.x.shape == (20, 504)
    assert sample.condition is not None
    assert 1000 <= sample.condition.min() < sample.condition.max() <= 100_000
    kind.format.write(tmp_path / "b.h5", [sample], {}, kind.format.describe(tmp_path / "eplus.hdf5"))
    with h5py.File(tmp_path / "eplus.hdf5") as one, h5py.File(tmp_path / "b.h5") as two:
        assert {*two} == {"energy", "overflow", *shapes}
        for name in shapes:
            np.testing.assert_array_equal(one[name][()], two[name][()])
        np.testing.assert_allclose(one["energy"][()], two["energy"][()], rtol=2e-7)


def test_the_radius_runs_fastest_and_par04_is_the_reverse() -> None:
    known = geometry("ds2")
    numbers = np.arange(known.voxels).reshape(45, 16, 9)  # layer, angle, radius
    order = known.par04_order().reshape(9, 16, 45)  # r slowest, z fastest
    for layer, angle, radius in ((0, 0, 1), (3, 7, 8), (44, 15, 0)):
        assert order[radius, angle, layer] == numbers[layer, angle, radius]
    cells = known.cells[3]
    assert cells.first == 3 * 144
    assert cells.r[:9].tolist() == pytest.approx([4.65 * (i + 0.5) for i in range(9)])
    assert torch.atan2(cells.phi, cells.eta)[::9].tolist() == pytest.approx(
        [-np.pi + (i + 0.5) * 2 * np.pi / 16 for i in range(16)]
    )
    with pytest.raises(PartiganError, match="Par04's order is one of equal layers"):
        geometry("ds1-photons").par04_order()


def _bad(column: str, row: int, value: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    energies, showers = np.full((50, 1), 512.0), rng.random((50, 368))
    parts = {"incident_energies": energies, "showers": showers}
    parts[column][row, 0] = value
    return parts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"showers": np.ones((50, 367))}, "has 367 voxels, the number of no binning that partigan knows: calogan"),
        ({"incident_energies": None}, "no dataset 'incident_energies' .*showers and incident_energies"),
        ({"showers": None}, "no dataset 'showers'"),
        ({"incident_energies": np.ones((49, 1))}, "one number for each of 50"),
        ({"incident_energies": np.ones((50, 2))}, "one number for each of 50"),
        ({"showers": np.ones((50, 8, 46))}, r"not numbers \(showers, voxels\)"),
        (_bad("incident_energies", 7, np.nan), "incident_energies row 7: NaN or infinite values .1 such"),
        (_bad("incident_energies", 8, -5.0), "incident_energies row 8: an energy that is not above 0"),
        (_bad("showers", 9, -0.1), "showers row 9: energies below 0"),
        (_bad("showers", 10, np.inf), "showers row 10: NaN or infinite energies"),
        ({"impact": np.zeros((50, 3))}, "two numbers for each of 50"),
    ],
)
def test_files_that_hold_no_showers(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = download(tmp_path / "a.hdf5", **changes)
    with pytest.raises(PartiganError, match=message):
        read_showers(path, "all")


def test_a_binning_that_does_not_fit(tmp_path: Path) -> None:
    path = download(tmp_path / "a.hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs["geometry"] = "ds1-pions"
    with pytest.raises(PartiganError, match="has 368 voxels, but the binning that it names, ds1-pions, 533"):
        read_showers(path, "all")
    showers = Batch(torch.zeros(5, 368), condition=torch.ones(5, 1))
    with pytest.raises(PartiganError, match=r"showers have \[368\] voxels, the binning ds2 6480"):
        write_showers(tmp_path / "b.h5", [showers], {}, "ds2")
    assert not (tmp_path / "b.h5").exists()
    format_ = kind_of(download(tmp_path / "c.hdf5")).format
    with pytest.raises(PartiganError, match="need conditions"):
        format_.check(Batch(torch.zeros(5, 368)))
    with pytest.raises(PartiganError, match="no binning"):
        format_.check(Batch(torch.zeros(5, 3), condition=torch.ones(5, 1)))
    weak = Batch(torch.full((5, 368), 1e-9), condition=torch.ones(5, 1))
    assert "are both in MeV" in format_.doubts(weak)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<Bins", "is not XML"),
        ("<Bins/>", "has no tag Bin"),
        ('<Bins><Bin pid="13"/></Bins>', "pid = '13'; there are 11, 22, 211"),
        ('<Bins><Bin pid="11"/></Bins>', "has no layers"),
        ('<Bins><Bin pid="11"><Layer id="3" r_edges="5,1" n_bin_alpha="1"/></Bin></Bins>', "layer 3: r_edges = '5,1'"),
        ('<Bins><Bin pid="11"><Layer r_edges="0,1" n_bin_alpha="0"/></Bin></Bins>', "n_bin_alpha = '0'"),
        ('<Bins><Bin pid="11"><Layer r_edges="0,x"/></Bin></Bins>', "no numbers with commas"),
        (
            '<Bins><Bin pid="11"><Layer x_edges="0,1" y_edges="0,1" dead="1,1"/></Bin></Bins>',
            "dead has 2 numbers; give one for each of 1 rows",
        ),
    ],
)
def test_xml_that_is_no_binning(text: str, message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        parsed(text, "a.xml")
