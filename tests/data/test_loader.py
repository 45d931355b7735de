from __future__ import annotations

import pytest
import torch

from helpers import JetFile
from partigan.data.batch import Batch
from partigan.data.jets import read_jets
from partigan.data.loader import Loader, Share
from partigan.data.transforms import with_source
from partigan.data.transforms.hitmaps import LogIntensity
from partigan.data.transforms.tables import Standardise
from partigan.errors import PartiganError
from partigan.randomness import rng_for


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


def test_what_pairs_start_from_is_normalised_with_them() -> None:
    whole = torch.randint(7, 40, (2, 60, 1, 250, 4)).float()
    pairs, transform = Batch(whole[0], source=whole[1]), LogIntensity()  # it finishes batches with noise of their own
    transform.fit(pairs)
    batch = Loader(with_source(transform.held, pairs), 5, 1, transform=transform).batch(2)
    rows = [int((pairs.x == each).flatten(1).all(1).nonzero()) for each in transform.inverse(batch).x]
    assert torch.equal(transform.inverse(batch.start).x, pairs.start.x[rows])


def test_processes_share_an_epoch(jet_file: JetFile) -> None:
    sample = read_jets(jet_file(640)).batch()
    loaders = [Loader(sample, 32, 3, Share(rank, 2)) for rank in range(2)]
    seen = torch.cat([loader.batch(number).x[:, 0] for loader in loaders for number in range(loader.per_epoch)])
    assert len(seen.unique(dim=0)) == 640


class Noting(Standardise):
    """Notes the generators of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        self.seeds.append(rng.initial_seed())
        return held


def test_samples_of_other_names_are_shuffled_independently() -> None:
    """The order of "data" is that of the purposes "shuffle" and "batch", so that its trainings can be repeated."""
    table = Batch(torch.arange(12.0)[:, None])
    seen, noise = {}, {}
    for name in ("data", "simulation", "target"):
        loader = Loader(table, 4, 7, Share(1, 3), noting := Noting(), name)
        seen[name] = [loader.batch(number).x.flatten().tolist() for number in range(8)]
        noise[name] = noting.seeds
    for number in range(8):
        rng = rng_for("shuffle", 7, number)
        rows = torch.randperm(12, generator=rng)
        assert seen["data"][number] == rows[1::3].tolist()
        assert noise["data"][number] == rng_for("batch", 7, number, 1).initial_seed()
    assert len({seed for seeds in noise.values() for seed in seeds}) == 24
    assert seen["simulation"] != seen["data"] != seen["target"] != seen["simulation"]


def test_the_refusal_of_a_small_sample_names_it() -> None:
    with pytest.raises(PartiganError, match="'simulation' has 3 samples, fewer than one batch of 2 for each of 2"):
        Loader(Batch(torch.zeros(3, 1)), 2, 1, Share(0, 2), name="simulation")
