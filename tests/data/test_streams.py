"""Samples that are streamed from files and folders of parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import equal_tensors, weights
from partigan import train
from partigan.data import streams
from partigan.data.batch import Batch
from partigan.data.loader import Loader, Share
from partigan.data.samples import write_samples
from partigan.data.sources import source
from partigan.data.streams import Stream, Windows
from partigan.kinds import find

ROWS = 1000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 8 blocks of 8 rows of 4 bytes; nothing fits into memory."""
    monkeypatch.setattr(streams, "WINDOW", 256)
    monkeypatch.setattr(streams, "BLOCKS", 8)
    monkeypatch.setattr(streams, "SHARE", 0.0)


class Rows:
    """A file of numbered rows, which notes how many are read at a time."""

    def __init__(self) -> None:
        self.most = 0

    def __call__(self, first: int, last: int) -> Batch:
        self.most = max(self.most, last - first)
        return Batch(torch.arange(first, last).float()[:, None])


@pytest.mark.usefixtures("small")
def test_windows_are_shuffled_bounded_and_the_same_for_a_seed() -> None:
    rows = Rows()
    stream = Stream(rows, 0, ROWS, 4)
    assert stream.sizes == [64] * 15 + [40]
    loader = Loader(Windows(stream, 1, lambda batch: batch), 8, seed=1)
    assert loader.per_epoch == ROWS // 8
    epochs = [[loader.batch(125 * epoch + number).x[:, 0] for number in range(125)] for epoch in range(2)]
    for batches in epochs:
        assert sorted(torch.cat(batches).tolist()) == list(range(ROWS))
    assert rows.most == 8
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))
    spread = torch.stack([batch.std() for batch in epochs[0]])
    assert spread.mean() > 0.6 * torch.arange(float(ROWS)).std()  # a batch is a mixture over the whole file
    again = Loader(Windows(Stream(Rows(), 0, ROWS, 4), 1, lambda batch: batch), 8, seed=1)
    assert torch.equal(again.batch(130).x[:, 0], epochs[1][5])  # anywhere, as resuming needs it
    other = Loader(Windows(Stream(Rows(), 0, ROWS, 4), 2, lambda batch: batch), 8, seed=2)
    assert not torch.equal(other.batch(130).x[:, 0], epochs[1][5])
    shares = [Loader(Windows(Stream(rows, 0, ROWS, 4), 1, lambda batch: batch), 4, 1, Share(r, 2)) for r in (0, 1)]
    together = torch.cat([share.batch(130).x[:, 0] for share in shares])
    assert sorted(together.tolist()) == sorted(epochs[1][5].tolist())


@pytest.mark.usefixtures("small")
def test_training_streams_what_does_not_fit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    x = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    write_samples(tmp_path / "a.h5", "rows", [Batch(x, weight=torch.rand(600))], {"kind": "tables"})
    options = {
        "trainer.max_steps": 30,
        "trainer.validations": 1,
        "trainer.batch_size": 16,
        "trainer.accelerator": "cpu",
    }
    data = source(tmp_path / "a.h5", find("tables"))
    assert torch.equal(data.some("valid", 7).x, data.read("valid").x[:7])
    run = train("toys", tmp_path / "a.h5", tmp_path / "r", threads=1, overrides=options)
    assert "420 training samples do not fit into memory" in capfd.readouterr().err
    assert run.manifest["data"]["streamed"] == ["data"]
    half = {**options, "trainer.max_steps": 15}
    train("toys", tmp_path / "a.h5", tmp_path / "s", threads=1, overrides=half)
    streams.SHARE = 1e9  # a machine with more memory goes on as the run began
    resumed = train("toys", tmp_path / "a.h5", tmp_path / "s", threads=1, overrides=options, resume=True)
    assert resumed.manifest["data"]["streamed"] == ["data"]
    within = train("toys", tmp_path / "a.h5", tmp_path / "m", threads=1, overrides=options)
    assert "streamed" not in within.manifest["data"]
    assert not equal_tensors(weights(run.path), weights(within.path))
