from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest

from helpers import SHARED
from partigan.data.jets import read_jets
from partigan.errors import PartiganError
from partigan.simulate import jets as module
from partigan.simulate.jets import (
    DETECTORS,
    PROCESSES,
    Detector,
    cluster,
    merge_neutrals,
    seconds_of_a_jet,
    simulate_jets,
)

REFERENCE = SHARED / "reference/jetnet_multiplicity.npz"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 12)


@pytest.mark.usefixtures("small_chunks")
def test_the_file_is_the_same_for_any_number_of_workers_and_after_an_interruption(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.h5" for name in ("one", "two", "resumed")]
    simulate_jets("t", 30, paths[0], seed=3)
    simulate_jets("t", 30, paths[1], seed=3, workers=2)
    made: list[int] = []
    real = module.make_chunk

    def interrupted(*arguments: Any) -> int:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(real(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate_jets("t", 30, paths[2], seed=3)
    assert not paths[2].exists()
    with pytest.raises(PartiganError, match="holds an unfinished job; give --resume"):
        simulate_jets("t", 30, paths[2], seed=3)
    with pytest.raises(PartiganError, match="was made with seed = 3, not 4"):
        simulate_jets("t", 30, paths[2], seed=4, resume=True)
    simulate_jets("t", 30, paths[2], seed=3, resume=True)
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1] == contents[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "resumed.h5", "two.h5"]
    with pytest.raises(PartiganError, match="exists; give --overwrite"):
        simulate_jets("t", 30, paths[0], seed=3)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("flavour", PROCESSES)
def test_jets_of_every_class(tmp_path: Path, flavour: Any) -> None:
    path = simulate_jets(flavour, 24, tmp_path / "a.h5", particles=150, seed=1)
    table = read_jets(path)
    assert table.particles.shape == (24, 150, 4)
    pt, eta, mass, number = table.jets.T
    assert ((pt > 800) & (pt < 1600)).all()
    assert (np.abs(eta) < 5).all()
    assert (number == table.particles[..., 3].sum(1)).all()
    assert (np.diff(table.particles[..., 2]) <= 0).all()
    assert np.hypot(table.particles[..., 0], table.particles[..., 1]).max() < 1.6  # R = 0.8, grown by soft particles
    np.testing.assert_allclose(table.particles[..., 2].sum(1), 1, atol=0.15)
    heavy = {"g": 0, "q": 0, "t": 100, "w": 60, "z": 65}[flavour]
    assert np.median(mass) > heavy
    job = {key: value for key, value in table.attributes.items() if not key.startswith("split")}
    assert job["flavour"] == flavour
    assert "Random:seed = 1" not in job["pythia_settings"]
    assert json.loads(job["detector"])["name"] == "simplified"
    assert {"pythia_version", "fastjet_version", "partigan_version", "seed"} <= job.keys()
    with h5py.File(path) as file:
        assert list(file["particle_features"].attrs["features"]) == ["eta_rel", "phi_rel", "pt_rel", "mask"]
        assert file.attrs["split_train"].tolist() == [0, 17]


def test_cluster_of_a_known_event() -> None:
    """Two back-to-back jets of 1000 GeV at eta 0, one of two particles, and a third jet that is too soft."""
    pt = np.array([600.0, 400.0, 1000.0, 100.0])
    eta, phi = np.array([0.1, -0.1, 0.0, 2.5]), np.array([0.0, 0.0, np.pi, 1.5])
    momenta = {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "E": pt * np.cosh(eta),
    }
    event = ak.unflatten(ak.zip(momenta, with_name="Momentum4D"), [4])
    clouds, jets = cluster(event, 1000.0, 30)
    assert clouds.shape == (2, 30, 4)
    assert sorted(jets[:, 3].tolist()) == [1, 2]
    two = clouds[np.argmax(jets[:, 3])]
    np.testing.assert_allclose(two[:2, 2], [0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(two[0, 0] - two[1, 0], 0.2, rtol=1e-5)
    np.testing.assert_allclose(two[2:], 0)
    np.testing.assert_allclose(jets[np.argmax(jets[:, 3]), 2], 1000 * np.sqrt(2 * 0.24 * (np.cosh(0.2) - 1)), rtol=1e-3)


def test_neutrals_of_a_cell_merge_and_momentum_is_kept() -> None:
    event = np.array([0, 0, 0, 1])
    px, py, pz = (
        np.array([1.0, 2.0, 5.0, 1.0]),
        np.array([0.001, 0.002, 5.0, 0.001]),
        np.array([0.01, 0.02, 0.0, 0.01]),
    )
    merged = merge_neutrals(event, px, py, pz, cell=0.1)
    assert len(merged[0]) == 3
    assert sorted(merged[1].tolist()) == [1.0, 3.0, 5.0]
    for event_number in (0, 1):
        assert merged[1][merged[0] == event_number].sum() == px[event == event_number].sum()


def test_simplified_detector_has_the_multiplicities_of_jetnet(tmp_path: Path) -> None:
    """Means within 10 % (3 sigma of 300 jets); docs/literature.md has the large comparison."""
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is not here")
    table = read_jets(simulate_jets("t", 300, tmp_path / "t.h5", particles=150))
    assert table.jets[:, 3].mean() == pytest.approx(np.load(REFERENCE)["t"].mean(), rel=0.1)


def test_pythias_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match="Pythia refuses the setting 'Foo:bar = 3'"):
        simulate_jets("t", 10, tmp_path / "a.h5", set=["Foo:bar = 3"])
    with pytest.raises(PartiganError, match="Pythia refuses the setting 'Beams:eCM = abc'"):
        simulate_jets("t", 10, tmp_path / "a.h5", set=["Beams:eCM = abc"])
    with pytest.raises(PartiganError, match="Pythia cannot start"):
        simulate_jets("t", 10, tmp_path / "a.h5", set=["Beams:eCM = 1."])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavour": "b"}, "flavour 'b'; there are g, q, t, w, z"),
        ({"n": 0}, "n = 0; at least one jet"),
        ({"particles": 40}, "particles = 40; JetNet files have 30 or 150"),
        ({"workers": 0}, "workers = 0"),
        ({"detector": "perfect"}, "there are particle, simplified"),
        ({"pt_window": 0.0}, "pt_window = 0.0"),
        ({"seed": -1}, "seed = -1"),
        ({"set": ["Random:seed = 5"]}, "decided by --seed"),
    ],
)
def test_values_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_jets(**{"flavour": "t", "n": 10, "out": tmp_path / "a.h5"} | options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("partigan.extras.find_spec", lambda name: None if name == "fastjet" else found(name))
    with pytest.raises(PartiganError, match=r"fastjet not installed; run: pip install 'partigan\[simulate\]'"):
        simulate_jets("t", 10, tmp_path / "a.h5")


def test_detectors_are_what_the_documentation_says() -> None:
    assert DETECTORS["particle"] == Detector(decay_pi0=True, cell=None, charged_pt=0, neutral_pt=0)
    assert DETECTORS["simplified"] == Detector(decay_pi0=True, cell=0.03, charged_pt=0.5, neutral_pt=0.5)


def test_the_time_of_a_jet() -> None:
    assert 0 < seconds_of_a_jet(1000, 30) < 10
    with pytest.raises(PartiganError, match=r"pt = 1\.0 GeV; it is between"):
        seconds_of_a_jet(1.0, 30)
