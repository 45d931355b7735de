"""Losses of phases that are no player's: reading conditions, likelihoods of explicit models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from partigan.errors import PartiganError
from partigan.objectives.conditioning import reading_error
from partigan.objectives.losses import weighted_mean
from partigan.systems.system import DATA, Loss, Networks, Samples, Tick


class ReadingLoss(Loss):
    """How well a network reads conditions off real samples: the constrainer's own loss.

    Args:
        network: name of the constrainer.
        sample: name of the sample that it learns from.
        columns: of float conditions that it reads; empty = all.

    References:
        M. Erdmann, L. Geiger, J. Glombitza, D. Schmidt, arXiv:1802.03325, section on constrained generation; see
        `partigan.objectives.conditioning.Constraint`.
    """

    def __init__(self, network: str = "constrainer", sample: str = DATA, columns: Sequence[int] = ()) -> None:
        self.network, self.sample, self.columns = network, sample, list(columns)

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """Squared error of float conditions, cross-entropy of class labels."""
        return {"objective": reading_error(networks[self.network], samples[self.sample], self.columns)}

    def needs(self) -> tuple[set[str], set[str]]:
        """The constrainer and its sample."""
        return {self.network}, {self.sample}


class LikelihoodLoss(Loss):
    """Minus the log-likelihood of real samples under the explicit model that a generator has inside.

    Samples of negative weight lower the density where they are. Their loss ends at a ceiling, or a density could fall
    without end: where weights of both signs cancel, what is left is a density of about exp(-ceiling).

    Args:
        generator: name of the generator, which has ``surprise(x, condition, mask, rng)``, a number for each sample.
        sample: name of the sample.
        ceiling: of what ``surprise`` counts for samples of negative weight.

    References:
        Ours. An adversarial loss beside a likelihood: A. Grover, M. Dhar, S. Ermon, Flow-GAN, arXiv:1705.08868.
    """

    def __init__(self, generator: str = "generator", sample: str = DATA, ceiling: float = 4.0) -> None:
        self.generator, self.sample, self.ceiling = generator, sample, ceiling

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """The weighted mean over the batch."""
        generator, batch = networks[self.generator], samples[self.sample]
        if not hasattr(generator, "surprise"):
            raise PartiganError(f"LikelihoodLoss needs an explicit model, which {type(generator).__name__} is not")
        found = generator.surprise(batch.x, batch.condition, batch.mask, tick.rng)
        if batch.weight is not None:
            bounded = -torch.logaddexp(-found, torch.full_like(found, -self.ceiling))
            found = torch.where(batch.weight < 0, bounded, found)
        return {"objective": weighted_mean(found[:, None], batch.weight)}

    def needs(self) -> tuple[set[str], set[str]]:
        """The generator and its sample."""
        return {self.generator}, {self.sample}
