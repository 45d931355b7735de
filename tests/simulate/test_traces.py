from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partigan.cli import main
from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.simulate import traces
from partigan.simulate.traces import COLUMNS, TRIGGER, WORLDS, World, changed, read_out, simulate_traces


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    path = simulate_traces(300, tmp_path / "data.h5", "data", seed=3)
    kind = kind_of(path)
    sample = kind.format.read(path, "all")
    assert kind.name == "traces"
    assert kind.format.describe(path) == {"bin_ns": 25.0, "columns": COLUMNS}
    assert sample.x.shape == (300, 1, 80)
    assert sample.condition is not None
    assert sample.truth is not None
    assert (sample.x.sum((1, 2)) >= TRIGGER * 80 * WORLDS["data"].baseline - 0.01).all()
    distance, zenith = sample.condition.T
    assert 0.5 <= distance.min() < 0.6 < 1.4 < distance.max() <= 1.5
    assert 0 <= zenith.min() < zenith.max() <= np.pi / 3
    assert {*sample.truth[:, 1].tolist()} == {1, 4, 14, 56}
    assert len(kind.format.read(path, "train")) == 210
    assert '"gain": 1.1' in kind.format.attributes(path)["constants"]


def test_one_file_for_any_number_of_workers_and_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulate_traces(2 * traces.CHUNK + 7, tmp_path / "one.h5", seed=5)
    assert (
        simulate_traces(2 * traces.CHUNK + 7, tmp_path / "two.h5", seed=5, workers=2).read_bytes() == whole.read_bytes()
    )
    made: list[int] = []
    real = traces.make_chunk

    def killed(path: Path, size: int, world: World, seed: int, chunk: int) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(chunk)
        return real(path, size, world, seed, chunk)

    monkeypatch.setattr(traces, "make_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate_traces(2 * traces.CHUNK + 7, tmp_path / "three.h5", seed=5)
    monkeypatch.undo()
    again = simulate_traces(2 * traces.CHUNK + 7, tmp_path / "three.h5", seed=5, resume=True)
    assert again.read_bytes() == whole.read_bytes()
    few = kind_of(whole).format.read(simulate_traces(50, tmp_path / "few.h5", seed=5), "all")
    assert few.x.equal(kind_of(whole).format.read(whole, (0, 50)).x)


def test_every_difference_of_the_worlds_is_a_constant_with_an_effect(tmp_path: Path) -> None:
    """Back to the simulation one by one, all else and the seed being equal."""
    names = [name for name, value in vars(WORLDS["simulation"]).items() if value != getattr(WORLDS["data"], name)]
    assert len(names) == 10
    plain = simulate_traces(100, tmp_path / "plain.h5", seed=1)
    settings = [f"{name}={value}" for name, value in vars(WORLDS["simulation"]).items()]
    same = simulate_traces(100, tmp_path / "same.h5", "data", set=settings, seed=1)
    read = kind_of(plain).format.read
    assert read(plain, "all").x.equal(read(same, "all").x)
    for name in names:
        given = f"{name}={getattr(WORLDS['data'], name)}"
        other = simulate_traces(100, tmp_path / "other.h5", set=[given], seed=1, overwrite=True)
        assert not read(plain, "all").x.equal(read(other, "all").x), name


def test_the_electronics_add_noise_and_saturate() -> None:
    rng = np.random.default_rng(1)
    world = replace(WORLDS["simulation"], gain=2.0, saturation=500.0)
    empty, full, much = (read_out(np.full((2000, 80), number), world, rng) for number in (0.0, 100.0, 1e4))
    assert empty.mean() == pytest.approx(1.2, abs=0.02)
    assert empty.min() == 0
    assert full.mean() == pytest.approx(201.2, abs=0.3)
    assert full.std() == pytest.approx(10, rel=0.03)
    assert (much == 500).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n = 0; at least one"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"world": "moon"}, "there is no world 'moon'; there are simulation, data"),
        ({"set": ["gian=2"]}, "--set gian=2: give name=value; the names are hadronic_model"),
        ({"set": ["gain"]}, "--set gain: give name=value"),
        ({"set": ["gain=much"]}, "'much' is not a number"),
        ({"set": ["gain=-1"]}, "gain = -1.0; it must be above 0"),
        ({"set": ["noise=nan"]}, "noise = nan"),
        ({"set": ["muons=1.5"]}, "muons = 1.5; it is a share"),
        ({"set": ["hadronic_model=sibyll"]}, "there are epos-lhc and qgsjetii-04"),
    ],
)
def test_what_cannot_be_simulated(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_traces(**{"n": 5, "out": tmp_path / "a.h5", **options})
    assert not (tmp_path / "a.h5").exists()


def test_the_command_takes_constants(tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    main(["simulate", "traces", "--n", "20", "--out", str(out), "--world", "data", "--set", "gain=1.3", "noise=1"])
    said = kind_of(out).format.attributes(out)["constants"]
    assert '"gain": 1.3' in said
    assert '"noise": 1.0' in said
    assert changed(World(), []) == World()
