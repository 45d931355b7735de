from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from partigan.data.sources import source
from partigan.errors import PartiganError
from partigan.kinds import find, kind_of

RNG = np.random.default_rng(0)


def folder(path: Path, images: dict[str, np.ndarray]) -> Path:
    """Images under their names, as PNG or numpy files."""
    path.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        if name.endswith(".png"):
            Image.fromarray(image).save(path / name)
        else:
            np.save(path / name, image)
    return path


def test_pngs_of_all_kinds_and_arrays(tmp_path: Path) -> None:
    for name, shape, kind in (
        ("grey", (6, 5), np.uint8),
        ("deep", (6, 5), np.uint16),
        ("colour", (6, 5, 3), np.uint8),
        ("alpha", (6, 5, 4), np.uint8),
    ):
        made = {f"{row:02d}.png": RNG.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True) for row in range(20)}
        found = find("images").format.read(folder(tmp_path / name, made), "all")
        expected = np.stack([image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0) for image in made.values()])
        assert torch.equal(found.x, torch.from_numpy(expected.astype(np.float32)))
    floats = {f"{row:02d}.npy": RNG.normal(size=(2, 6, 5)) for row in range(20)}
    given = source(folder(tmp_path / "floats", floats), find("images"))
    assert kind_of(tmp_path / "floats").name == "images"
    assert find("images").format.count(tmp_path / "floats") == 20
    assert [len(given.read(split)) for split in ("train", "valid", "test")] == [14, 3, 3]
    assert torch.equal(given.read("test").x[0].double(), torch.from_numpy(floats["17.npy"]).float().double())
    assert given.attributes() == {}
    assert len(given.digest) == 64


def test_pairs_are_two_folders_of_the_same_names(tmp_path: Path) -> None:
    for part in ("images", "source"):
        folder(tmp_path / part, {f"{row}.npy": RNG.random((4, 4)) for row in range(12)})
    found = find("images").format.read(tmp_path, (2, 5))
    assert found.x.shape == found.start.x.shape == (3, 1, 4, 4)
    assert np.allclose(found.start.x[0, 0], np.load(tmp_path / "source" / "10.npy"))  # names in order: 0, 1, 10, 11
    (tmp_path / "source" / "5.npy").unlink()
    with pytest.raises(PartiganError, match=r"5.npy is in 'images' alone; a folder holds images"):
        find("images").format.read(tmp_path, "all")


def test_a_folder_of_hitmaps_is_none_of_images(tmp_path: Path) -> None:
    folder(tmp_path / "1.1.1", {"0.png": np.zeros((250, 768), np.uint8)})
    assert kind_of(tmp_path).name == "pxd"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"a.npy": np.ones((4, 4)), "b.npy": np.ones((4, 5))}, r"b.npy has the shape \[1, 4, 5\], .*a.npy \[1, 4, 4\]"),
        ({"a.npy": np.ones(4)}, r"a.npy: float64\[4\]; images are numbers"),
        ({"a.npy": np.full((4, 4), np.nan)}, "images row 0: NaN or infinite values"),
        ({"a.npy": np.array([["a", "b"]])}, "a.npy: <U1"),
        ({"a.png": np.zeros((4, 4), bool)}, "a.png: 1 image of 4 x 4 pixels; images are 8-bit grey, 8-bit colour"),
    ],
)
def test_images_that_are_none(images: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(PartiganError, match=message):
        find("images").format.read(folder(tmp_path, images), "all")


def test_damaged_and_empty_folders(tmp_path: Path) -> None:
    for name in ("a.npy", "a.png"):
        (tmp_path / name[2:]).mkdir()
        (tmp_path / name[2:] / name).write_bytes(b"nothing")
        with pytest.raises(PartiganError, match=f"{name} cannot be read as"):
            find("images").format.read(tmp_path / name[2:], "all")
    (tmp_path / "images").mkdir()
    with pytest.raises(PartiganError, match="holds no images; a folder holds images as"):
        find("images").format.read(tmp_path, "all")
    np.save(tmp_path / "images" / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(PartiganError, match=r"a.npy cannot be read as a numpy array"):
        find("images").format.read(tmp_path, "all")
