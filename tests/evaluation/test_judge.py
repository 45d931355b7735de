from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import SHARED
from partigan.data.batch import Batch
from partigan.evaluation.judge import judge
from partigan.evaluation.samples import Samples
from partigan.evaluation.suite import Found, run_suite
from partigan.kinds import find

ORACLE = SHARED / "reference/metrics_oracle.npz"
TINY = [f"--system.classifier.{option}" for option in ("widths=[8, 8]", "neighbours=4", "hidden=16")]
SHORT = ["--trainer.max_steps", "80", "--trainer.validations", "4", "--trainer.batch_size", "64", "--threads", "1"]


def noise(size: int, seed: int, kind: str, defect: bool) -> Batch:
    """Samples of normal numbers; the defect is a correlation of neighbouring ones."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(size, *{"tables": (4,), "images": (1, 8, 8), "jets": (6, 3)}[kind], generator=draw)
    x = 0.8 * x + 0.6 * x.roll(1, -1) if defect else x
    if kind != "jets":
        return Batch(x)
    x[..., 2].exp_()
    return Batch(x, torch.ones(size, 6, dtype=torch.bool))


@pytest.mark.parametrize("kind", ["tables", "images", "jets"])
def test_a_network_tells_raw_samples(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sort, nothing = find(kind), np.zeros((600, 0))
    config = sort.evaluation.judge
    short = {**config["trainer"], "max_steps": 100, "validations": 5, "batch_size": 64}
    monkeypatch.setattr(type(sort.evaluation), "judge", {**config, "trainer": short})
    real, other, wrong = (noise(600, seed, kind, seed == 3) for seed in (1, 2, 3))

    def found(fake: Batch, rows: int = 600) -> Found:
        few = nothing[:rows]
        return run_suite(["network"], Samples({}, few, few, judge=judge(sort, real[:rows], fake, 3)), None, 1)

    null, defect = (found(fake).taken["network"].finding for fake in (other, wrong))
    assert null.p_value > 0.01
    assert defect.p_value < 1e-4
    if kind == "tables":
        assert found(wrong).taken["network"].finding == defect
        assert "the samples are too small" in found(other, 50).skipped["network"]
        assert run_suite(["network"], Samples({}, nothing, nothing), None, 1).skipped["network"].endswith("no network")
