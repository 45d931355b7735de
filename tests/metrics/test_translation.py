from __future__ import annotations

import numpy as np
import pytest

from partigan.errors import PartiganError
from partigan.metrics.translation import cycle_error, translation_error


def _images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=(400, 2, 6, 5))


def test_errors_beside_the_identity_and_a_shift_of_the_mean() -> None:
    truth = _images(1)
    offset = np.array([3.0, -1.0])[:, None, None]
    found = translation_error(truth + offset, truth + 0.5, truth)
    assert found.error == pytest.approx((0.5, 0), abs=1e-12)
    assert found.identity == pytest.approx((2, 0), abs=1e-12)
    assert found.shift == pytest.approx((0, 0), abs=1e-12)
    assert found.share > 1e12
    noisy = translation_error(_images(2), truth, truth)
    assert noisy.error.value == 0
    assert noisy.share == 0
    expected = np.abs(_images(2) - truth).mean((1, 2, 3))
    assert noisy.identity == pytest.approx((expected.mean(), expected.std(ddof=1) / 20))


def test_a_translation_that_knows_nothing_and_one_whose_pairs_are_mixed_up() -> None:
    """The null, and a planted defect: perfect images in the wrong order."""
    truth = _images(1)
    source = truth + np.random.default_rng(2).normal(size=truth.shape)
    errors = [translation_error(source, source + 1e-3 * _images(seed), truth) for seed in range(40)]
    assert min(found.p_value for found in errors) > 1e-3
    assert [found.share for found in errors] == pytest.approx([1] * 40, abs=0.01)
    better = translation_error(source, truth + 0.5 * (source - truth), truth)
    assert better.share == pytest.approx(0.5, abs=0.01)
    assert better.p_value < 1e-6
    mixed = translation_error(source, truth[::-1], truth)
    assert mixed.share > 1.1
    assert mixed.p_value < 1e-6


def test_cycles() -> None:
    truth = _images(1)
    assert cycle_error(truth, truth) == (0, 0)
    assert cycle_error(truth, truth + 0.25) == pytest.approx((0.25, 0), abs=1e-12)
    with pytest.raises(PartiganError, match="cycles need samples of one shape"):
        cycle_error(truth, truth[:, :1])


def test_pairs_that_are_none() -> None:
    truth = _images(1)
    with pytest.raises(PartiganError, match=r"one shape, at least 2; there are source \[399, 2, 6, 5\], translated"):
        translation_error(truth[1:], truth, truth)
    with pytest.raises(PartiganError, match="at least 2"):
        translation_error(truth[:1], truth[:1], truth[:1])
    broken = truth.copy()
    broken[7, 0, 0, 0] = np.nan
    with pytest.raises(PartiganError, match=r"translated sample has NaN .* row 7"):
        translation_error(truth, broken, truth)
