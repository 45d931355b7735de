from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metric_cases import Floats, Rng, rng
from partigan.metrics.amplification import equivalent_events


@pytest.mark.parametrize(
    ("fake", "events"),
    [
        (lambda r: r.normal(size=5000), 5000),
        (lambda r: r.choice(r.normal(size=1000), 200_000), 1000),
        (lambda r: 1.3 * r.normal(size=200_000), 0.5 * 49 / (np.log(1.3) + 0.5 / 1.69 - 0.5)),
    ],
    ids=["true", "resampled", "wrong"],
)
def test_what_a_sample_is_worth(fake: Callable[[Rng], Floats], events: float) -> None:
    """n events of the true density n, resampled training events their number, a wrong density a finite number."""
    found = [equivalent_events(rng(s).normal(size=50_000), fake(rng(100 + s)))[0] for s in range(10)]
    assert np.median([e.events for e in found]) == pytest.approx(events, rel=0.15)
