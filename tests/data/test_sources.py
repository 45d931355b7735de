from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers import JetFile, toy_hitmaps, toy_hits, toy_jets
from partigan.data.batch import Batch
from partigan.data.hitmap_files import write_hitmaps
from partigan.data.sources import draw, source
from partigan.errors import PartiganError
from partigan.kinds import find


def test_a_file_is_a_source(jet_file: JetFile) -> None:
    path, kind = jet_file(200), find("jets")
    found = source(str(path), kind)
    assert source(found, kind) is found
    assert found.path == path
    assert found.name == str(path)
    assert found.label == "toy"
    assert len(found.digest) == 64
    assert torch.equal(found.read("test").x, kind.format.read(path, "test").x)
    assert torch.equal(found.training().x, kind.format.read(path, "train").x)
    assert found.describe() == kind.format.describe(path)
    assert found.attributes() == {"flavour": "toy"}


@pytest.mark.parametrize("form", ["four features", "mapping", "zeros", "batch", "tensor"])
def test_jets_in_arrays_are_those_of_a_file(form: str, jet_file: JetFile) -> None:
    kind, table = find("jets"), toy_jets(200)[0]
    x, mask = table[..., :3], table[..., 3] > 0.5
    given: Any = {
        "four features": table.astype(np.float64),
        "mapping": {"x": x, "mask": mask, "weight": np.ones(200)},
        "zeros": x,
        "batch": Batch(torch.from_numpy(x.copy()), torch.from_numpy(mask)),
        "tensor": torch.from_numpy(table).requires_grad_(),
    }[form]
    found, like = source(given, kind), source(jet_file(200), kind)
    for split in ("train", "valid", "test", "all"):
        one, two = found.read(split), like.read(split)
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.mask, two.mask)  # type: ignore[arg-type]
        assert one.x.dtype == torch.float32
    assert (found.label, found.path, found.attributes()) == (None, None, {})
    assert found.describe()["jet_pt"] == 1.0
    assert found.describe()["features"].keys() == like.describe()["features"].keys()
    assert found.digest == source(given, kind).digest
    assert found.digest != source(table[::-1], kind).digest


def test_rows_images_and_hitmaps_in_arrays(tmp_path: Path) -> None:
    rows = source(
        {"x": np.arange(40).reshape(20, 2), "labels": [True, False] * 10, "weight": np.ones(20)}, find("tables")
    )
    assert rows.training().x.dtype == torch.float32
    assert rows.training().condition.dtype == torch.int64  # type: ignore[union-attr]
    assert len(rows.training().weight) == 14  # type: ignore[arg-type]
    assert rows.describe() == {"features": {"0": "", "1": ""}}
    given = {"x": np.zeros((20, 6, 5)), "conditions": np.ones((20, 2), int), "source": np.ones((20, 6, 5))}
    images = source(given, find("images"))
    assert images.read("all").x.shape == images.read("all").start.x.shape == (20, 1, 6, 5)
    assert images.read("all").start.x.min() == 1
    assert images.read("all").condition.dtype == torch.float32  # type: ignore[union-attr]
    assert images.describe() == {}
    kind = find("pxd")
    whole = kind.format.read(toy_hitmaps(tmp_path / "p.h5"), "all")
    found = source(whole.x.numpy().astype(np.uint8), kind).read("all")
    assert torch.equal(found.x, whole.x)
    assert torch.equal(found.condition, whole.condition)  # type: ignore[arg-type]
    crop = find("pxd-crop")
    crops = crop.format.read(tmp_path / "p.h5", "all")
    assert torch.equal(source({"x": crops.x, "conditions": crops.condition}, crop).read("all").x, crops.x)


def _broken(row: int, value: float) -> np.ndarray:
    x = np.ones((50, 2))
    x[row, 1] = value
    return x


