from __future__ import annotations

import pytest
import torch

from helpers import JetFile
from partigan.data.jets import read_jets
from partigan.data.loader import Loader
from partigan.errors import PartiganError


def test_batches_cover_an_epoch_once_with_little_padding(jet_file: JetFile) -> None:
    sample = read_jets(jet_file(640)).batch()
    loader = Loader(sample, 32, seed=3)
    batches = [loader.batch(number) for number in range(loader.per_epoch)]
    seen = torch.cat([batch.x[:, 0] for batch in batches])
    assert len(seen.unique(dim=0)) == 640
    assert sum(float((~batch.mask).float().mean()) for batch in batches) / len(batches) < 0.12  # type: ignore[operator]
    again = Loader(sample, 32, seed=3).batch(7)
    assert torch.equal(again.x, batches[7].x)
    assert not torch.equal(Loader(sample, 32, seed=4).batch(7).x[:, 0], batches[7].x[:, 0])
    with pytest.raises(PartiganError, match="fewer than one batch"):
        Loader(sample, 641, seed=3)


def test_what_an_epoch_leaves_out_does_not_depend_on_multiplicity(jet_file: JetFile) -> None:
    sample = read_jets(jet_file(640)).batch()
    assert sample.mask is not None
    seen = torch.cat([Loader(sample, 400, seed).batch(0).mask.sum(1).float() for seed in range(40)])  # type: ignore[union-attr]
    everything = sample.mask.sum(1).float()
    assert abs(seen.mean() - everything.mean()) < 4 * everything.std() / len(seen) ** 0.5


def test_processes_share_an_epoch(jet_file: JetFile) -> None:
    sample = read_jets(jet_file(640)).batch()
    loaders = [Loader(sample, 32, 3, rank, 2) for rank in range(2)]
    seen = torch.cat([loader.batch(number).x[:, 0] for loader in loaders for number in range(loader.per_epoch)])
    assert len(seen.unique(dim=0)) == 640
