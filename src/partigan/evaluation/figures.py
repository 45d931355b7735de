"""The figures of a report, each drawn by itself: one that fails is left out with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from partigan.errors import reason
from partigan.evaluation.inputs import Inputs
from partigan.files import atomic
from partigan.kinds.kind import Values, event_weights
from partigan.metrics.classifier import Classification
from partigan.metrics.manifold import PRD
from partigan.metrics.memorisation import Memorisation
from partigan.metrics.weighted import Weighted
from partigan.report.diagnostics import distance_ratios, prd_curve, reliability_diagram
from partigan.report.distributions import Counts, compare, overlay
from partigan.report.html import slug
from partigan.report.samples import COLUMNS, Blind, mosaic, neighbours, random_rows, rows_of, translations
from partigan.report.style import png
from partigan.report.training import metric_correlations, training_curves


@dataclass
class Pictures:
    """PNG images, drawn one by one.

    Attributes:
        sections: images by caption, by section.
        failed: why figures are missing, by caption.
        key: numbers of the generated samples of the blind page.
    """

    sections: dict[str, dict[str, bytes]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    key: list[int] = field(default_factory=list)

    def draw(self, section: str, caption: str, make: Callable[[], Figure | None]) -> None:
        """Draw a figure; ``make`` may find that there is nothing to draw."""
        try:
            if (figure := make()) is not None:
                image = png(figure)
                self.sections.setdefault(section, {})[caption] = image
        except Exception as error:  # whatever it is, the numbers and the other figures are worth having
            self.failed[caption] = reason(error)

    def draw_all(self, section: str, make: Callable[[], dict[str, Figure]]) -> None:
        """Draw figures that are made together."""
        try:
            figures = make()
        except Exception as error:
            self.failed[section] = reason(error)
            return
        for caption, figure in figures.items():
            self.draw(section, caption, lambda figure=figure: figure)  # type: ignore[misc]

    def write(self, folder: Path) -> None:
        """Write each image under its caption."""
        names: set[str] = set()
        for images in self.sections.values():
            for caption, data in images.items():
                name, number = slug(caption), 1
                while name in names:
                    number += 1
                    name = f"{slug(caption)}-{number}"
                names.add(name)
                with atomic(folder / f"{name}.png") as temporary:
                    temporary.write_bytes(data)


def draw_figures(inputs: Inputs, results: dict[str, Any], log: list[dict[str, Any]], seed: int) -> Pictures:
    """All figures of a report.

    Args:
        inputs: the samples.
        results: of the suite, by name of the metric.
        log: lines of ``metrics.jsonl``; empty where there are none.
        seed: chooses the samples that are shown.
    """
    pictures, rng = Pictures(), np.random.default_rng(seed)
    real, fake = inputs.real.batch, inputs.generated.batch
    pictures.draw_all(
        "Distributions", lambda: inputs.kind.evaluation.figures(inputs.real.observables, inputs.generated.observables)
    )
    for name, sample in (("Real", real), ("Generated", fake)):
        shown = random_rows(sample, 2 * COLUMNS, rng)
        pictures.draw("Gallery", f"{name} samples", lambda shown=shown: mosaic(shown, [""] * len(shown)))  # type: ignore[misc]
    if fake.source is not None and fake.mask is None:
        parts = {"input": fake.source, "translated": fake.x} | ({} if inputs.pairs is None else {"target": real.x})
        pictures.draw("Translations", "Inputs and what was made of them", lambda: translations(parts, rng))
    if fake.source is not None and fake.source.shape == fake.x.shape:
        pictures.draw_all("Before and after", lambda: _before_and_after(inputs))
    for name, whose in (("classifier", "boosted trees"), ("network", "the network")):
        if isinstance(found := results.get(name), Classification):
            _classifier(pictures, found, inputs, whose)
    if isinstance(curve := results.get("prd"), PRD):
        pictures.draw("Precision and recall of distributions", "PRD curve", lambda: prd_curve(curve))
    copies, training = results.get("memorisation"), inputs.training
    if isinstance(copies, Memorisation) and training is not None:
        section, caption = "Nearest training samples", "atios of the distances to training and held-out samples"
        pictures.draw(section, f"Smallest r{caption}", lambda: neighbours(copies, fake, training))
        pictures.draw(section, f"R{caption}", lambda: distance_ratios(copies.ratio))
    if log:
        pictures.draw("Training", "Losses and validation", lambda: training_curves(log))
        pictures.draw("Training", "Rank correlation of metrics over checkpoints", lambda: metric_correlations(log))
    blind = Blind.of(real, fake, rng)
    pictures.draw("Which are real?", "Real and generated in random order", blind.page)
    pictures.key = blind.key
    return pictures


def _before_and_after(inputs: Inputs) -> dict[str, Figure]:
    """The observables of samples as they were, of what was made of them, and of real ones."""
    fake = inputs.generated.batch
    assert fake.source is not None
    before = Values(
        inputs.kind.observables.compute(replace(fake, x=fake.source), inputs.described), event_weights(fake)
    )
    real, after = inputs.real.observables, inputs.generated.observables
    figures = {}
    for name, (label, unit) in inputs.names.items():
        axis = f"{label} ({unit})" if unit else label
        counts = {
            title: Counts.of(real.weighted(real[name]), sample.weighted(sample[name]), axis)
            for title, sample in (("before", before), ("after", after))
        }
        figures[f"{label.capitalize()}, before and after"] = overlay(counts)
    return figures


def _classifier(pictures: Pictures, found: Classification, inputs: Inputs, whose: str) -> None:
    """What a classifier makes of both samples, and where it sees the difference."""
    section = f"Where {whose} see{'s' * (whose == 'the network')} the difference"
    real, generated = (
        Weighted(np.log(p) - np.log1p(-p), weight)
        for p, weight in zip((found.real, found.fake), found.weights, strict=True)
    )
    label = "log p / (1 - p), p = probability of being real"
    pictures.draw(section, f"Log-likelihood ratio of {whose}", lambda: compare((real, generated), label, log=True))
    if (reliability := found.reliability()) is not None:
        caption = f"Reliability of the probabilities of {whose}"
        pictures.draw(section, caption, lambda: reliability_diagram(reliability))
    ratios = np.sort(found.log_weights())
    for name, rows, values in (
        ("Least like real ones", found.worst(COLUMNS), ratios),
        ("Most like real ones", found.best(COLUMNS), ratios[::-1]),
    ):
        titles = [f"log p / (1 - p) = {value:.1f}" for value in values[: len(rows)]]
        shown = rows_of(inputs.generated.batch, rows)
        pictures.draw(
            section,
            f"{name} of the generated samples, by {whose}",
            lambda shown=shown, titles=titles: mosaic(shown, titles),  # type: ignore[misc]
        )
