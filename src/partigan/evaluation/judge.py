"""A network that learns to tell generated from real samples, as a judge of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from partigan import config
from partigan.data.batch import Batch
from partigan.errors import PartiganError
from partigan.kinds.kind import Kind
from partigan.metrics.classifier import FitPredict, Labels
from partigan.metrics.measurement import Floats
from partigan.metrics.weighted import refuse_negative
from partigan.models.classifier import seen
from partigan.progress import quiet, tell
from partigan.run import Run
from partigan.training.classifier import fit
from partigan.training.session import Session

_HELD = 10  # one of so many samples chooses the checkpoint


def judge(kind: Kind, real: Batch, fake: Batch, seed: int) -> FitPredict:
    """A network that learns to tell generated from real samples, on the raw samples.

    It is the kind's ``judge``, trained like any system; a tenth of its samples chooses the best of its checkpoints.
    Conditions are not looked at. Event weights are, if none is negative: with negative ones the likelihood of a network
    has no maximum.

    Args:
        kind: of data.
        real: real samples in physical units.
        fake: generated samples of the same shape.
        seed: of everything that is drawn at random.

    Returns:
        What `partigan.metrics.classifier.classify` calls, for row numbers in place of features: fake rows follow real
        rows.

    Raises:
        PartiganError: the kind has no such network.
    """
    if (given := kind.evaluation.judge) is None:
        raise PartiganError(f"{kind.name} name no network that could tell generated from real ones")
    content = config.read(given)
    both = Batch.joined([Batch(sample.x, sample.mask) for sample in (real, fake)])
    arguments = {**kind.conditions.arguments(real), "classes": 2}

    def fit_predict(train: Floats, label: Labels, test: Floats, weight: Floats | None = None) -> Floats:
        refuse_negative(weight)
        weights = None if weight is None else torch.from_numpy(weight).float()
        rows = both[torch.from_numpy(train[:, 0]).long()]
        sample = replace(rows, condition=torch.from_numpy(label), weight=weights)
        held = len(sample) // _HELD
        if len(sample) - held < (batch := content["trainer"]["batch_size"]):
            raise PartiganError(f"the samples are too small: {len(sample) - held} to train with, a batch has {batch}")
        tell(f"training a network on {len(sample) - held:,} real and generated {kind.name}")
        with TemporaryDirectory() as folder, quiet():
            session = Session(Run(Path(folder) / "judge", "classifier"), content, seed)
            about = {"origin": {"path": "", "sha256": None}, "conditions": {}}
            network = fit(session, sample[held:], sample[:held], arguments, about)
            classified = both[torch.from_numpy(test[:, 0]).long()]
            return seen(network, session.transform.forward, classified).probabilities[:, 1]

    return fit_predict
