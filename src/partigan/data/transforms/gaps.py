"""Jets by their gaps in pt above the softest particle, and what belongs to a jet as channels of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.data.transforms.quantiles import between
from partigan.data.transforms.transform import Transform, varying_rows, wrong_shapes, zero_padded
from partigan.errors import PartiganError
from partigan.observables.jets import rotated

REACH = 4.0  # quantiles are tabled at evenly spaced normal levels from -4 to 4
TINY = 1e-9  # least pt sum, for jets without particles
NARROW = 1e-6  # least width of a jet, for jets of one particle
ANGLE = 0.17  # unit of the angles: near the spread of particles
LARGEST = 3.0  # factor by which a generated jet is widened at most


class JetGaps(Transform):
    """Jets in a common orientation, as gaps in pt above the softest particle, with axis, pt sum and width apart.

    A jet that is cut to its hardest particles, or at a threshold, ends at a sharp edge in pt. A network, which is
    smooth, blurs it. Measured from the softest particle, there is no edge:

    - Alignment. A jet is turned about its centre until its longer axis (of the tensor of angles weighted by pt) lies
      along eta, and mirrored until its third moments along both axes are positive. The inverse cannot know the
      orientation: `partigan.nets.clouds.turning.TurningGenerator` draws one.
    - Gaps. The gap of a particle is ln(pt / pt of the softest). Its quantiles map it to a standard normal. The softest,
      whose gap is 0, gets a number drawn below that of the second softest, uniformly in probability, and anew in
      every batch. On the way back the smallest number is the softest, and its gap is 0.
    - What belongs to the jet. Its axis, which is the mean angle weighted by the shares of pt, z, its log pt sum and log
      width become channels that all of its particles share, normal by their quantiles, the axis in two dimensions. The
      width is sqrt(sum z theta^2) about the axis, for small angles the mass over pt. Angles are taken about the axis,
      over 0.17.

    The channels are angle (2), axis (2), gap, pt sum, width. The inverse takes the mean of shared channels over the
    particles, and gives each jet just that axis, pt sum and width. It is exact for the jets of the training sample, but
    for their orientation. No generated jet has a pt sum, width, gap or axis beyond those of the training sample, and no
    particle is farther from the jet's centre.

    Args:
        knots: number of tabled quantiles.

    References:
        Ours. Turning and mirroring jets: L. de Oliveira et al., Jet-Images - Deep Learning Edition, arXiv:1511.05190,
        section 3. Mapping distributions by their quantiles is customary in corrections of simulated observables.

    Example:
        >>> x = torch.rand(20, 5, 3, generator=torch.Generator().manual_seed(1)) - torch.tensor([0.5, 0.5, 0.0])
        >>> jets = Batch(x, torch.ones(20, 5, dtype=torch.bool))
        >>> transform = JetGaps(knots=9)
        >>> transform.fit(jets)
        >>> transform.forward(jets).x.shape
        torch.Size([20, 5, 7])
        >>> torch.allclose(transform.inverse(transform.forward(jets)).x, aligned(jets).x, atol=1e-5)
        True
    """

    constants: ClassVar[tuple[str, ...]] = ("seen", "farthest")
    levels: Tensor
    seen: Tensor
    farthest: Tensor

    def __init__(self, knots: int = 129) -> None:
        super().__init__()
        if knots < 3:
            raise PartiganError(f"JetGaps has knots = {knots}; it needs at least 3")
        levels = torch.linspace(-REACH, REACH, knots)
        rayleigh = (-2 * torch.special.log_ndtr(-levels)).sqrt()
        self.register_buffer("levels", torch.stack((levels, rayleigh, levels, levels)), persistent=False)
        for name in self.constants:
            self.register_buffer(name, torch.zeros(0))

    def fit(self, sample: Batch) -> None:
        """Take the quantiles of gaps, of distance and pt sum of the jets, and of their widths.

        Raises:
            PartiganError: the sample has no mask, or a feature that does not vary.
        """
        if sample.mask is None:
            raise PartiganError("JetGaps needs clouds with a mask, which the training sample lacks")
        varying_rows(sample, sample.x)
        _, gap, of_jet, _ = _parts(sample)
        share = 0.5 * (1 + torch.erf(self.levels[0].double() / 2**0.5))
        share[0], share[-1] = 0.0, 1.0
        others = gap[sample.mask & (gap.argmin(1, keepdim=True) != torch.arange(gap.shape[1], device=gap.device))]
        columns = (others if len(others) else gap.new_zeros(1), *of_jet.T)
        self.seen = torch.stack([_quantiles(column, share) for column in columns]).float()
        self.farthest = _distance(sample.x[..., :2])[sample.mask].amax()

    def forward(self, sample: Batch) -> Batch:
        """Channels ``(batch, particles, 7)``, zero where padded; the softest particle in the middle of its range."""
        mask = _mask(sample)
        angle, gap, of_jet, direction = _parts(aligned(sample))
        normal = between(gap.reshape(-1, 1), self.seen[:1], self.levels[:1]).view(gap.shape)
        normal = normal.masked_fill(~mask, torch.inf).scatter(1, gap.argmin(1, keepdim=True), -REACH - 1)
        normal = _softest(normal, torch.full_like(gap[:, 0], 0.5))
        distance, *others = between(of_jet, self.seen[1:], self.levels[1:]).split(1, dim=1)
        shared = torch.cat((distance * direction, *others), dim=1)
        x = together(torch.cat((angle / ANGLE, normal[..., None]), dim=-1), shared)
        return replace(sample, x=torch.where(mask[..., None], x, 0.0))

    def batch(self, held: Batch, rng: torch.Generator) -> Batch:
        """Normalised jets; the number of the softest particle is drawn anew."""
        normal = held.x[..., 4].masked_fill(~_mask(held), torch.inf)
        share = torch.rand(len(normal), generator=rng, device=rng.device).to(normal)
        x = held.x.clone()
        x[..., 4] = torch.where(_mask(held), _softest(normal, share), 0.0)
        return replace(held, x=x)

    def inverse(self, sample: Batch) -> Batch:
        """Physical features, zero where padded."""
        angle, z, _, (axis, total) = self._jet(sample)
        angle = angle + axis[:, None]
        distance = _distance(angle)
        angle = angle * (distance.minimum(self.farthest) / distance)[..., None]
        return zero_padded(sample, torch.cat((angle, (z * total)[..., None]), dim=-1))

    def possible(self, sample: Batch) -> Batch:
        """Normalised jets as real ones are: shared channels equal, angles about the axis and of the jet's width.

        Args:
            sample: what a generator makes, ``(batch, particles, 7)``.
        """
        angle, _, shared, _ = self._jet(sample)
        return zero_padded(sample, together(torch.cat((angle / ANGLE, sample.x[..., 4:5]), dim=-1), shared))

    def faults(self, values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
        """Constants that no sample can have."""
        yield from wrong_shapes(values, ("seen", tuple(self.levels.shape)), ("farthest", ()))
        if (values["seen"].diff(dim=1) < 0).any():
            yield "seen", "has quantiles that fall"
        if values["farthest"] < 0:
            yield "farthest", "is below 0"

    def _jet(self, sample: Batch) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Angles about the axis, of the jet's width; shares of pt; shared channels; axis and pt sum."""
        mask, x = _mask(sample), sample.x
        gap = _evenly(x[..., 4], self.seen[0])
        lowest = x[..., 4].masked_fill(~mask, torch.inf).amin(1, keepdim=True)
        gap = torch.where(x[..., 4] > lowest, gap, 0.0).masked_fill(~mask, -torch.inf)
        z = torch.where(mask.any(1, keepdim=True), gap, 0.0).softmax(1)
        shared = shared_by(sample)
        far = _distance(shared[:, :2])[:, None]
        of_jet = between(torch.cat((far, shared[:, 2:]), dim=1), self.levels[1:], self.seen[1:])
        distance, total, width = of_jet.split(1, dim=1)
        angle = ANGLE * x[..., :2]
        angle = angle - (z[..., None] * angle).sum(1, keepdim=True)
        present = ((z * angle.square().sum(-1)).sum(1, keepdim=True) + TINY**2).sqrt()
        angle = angle * (width.exp() / present).clamp_max(LARGEST)[..., None]
        return angle, z, shared, (shared[:, :2] / far * distance, total.exp())


