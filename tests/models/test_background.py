from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from helpers import assert_same_hits, toy_hits
from partigan import PXDBackground, train
from partigan.data.hitmap_files import read_hitmaps, write_hitmaps
from partigan.data.pxd import SENSORS
from partigan.errors import PartiganError

ELSEWHERE = """
import hashlib, json
from partigan import PXDBackground

background = PXDBackground(seed=3)
print(json.dumps({event: hashlib.sha256(background.maps(event).tobytes()).hexdigest() for event in (5, 1)}))
"""


@pytest.fixture(scope="module")
def background() -> PXDBackground:
    return PXDBackground(seed=3)


def test_an_event_is_the_same_however_it_is_asked_for(background: PXDBackground, tmp_path: Path) -> None:
    one = background.maps(1)
    assert one.shape == (40, 250, 768)
    assert one.dtype == np.uint8
    both = background.maps([5, 1])
    np.testing.assert_array_equal(both[1], one)
    assert (both[0] != one).any()
    np.testing.assert_array_equal(next(islice(background.stream(1), 1)), one)
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True)
    elsewhere: dict[str, str] = json.loads(run.stdout)
    assert elsewhere == {str(e): hashlib.sha256(both[i].tobytes()).hexdigest() for i, e in enumerate((5, 1))}

    hits = background.hits([1])
    image = np.zeros_like(one)
    index = {sensor.vxd_id: number for number, sensor in enumerate(SENSORS)}
    image[[index[int(sensor)] for sensor in hits.sensor], hits.u, hits.v] = hits.charge
    np.testing.assert_array_equal(image, one)
    assert (hits.event == 1).all()

    signal = toy_hits(1, 500, busy=(0,))
    overlaid = background.overlaid(signal, first=1)
    write_hitmaps(tmp_path / "both.root", [overlaid], {})
    assert_same_hits(read_hitmaps(tmp_path / "both.root", digits=True), overlaid)
    digits = uproot.open(tmp_path / "both.root")["tree"].arrays(library="np")
    assert int(digits["PXDDigits.m_charge"][0].sum()) == int(hits.charge.sum(dtype=int) + signal.charge.sum(dtype=int))


def test_sensors_by_their_vxd_ids(background: PXDBackground) -> None:
    chosen = background.maps(0, [SENSORS[7].vxd_id, SENSORS[2].vxd_id])
    np.testing.assert_array_equal(chosen, background.maps(0)[[7, 2]])
    with pytest.raises(PartiganError, match=r"sensors = \[9\]; they are given by their VxdIDs, 8480 \(1\.1\.1\)"):
        background.maps(0, [9])


@pytest.mark.parametrize("event", [-1, 2**40, 0.5, "1", None])
def test_wrong_events_are_refused(background: PXDBackground, event: Any) -> None:
    with pytest.raises(PartiganError, match="does not exist; events are whole numbers from 0 on"):
        background.hits(event)


def test_runs_of_other_kinds_are_refused(two_tables: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match="is not a run directory"):
        PXDBackground(tmp_path / "missing")
    short = {"trainer.max_steps": 2, "trainer.batch_size": 32, "trainer.validations": 1}
    run = train("toys-wgan", two_tables["data"], tmp_path / "run", 1, 1, overrides=short).path
    with pytest.raises(PartiganError, match=r"run is a run of the kind tables, not of whole hitmaps"):
        PXDBackground(run)
