"""Simulated arrays against the formulas and figures that they come from; one path against the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from partigan.cli import main
from partigan.data.hdf5 import open_hdf5
from partigan.errors import PartiganError
from partigan.kinds import kind_of
from partigan.observables.airshowers import SPEED, station_positions
from partigan.simulate import airshower
from partigan.simulate.airshower import COLUMNS, WORLDS, Showers, draw_showers, simulate_airshower
from partigan.simulate.showers import (
    HEIGHT,
    Physics,
    depth_above,
    depth_behind,
    height_of,
    maximum_position,
    mean_signals,
)
from partigan.simulate.traces import TRIGGER

PLAN = Showers(WORLDS["simulation"], "cartesian", 9, "sphere", (18.5, 20.0), (0.0, 60.0), None, (1, 4, 14, 56), False)
QUIET = replace(WORLDS["simulation"], noise=0.0, relative_noise=0.0)


def drawn(size: int, seed: int = 1, **changes: Any) -> dict[str, np.ndarray]:
    return draw_showers(size, replace(PLAN, **changes), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def showers() -> dict[str, np.ndarray]:
    return drawn(4000)


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    path = simulate_airshower(300, tmp_path / "a.h5", layout="offset", stations=11, seed=3)
    kind = kind_of(path)
    sample, described = kind.format.read(path, "all"), kind.format.describe(path)
    assert kind.name == "airshower"
    assert sample.x.shape == (300, 2, 11, 11)
    assert (described["layout"], described["spacing_m"]) == ("offset", 1500.0)
    assert (described["channels"], described["columns"]) == (["signal", "time"], COLUMNS)
    assert len(kind.format.read(path, "train")) == 210
    hit = sample.x[:, 0] > 0
    assert sample.x[:, 0][hit].min() >= TRIGGER * 80 * 1.2 - 0.01
    assert ((sample.x[:, 1] != 0) == hit).all()


def test_primaries_are_drawn_as_in_the_reference(showers: dict[str, np.ndarray]) -> None:
    energy, zenith, mass = showers["conditions"].T
    azimuth, x, y, xmax = showers["truth"].T
    assert stats.kstest(energy, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-3
    assert stats.kstest(np.sin(zenith) ** 2, stats.uniform(0, 0.75).cdf).pvalue > 1e-3
    assert stats.kstest((x**2 + y**2) / 750**2, "uniform").pvalue > 1e-3
    assert stats.kstest(azimuth, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert {*np.exp(mass).round().tolist()} == {1, 4, 14, 56}
    assert (xmax <= depth_above(np.array([HEIGHT + 200]))[0] / np.cos(zenith) + 0.1).all()
    # of inclined showers, whose maxima are rarely drawn again: protons lie 57 g/cm^2 deeper per decade
    protons = (mass < 0.1) & (zenith > 0.6)
    slope = np.polyfit(energy[protons], xmax[protons], 1)[0]
    assert slope == pytest.approx(57, abs=12)
    assert 60 < xmax[protons].mean() - xmax[(mass > 4) & (zenith > 0.6)].mean() < 130


def test_signals_follow_the_formula_station_by_station() -> None:
    """Vertical protons of one energy: the mean signal in bins of distance, with the noise of 80 empty bins."""
    found = drawn(3000, energies=(19.0, 19.0001), zeniths=(0.0, 1.0), masses=(1,), world=QUIET)
    line = station_positions("cartesian", 9, 9).numpy() - found["truth"][:, None, None, 1:3]
    distance, signal = np.linalg.norm(line, axis=3), found["maps"][:, 0]
    maxima = maximum_position(found["truth"][:, 3].astype(float), np.tile([0.0, 0.0, 1.0], (3000, 1)))
    for low, end in ((500, 600), (800, 900), (1000, 1100)):
        chosen = (distance > low) & (distance < end)
        far, stations = distance[chosen], np.column_stack([line[chosen], np.zeros(chosen.sum())])
        behind = depth_behind(maxima[np.nonzero(chosen)[0]], stations)
        means = mean_signals(np.full(len(far), 19.0), np.ones(len(far)), far, behind, Physics())
        lost = 0.01  # after 2000 ns
        assert signal[chosen].mean() == pytest.approx(sum(means).mean() + 80 * 1.2, rel=0.01 + lost)


def test_energy_zenith_and_mass_have_their_effects(showers: dict[str, np.ndarray]) -> None:
    signal = showers["maps"][:, 0]
    stations = (signal > 0).sum((1, 2))
    energy, zenith, mass = showers["conditions"].T
    low, high = energy < 0.8, energy > 1.7
    assert stations[high].mean() > 2.5 * stations[low].mean()
    inclined, upright = zenith > 0.9, zenith < 0.4
    assert stations[inclined].mean() > 1.2 * stations[upright].mean()  # a longer footprint
    iron, protons = mass > 4, mass < 0.1
    tall = [np.log10(signal[chosen].sum((1, 2))).mean() for chosen in (iron, protons)]
    assert tall[0] < tall[1]  # more muons, which fall off less steeply: less near the axis


def test_fronts_are_planes_or_spheres() -> None:
    plane, sphere = (drawn(400, front=front, energies=(19.9, 20.0), world=QUIET) for front in ("plane", "sphere"))
    for found, shape in ((plane, "plane"), (sphere, "sphere")):
        signal, time = found["maps"][:, 0], found["maps"][:, 1]
        azimuth, x, y, xmax = found["truth"].T
        zenith = found["conditions"][:, 1]
        axis = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], 1)
        line = station_positions("cartesian", 9, 9).numpy() - np.stack([x, y], 1)[:, None, None]
        line = np.concatenate([line, np.zeros((*line.shape[:3], 1))], 3)
        expected = -np.einsum("nrcd,nd->nrc", line, axis) / SPEED
        if shape == "sphere":
            away = (height_of(0.5 * xmax * np.cos(zenith)) - HEIGHT) / np.cos(zenith)
            origin = (axis * away[:, None])[:, None, None]
            expected = (np.linalg.norm(line - origin, axis=3) - away[:, None, None]) / SPEED
        late = (time - expected)[signal > 0]
        assert abs(late.mean()) < 10
        width = 480 / (1 + np.log10(1 + np.maximum(signal[signal > 0] - 96, 1)))
        assert np.std(late / np.sqrt(width**2 + 50**2 / 3)) == pytest.approx(1, abs=0.04)


def test_sums_have_the_distribution_of_traces() -> None:
    """Without traces, signals are drawn at once: the same number of stations, signals and times."""
    fast, slow = drawn(3000), drawn(750, seed=2, traces=True)
    assert slow["traces"].shape == (750, 9, 9, 80)
    np.testing.assert_allclose(slow["traces"].sum(3), slow["maps"][:, 0], rtol=1e-5)
    samples = []
    for found in (fast, slow):
        signal = found["maps"][:, 0]
        samples.append(((signal > 0).sum((1, 2)), np.log10(signal[signal > 0]), signal[(signal > 0) & (signal < 300)]))
    for one, two in zip(*samples, strict=True):
        assert stats.ks_2samp(one, two).pvalue > 1e-3
    # noise that grows with the signal, which the particles' own fluctuations hide above: a world of it alone
    loud = replace(WORLDS["simulation"], relative_noise=2.0, noise=0.0)
    same = {"energies": (19.5, 19.501), "zeniths": (0.0, 1.0), "masses": (1,), "world": loud}
    pair = drawn(1500, **same), drawn(400, seed=2, traces=True, **same)
    widths = []
    for found in pair:
        line = station_positions("cartesian", 9, 9).numpy() - found["truth"][:, None, None, 1:3]
        near = (np.linalg.norm(line, axis=3) > 900) & (np.linalg.norm(line, axis=3) < 1000)
        widths.append(found["maps"][:, 0][near].std())
    assert widths[0] == pytest.approx(widths[1], rel=0.25)


def test_saturation_is_in_the_traces() -> None:
    world = replace(WORLDS["simulation"], saturation=500.0)
    assert drawn(100, world=world)["maps"][:, 0].max() <= 80 * 500


def test_hadronic_models_differ_in_the_depth_of_the_maximum() -> None:
    other = replace(WORLDS["simulation"], hadronic_model="qgsjetii-04")
    epos, qgs = (drawn(4000, world=world, zeniths=(50.0, 60.0))["truth"][:, 3] for world in (PLAN.world, other))
    assert 8 < epos.mean() - qgs.mean() < 30


def test_zenith_angles_can_be_left_out() -> None:
    zenith = np.degrees(drawn(2000, gap=(25.0, 35.0))["conditions"][:, 1])
    assert not ((zenith > 25.01) & (zenith < 34.99)).any()
    outside = np.degrees(drawn(2000, seed=3)["conditions"][:, 1])
    outside = outside[(outside < 25) | (outside > 35)]
    assert stats.ks_2samp(zenith, outside).pvalue > 1e-3


def test_layouts_have_neighbours_at_the_spacing() -> None:
    for layout, near in (("cartesian", 4), ("axial", 6), ("offset", 6)):
        places = station_positions(layout, 7, 7, 1500.0).double().reshape(-1, 2).numpy()
        distance = np.linalg.norm(places[:, None] - places[24], axis=2)[:, 0]
        assert (np.abs(distance - 1500) < 1).sum() == near, layout
    with pytest.raises(PartiganError, match="there is no layout 'round' of an array; there are"):
        station_positions("round", 3, 3)  # type: ignore[arg-type]


def test_one_file_for_any_number_of_workers_and_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airshower, "CHUNK", 100)
    whole = simulate_airshower(250, tmp_path / "one.h5", seed=5, traces=True)
    two = simulate_airshower(250, tmp_path / "two.h5", seed=5, traces=True, workers=2)
    with open_hdf5(whole, "") as file:
        assert file.dataset("traces").shape == (250, 9, 9, 80)
    made: list[int] = []
    real = airshower.make_chunk

    def killed(path: Path, size: int, plan: Showers, seed: int, chunk: int) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(chunk)
        return real(path, size, plan, seed, chunk)

    monkeypatch.setattr(airshower, "make_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate_airshower(250, tmp_path / "three.h5", seed=5, traces=True)
    monkeypatch.setattr(airshower, "make_chunk", real)
    again = simulate_airshower(250, tmp_path / "three.h5", seed=5, traces=True, resume=True)
    assert whole.read_bytes() == two.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n = 0; at least one"),
        ({"workers": 0}, "workers = 0"),
        ({"world": "moon"}, "there is no world 'moon'"),
        ({"layout": "round"}, "there is no layout 'round'"),
        ({"front": "cone"}, "there is no front 'cone'"),
        ({"stations": 2}, "stations = 2"),
        ({"energies": (19.0, 18.0)}, "energies from 19 to 18"),
        ({"zeniths": (0.0, 90.0)}, "zeniths from 0 to 90"),
        ({"gap": (0.0, 60.0)}, "a gap from 0 to 60 degrees leaves nothing"),
        ({"masses": [0]}, r"masses = \[0\]"),
        ({"set": ["gian=2"]}, "--set gian=2: give name=value"),
    ],
)
def test_what_cannot_be_simulated(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_airshower(**{"n": 5, "out": tmp_path / "a.h5", **options})
    assert not (tmp_path / "a.h5").exists()


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    main(
        f"simulate airshower --n 40 --out {out} --zeniths 10 50 --gap 20 30 --masses 1 56 --stations 11 --layout axial "
        "--set hadronic_model=qgsjetii-04".split()
    )
    found = kind_of(out).format.read(out, "all")
    assert found.condition is not None
    assert found.x.shape == (40, 2, 11, 11)
    assert np.degrees(found.condition[:, 1].numpy()).min() >= 9.99
    assert '"qgsjetii-04"' in kind_of(out).format.attributes(out)["world"]
