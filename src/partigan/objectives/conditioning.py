"""Terms that tie samples to their class labels or conditions.

Projection and concatenation are options of networks; here is what adds to a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.nets.contracts import CriticOutput
from partigan.objectives.losses import weighted_mean
from partigan.objectives.terms import Term, Turn
from partigan.objectives.together import mean_of_all, of_all


class AuxiliaryClassifier(Term):
    """The critic also tells classes apart: real samples' in its own turn, generated ones' in the generator's.

    The paper trains the classifier on generated samples too; here it learns from real ones alone, as later work does.

    References:
        A. Odena, C. Olah, J. Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585,
        equation 3.
    """

    def critic(self, turn: Turn) -> Tensor:
        """Cross-entropy of the classes of real samples."""
        logits = self.output(turn, "logits", "real")
        losses = functional.cross_entropy(logits, self.labels(turn.real, logits.shape[1]), reduction="none")
        return weighted_mean(losses[:, None], turn.real.weight)

    def generator(self, turn: Turn) -> Tensor:
        """Cross-entropy of the classes that were asked of generated samples."""
        logits = self.output(turn, "logits")
        return functional.cross_entropy(logits, self.labels(turn.fake, logits.shape[1]))


class Contrastive(Term):
    """Samples of one class are drawn to their class's proxy and to each other, and away from all others (2C loss).

    With h the normalised embedding, a the normalised embedding of a sample's class and t the temperature it is

        - log [ (e^(h_i.a_i/t) + sum_{k != i, y_k = y_i} e^(h_i.h_k/t)) / (e^(h_i.a_i/t) + sum_{k != i} e^(h_i.h_k/t)) ]

    on real samples in the critic's turn, on generated ones in the generator's.

    Args:
        temperature: t.
        classes: number of classes, for conditions that begin with the class as 0 or 1; filled in from the data.

    References:
        M. Kang, J. Park, ContraGAN: Contrastive Learning for Conditional Image Generation,
        arXiv:2006.12681; the PE-GAN paper prints it without k != i.
    """

    def __init__(self, temperature: float = 1.0, classes: int = 0) -> None:
        if temperature <= 0:
            raise PartiganError(f"temperature = {temperature} of Contrastive; it must be above 0")
        self.temperature, self.classes = temperature, classes

    def critic(self, turn: Turn) -> Tensor:
        """The loss of real samples."""
        return self._loss(turn, "real", turn.real)

    def generator(self, turn: Turn) -> Tensor:
        """The loss of generated samples."""
        return self._loss(turn, "fake", turn.fake)

    def _loss(self, turn: Turn, side: str, sample: Batch) -> Tensor:
        labels = of_all(self.labels(sample, self.classes))
        h, a = (of_all(self.output(turn, part, side)) for part in ("embedding", "proxy"))
        proxy = (h * a).sum(1, keepdim=True) / self.temperature
        others = h @ h.T / self.temperature
        itself = torch.eye(len(h), dtype=torch.bool, device=h.device)
        every = torch.cat((proxy, others.masked_fill(itself, -torch.inf)), dim=1)
        alike = torch.cat((proxy, others.masked_fill(itself | (labels[:, None] != labels), -torch.inf)), dim=1)
        return (every.logsumexp(1) - alike.logsumexp(1)).mean()


class Constraint(Term):
    """Match how well conditions can be read off real and generated samples.

    The constrainer is a network that reads conditions off samples: a regressor of energy and impact point, or a
    classifier. It learns from real samples in a phase of its own (`partigan.systems.losses.ReadingLoss`). The term is
    the difference |L(generated) - L(real)| of its errors. It vanishes where generated conditions scatter as much as the
    constrainer's resolution on real samples.

    Args:
        network: name of the constrainer among the system's networks.
        columns: of float conditions that it reads; empty = all.

    References:
        M. Erdmann, L. Geiger, J. Glombitza, D. Schmidt, arXiv:1802.03325, section on constrained generation;
        M. Erdmann, J. Glombitza, T. Quast, arXiv:1807.01954.
    """

    def __init__(self, network: str = "constrainer", columns: Sequence[int] = ()) -> None:
        self.network, self.columns = network, list(columns)

    def generator(self, turn: Turn) -> Tensor:
        """The difference of the errors, with the conditions that were asked of generated samples."""
        if self.network not in turn.networks:
            raise PartiganError(
                f"Constraint needs the network {self.network!r}; add it to system.networks and its phase to "
                "system.phases"
            )
        constrainer = turn.networks[self.network]
        with torch.no_grad():
            expected = mean_of_all(reading_error(constrainer, turn.real, self.columns))
        return (mean_of_all(reading_error(constrainer, turn.fake, self.columns)) - expected).abs()


class EnergyBalance(Term):
    """The energy in a generated shower is to be that of the particle.

    Args:
        unit: of the difference, MeV.

    References:
        M. Paganini, L. de Oliveira, B. Nachman, arXiv:1712.10321, section III (weight 0.05, in GeV).
    """

    weight: ClassVar[float] = 0.05

    def __init__(self, unit: float = 1000.0) -> None:
        self.unit = unit

    def generator(self, turn: Turn) -> Tensor:
        """Mean of |sum of cells - energy of the particle|, the first of the conditions."""
        (showers,) = turn.in_physical_units(turn.compared[1])
        if showers.condition is None or showers.condition.dim() != 2:
            raise PartiganError("EnergyBalance needs the energy of the particle as condition; remove it")
        return (showers.x.sum(1) - showers.condition[:, 0]).abs().mean() / self.unit


def reading_error(constrainer: torch.nn.Module, sample: Batch, columns: Sequence[int] = ()) -> Tensor:
    """How well a network reads the condition off a sample: squared error, or cross-entropy of class labels.

    Args:
        constrainer: called like a critic; its score ``(batch, k)`` is the condition, or the logits of the classes.
        sample: samples with conditions.
        columns: of float conditions that it reads; empty = all.

    Raises:
        PartiganError: there are no conditions, or the network's answer has not their shape.
    """
    condition = sample.condition
    if condition is None:
        raise PartiganError("a constrainer reads conditions off samples, and the data have none; remove it")
    output: CriticOutput = constrainer(sample.x, None, sample.mask)
    if not condition.is_floating_point():
        return weighted_mean(
            functional.cross_entropy(output.score, condition, reduction="none")[:, None], sample.weight
        )
    if len(columns):
        if max(columns) >= condition.shape[1]:
            raise PartiganError(f"a constrainer reads column {max(columns)} of {condition.shape[1]} conditions")
        condition = condition[:, list(columns)]
    if output.score.shape != condition.shape:
        raise PartiganError(
            f"the constrainer gives {output.score.shape[1]} numbers for the {condition.shape[1]} of a condition"
        )
    return weighted_mean((output.score - condition).square(), sample.weight)
