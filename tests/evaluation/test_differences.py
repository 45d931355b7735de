"""How observables are off, in words."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import rng
from partigan.evaluation.differences import largest_difference


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda x: x + 0.5, "mean +0.5 GeV (+0.50 std)"),
        (lambda x: 0.7 * x, "width -30%"),
        (lambda x: np.where(x > 1.2816, x - 9, x), "+9.3% below -6.41 GeV"),
        (lambda x: x + 5, "mean +5 GeV (+5.00 std)"),
        (lambda x: np.abs(x), "mean +0.8 GeV (+0.80 std)"),
        (lambda x: x, "none"),
    ],
)
def test_sign_and_size(change: object, text: str) -> None:
    real = rng(1).normal(size=20_000)
    real = (real - real.mean()) / real.std()
    found = largest_difference(real, change(real), "GeV")  # type: ignore[operator]
    if text == "none":
        assert found == (0.0, "none")
    else:
        assert found.text == text


def test_observables_without_width() -> None:
    assert largest_difference(np.zeros(5), np.ones(5)) == (1.0, "+100.0% above 0")
