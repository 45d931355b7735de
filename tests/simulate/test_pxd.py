from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import assert_same_hits, content_of
from partigan.data.hitmap_files import hitmap_attributes, read_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import SENSORS
from partigan.errors import PartiganError
from partigan.jobs import Parts
from partigan.observables.hitmaps import spectrum
from partigan.simulate import pxd as module
from partigan.simulate.pxd import simulate_event, simulate_pxd
from partigan.simulate.pxd_parameters import Parameters, Rates


def test_simulated_events_have_the_published_statistics(events: Hitmaps) -> None:
    """Loose, since there are three events; docs/pxd.md has the large comparison."""
    layer = np.array([sensor.layer for sensor in SENSORS])
    means = [events.occupancy[:, layer == number].mean() for number in (1, 2)]
    assert means == pytest.approx([0.01489, 0.00512], rel=0.04)
    assert events.charge.mean() == pytest.approx(21.61, rel=0.03)
    assert events.charge.min() == 7
    assert events.charge.max() <= 255
    peak = np.argmax(spectrum(events.charge)[10:30]) + 10
    assert 14 <= peak <= 20  # a minimum ionising particle across a pixel
    spread = (events.occupancy.std(0, ddof=1) / events.occupancy.mean(0))[layer == 1]
    assert 0.03 < np.sqrt(np.mean(spread**2)) < 0.12


def test_background_is_proportional_to_its_level() -> None:
    rng = np.random.default_rng(0)
    half = simulate_event(1.0, Parameters(), Rates.calibrated(), rng)
    assert half.occupancy[0, :16].mean() == pytest.approx(0.01489 / 2, rel=0.06)
    assert simulate_event(0.0, Parameters(), Rates.calibrated(), rng).counts.sum() == 0


def test_the_file_is_the_same_for_any_number_of_workers_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    paths = [tmp_path / f"{name}.h5" for name in ("one", "two", "resumed")]
    simulate_pxd(5, paths[0], background=0.1, seed=3)
    simulate_pxd(5, paths[1], background=0.1, seed=3, workers=2)
    real, made = module.make_chunk, []

    def interrupted(*arguments: Any) -> int:
        if made:
            raise KeyboardInterrupt
        made.append(real(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate_pxd(5, paths[2], background=0.1, seed=3)
    with pytest.raises(PartiganError, match=r"was made with background = 0\.1, not 0\.2"):
        simulate_pxd(5, paths[2], background=0.2, seed=3, resume=True)
    simulate_pxd(5, paths[2], background=0.1, seed=3, resume=True)
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1] == contents[2]
    assert len(read_hitmaps(paths[0])) == 5
    assert hitmap_attributes(paths[0])["background"] == 0.1


@pytest.mark.parametrize("name", ["a.root", "a"])
def test_the_suffix_decides_the_format_and_a_kill_after_the_merge_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = read_hitmaps(simulate_pxd(2, tmp_path / "a.h5", background=0.1))
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", lambda self: None)
        out = simulate_pxd(2, tmp_path / name, background=0.1)
    content = out.read_bytes() if out.is_file() else content_of(out)
    assert simulate_pxd(2, out, background=0.1, resume=True) == out
    assert content == (out.read_bytes() if out.is_file() else content_of(out))
    assert_same_hits(read_hitmaps(out), whole)
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", name}
    with pytest.raises(PartiganError, match=r"a\.csv: the suffix decides the format, .* no suffix \(folder of PNG"):
        simulate_pxd(2, tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": 0}, "events = 0; at least one"),
        ({"background": -1.0}, r"background = -1\.0; it is between 0 and 20"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_values_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        simulate_pxd(**{"events": 1, "out": tmp_path / "a.h5"} | options)
    assert list(tmp_path.iterdir()) == []
