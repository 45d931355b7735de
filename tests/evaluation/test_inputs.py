from __future__ import annotations

from pathlib import Path

import torch

from helpers import JetFile
from partigan.evaluation.inputs import MOST, Request, read_inputs


def test_of_many_generated_samples_some_are_drawn(jet_file: JetFile, tmp_path: Path) -> None:
    real, fake = jet_file(400, name="real.h5"), jet_file(1000, seed=1, name="fake.h5")  # 60 real jets are compared with
    found = [read_inputs(Request(real, fake, seed=seed)) for seed in (1, 1, 2)]
    assert [len(each.generated.batch) for each in found] == [60 * MOST] * 3
    assert found[0].text == "600 of 1,000 generated jets samples against 60 real ones (test split)"
    assert torch.equal(found[0].generated.batch.x, found[1].generated.batch.x)
    assert not torch.equal(found[0].generated.batch.x, found[2].generated.batch.x)
    everything = read_inputs(Request(real, jet_file(500, seed=1, name="few.h5")))
    assert everything.text == "500 generated jets samples against 60 real ones (test split)"