def together(own: Tensor, shared: Tensor) -> Tensor:
    """Channels of particles ``(batch, particles, 3)`` and of their jets, ``(batch, 4)``, as one tensor."""
    of_all = shared[:, None].expand(-1, own.shape[1], -1)
    return torch.cat((own[..., :2], of_all[..., :2], own[..., 2:], of_all[..., 2:]), dim=-1)


def shared_by(sample: Batch) -> Tensor:
    """Axis, pt sum and width of normalised jets, ``(batch, 4)``: the mean of these channels over the particles."""
    of_all = torch.cat((sample.x[..., 2:4], sample.x[..., 5:]), dim=-1)
    real = _mask(sample)[..., None].to(of_all)
    return (of_all * real).sum(1) / real.sum(1).clamp_min(1)


def aligned(sample: Batch) -> Batch:
    """Jets turned and mirrored about the origin of (eta_rel, phi_rel), to a common orientation.

    Args:
        sample: jets ``(batch, particles, 3)``, zero where padded.

    Returns:
        The same jets: the tensor of the angles about the axis, weighted by pt, is diagonal, its larger value first, and
        the third moments along both directions are not negative.
    """
    angle, pt = sample.x[..., :2], sample.x[..., 2:]
    centred = angle - _axis(sample)[1][:, None]
    eta, phi = (pt * centred * centred).sum(1).unbind(1)
    both = (pt * centred.prod(-1, keepdim=True)).sum((1, 2))
    back = -0.5 * torch.atan2(2 * both, eta - phi)
    third = (pt * rotated(centred, back) ** 3).sum(1, keepdim=True)
    mirrored = torch.where(third < 0, -1.0, 1.0) * rotated(angle, back)
    return replace(sample, x=torch.cat((mirrored, pt), dim=-1))


