from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metric_cases import CASES, ROWS, Case, Floats, rng, rows
from partigan.errors import PartiganError
from partigan.metrics.classifier import Classification

each = pytest.mark.parametrize("metric", CASES.values(), ids=list(CASES))


@each
def test_a_defect_is_rejected_and_the_null_accepted(metric: Case) -> None:
    real = rows(ROWS, 1)
    null, defect = metric.call(real, rows(ROWS, 2), rng()), metric.call(real, metric.defect(ROWS, 3), rng())
    if metric.p_value:
        assert metric.p_value(null) > 0.005
        assert metric.p_value(defect) < 0.02
    again = metric.call(real, rows(ROWS, 4), rng())
    pulls = [
        [(b.value - a.value) / max(np.hypot(a.error, b.error), 1e-12) for a, b in zip(*two, strict=True)]
        for two in ((metric.numbers(null), metric.numbers(other)) for other in (again, defect))
    ]
    assert np.max(np.abs(pulls[0]), initial=0) < 3.5
    assert not metric.numbers(null) or np.max(np.abs(pulls[1])) > 3


def leaves(answer: Any) -> list[Floats]:
    """All arrays and numbers of an answer."""
    if isinstance(answer, Classification):
        answer = vars(answer)
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return [leaf for part in answer for leaf in leaves(part)]
    return [np.asarray(answer, dtype=np.float64)]


@each
def test_contract(metric: Case) -> None:
    """Same seed, same answer, for numpy and torch; bad input is named; constant features and equal samples work."""
    real, fake = rows(ROWS, 1), rows(ROWS, 2)
    answer = metric.call(real, fake, rng(5))
    again = metric.call(torch.from_numpy(real), torch.from_numpy(fake), rng(5))
    for one, other in zip(leaves(answer), leaves(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)

    bad = fake.copy()
    bad[7, 1] = np.nan
    with pytest.raises(PartiganError, match=r"fake sample has NaN or infinite values in 1 of 1200 rows.* row 7"):
        metric.call(real, bad, rng())
    with pytest.raises(PartiganError, match="features"):
        metric.call(real, fake[:, :2], rng())
    with pytest.raises(PartiganError, match=r"rows|batch"):
        metric.call(real[:4], fake[:4], rng())

    flat = [np.column_stack([sample, np.full(ROWS, 0.1)]) for sample in (real, fake)]
    assert all(np.isfinite(leaf).all() for leaf in map(np.asarray, metric.numbers(metric.call(*flat, rng()))))
    same = metric.call(real, real, rng())
    if metric.p_value:
        assert (metric.p_value(same) > 0.01) is metric.accepts_itself
    if metric.identical is not None:
        assert [m.value for m in metric.numbers(same)] == pytest.approx([metric.identical] * len(metric.numbers(same)))
