from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from partigan.cli import main
from partigan.data.calorimeter import geometry, names
from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.simulate import calorimeter
from partigan.simulate.calorimeter import simulate_calorimeter

OWN = """<Bins><Bin pid="11" etaMin="0" etaMax="5" name="mine" {physics}>
<Layer id="0" r_edges="0,5,20" n_bin_alpha="2" {depth}/><Layer id="1" r_edges="0" n_bin_alpha="1"/></Bin></Bins>"""
PHYSICS = 'active="lead-tungstate, 230" sampling="0.03" spectrum="fixed, 5000"'


@pytest.mark.parametrize("name", [name for name in names() if name != "ds3"])
def test_every_geometry_makes_files_that_say_what_they_are(name: str, tmp_path: Path) -> None:
    path = simulate_calorimeter(20, tmp_path / "a.h5", name, seed=3)
    kind, known = kind_of(path), geometry(name)
    assert kind.name == "calorimeter"
    assert kind.format.describe(path)["geometry"] == name
    sample = kind.format.read(path, "all")
    assert sample.x.shape == (20, known.voxels)
    assert sample.condition is not None
    assert sample.condition.shape == (20, 3 if name == "testbeam" else 1)
    response = sample.x.sum(1) * known.mev / sample.condition[:, 0]
    assert 0.5 < response.mean() < 1.1
    if name == "testbeam":
        assert not sample.x[:, ~np.tile(known.layers[0].alive(), 7)].any()
        assert sample.x[sample.x > 0].min() > 2
    if name == "ds2":
        assert sample.x[sample.x > 0].min() > 0.0151


def test_one_file_for_any_number_of_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calorimeter, "CHUNK", 30)
    whole = simulate_calorimeter(70, tmp_path / "one.h5", seed=5)
    made: list[int] = []
    real = calorimeter.make_chunk

    def killed(path: Path, size: int, task: calorimeter.Task, seed: int, chunk: int) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(chunk)
        return real(path, size, task, seed, chunk)

    monkeypatch.setattr(calorimeter, "make_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate_calorimeter(70, tmp_path / "three.h5", seed=5)
    monkeypatch.setattr(calorimeter, "make_chunk", real)
    again = simulate_calorimeter(70, tmp_path / "three.h5", seed=5, resume=True)
    assert again.read_bytes() == whole.read_bytes()


def test_energies_and_particles_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    words = ["--geometry", "ds2", "--particle", "photon", "--energies", "fixed, 20000, 40000", "--seed", "4"]
    main(["simulate", "calorimeter", "--n", "12", "--out", str(path), *words])
    kind = kind_of(path)
    condition = kind.format.read(path, "all").condition
    assert condition is not None
    assert {*condition[:, 0].tolist()} == {20_000.0, 40_000.0}
    assert kind.format.attributes(path)["particle"] == "photon"
    assert [*kind.format.describe(path)["features"]] == ["photon showers in ds2"]
    for text, low, high in (("log, 1000, 100000", 1e3, 1e5), ("flat, 500, 600", 500, 600)):
        drawn = calorimeter.Task.of("ds2", None, text).energies.draw(2000, np.random.default_rng(0))
        assert low <= drawn.min() < drawn.max() <= high
    steps = calorimeter.Task.of("ds2", None, "steps, 1000, 2000, 9, 1").energies.draw(3000, np.random.default_rng(0))
    assert (steps == 1000).mean() == pytest.approx(0.9, abs=0.02)


def test_a_binning_of_ones_own_goes_along_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.xml").write_text(OWN.format(physics=PHYSICS, depth='x0="0, 25"'))
    path = simulate_calorimeter(10, tmp_path / "a.h5", str(tmp_path / "mine.xml"))
    (tmp_path / "mine.xml").unlink()
    kind = kind_of(path)
    sample = kind.format.read(path, "all")
    assert sample.x.shape == (10, 4)
    assert torch.isfinite(sample.x).all()
    assert geometry(kind.format.describe(path)["geometry"]).name == "mine"
    assert kind.conditions.arguments(sample)["geometry"] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n = 0; at least one"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"geometry": "ds4"}, "there is no geometry 'ds4'; there are calogan, ds1-photons"),
        ({"geometry": "missing.xml"}, "missing.xml does not exist"),
        ({"particle": "muon"}, "there is no particle 'muon'; there are electron, photon, pion"),
        ({"energies": "lin, 1, 2"}, "the energies 'lin, 1, 2' are none of"),
        ({"energies": "log, 5, 1"}, "the energies 'log, 5, 1' are none of"),
        ({"energies": "fixed, -5"}, "above 0"),
        ({"energies": "fixed, much"}, "no numbers with commas"),
    ],
)
def test_what_cannot_be_simulated(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_calorimeter(**{"n": 5, "out": tmp_path / "a.h5", **options})
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    ("physics", "depth", "message"),
    [
        (PHYSICS, "", "layer 0 has no x0"),
        ('spectrum="fixed, 1"', 'x0="0, 25"', 'add active="argon'),
        ('active="argon, 4" sampling="0.1"', 'x0="0, 25"', "names no energies"),
        (PHYSICS, 'x0="25, 0"', "give two or more, rising"),
    ],
)
def test_binnings_that_do_not_say_enough(tmp_path: Path, physics: str, depth: str, message: str) -> None:
    (tmp_path / "mine.xml").write_text(OWN.format(physics=physics, depth=depth))
    with pytest.raises(PartiganError, match=message):
        simulate_calorimeter(5, tmp_path / "a.h5", str(tmp_path / "mine.xml"))
