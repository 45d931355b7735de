from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.hitmaps import Hitmaps, crops
from partigan.data.pxd import LAYER_OF
from partigan.errors import PartiganError
from partigan.evaluation import protocols
from partigan.kinds import find
from partigan.kinds.kind import Values
from partigan.observables.hitmaps import clusters


@pytest.mark.parametrize(("name", "shape"), [("pxd", (256, 768)), ("pxd-crop", (64, 96)), ("pxd-parts", (256, 768))])
def test_kinds_of_hitmaps(tmp_path: Path, events: Hitmaps, name: str, shape: tuple[int, int]) -> None:
    """Read, compare, defects, draw, write and read again."""
    kind = find(name)
    write_hitmaps(tmp_path / "a.h5", [events], {"seed": 1})
    sample = kind.format.read(tmp_path / "a.h5", "all")
    arguments = kind.conditions.arguments(sample[:40])
    assert (arguments["channels"], arguments["height"], arguments["width"]) == (1, *shape)
    one, two = sample[:40], sample[40:80]
    assert kind.conditions.classes(one).tolist() == [*range(40)]  # type: ignore[union-attr]
    assert kind.evaluation.validate(one, one) == {"adu_w1": 0, "adu_ks": 0, "occupancy": 0}
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
    assert condition.shape == sample[:80].condition.shape  # type: ignore[union-attr]
    assert condition[:40].unique(dim=0).shape[0] == 40
    kind.format.write(tmp_path / "b.h5", [one, two], {"generated_by": "partigan"}, {})
    again = kind.format.read(tmp_path / "b.h5", "all")
    assert torch.equal(again.x.half(), sample.x[:80])
    assert torch.equal(again.condition, sample.condition[:80])  # type: ignore[index, arg-type]
    assert kind.format.attributes(tmp_path / "b.h5")["generated_by"] == "partigan"


def test_parts_are_crops_to_train_on_and_whole_maps_elsewhere(tmp_path: Path, events: Hitmaps) -> None:
    kind = find("pxd-parts")
    write_hitmaps(tmp_path / "a.h5", [events], {"split_train": (0, 2), "split_valid": (2, 3), "split_test": (2, 3)})
    write_hitmaps(tmp_path / "b.h5", [events], {"split_train": (0, 2), "split_valid": (2, 3)})
    with pytest.raises(PartiganError, match="share events"):
        kind.format.training(tmp_path / "a.h5")
    path = tmp_path / "b.h5"
    sample = kind.format.training(path)
    assert sample.x.shape == (2 * 40 * 4, 1, 64, 96)
    assert sample.condition is not None
    arguments = kind.conditions.arguments(sample)
    assert arguments["whole"] == [250, 768]
    assert (arguments["height"], arguments["width"], arguments["conditions"]) == (64, 96, 43)
    found = clusters(events.map, events.u, events.v, events.charge)
    numbers = np.bincount(found.image, minlength=120).reshape(3, 40)
    for row in (0, 41, 200, 319):
        sensor, (u, v) = row % 40, (sample.condition[row, 40:42] + 1) / 2 * torch.tensor([186, 672])
        corner = round(u.item()), round(v.item())
        np.testing.assert_array_equal(sample.x[row, 0], crops(events, [row % 80], [corner], 64, 96)[0])
        assert sample.condition[row, :40].nonzero().item() == sensor
        rate = np.log(numbers[row % 80 // 40, sensor] / 192)
        assert sample.condition[row, 42].item() == pytest.approx(rate, abs=1e-5)
    whole = kind.format.read(path, "valid")
    assert torch.equal(whole.x, find("pxd").format.read(path, "valid").x)
    assert kind.format.read(path, "train").x.shape == (2 * 40, 1, 250, 768)
    assert kind.evaluation.validated == 3 * 40
    state = kind.conditions.state(sample, kind.format.describe(path))
    assert state["clusters"] == numbers[:2].tolist()
    drawn, _ = kind.conditions.draw(state, 70, torch.Generator().manual_seed(1))
    assert drawn is not None
    assert any(np.allclose(drawn[:40, 42], np.log(row / 192), atol=1e-5) for row in numbers[:2])
    assert (drawn[:, 40:42] == -1).all()
    assert torch.equal(drawn[40:, :40], drawn[:30, :40])
