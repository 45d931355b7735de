"""Terms that match distributions of real and generated samples: what the critic sees of them, and observables."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.terms import Term, Turn
from partigan.objectives.together import of_all, of_first
from partigan.observables.jets import mass, moments


class MeanFieldMatching(Term):
    """MDMA's matching of the critic's last mean field, jet by jet.

    Generated and real jets are not paired, so the loss is least not at zero but near the spread of the real mean
    fields; the paper switches it off after 30,000 steps.

    References:
        arXiv:2305.15254, section 3.2; T. Salimans et al., arXiv:1606.03498, section 3.1 (feature matching of means).
    """

    compares: ClassVar[bool] = True
    weighs: ClassVar[bool] = False

    def generator(self, turn: Turn) -> Tensor:
        """Mean over the batch of the squared distance between the mean fields of real and generated jets."""
        real, fake = self.output(turn, "features", "real"), self.output(turn, "features")
        return ((real - fake) ** 2).mean()


class FeatureMatching(Term):
    """The critic's features of generated samples are to have the mean that they have for real ones.

    References:
        T. Salimans et al., Improved Techniques for Training GANs, arXiv:1606.03498, section 3.1.
    """

    compares: ClassVar[bool] = True

    def generator(self, turn: Turn) -> Tensor:
        """|E f(x) - E f(G(z))|^2."""
        of_real = _mean(self.output(turn, "features", "real"), turn.real.weight)
        return (of_real - _mean(self.output(turn, "features"), turn.fake.weight)).square().sum()


class MarginalMatching(Term):
    """One-dimensional distributions of generated jets are to be those of the real ones of the batch.

    The energy distance, by sorting and without bias for batches of any size, of the jets' relative mass, pt sum, axis,
    three angularities and minor width, and of their particles' eta_rel, phi_rel and log pt_rel, each over its standard
    deviation in the batch. With z_i the share of pt and theta_i the angle to the axis, the angularities are the width
    sum z_i theta_i, the fourth moment (sum z_i theta_i^4)^(1/4) and ptD = sqrt(sum z_i^2); the minor width is the root
    of the smaller eigenvalue of sum z_i theta_i theta_i^T. Of correlations between them, and with the multiplicity, it
    sees what random directions show; all others are left to the critic.

    Args:
        particles: factor of the particles' distances relative to the jets'.
        directions: random directions in the space of the jets' observables and multiplicity.

    References:
        A. J. Larkoski, J. Thaler, W. J. Waalewijn, arXiv:1408.3122 (generalised angularities); G. J. Székely,
        M. L. Rizzo, Energy statistics, J. Stat. Plan. Inference 143 (2013) 1249.
    """

    weighs: ClassVar[bool] = False

    def __init__(self, particles: float = 1.0, directions: int = 16) -> None:
        self.particles, self.directions = particles, directions

    def generator(self, turn: Turn) -> Tensor:
        """Sum of the distances; those along directions count together as much as the observables."""
        real, fake = turn.in_physical_units(*turn.compared)
        jets, particles = ([of_all(look(each)) for each in (real, fake)] for look in (_of_jets, _of_particles))
        distances = marginal_energy_distances(*_with_directions(jets[0], jets[1], self.directions, turn))
        single = jets[0].shape[1]
        of_jets = distances[:single].sum() + distances[single:].sum() * (single / max(self.directions, 1))
        return of_jets + self.particles * marginal_energy_distances(*particles).sum()


class SlicedMatching(Term):
    """What the critic sees of generated samples is to be distributed as for real ones, along random directions.

    The energy distance, by sorting and without bias for batches of any size, of the critic's features along each of
    them and along random directions, in units of the standard deviations in the batch. Where the features hold the
    condition, directions mix it with the others, so that distributions at each condition count.

    Args:
        directions: random directions of each step.

    References:
        J. Deshpande, Z. Zhang, A. Schwing, Generative Modeling using the Sliced Wasserstein Distance, arXiv:1803.11188,
        section 3.2 (in the space of a discriminator); energy distance: see `MarginalMatching`.
    """

    compares: ClassVar[bool] = True
    weighs: ClassVar[bool] = False

    def __init__(self, directions: int = 64) -> None:
        self.directions = directions

    def generator(self, turn: Turn) -> Tensor:
        """Mean of the distances."""
        real, fake = (of_all(self.output(turn, "features", side)) for side in ("real", "fake"))
        return marginal_energy_distances(*_with_directions(real, fake, self.directions, turn)).mean()


def _mean(x: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean of rows ``(rows, columns)`` of all processes; weights have the mean 1 over the sample."""
    x, weight = of_all(x), None if weight is None else of_all(weight)
    return x.mean(0) if weight is None else (x * weight[:, None]).mean(0)


def _with_directions(real: Tensor, fake: Tensor, directions: int, turn: Turn) -> tuple[Tensor, Tensor]:
    """Columns in units of their standard deviation, and what they give along random directions."""
    drawn = torch.randn(real.shape[1], directions, generator=turn.rng, device=turn.rng.device)
    along = of_first(drawn.to(real))
    mean, unit = real.mean(0), real.std(0).clamp_min(1e-3)
    columns = [(x - mean) / unit for x in (real, fake)]
    one, other = (torch.cat((x, x @ (along / along.norm(dim=0))), dim=1) for x in columns)
    return one, other


def _of_jets(sample: Batch) -> Tensor:
    """Relative mass, pt sum, axis (eta, phi), width, fourth moment, ptD, minor width, multiplicity: ``(batch, 9)``.

    In physical units.
    """
    found = moments(sample.x, sample.mask)
    number = torch.full_like(found[:, :1], sample.x.shape[1])
    if sample.mask is not None:
        number = sample.mask.sum(1, keepdim=True).to(found)
    of_jet = (mass(sample.x, sample.mask)[:, None], found[:, :4], found[:, 5:6] ** 0.25, found[:, 6:].sqrt())
    return torch.cat((*of_jet, number), dim=1)


def _of_particles(sample: Batch) -> Tensor:
    """eta_rel, phi_rel and log pt_rel of the real particles of all jets, ``(particles, 3)``."""
    x = sample.x.flatten(0, 1) if sample.mask is None else sample.x[sample.mask]
    return torch.cat((x[:, :2], x[:, 2:].clamp_min(1e-12).log()), dim=1)


def marginal_energy_distances(real: Tensor, fake: Tensor) -> Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of each column, unbiased, in units of the standard deviation of ``real``.

    Args:
        real: ``(n, columns)``.
        fake: ``(m, columns)``.

    Returns:
        ``(columns,)``, differentiable with respect to ``fake``.

    Raises:
        PartiganError: fewer than two rows, of which there are no pairs.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise PartiganError("the energy distance needs at least two samples in a batch; raise --trainer.batch_size")
    unit = real.std(0).clamp_min(1e-6)
    values, order = (torch.cat((real, fake)) / unit).T.sort(dim=1)
    of_real = (order < n).to(values.dtype)
    place = torch.arange(1, n + m + 1, dtype=values.dtype, device=values.device)
    place_in_real = of_real.cumsum(1)
    # in a sorted row, the sum of |x_i - x_j| over the pairs is that of x_k (2 k - size - 1)
    real_pairs = (values * of_real * (2 * place_in_real - n - 1)).sum(1)
    fake_pairs = (values * (1 - of_real) * (2 * (place - place_in_real) - m - 1)).sum(1)
    across = (values @ (2 * place - n - m - 1) - real_pairs - fake_pairs) / (n * m)
    return 2 * (across - real_pairs / (n * (n - 1)) - fake_pairs / (m * (m - 1)))
