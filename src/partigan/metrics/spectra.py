"""Distances between spectra of whole numbers, such as charges in ADU, with errors from image to image.

References:
    PE-GAN, section 4.2, compares spectra of the charge by eye; its successors are compared by Kolmogorov-Smirnov and
    Wasserstein-1 distances. B. Efron, Ann. Statist. 7 (1979) 1 (the bootstrap).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, table
from partigan.metrics.weighted import Sample, Weighted

_REPLICAS = 100


def spectrum_distances(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, rng: np.random.Generator
) -> tuple[Measurement, Measurement]:
    """Kolmogorov-Smirnov and Wasserstein-1 distance between the spectra of two samples of images.

    The hits of all images of a sample make one spectrum. An image without hits adds nothing; a sample without hits
    counts as one of charges 0. The errors are those of a bootstrap of images.

    Args:
        real: number of hits of each value 0, 1, 2, ... in each image, ``(images, values)``; `Weighted` for event
            weights.
        fake: ``(images, values)``; the number of images may differ.
        rng: draws the replicas.

    Returns:
        The largest distance between the distribution functions, and the area between them in units of the values.

    Raises:
        PartiganError: shapes are wrong, numbers of values differ, or values are not finite.
    """
    samples = [_read(real, "real"), _read(fake, "fake")]
    values = [sample.x.shape[1] for sample in samples]
    if values[0] != values[1]:
        raise PartiganError(f"spectra of {values[0]} and {values[1]} values cannot be compared")
    first, second = (_function(sample.times(sample.x).sum(0)) for sample in samples)
    gap = first - second
    replicas = [_function(resampled(len(sample), rng) @ sample.times(sample.x)) for sample in samples]
    gaps = replicas[0] - replicas[1]
    return (
        Measurement(float(np.abs(gap).max()), float(np.abs(gaps).max(1).std())),
        Measurement(float(np.abs(gap).sum()), float(np.abs(gaps).sum(1).std())),
    )


def _read(sample: ArrayLike | Weighted, name: str) -> Sample:
    weighted = Weighted.of(sample)
    x = table(weighted.x, name)
    return Sample(x, weighted.checked(len(x), name))


def resampled(images: int, rng: np.random.Generator, replicas: int = _REPLICAS) -> Floats:
    """How often each image is in each replica of a sample, ``(replicas, images)``."""
    return rng.multinomial(images, np.full(images, 1 / images), size=replicas).astype(np.float64)


def _function(counts: NDArray[np.float64]) -> Floats:
    """Distribution functions of spectra ``(..., values)``."""
    total = counts.sum(-1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    share[..., 0] += total[..., 0] == 0
    return np.asarray(np.cumsum(share, axis=-1))
