"""Classifiers: one network that learns to tell the classes of real samples."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from partigan.nets.contracts import Critic
from partigan.objectives.losses import weighted_mean
from partigan.systems.schedules import Schedule
from partigan.systems.system import DATA, Loss, Networks, OptimizerFactory, Phase, Samples, System, Tick


class ClassLoss(Loss):
    """Cross-entropy of the classes, which are the condition of a sample.

    Args:
        network: name of the classifier; its scores are the logits.
        sample: name of the sample.
    """

    def __init__(self, network: str = "classifier", sample: str = DATA) -> None:
        self.network, self.sample = network, sample

    def parts(self, networks: Networks, samples: Samples, tick: Tick) -> dict[str, Tensor]:
        """The cross-entropy."""
        batch = samples[self.sample]
        assert batch.condition is not None
        logits = networks[self.network](batch.x, None, batch.mask).score
        losses = functional.cross_entropy(logits, batch.condition, reduction="none")
        return {"objective": weighted_mean(losses[:, None], batch.weight)}

    def needs(self) -> tuple[set[str], set[str]]:
        """The classifier and its sample."""
        return {self.network}, {self.sample}


class Classification(System):
    """A classifier, trained with cross-entropy: short for a `System` of one phase.

    Args:
        classifier: called like a critic; its scores are the logits of the classes.
        optimizer: its optimiser.
        schedule: factor of the learning rate over the run.
    """

    def __init__(self, classifier: Critic, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        phase = Phase(["classifier"], ClassLoss(), optimizer, schedule)
        super().__init__({"classifier": classifier}, {"classifier": phase}, product="classifier")
