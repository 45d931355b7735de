from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from helpers import toy_jets
from partigan.data.jets import mean_pt, read_jets, write_jets
from partigan.errors import PartiganError


@pytest.mark.parametrize("particles", [30, 150])
def test_what_is_written_is_read(tmp_path: Path, particles: int) -> None:
    clouds, jets = toy_jets(50, particles)
    write_jets(tmp_path / "a.h5", [(clouds[:20], jets[:20]), (clouds[20:], jets[20:])], {"flavour": "t"})
    table = read_jets(tmp_path / "a.h5")
    np.testing.assert_array_equal(table.particles, clouds)
    np.testing.assert_array_equal(table.jets, jets)
    assert table.attributes["flavour"] == "t"
    assert table.batch().x.shape == (50, particles, 3)


def test_a_plain_jetnet_file_without_attributes_is_split_70_15_15(tmp_path: Path) -> None:
    clouds, jets = toy_jets(200)
    with h5py.File(tmp_path / "g.hdf5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds, jets
    parts = [read_jets(tmp_path / "g.hdf5", split) for split in ("train", "valid", "test")]
    assert [len(part.jets) for part in parts] == [140, 30, 30]
    np.testing.assert_array_equal(np.concatenate([part.particles for part in parts]), clouds)


def test_stored_split_rows_are_obeyed(tmp_path: Path) -> None:
    clouds, jets = toy_jets(20)
    write_jets(tmp_path / "a.h5", [(clouds, jets)], {"split_train": (0, 5), "split_test": (5, 20)})
    assert len(read_jets(tmp_path / "a.h5", "train").jets) == 5
    assert len(read_jets(tmp_path / "a.h5", "test").jets) == 15


def test_padding_in_front_is_moved_to_the_end(tmp_path: Path) -> None:
    clouds, jets = toy_jets(5)
    write_jets(tmp_path / "a.h5", [(clouds[:, ::-1], jets)], {})
    mask = read_jets(tmp_path / "a.h5").batch().mask
    assert mask is not None
    assert (mask[:, :-1] >= mask[:, 1:]).all()


def _break(clouds: np.ndarray, what: str) -> None:
    """Damage jet 3 (the fourth row)."""
    if what == "nan":
        clouds[3, 0, 0] = np.nan
    elif what == "negative pt":
        clouds[3, 0, 2] = -0.1
    elif what == "mask value":
        clouds[3, 0, 3] = 0.3
    elif what == "real without pt":
        clouds[3, 0, 2] = 0
    elif what == "padded with values":
        clouds[3, 0, 3] = 0
    elif what == "no particles":
        clouds[3] = 0
    elif what == "pt":
        clouds[3, 0, 2] = 1e30
    elif what == "phi":
        clouds[3, 0, 1] = 50
    elif what == "eta":
        clouds[3, 1, 0] = -90


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "row 3: NaN"),
        ("negative pt", "row 3: negative pt_rel"),
        ("mask value", "row 3: a mask that is neither 0 nor 1"),
        ("real without pt", "row 3: a real particle"),
        ("padded with values", "row 3: a padded particle"),
        ("no particles", "row 3: a jet of no particles"),
        ("pt", "row 3: pt_rel beyond 10000"),
        ("phi", "row 3: phi_rel beyond 20"),
        ("eta", "row 3: eta_rel beyond 20"),
    ],
)
def test_bad_rows_are_refused_with_file_dataset_and_row(tmp_path: Path, what: str, message: str) -> None:
    clouds, jets = toy_jets(10)
    _break(clouds, what)
    write_jets(tmp_path / "bad.h5", [(clouds, jets)], {})
    with pytest.raises(PartiganError, match=rf"bad\.h5: particle_features {message}"):
        read_jets(tmp_path / "bad.h5")


def test_bad_rows_are_counted_from_the_start_of_the_file(tmp_path: Path) -> None:
    clouds, jets = toy_jets(100)
    clouds[90, 0, 0] = np.inf
    write_jets(tmp_path / "bad.h5", [(clouds, jets)], {})
    with pytest.raises(PartiganError, match="row 90"):
        read_jets(tmp_path / "bad.h5", "test")


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.0])
def test_bad_jet_features_are_refused(tmp_path: Path, value: float) -> None:
    clouds, jets = toy_jets(10)
    jets[4, 0] = value
    write_jets(tmp_path / "bad.h5", [(clouds, jets)], {})
    with pytest.raises(PartiganError, match=r"bad\.h5: jet_features row 4: NaN, infinite values or pt not above 0"):
        read_jets(tmp_path / "bad.h5")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"split_train": (0, 6), "split_test": (5, 10)}, r"train \(0, 6\) and test \(5, 10\) share jets"),
        ({"split_train": 5}, "the attribute split_train is 5"),
        ({"split_train": (5, 5)}, "holds no jets"),
    ],
)
def test_bad_splits_are_refused(tmp_path: Path, stored: dict[str, object], message: str) -> None:
    write_jets(tmp_path / "bad.h5", [toy_jets(10)], stored)
    with pytest.raises(PartiganError, match=message):
        read_jets(tmp_path / "bad.h5", "train")


