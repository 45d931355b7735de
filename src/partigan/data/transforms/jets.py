"""Normalisations of jets: clouds ``(batch, particles, 3)`` of eta_rel, phi_rel and pt_rel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.tables import Standardise
from partigan.data.transforms.transform import Transform, varying_rows, wrong_shapes, zero_padded


class LogStandardise(Standardise):
    """The logarithm of one positive feature, then mean 0 and standard deviation 1 of every feature.

    Args:
        positive: index of the feature whose logarithm is taken (pt_rel of jets).

    Example:
        >>> jets = Batch(torch.tensor([[[0.1, 0.0, 0.8], [-0.3, 0.2, 0.2]]]), torch.tensor([[True, True]]))
        >>> transform = LogStandardise()
        >>> transform.fit(jets)
        >>> torch.allclose(transform.inverse(transform.forward(jets)).x, jets.x)
        True
    """

    def __init__(self, positive: int = 2) -> None:
        super().__init__()
        self.positive = positive

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from super().faults(values)
        if len(values["mean"]) <= self.positive:
            yield "mean", f"has no feature {self.positive}, whose logarithm is taken"

    def enter(self, x: Tensor) -> Tensor:
        """Takes the logarithm."""
        x = x.clone()
        x[..., self.positive] = x[..., self.positive].clamp_min(torch.finfo(x.dtype).tiny).log()
        return x

    def leave(self, x: Tensor) -> Tensor:
        """Undoes it."""
        x[..., self.positive] = x[..., self.positive].exp()
        return x


class EPiCStandardise(Transform):
    """Jets as EPiC-GAN sees them: centred, then mean 0 and standard deviation ``width`` of every feature.

    Centring subtracts the mean angles weighted by pt, from jets for training and again from generated ones. It cannot
    be undone, so the inverse is exact for centred jets only. Generated particles have at least the smallest pt of the
    training particles.

    Args:
        width: standard deviation of the normalised features.

    References:
        arXiv:2301.08128, section 4; the width is that of the authors' published code.

    Example:
        >>> jets = Batch(torch.tensor([[[0.1, 0.1, 0.8], [-0.4, -0.4, 0.2]]]), torch.tensor([[True, True]]))
        >>> transform = EPiCStandardise()
        >>> transform.fit(jets)
        >>> torch.allclose(transform.inverse(transform.forward(jets)).x, jets.x, atol=1e-6)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("mean", "std", "lowest")
    mean: Tensor
    std: Tensor
    lowest: Tensor

    def __init__(self, width: float = 5.0) -> None:
        super().__init__()
        self.width = width
        for name in self.constants:
            self.register_buffer(name, torch.zeros(0))

    def fit(self, sample: Batch) -> None:
        """Take mean and standard deviation of each feature, and the smallest pt.

        Raises:
            PartiganError: a feature does not vary.
        """
        rows = varying_rows(sample, self._centred(sample).x)
        self.mean, self.std, self.lowest = rows.mean(0).float(), rows.std(0).float(), rows[:, 2].amin().float()

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, zero where padded."""
        return zero_padded(sample, (self._centred(sample).x - self.mean) * (self.width / self.std))

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        angle, pt = (sample.x * (self.std / self.width) + self.mean).tensor_split([2], dim=-1)
        return self._centred(zero_padded(sample, torch.cat((angle, pt.clamp_min(self.lowest)), dim=-1)))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from wrong_shapes(values, ("mean", (3,)), ("std", (3,)), ("lowest", ()))
        if not (values["std"] > 0).all():
            yield "std", "is not above 0"

    def _centred(self, sample: Batch) -> Batch:
        angle, pt = sample.x[..., :2], sample.x[..., 2:]
        centre = (angle * pt).sum(1, keepdim=True) / pt.sum(1, keepdim=True).clamp_min(torch.finfo(pt.dtype).tiny)
        return zero_padded(sample, torch.cat((angle - centre, pt), dim=-1))


class JetNetScale(Transform):
    """Jets as MPGAN sees them: each feature over its greatest absolute value, then 1/2 subtracted from pt.

    Args:
        padding: how padded particles look in the normalised space. ``masked``: they stay masked, for networks with
            masks; ``particles``: they are particles without pt, and generators make such particles; ``feature``: the
            same with a last feature, 1/2 for real and -1/2 for padded particles.
        cut: generated particles of a smaller pt_rel are padding (the "manual" masking of the paper); None = all that
            are not masked are real. The hardest particle of a jet is always real, and real particles have a pt_rel of
            at least 1e-7.

    References:
        arXiv:2106.11535, section 5 and appendix E; the constants are those of the authors' published code.

    Example:
        >>> jets = Batch(torch.tensor([[[0.2, -0.1, 0.8], [-0.4, 0.4, 0.2]]]), torch.tensor([[True, True]]))
        >>> transform = JetNetScale()
        >>> transform.fit(jets)
        >>> transform.forward(jets).x.tolist()
        [[[0.5, -0.25, 0.5], [-1.0, 1.0, -0.25]]]
        >>> torch.allclose(transform.inverse(transform.forward(jets)).x, jets.x)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("maxima",)
    maxima: Tensor
    shift: Tensor

    def __init__(self, padding: Literal["masked", "particles", "feature"] = "masked", cut: float | None = None) -> None:
        super().__init__()
        self.padding, self.cut = padding, cut
        self.masked = padding == "masked"
        self.register_buffer("maxima", torch.zeros(0))
        self.register_buffer("shift", torch.tensor([0.0, 0.0, -0.5]), persistent=False)

    def fit(self, sample: Batch) -> None:
        """Take the greatest absolute value of each feature.

        Raises:
            PartiganError: a feature does not vary.
        """
        self.maxima = varying_rows(sample, sample.x).abs().amax(0).float()

    def forward(self, sample: Batch) -> Batch:
        """Normalised features, with or without mask as ``padding`` says."""
        x = sample.x / self.maxima + self.shift
        if self.masked:
            return zero_padded(sample, x)
        if self.padding == "feature":
            real = torch.ones_like(x[..., :1]) if sample.mask is None else sample.mask[..., None].to(x.dtype)
            x = torch.cat((x, real - 0.5), dim=-1)
        return replace(sample, x=x, mask=None)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features and the mask, real particles first, zero where padded."""
        x = (sample.x[..., :3] - self.shift) * self.maxima
        if self.padding == "feature":
            mask = sample.x[..., 3] > 0
        else:
            mask = torch.ones_like(x[..., 0], dtype=torch.bool) if sample.mask is None else sample.mask
        hardest = x[..., 2].masked_fill(~mask, -torch.inf).argmax(1, keepdim=True)
        if self.cut is not None:
            mask = mask & (x[..., 2] > self.cut)
        mask = mask.scatter(1, hardest, True)
        x = torch.cat((x[..., :2], x[..., 2:].clamp_min(1e-7)), dim=-1)
        order = mask.byte().argsort(dim=1, descending=True, stable=True)
        mask = mask.gather(1, order)
        return zero_padded(replace(sample, mask=mask), x.gather(1, order[..., None].expand_as(x)))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from wrong_shapes(values, ("maxima", (3,)))
        if not (values["maxima"] > 0).all():
            yield "maxima", "is not above 0"
