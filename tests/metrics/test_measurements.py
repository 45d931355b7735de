from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import rng
from metric_cases import MEASUREMENTS, table
from partigan.errors import PartiganError
from partigan.metrics.frechet import fpd
from partigan.metrics.wasserstein import w1


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_defect_is_rejected_and_the_null_accepted(name: str) -> None:
    sample, metric = MEASUREMENTS[name]
    real, other, wide = sample(2000, 1), sample(2000, 2), 1.3 * sample(2000, 3)
    null, defect = metric(real, other, rng()), metric(real, wide, rng())
    # W1 and FPND are biased, so their null is the in-sample value and not zero
    reference = null.value if name.startswith(("w1", "fpnd")) else 0.0
    assert (defect.value - reference) / np.hypot(defect.error, null.error) > 3
    again = metric(real, sample(2000, 4), rng())
    assert abs(again.value - reference) / np.hypot(again.error, null.error) < 3


@pytest.mark.parametrize("width", [1.0, 1.3])
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_errors_are_the_spread_of_replicas(name: str, width: float) -> None:
    """60 replicas of both samples: the spread is known to 9 %, the margin is 3 sigma beyond 0.75 to 1.33."""
    sample, metric = MEASUREMENTS[name]
    found = [metric(sample(1000, 2 * k), sample(1000, 2 * k + 1, width), rng(k)) for k in range(60)]
    values, errors = np.array(found).T
    ratio = np.sqrt(np.mean(errors**2)) / values.std(ddof=1)
    assert 0.6 < ratio < 1.7


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_same_seed_same_value_for_numpy_and_torch(name: str) -> None:
    sample, metric = MEASUREMENTS[name]
    a, b = sample(1000, 1), sample(1000, 2)
    first, second = metric(a, b, rng(3)), metric(torch.from_numpy(a), torch.from_numpy(b), rng(3))
    assert first == pytest.approx(second, rel=1e-9)


def test_a_constant_feature_changes_nothing_and_identical_samples_are_at_no_distance() -> None:
    a, b = table(1000, 1), table(1000, 2)
    constant = [np.column_stack([x, np.full(1000, 0.5)]) for x in (a, b)]
    assert fpd(*constant, rng=rng()).value == pytest.approx(fpd(a, b, rng=rng()).value, rel=1e-6, abs=1e-9)
    assert abs(fpd(a, a, rng=rng()).value) < 0.01 * fpd(a, 1.3 * b, rng=rng()).value
    assert w1(a, a, rng=rng()).value == 0


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_bad_input(name: str) -> None:
    sample, metric = MEASUREMENTS[name]
    good, bad = sample(1000, 1), sample(1000, 2)
    bad[7] = np.nan
    with pytest.raises(PartiganError, match=r"fake sample has NaN or infinite values in 1 of 1000 rows.* row 7"):
        metric(good, bad, rng())
    with pytest.raises(PartiganError):
        metric(good, sample(5, 2), rng())
    if good.ndim > 1:
        with pytest.raises(PartiganError, match="features"):
            metric(good, good[..., :1], rng())