def _axis(sample: Batch) -> tuple[Tensor, Tensor]:
    """The pt sum ``(batch, 1)`` and the axis, ``(batch, 2)``, of jets."""
    total = sample.x[..., 2:].sum(1).clamp_min(TINY)
    return total, (sample.x[..., 2:] * sample.x[..., :2]).sum(1) / total


def _parts(sample: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Angles about the axis, gaps, (distance, log pt sum, log width) of the jets, direction of the axis."""
    mask, pt = _mask(sample), sample.x[..., 2]
    total, axis = _axis(sample)
    angle = sample.x[..., :2] - axis[:, None]
    width = ((pt * angle.square().sum(-1)).sum(1, keepdim=True) / total).sqrt().clamp_min(NARROW)
    log_pt = pt.clamp_min(torch.finfo(pt.dtype).tiny).log()
    gap = log_pt - log_pt.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
    distance = _distance(axis)[:, None]
    of_jet = torch.cat((distance, total.log(), width.log()), dim=1)
    return angle, gap.masked_fill(~mask, torch.inf), of_jet, axis / distance


def _softest(normal: Tensor, share: Tensor) -> Tensor:
    """The lowest number of each row anew: at a share of the probability below the second lowest.

    Args:
        normal: ``(batch, particles)``, infinite where padded.
        share: ``(batch,)``.
    """
    drawn: Tensor
    if normal.shape[1] == 1:
        drawn = torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6))[:, None]
        return drawn
    (lowest, second), (which, _) = (part.T for part in normal.topk(2, dim=1, largest=False))
    below = torch.special.ndtri((share * torch.special.ndtr(second)).clamp(1e-6, 1 - 1e-6))
    below = torch.where(lowest.isfinite(), below.minimum(second), lowest)
    drawn = normal.scatter(1, which[:, None], below[:, None])
    return drawn


def _quantiles(values: Tensor, share: Tensor) -> Tensor:
    """Quantiles of a column of any length, which `torch.quantile` refuses beyond 16 million."""
    ordered = values.double().sort().values
    place = share * (len(ordered) - 1)
    low = place.long()
    return torch.lerp(ordered[low], ordered[(low + 1).clamp_max(len(ordered) - 1)], place - low)


def _evenly(x: Tensor, values: Tensor) -> Tensor:
    """Straight lines between values at evenly spaced levels from -4 to 4; constant beyond them."""
    last = len(values) - 1
    place = ((x + REACH) * (last / (2 * REACH))).clamp(0, last)
    left = place.detach().floor().clamp_max(last - 1)
    low, high = (values.to(x)[(left + step).long()] for step in (0, 1))
    return low + (place - left) * (high - low)


def _mask(sample: Batch) -> Tensor:
    return torch.ones_like(sample.x[..., 0], dtype=torch.bool) if sample.mask is None else sample.mask


def _distance(angle: Tensor) -> Tensor:
    """Distance from the origin, above 0 and differentiable everywhere."""
    return (angle.square().sum(-1) + TINY**2).sqrt()