def test_files_that_are_no_jets_are_refused(tmp_path: Path) -> None:
    def refused(match: str, name: str) -> None:
        with pytest.raises(PartiganError, match=match):
            read_jets(tmp_path / name)

    refused("does not exist", "missing.h5")
    (tmp_path / "text.h5").write_text("not a file of jets")
    refused("not an HDF5 file", "text.h5")
    clouds, jets = toy_jets(2000)
    write_jets(tmp_path / "whole.h5", [(clouds, jets)], {})
    content = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    refused("truncated", "cut.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["showers"] = clouds
    refused("no dataset 'particle_features'.*showers", "other.h5")
    with h5py.File(tmp_path / "shape.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds[..., :3], jets
    refused(r"particle_features is float32\[2000, 30, 3\]", "shape.h5")
    with h5py.File(tmp_path / "lengths.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds, jets[:-1]
    refused("2000 jets and jet_features 1999", "lengths.h5")
    with h5py.File(tmp_path / "order.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds, jets
        file["particle_features"].attrs["features"] = ["pt_rel", "eta_rel", "phi_rel", "mask"]
    refused("has the features pt_rel, eta_rel, phi_rel, mask", "order.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds[:0], jets[:0]
    refused("holds no jets", "empty.h5")
    with pytest.raises(PartiganError, match="unknown split 'tset'"):
        read_jets(tmp_path / "whole.h5", "tset")


def test_negative_values_in_padding_are_padding_that_is_not_zero(tmp_path: Path) -> None:
    clouds, jets = toy_jets(10)
    clouds[3, -1] = [0, 0, -0.1, 0]
    write_jets(tmp_path / "bad.h5", [(clouds, jets)], {})
    with pytest.raises(PartiganError, match=r"row 3: a padded particle \(mask 0\) that is not zero"):
        read_jets(tmp_path / "bad.h5")


def test_angles_are_periodic(tmp_path: Path) -> None:
    clouds, jets = toy_jets(10)
    turned = clouds.copy()
    turned[3, 0, 1] += 2 * np.pi
    turned[4, 1, 1] -= 4 * np.pi
    turned[5, 0, 1] = clouds[5, 0, 1] = np.float32(np.pi)
    write_jets(tmp_path / "a.h5", [(turned, jets)], {})
    np.testing.assert_allclose(read_jets(tmp_path / "a.h5").particles, clouds, atol=1e-6)
    turned[6, 0, 1] = np.inf
    write_jets(tmp_path / "a.h5", [(turned, jets)], {})
    assert read_jets(tmp_path / "a.h5", finite=False).particles[6, 0, 1] == np.inf


def test_absolute_coordinates_are_refused(tmp_path: Path) -> None:
    clouds, jets = toy_jets(10)
    clouds[..., 2] *= 900
    write_jets(tmp_path / "a.h5", [(clouds, jets)], {})
    with pytest.raises(
        PartiganError, match=r"pt_rel sums to 8\d\d\.?\d* in the median jet.*looks like pt in GeV: divide it by"
    ):
        read_jets(tmp_path / "a.h5")
    assert len(read_jets(tmp_path / "a.h5", finite=False).jets) == 10  # a generator may be that bad


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["ptrel", "etarel", "phirel", "mask"], "in this order: reorder the last axis"),
        (["px", "py", "pz", "E"], "take others out, and rename"),
        (["etarel", "phirel", "ptrel", "mask", "charge"], "take others out, and rename"),
    ],
)
def test_the_remedy_for_other_features_is_right(names: list[str], remedy: str, tmp_path: Path) -> None:
    clouds, jets = toy_jets(10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds, jets
        file["particle_features"].attrs["features"] = names
    with pytest.raises(PartiganError, match=remedy):
        read_jets(tmp_path / "a.h5")


def test_jetnets_own_names_are_known(tmp_path: Path) -> None:
    clouds, jets = toy_jets(10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["particle_features"], file["jet_features"] = clouds, jets
        file["particle_features"].attrs["features"] = ["etarel", "phirel", "ptrel", "mask"]
    np.testing.assert_array_equal(read_jets(tmp_path / "a.h5").particles, clouds)


def test_a_file_for_tests_alone_has_a_mean_pt(tmp_path: Path) -> None:
    clouds, jets = toy_jets(20)
    write_jets(tmp_path / "a.h5", [(clouds, jets)], {"split_test": (0, 20)})
    assert mean_pt(tmp_path / "a.h5") == pytest.approx(jets[:, 0].mean())
    write_jets(tmp_path / "b.h5", [(clouds, jets)], {})
    assert mean_pt(tmp_path / "b.h5") == pytest.approx(jets[:14, 0].mean())
