"""Handwritten digits of scikit-learn: small real images without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from partigan import __version__
from partigan.data.batch import Batch
from partigan.data.hdf5 import SUFFIXES
from partigan.data.samples import write_samples
from partigan.outputs import writing
from partigan.randomness import check_seed


def simulate_digits(out: Path, seed: int = 1, overwrite: bool = False) -> Path:
    """Write the 1,797 handwritten digits of scikit-learn as images of 8 x 8 pixels from 0 to 1, with labels.

    Args:
        out: file to make.
        seed: of the order, which decides the splits.
        overwrite: replace an existing file.

    Returns:
        The file.

    Raises:
        PartiganError: the output exists.

    References:
        E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
    """
    from sklearn.datasets import load_digits

    check_seed(seed)
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = torch.from_numpy(digits.images[order, None].astype(np.float32) / 16)
    labels = torch.from_numpy(digits.target[order].astype(np.int64))
    attributes = {"kind": "images", "simulated": "scikit-learn's digits", "seed": seed, "partigan_version": __version__}
    with writing(out, overwrite=overwrite, suffixes=SUFFIXES):
        write_samples(out, "images", [Batch(images, condition=labels)], attributes)
    return Path(out)
