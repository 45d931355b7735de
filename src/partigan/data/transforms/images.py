"""Normalisation of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.transform import Transform
from partigan.errors import PartiganError


class Rescale(Transform):
    """One range of all values, such as that of pixels, to [-1, 1]; the inverse cuts what lies outside.

    Args:
        low: physical value that becomes -1; None = the lowest of the training sample.
        high: physical value that becomes 1; None = the highest.

    Raises:
        PartiganError: ``high`` is not above ``low``.

    Example:
        >>> import torch
        >>> images = Batch(torch.tensor([[[[0.0, 64.0], [128.0, 255.0]]]]))
        >>> transform = Rescale(0.0, 256.0)
        >>> transform.fit(images)
        >>> transform.forward(images).x.flatten().tolist()
        [-1.0, -0.5, 0.0, 0.9921875]
        >>> transform.inverse(transform.forward(images)).x.flatten().tolist()
        [0.0, 64.0, 128.0, 255.0]
    """

    constants: ClassVar[tuple[str, ...]] = ("low", "high")

    def __init__(self, low: float | None = 0.0, high: float | None = 1.0) -> None:
        super().__init__()
        if low is not None and high is not None and high <= low:
            raise PartiganError(f"the range {low} to {high} of Rescale is empty; give a high above low")
        self._low, self._high = low, high
        self.low, self.high = low or 0.0, high or 0.0

    def fit(self, sample: Batch) -> None:
        """Take the ends of the range that are not given.

        Raises:
            PartiganError: the sample has values outside the range, or all values are the same.
        """
        lowest, highest = sample.x.min().item(), sample.x.max().item()
        self.low = lowest if self._low is None else self._low
        self.high = highest if self._high is None else self._high
        if self.high <= self.low:
            raise PartiganError("the training sample does not vary; it cannot be normalised")
        if lowest < self.low or highest > self.high:
            raise PartiganError(
                f"the training sample has values from {lowest:.4g} to {highest:.4g}, outside {self.low} to "
                f"{self.high}; give --transform.low and --transform.high"
            )

    def forward(self, sample: Batch) -> Batch:
        """Values from -1 to 1."""
        return replace(sample, x=(sample.x - self.low) * (2 / (self.high - self.low)) - 1)

    def inverse(self, sample: Batch) -> Batch:
        """Values from ``low`` to ``high``."""
        x = (sample.x.clamp(-1, 1) + 1) * ((self.high - self.low) / 2) + self.low
        return replace(sample, x=x)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        if values["high"] <= values["low"]:
            yield "high", "is not above 'low'"


class Asinh(Transform):
    """Values of many orders of magnitude, such as charges: asinh(x / scale), linear below the scale, logarithmic above.

    0 stays 0: where images are sparse, it is what convolutions are padded with. The inverse makes no values below 0
    where the training sample has none.

    Args:
        scale: physical value; None = the median size of the values of the training sample that are not 0.

    Raises:
        PartiganError: a scale that is not above 0.

    Example:
        >>> images = Batch(torch.tensor([[[[0.0, 1.0], [100.0, 1000.0]]]]))
        >>> transform = Asinh(scale=1.0)
        >>> transform.fit(images)
        >>> transform.forward(images).x.flatten().round(decimals=2).tolist()
        [0.0, 0.8799999952316284, 5.300000190734863, 7.599999904632568]
        >>> torch.allclose(transform.inverse(transform.forward(images)).x, images.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("unit", "low")

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None and scale <= 0:
            raise PartiganError(f"scale = {scale} of Asinh; give one above 0")
        self.scale = scale
        self.unit, self.low = 1.0, 0.0

    def fit(self, sample: Batch) -> None:
        """Take the scale, where it is not given, and the lowest value.

        Raises:
            PartiganError: all values are the same.
        """
        x = sample.x.double()
        if x.min() == x.max():
            raise PartiganError("the training sample does not vary; it cannot be normalised")
        self.unit = x[x != 0].abs().median().item() if self.scale is None else self.scale
        self.low = x.min().item()

    def forward(self, sample: Batch) -> Batch:
        """Values in units of the scale where they are small."""
        return replace(sample, x=torch.asinh(sample.x / self.unit))

    def inverse(self, sample: Batch) -> Batch:
        """Physical values."""
        x = torch.sinh(sample.x) * self.unit
        return replace(sample, x=x.clamp_min(0) if self.low >= 0 else x)

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        if values["unit"] <= 0:
            yield "unit", "is not above 0"