JETS = toy_jets(20)[0]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("tables", _broken(7, np.nan), r"x row 7: NaN or infinite values \(1 such rows\)"),
        ("tables", np.ones((5, 2, 2)), r"shape \(rows, features\), not \[5, 2, 2\]"),
        ("tables", np.ones((0, 2)), r"x has the shape \[0, 2\]"),
        ("tables", np.float32(3), r"x has the shape \[\]"),
        ("tables", "missing.h5", "missing.h5 does not exist"),
        ("tables", np.array(["a", "b"]), "x is a ndarray of <U1, not an array of numbers"),
        ("tables", [[1.0], [1.0, 2.0]], "x is no array of numbers"),
        ("tables", {"y": np.ones(3)}, "there is no 'x'"),
        ("tables", {"x": np.ones((3, 1)), "z": np.ones(3)}, "there is 'z'"),
        ("tables", {"x": np.ones((3, 1)), "weight": np.ones(2)}, r"weight has the shape \[2\], x \[3, 1\]"),
        ("tables", {"x": np.ones((3, 1)), "weight": [1, np.inf, 1]}, "weights row 1: NaN or infinite"),
        ("tables", {"x": np.ones((3, 1)), "labels": [0, 1, -1]}, "labels row 2 is -1"),
        ("tables", {"x": np.ones((3, 1)), "labels": [0.5, 1, 1]}, "labels must be whole numbers"),
        ("tables", {"x": np.ones((3, 1)), "labels": [0, 1, 1], "conditions": np.ones((3, 1))}, "labels and conditions"),
        ("tables", {"x": np.ones((3, 1)), "conditions": np.ones(3)}, "conditions has the shape .* 2 dimensions"),
        ("images", np.ones((5, 2)), r"not \[5, 2\]"),
        ("jets", JETS[..., :2], r"jets have the shape .* not \[20, 30, 2\]"),
        ("jets", {"x": JETS, "mask": JETS[..., 3]}, "beside a mask"),
        ("jets", {"x": JETS[..., :3], "mask": JETS[:, :5, 3]}, "the mask has the shape"),
        ("jets", np.where(np.arange(20)[:, None, None] == 4, -JETS, JETS), "particles row 4: a mask that is neither"),
        ("jets", np.where(np.arange(20)[:, None, None] == 4, np.nan, JETS), "particles row 4: NaN"),
        ("pxd", np.ones((40, 1, 64, 96)), r"shape \(maps, 1, 250, 768\)"),
        ("pxd", np.ones((3, 250, 768)), "3 maps are no whole events of 40"),
        ("pxd", {"x": np.ones((3, 250, 768)), "labels": [0, 1, 40]}, "from 0 to 39"),
        ("pxd-crop", np.full((3, 64, 96), 0.5), "x row 0: charges that are not whole ADU"),
        ("pxd-crop", np.ones((3, 64, 96)), "conditions of 42 features"),
        ("pxd-clusters", np.ones((40, 250, 768)), "give a file of hitmaps"),
    ],
)
def test_what_is_no_source(kind: str, given: Any, message: str) -> None:
    with pytest.raises(PartiganError, match=message):
        source(given, find(kind)).read("train")


def test_too_few_rows_for_a_split() -> None:
    with pytest.raises(PartiganError, match="the valid split of the arrays is empty"):
        source(np.ones((1, 2)), find("tables")).read("valid")


def test_the_digest_of_a_folder(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_text(name)
    first = source(tmp_path / "images", find("pxd")).digest
    (tmp_path / "images" / "a").rename(tmp_path / "images" / "c")
    assert source(tmp_path / "images", find("pxd")).digest != first


@pytest.mark.parametrize("block", [1, 3, 7, 100])
@pytest.mark.parametrize("together", [1, 4])
def test_samples_are_drawn_from_parts_of_any_size(block: int, together: int) -> None:
    x = torch.arange(100.0)
    sizes: list[int] = []

    def parts() -> Any:
        for first in range(0, 100, block * together):
            sizes.append(len(x[first : first + block * together]))
            yield Batch(x[first : first + block * together], condition=x[first : first + block * together].long())

    found, total = draw(parts(), 20, together, seed=3)
    assert total == 100
    assert len(found) == 20
    assert torch.equal(found.x, draw([Batch(x)], 20, together, seed=3)[0].x)
    assert torch.equal(found.x, found.x.sort().values)
    assert torch.equal(found.x.long(), found.condition)
    assert (found.x.view(-1, together)[:, 0] % together == 0).all()
    assert torch.equal(draw(parts(), 1000, together, seed=3)[0].x, x)


def test_all_samples_have_the_same_chance() -> None:
    counts = torch.zeros(10)
    for seed in range(600):
        counts[draw([Batch(torch.arange(6)), Batch(torch.arange(6, 10))], 3, 1, seed)[0].x] += 1
    assert (counts / 600 - 0.3).abs().max() < 0.08


@pytest.mark.parametrize("name", ["jets", "tables", "images", "pxd", "pxd-clusters", "pxd-crop"])
def test_files_in_blocks_hold_what_they_hold_at_once(name: str, jet_file: JetFile, tmp_path: Path) -> None:
    kind, path = find(name), tmp_path / "a.h5"
    if name == "jets":
        path = jet_file(200)
    elif name.startswith("pxd"):
        write_hitmaps(path, [toy_hits(10, 200)], {})
    else:
        x = torch.rand(50, *{"tables": (3,), "images": (1, 4, 5)}[name])
        kind.format.write(path, [Batch(x, condition=torch.arange(50) % 4)], {}, {"features": ["a", "b", "c"]})
    whole = kind.format.read(path, "all")
    found, total = source(path, kind).drawn(10**6, 1)
    assert total == len(whole)
    for one, two in ((found.x, whole.x), (found.condition, whole.condition), (found.mask, whole.mask)):
        assert (one is None and two is None) or torch.equal(one, two)  # type: ignore[arg-type]
    some, _ = source(path, kind).drawn(40, 1)
    assert len(some) == 40
