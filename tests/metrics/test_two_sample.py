from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metric_cases import rng
from partigan.errors import PartiganError
from partigan.metrics.binned import chi2
from partigan.metrics.two_sample import adjusted, kolmogorov_smirnov
from partigan.metrics.weighted import Weighted


def test_tests_of_observables_are_scipys() -> None:
    a, b = rng(1).normal(size=700), rng(2).normal(0.1, 1, 500)
    (test,) = kolmogorov_smirnov(a, b, rng=rng())
    assert test == pytest.approx(stats.ks_2samp(a, b, method="asymp"))
    classes = rng(3).integers(0, 5, 700).astype(float), rng(4).integers(0, 5, 500).astype(float)
    table = np.stack([np.bincount(c.astype(int)) for c in classes])
    expected = stats.chi2_contingency(table, correction=False)
    (test,) = chi2(*classes)
    assert test == pytest.approx((expected.statistic, expected.pvalue))
    (weighted,) = chi2(Weighted(classes[0], np.full(700, 3.0)), Weighted(classes[1], np.ones(500)))
    assert weighted.statistic == pytest.approx(test.statistic, rel=0.05)


def test_ties_do_not_make_kolmogorov_and_smirnov_blind() -> None:
    """The p-value of a multiplicity is that of permutations, here of all orders of two values (Fisher)."""
    a, b = np.repeat([0.0, 1.0], [60, 40]), np.repeat([0.0, 1.0], [45, 55])
    (test,) = kolmogorov_smirnov(a, b, rng=rng())
    exact = stats.fisher_exact([[60, 40], [45, 55]]).pvalue
    assert test.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / 999))
    assert stats.ks_2samp(a, b, method="asymp").pvalue > 3 * exact


def test_adjusted_p_values() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert adjusted(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted(p, "benjamini-hochberg") == pytest.approx(stats.false_discovery_control(p))
    with pytest.raises(PartiganError, match="between 0 and 1"):
        adjusted([0.5, 1.5])
