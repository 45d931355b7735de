from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from metric_cases import Floats, rng
from partigan.metrics.classifier import classify, reliability, roc_auc


def test_auc_is_scikit_learns_and_the_normal_distributions() -> None:
    a, b = np.round(rng(1).normal(1, 1, 800), 1), np.round(rng(2).normal(size=500), 1)
    area = roc_auc(a, b)
    assert area.value == pytest.approx(roc_auc_score(np.repeat([1, 0], [800, 500]), np.append(a, b)))
    assert abs(area.value - stats.norm.cdf(np.sqrt(0.5))) < 3 * area.error


def test_classifier_on_raw_samples_finds_the_worst_events() -> None:
    """Images whose first pixel is too bright in 1 of 10: the user's classifier sees the raw shape."""
    real, fake = rng(1).normal(size=(2, 1500, 4, 4))
    fake[:150, 0, 0] += 8

    def brightness(x_train: Floats, y_train: Any, x_test: Floats) -> Floats:
        assert x_test.shape[1:] == (4, 4)
        return np.where(x_test[:, 0, 0] > 4, 0.01, 0.5)

    found = classify(real, fake, rng=rng(), fit_predict=brightness)
    assert abs(found.auc.value - 0.55) < 4 * found.auc.error
    assert (found.worst(50) < 150).all()
    assert (found.best(50) >= 150).all()
    assert found.log_weights().min() == pytest.approx(np.log(0.01 / 0.99))


@pytest.mark.parametrize(("slope", "right"), [(1.0, True), (2.0, False)])
def test_reliability(slope: float, right: bool) -> None:
    z = rng(1).normal(size=6000)
    real = rng(2).random(6000) < 1 / (1 + np.exp(-slope * z))
    p = 1 / (1 + np.exp(-z))
    found = reliability(p[real], p[~real])
    assert (found.p_value > 0.01) is right
    excess = (found.expected_calibration_error.value - found.if_calibrated) / found.expected_calibration_error.error
    assert (excess < 3) is right
