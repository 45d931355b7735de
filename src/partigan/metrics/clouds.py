"""Particle clouds as metrics take them: features of particles, and which of them are real."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from partigan.errors import PartiganError


@dataclass(frozen=True, eq=False)
class Clouds:
    """A sample of particle clouds.

    Attributes:
        x: features of the particles, ``(jets, particles, features)``, numpy or torch.
        mask: ``(jets, particles)`` or ``(jets, particles, 1)``, True for real particles; None = all are real.
    """

    x: ArrayLike
    mask: ArrayLike | None = None

    @classmethod
    def of(cls, sample: ArrayLike | Clouds) -> Clouds:
        """The sample itself, or an array as clouds without padding."""
        return sample if isinstance(sample, Clouds) else cls(sample)

    def real(self, name: str) -> NDArray[np.bool_]:
        """Which particles are real, ``(jets, particles)``.

        Args:
            name: what messages call the sample.

        Raises:
            PartiganError: the mask has another shape.
        """
        shape = tuple(np.shape(self.x)[:2])
        if self.mask is None:
            return np.ones(shape, np.bool_)
        real = np.asarray(self.mask).astype(np.bool_)
        if real.shape == (*shape, 1):
            real = real[..., 0]
        if real.shape != shape:
            raise PartiganError(f"the mask of the {name} sample must be {shape}, not {real.shape}")
        return real
