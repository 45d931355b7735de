"""Training of classifiers, in a session like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import rankdata
from torch import nn

from partigan.data.batch import Batch
from partigan.metrics.classifier import roc_auc
from partigan.metrics.measurement import Floats
from partigan.metrics.weighted import Sample, Weighted
from partigan.models.checkpoint import load_tensors, unpack_module
from partigan.models.classifier import in_groups
from partigan.nets.contracts import Critic
from partigan.systems.system import DATA
from partigan.training.selection import Selection
from partigan.training.session import Session


def fit(
    session: Session,
    real: Batch,
    valid: Batch,
    arguments: Mapping[str, Any],
    about: Mapping[str, dict[str, Any]],
    threads: int | None = None,
) -> Critic:
    """Train a classifier on samples whose condition is their class.

    Args:
        session: an admitted session of a system whose product is a classifier.
        real: training samples in physical units.
        valid: samples that choose the best checkpoint.
        arguments: of networks, that the data decide.
        about: ``origin`` of the data for the manifest, and ``conditions``, what the use of the run has to know.
        threads: as for `Session.train`.

    Returns:
        The network of the best checkpoint, on the CPU and in evaluation mode; nothing is looked at twice by the
        processes that do not write.
    """
    session.prepare({DATA: real}, arguments, about["origin"])
    prepared = session.transform.forward(valid)

    def validate(classifier: nn.Module, step: int) -> dict[str, float]:
        return quality(classifier.eval(), prepared)  # the copy that minutes are measured with trains

    session.train(about["conditions"], validate, Selection("loss", "loss"), threads)
    network = session.system.networks[session.system.product]
    if session.trainer.fabric.is_global_zero:
        unpack_module(session.system.product, network, load_tensors(session.run.weights)[0])
    found: Critic = network.cpu().eval()  # type: ignore[assignment]
    return found


@torch.inference_mode()
def quality(classifier: nn.Module, sample: Batch) -> dict[str, float]:
    """Cross-entropy, accuracy, and area under the ROC curve (mean over the classes, each against all others).

    All three with event weights, where there are some.
    """
    assert sample.condition is not None
    device = next(classifier.parameters()).device
    parts = []
    for part in in_groups(sample):
        batch = part.to(device)
        parts.append(classifier(batch.x, None, batch.mask).score.double().cpu())
    logits: Floats = log_softmax(torch.cat(parts).numpy(), axis=1)
    truth = sample.condition.numpy()
    each = Sample(logits, None if sample.weight is None else sample.weight.double().numpy())
    return {
        "loss": float(-each.mean(logits[np.arange(len(truth)), truth])),
        "accuracy": float(each.mean(logits.argmax(1) == truth)),
        "auc": float(np.mean([_auc(logits[:, k], truth == k, each.weight) for k in range(logits.shape[1])])),
    }


def _auc(score: Floats, positive: Any, weight: Floats | None) -> float:
    """Probability that a positive sample scores higher than a negative one (Mann & Whitney)."""
    if weight is not None:
        return roc_auc(*(Weighted(score[rows], weight[rows]) for rows in (positive, ~positive))).value
    ranks, n = rankdata(score), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))
