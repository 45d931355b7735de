"""Terms of translations between two samples, such as simulation and data.

A translator is a network that changes samples: ``translator(x, condition, mask)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.objectives.losses import weighted_mean
from partigan.objectives.terms import Showing, Term, Turn
from partigan.objectives.together import mean_of_all


class _Kept(Term):
    """What comes back should be what went in."""

    def __init__(self, through: list[str], sample: str) -> None:
        self.through, self.sample = through, sample

    def generator(self, turn: Turn) -> Tensor:
        """Mean absolute difference."""
        if self.sample not in turn.samples:
            known = ", ".join(turn.samples)
            raise PartiganError(f"{type(self).__name__} needs the sample {self.sample!r}; there are {known}")
        for name in self.through:
            if name not in turn.networks:
                known = ", ".join(turn.networks)
                raise PartiganError(f"{type(self).__name__} needs the network {name!r}; there are {known}")
        batch, made = turn.samples[self.sample], turn.compared[1]
        networks: list[Any] = [turn.networks[name] for name in self.through]
        if made.source is batch.x and turn.generator is networks[0]:  # what the critic has just seen
            x, networks = made.x, networks[1:]
        else:
            x = batch.x
        for network in networks:
            x = network(x, batch.condition, batch.mask)
        return _distance(x, batch)


class CycleConsistency(_Kept):
    """A sample that is translated there and back should be itself.

    Args:
        there: name of the translator that goes first.
        back: name of the one that leads back.
        sample: name of the sample that both start from.

    References:
        J.-Y. Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks,
        arXiv:1703.10593, equation 2 (weight 10).
    """

    weight: ClassVar[float] = 10.0

    def __init__(self, there: str, back: str, sample: str) -> None:
        super().__init__([there, back], sample)


class IdentityMapping(_Kept):
    """A translator should leave samples alone that are already where it leads.

    Args:
        network: name of the translator.
        sample: name of the sample that it should leave alone.

    References:
        arXiv:1703.10593, section 5.2 (weight 5).
    """

    weight: ClassVar[float] = 5.0

    def __init__(self, network: str, sample: str) -> None:
        super().__init__([network], sample)


class SelfRegularisation(Term):
    """A refined sample should stay near what it was: mean absolute difference from its source.

    References:
        A. Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training,
        arXiv:1612.07828, section 2.2; M. Erdmann et al., arXiv:1802.03325.
    """

    def generator(self, turn: Turn) -> Tensor:
        """Mean absolute difference."""
        made = turn.compared[1]
        if made.source is None:
            raise PartiganError(
                "SelfRegularisation needs a network that changes samples; name its 'source' in the loss"
            )
        return _distance(made.x, replace(made, x=made.source))


class PairedDistance(Term):
    """A translated sample should be the one that its source is paired with.

    References:
        P. Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004, equation 3
        (weight 100).
    """

    weight: ClassVar[float] = 100.0

    def generator(self, turn: Turn) -> Tensor:
        """Mean absolute difference."""
        real, made = turn.compared
        _source(real, self)
        return _distance(made.x, real)


class PairedSums(Term):
    """Sums over blocks of a translated image should be those of the image that its source is paired with, as charges.

    A mean absolute difference alone is least for the median of what may be: empty images, where each single pixel is
    rarely hit. With the charge kept it is least with the charge in the pixel where it most likely is. Sums are taken in
    physical units and relative to those of the batch.

    Args:
        block: pixels of a side of a block.
    """

    def __init__(self, block: int = 4) -> None:
        if block < 1:
            raise PartiganError(f"block = {block} of PairedSums; it must be at least 1")
        self.block = block

    def generator(self, turn: Turn) -> Tensor:
        """Sum of the absolute differences of all blocks over that of all absolute sums."""
        real, made = turn.compared
        _source(real, self)
        goal, sums = (functional.avg_pool2d(each.x, self.block) for each in turn.in_physical_units(real, made))
        return weighted_mean((sums - goal).abs(), real.weight) / mean_of_all(goal.abs().mean()).clamp_min(1e-6)


class WithSource(Term):
    """The critic is shown samples together with what they start from, joined along channels or features.

    Its network takes twice the channels of a sample, such as `partigan.nets.images.pix2pix.PatchCritic` with
    ``images: 2``.

    References:
        arXiv:1611.07004, equation 1.
    """

    def shown(self, sample: Batch, strength: float, turn: Showing) -> Batch:
        """Samples of twice the channels or features."""
        start = _source(sample, self)
        return replace(sample, x=torch.cat((start, sample.x), dim=1 if start.dim() == 4 else -1))


def _source(sample: Batch, term: Term) -> Tensor:
    """What pairs start from."""
    if sample.source is None:
        raise PartiganError(
            f"{type(term).__name__} needs pairs, and the training sample has none; give a file with 'source', or train "
            "a system for samples that are not paired, such as cyclegan"
        )
    return sample.source


def _distance(x: Tensor, batch: Batch) -> Tensor:
    """Mean absolute difference from a batch, over real particles where there is a mask."""
    difference = (x - batch.x).abs()
    if batch.mask is None:
        return weighted_mean(difference, batch.weight)
    number = batch.mask.sum(1).clamp_min(1)
    of_each = (difference.mean(-1) * batch.mask).sum(1) / number
    return weighted_mean(of_each[:, None], batch.weight)
