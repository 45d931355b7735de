from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from metric_cases import rng
from partigan.errors import PartiganError
from partigan.metrics.frechet import fpd, frechet_distance
from partigan.metrics.inception import inception_score, kid


def test_kid_is_its_definition_and_fid_that_of_gaussians() -> None:
    x, y = rng(1).normal(size=(60, 5)), rng(2).normal(0.5, 1, (50, 5))
    k = [(u @ v.T / 5 + 1) ** 3 for u, v in ((x, x), (y, y), (x, y))]
    within = sum((m.sum() - m.trace()) / (len(m) * (len(m) - 1)) for m in k[:2])
    assert kid(x, y, rng=rng()).value == pytest.approx(within - 2 * k[2].mean())
    a, b = rng(3).normal(size=(5000, 3)), rng(4).normal(1, 2, (5000, 3))
    distance = fpd(a, b, rng=rng(), normalise=False)
    assert (
        abs(distance.value - frechet_distance(np.zeros(3), np.eye(3), np.ones(3), 4 * np.eye(3))) < 3 * distance.error
    )


def test_inception_score() -> None:
    assert inception_score(np.eye(5)[np.arange(200) % 5]).value == pytest.approx(5, rel=0.02)
    assert inception_score(np.full((100, 4), 0.25)) == pytest.approx((1, 0), abs=1e-9)
    alpha = np.array([0.1, 0.3, 0.2])
    draw = inception_score(rng().dirichlet(alpha, 20_000))
    mean, total = alpha / alpha.sum(), alpha.sum()
    expected = np.exp((mean * (digamma(alpha + 1) - digamma(total + 1) - np.log(mean))).sum())
    assert abs(draw.value - expected) < 4 * draw.error
    with pytest.raises(PartiganError, match="row 0 of the class probability"):
        inception_score(np.full((100, 4), 0.5))
