"""The figures of a report that show single samples, the classifier and the training, for any kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from partigan.data.batch import Batch
from partigan.metrics.classifier import Classification
from partigan.metrics.manifold import PRD
from partigan.metrics.memorisation import Memorisation
from partigan.report.curves import (
    distance_ratios,
    metric_correlations,
    prd_curve,
    reliability_diagram,
    training_curves,
)
from partigan.report.html import png
from partigan.report.plots import compare, mosaic
from partigan.suite import calibration

_COLUMNS = 4  # samples in a row of a mosaic


class Pictures(NamedTuple):
    """The figures, and what the blind page hides.

    Attributes:
        sections: PNG images by caption, by section.
        key: the numbers of the generated samples of the blind page.
    """

    sections: dict[str, dict[str, bytes]]
    key: list[int]


def pictures(
    real: Batch,
    fake: Batch,
    training: Batch | None,
    results: Mapping[str, Any],
    log: list[dict[str, Any]],
    rng: np.random.Generator,
) -> Pictures:
    """Gallery, worst and best events, nearest neighbours, training curves and the blind page.

    Args:
        real: real samples.
        fake: generated samples.
        training: the training split, of which `Memorisation` names rows.
        results: of the suite, by name of the metric.
        log: lines of ``metrics.jsonl``; empty where there are none.
        rng: chooses the samples that are shown.
    """
    figures: dict[str, dict[str, Figure]] = {}
    figures["Gallery"] = {
        f"{name} samples": mosaic(_rows(sample, _draw(sample, 2 * _COLUMNS, rng)), [""] * 2 * _COLUMNS)
        for name, sample in (("Real", real), ("Generated", fake))
    }
    for name, title in (("classifier", "boosted trees see"), ("network", "the network sees")):
        if isinstance(found := results.get(name), Classification):
            figures[f"Where {title} the difference"] = _classifier(found, fake, title.rsplit(" ", 1)[0])
    if isinstance(curve := results.get("prd"), PRD):
        figures["Precision and recall of distributions"] = {"PRD curve": prd_curve(curve)}
    if isinstance(copies := results.get("memorisation"), Memorisation) and training is not None:
        figures["Nearest training samples"] = _neighbours(copies, fake, training)
    if log:
        figures["Training"] = {"Losses and validation": training_curves(log)}
        if (correlations := metric_correlations(log)) is not None:
            figures["Training"]["Rank correlation of metrics over checkpoints"] = correlations
    number = 2 * _COLUMNS
    both = Batch.joined([_rows(sample, _draw(sample, number, rng)) for sample in (real, fake)])
    order = rng.permutation(len(both))
    figures["Which are real?"] = {
        "Real and generated in random order": mosaic(
            _rows(both, order), [str(place) for place in range(1, len(order) + 1)]
        )
    }
    sections = {
        section: {caption: png(figure) for caption, figure in images.items()} for section, images in figures.items()
    }
    return Pictures(sections, (np.flatnonzero(order >= min(number, len(real))) + 1).tolist())


def _draw(sample: Batch, number: int, rng: np.random.Generator) -> Any:
    return rng.choice(len(sample), min(number, len(sample)), replace=False)


def _rows(sample: Batch, rows: Any) -> Batch:
    """Rows of a sample, without what the figures do not show."""
    index = torch.as_tensor(np.asarray(rows))
    return Batch(sample.x[index], None if sample.mask is None else sample.mask[index])


def _classifier(found: Classification, fake: Batch, whose: str) -> dict[str, Figure]:
    real, generated = (np.log(p) - np.log1p(-p) for p in (found.real, found.fake))
    figures = {
        f"Log-likelihood ratio of {whose}": compare(
            (real, generated), "log p / (1 - p), p = probability of being real", log=True
        )
    }
    if (reliability := calibration(found)) is not None:
        figures[f"Reliability of the probabilities of {whose}"] = reliability_diagram(reliability)
    ratios = np.sort(found.log_weights())
    for name, rows, values in (
        ("Least like real ones", found.worst(_COLUMNS), ratios),
        ("Most like real ones", found.best(_COLUMNS), ratios[::-1]),
    ):
        titles = [f"log p / (1 - p) = {value:.1f}" for value in values[: len(rows)]]
        figures[f"{name} of the generated samples, say {whose}"] = mosaic(_rows(fake, rows), titles)
    return figures


def _neighbours(found: Memorisation, fake: Batch, training: Batch) -> dict[str, Figure]:
    """The generated samples nearest to training samples, in comparison with held-out ones, above these."""
    first = np.argsort(found.ratio, kind="stable")[:_COLUMNS]
    pair = Batch.joined([_rows(fake, first), _rows(training, found.training_rows[first])])
    titles = [f"generated, ratio {found.ratio[row]:.2f}" for row in first] + ["training"] * len(first)
    return {
        "Smallest ratios of the distances to training and held-out samples": mosaic(pair, titles),
        "Ratios of the distances to training and held-out samples": distance_ratios(found.ratio),
    }
