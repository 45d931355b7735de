"""Pictures: the boundary around Pillow, and folders of images as PNG or numpy files.

A folder holds one file for each image, in the order of their names, or the folders ``images`` and ``source`` with files
of the same names: pairs of a translation. PNG files are 8-bit grey or colour or 16-bit grey, and their values are those
of the pixels. ``.npy`` files hold numbers of any type, ``(height, width)`` or ``(channel, height, width)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.parts import is_parts
from partigan.data.samples import checked
from partigan.data.splits import Rows, stored_rows
from partigan.errors import PartiganError
from partigan.reading import assure_memory, readable, size_of

SUFFIXES = (".png", ".npy")
MODES = {"L": "8-bit grey", "RGB": "8-bit colour", "RGBA": "8-bit colour with alpha", "I;16": "16-bit grey"}
_LAYOUT = "a folder holds images as .png or .npy, or the folders 'images' and 'source' with files of the same names"


def png_pixels(path: Path, modes: Sequence[str], size: tuple[int, int] | None, wanted: str) -> NDArray[Any]:
    """Pixels ``(height, width)`` or ``(height, width, channel)`` of a PNG file.

    The header is checked before anything is decoded, then all checksums.

    Args:
        path: the file.
        modes: Pillow's modes that are taken.
        size: height and width that it must have; None = any.
        wanted: what it should be, for messages.

    Raises:
        PartiganError: another mode or size, several frames, or a damaged file.
    """
    from PIL import Image

    size_of(path)
    with readable(path, "PNG"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=["PNG"]) as image:
            shape = (image.height, image.width)
            if image.mode not in modes or size not in (None, shape) or getattr(image, "n_frames", 1) > 1:
                raise PartiganError(f"{path}: {image.mode} image of {shape[0]} x {shape[1]} pixels; {wanted}")
            image.verify()
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image)


def is_pictures(path: Path) -> bool:
    """Whether a path is a folder of images in this layout."""
    if not path.is_dir() or is_parts(path):
        return False
    with readable(path, "a folder of images"):
        return (path / "images").is_dir() or any(file.suffix in SUFFIXES for file in path.iterdir())


def read_pictures(path: Path, split: Rows, finite: bool = True) -> Batch:
    """Images of a split of a folder, ``(images, channel, height, width)`` in float32.

    Args:
        path: the folder.
        split: train, valid, test, all, or rows; see `partigan.data.splits.split_rows`.
        finite: refuse NaN and infinite values.

    Raises:
        PartiganError: no images, images of different shapes, pairs that are not complete, or a damaged file.
    """
    names = _names(path)
    first, last = stored_rows({}, len(names), split, path, "images")
    folders = {"x": path / "images", "source": path / "source"} if (path / "images").is_dir() else {"x": path}
    chosen = names[first:last]
    parts = {part: _stack([folder / name for name in chosen]) for part, folder in folders.items() if folder.is_dir()}
    return checked(Batch(**parts), f"{path}: ", "images", first, finite)


def number_of_pictures(path: Path) -> int:
    """The number of images in a folder."""
    return len(_names(path))


def _names(path: Path) -> list[str]:
    """Names of the images, in order."""
    with readable(path, "a folder of images"):
        folder = path / "images" if (path / "images").is_dir() else path
        names = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)
        source = folder.parent / "source"
        if folder != path and source.is_dir():
            others = sorted(file.name for file in source.iterdir() if file.suffix in SUFFIXES)
            if alone := sorted({*names} ^ {*others}):
                where = "images" if alone[0] in names else "source"
                raise PartiganError(f"{path}: {alone[0]} is in {where!r} alone; {_LAYOUT}")
    if not names:
        raise PartiganError(f"{path} holds no images; {_LAYOUT}")
    return names


def _stack(files: list[Path]) -> Tensor:
    """All images of one shape, in float32."""
    first = _image(files[0])
    assure_memory(4 * first.size * len(files), f"{files[0].parent}: {len(files):,} images")
    stacked = np.empty((len(files), *first.shape), np.float32)
    for row, file in enumerate(files):
        image = _image(file)
        if image.shape != first.shape:
            shapes = f"{file} has the shape {list(image.shape)}, {files[0]} {list(first.shape)}"
            raise PartiganError(f"{shapes}; give images of one size")
        stacked[row] = image
    return torch.from_numpy(stacked)


def _image(file: Path) -> NDArray[Any]:
    """One image ``(channel, height, width)``."""
    if file.suffix == ".png":
        pixels = png_pixels(file, [*MODES], None, f"images are {', '.join(MODES.values())}")
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    size_of(file)
    with readable(file, "a numpy array"):
        image = np.load(file, mmap_mode="r", allow_pickle=False)
    if image.ndim not in (2, 3) or image.dtype.kind not in "biuf" or 0 in image.shape:
        raise PartiganError(
            f"{file}: {image.dtype}{list(image.shape)}; images are numbers, (channel, height, width) or (height, width)"
        )
    return np.asarray(image if image.ndim == 3 else image[None])
