"""Curves of a training."""

from __future__ import annotations

from partigan.report.style import png
from partigan.report.training import metric_correlations, training_curves


def test_losses_and_metrics_have_panels_of_their_own() -> None:
    log = [{"step": step, "critic/objective": 1.0 / step, "a/b/c": 1.0} for step in (1, 2, 3)]
    log += [{"step": step, "w1m": 1.0 / step, "cost $": 2.0 * step} for step in range(1, 7)]
    losses, validation = training_curves(log).axes
    assert [line.get_label() for line in losses.get_lines()] == ["critic"]
    assert [line.get_label() for line in validation.get_lines()] == ["w1m", r"cost \$"]
    figure = metric_correlations(log)
    assert figure is not None
    assert png(figure).startswith(b"\x89PNG")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "-1.00", "-1.00", "1.00"]


def test_few_checkpoints_have_no_correlations() -> None:
    assert metric_correlations([{"step": 1, "a": 1.0, "b": 2.0}]) is None
    assert metric_correlations([]) is None
