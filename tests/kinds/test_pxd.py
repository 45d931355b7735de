from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import toy_hitmaps
from partigan.data.batch import Batch
from partigan.data.clusters import FRAMES, PATTERNS, PIXELS, STRIP, WINDOW, found
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.hitmaps import Hitmaps
from partigan.data.pxd import LAYER_OF
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.kind import Values
from partigan.kinds.pxd_clusters import rows
from partigan.simulate.pxd import simulate_pxd


@pytest.mark.parametrize(("name", "shape"), [("pxd", (256, 768)), ("pxd-crop", (64, 96)), ("pxd-clusters", ())])
def test_kinds_of_hitmaps(tmp_path: Path, events: Hitmaps, name: str, shape: tuple[int, int]) -> None:
    """Read, compare, defects, draw, write and read again."""
    kind = find(name)
    write_hitmaps(tmp_path / "a.h5", [events], {"seed": 1})
    sample = kind.format.read(tmp_path / "a.h5", "all")
    if shape:
        arguments = kind.conditions.arguments(sample[:40])
        assert (arguments["channels"], arguments["height"], arguments["width"]) == (1, *shape)
    one, two = sample[:40], sample[40:80]
    assert kind.conditions.classes(one).tolist() == [*range(40)]  # type: ignore[union-attr]
    assert {*kind.evaluation.validate(one, one).values()} == {0}
    dark = replace(two, x=torch.zeros_like(two.x))
    assert kind.evaluation.validate(one, dark)["adu_ks"] == 1

    def observed(sample: Batch) -> Values:
        return Values(kind.observables.compute(sample, {}))

    terms = protocols.protocol(name, "pe-gan")
    seen, other = observed(one), observed(two)
    assert all(seen[scalar].shape == (40,) for scalar in kind.observables.scalars({}))
    charges = one.x[:, 0].float()
    mean = (charges.sum((1, 2)) / (charges > 0).sum((1, 2)).clamp_min(1)).numpy()
    np.testing.assert_allclose(seen["mean_charge"], mean, rtol=1e-6)
    found = kind.evaluation.metrics(seen, other, terms, 40, 1)
    assert found.keys() == set(kind.evaluation.names)
    assert found["occupancy_1"].value == pytest.approx(1, abs=5 * found["occupancy_1"].error)
    bright = observed(replace(two, x=(two.x * 1.2).floor().clamp(max=255)))
    assert kind.evaluation.metrics(seen, bright, terms, 40, 1)["adu_w1"].value > found["adu_w1"].value + 1
    assert kind.evaluation.metrics(seen, observed(dark), terms, 40, 1)["occupancy_1"].value == 0
    without = observed(replace(one, x=one.x * torch.from_numpy(LAYER_OF == 1).view(-1, 1, 1, 1)))
    missing = kind.evaluation.metrics(without, other, terms, 40, 1)
    assert missing["occupancy_2"] == "the real sample has no hits in layer 2"
    assert missing["occupancy_1"].value > 0
    assert kind.evaluation.figures(seen, other).keys() >= {"Charge", "Occupancy of the sensors", "Pairs of pixels"}
    with pytest.raises(PartiganError, match="not whole ADU"):
        observed(replace(two, x=two.x + 0.5))
    state = kind.conditions.state(sample, kind.format.describe(tmp_path / "a.h5"))
    condition, mask = kind.conditions.draw(state, 80, torch.Generator().manual_seed(0))
    assert mask is None
    assert condition is not None
    told = kind.conditions.told(condition)
    assert told.shape == sample[:80].condition.shape  # type: ignore[union-attr]
    assert told[:40].unique(dim=0).shape[0] == 40
    kind.format.write(tmp_path / "b.h5", [one, two], {"generated_by": "partigan"}, {})
    again = kind.format.read(tmp_path / "b.h5", "all")
    assert torch.equal(again.x.half(), sample.x[:80])
    assert torch.equal(again.condition, sample.condition[:80])  # type: ignore[index, arg-type]
    assert kind.format.attributes(tmp_path / "b.h5")["generated_by"] == "partigan"


def test_clusters_are_trained_on_and_whole_maps_are_everywhere_else(tmp_path: Path) -> None:
    kind, path = find("pxd-clusters"), simulate_pxd(8, tmp_path / "a.h5")
    sample = kind.format.training(path)
    assert sample.x.shape[1:] == (sum(PIXELS),)
    assert sample.x.dtype == torch.float16
    assert sample.condition is not None
    assert sample.condition.shape == (len(sample), sum(FRAMES))
    small, strip = sample.x.float().split(list(PIXELS), dim=1)
    patterns = torch.from_numpy(PATTERNS)[sample.condition[:, 3].long()]
    assert torch.equal((small > 0).long(), patterns)
    assert torch.equal(small.sum(1), sample.condition[:, 4])
    along = (strip.view(-1, WINDOW, STRIP) > 0).any(2)
    length, first = sample.condition[:, 9], sample.condition[:, -1]
    place = first[:, None] + torch.arange(WINDOW)
    assert torch.equal(along, (place >= 0) & (place < length[:, None]))
    assert torch.equal((strip > 0).sum(1) - along.sum(1), sample.condition[:, -2])
    assert torch.equal(kind.format.training(path).x, sample.x)
    assert torch.equal(kind.format.read(path, "valid").x, find("pxd").format.read(path, "valid").x)


def test_training_shows_all_pixels_of_tracks_as_often() -> None:
    """A tenth of these tracks has half of the pixels."""
    lengths = np.array([90] + [10] * 9)
    begin = np.repeat(np.cumsum(lengths + 5) - lengths, lengths)
    v = begin + np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    u, v = np.append(np.full_like(v, 40), [200, 201]), np.append(v, [3, 3])  # and a small cluster
    maps = Hitmaps.of(1, np.zeros_like(v), np.full_like(v, 7), u, v, np.full_like(v, 20))
    made = rows([(found(maps), 1)], np.random.default_rng(1))
    assert made.condition is not None
    length = made.condition[:, 9]
    assert sorted(length.tolist()) == [10] * 9 + [90] * 6
    shown = (made.x[:, PIXELS[0] :] > 0).sum(1)
    assert shown[length == 90].sum() == pytest.approx(90, abs=10)


def test_hits_are_written_like_maps(tmp_path: Path, events: Hitmaps) -> None:
    kind = find("pxd-clusters")
    write_hitmaps(tmp_path / "a.h5", [events], {})
    maps = kind.format.read(tmp_path / "a.h5", "all")
    flat = maps.x.flatten(1).float()
    hits = torch.zeros(len(flat), 2, int((flat > 0).sum(1).max()))
    for row, values in zip(hits, flat, strict=True):
        there = values.nonzero()[:, 0]
        row[:, : len(there)] = torch.stack((there + 1, values[there]))
    kind.format.write(tmp_path / "b.h5", [replace(maps, x=hits)], {"kind": "pxd-clusters"}, {})
    assert torch.equal(kind.format.read(tmp_path / "b.h5", "all").x, maps.x)
    assert kind.format.attributes(tmp_path / "b.h5")["kind"] == "pxd"


def test_events_without_tracks_are_refused(tmp_path: Path) -> None:
    toy_hitmaps(tmp_path / "a.h5")
    with pytest.raises(PartiganError, match=r"the training events have no (small clusters|tracks) .* give more events"):
        find("pxd-clusters").format.training(tmp_path / "a.h5")
