from __future__ import annotations

import pytest
import torch

from partigan.observables.traces import quantile_times, trace_observables


def test_observables_of_a_box() -> None:
    trace = torch.zeros(1, 1, 80, dtype=torch.float64)
    trace[0, 0, 10:30] = 5.0
    found = {name: values.item() for name, values in trace_observables(trace, 25.0).items()}
    assert found["signal"] == pytest.approx(2)
    assert found["peak"] == pytest.approx(0.69897)
    assert found["start"] == pytest.approx(25 * 12)
    assert found["rise"] == pytest.approx(25 * 8)
    assert found["fall"] == pytest.approx(25 * 8)
    assert found["area_over_peak"] == pytest.approx(25 * 20)
    assert found["baseline"] == found["noise"] == 0


def test_they_are_finite_and_differentiable() -> None:
    traces = torch.rand(5, 2, 40, dtype=torch.float64, requires_grad=True)
    total = torch.stack(list(trace_observables(traces, 25.0).values())).sum()
    (slope,) = torch.autograd.grad(total, traces)
    assert slope.isfinite().all()
    silent = trace_observables(torch.zeros(2, 1, 40), 25.0)
    assert all(values.isfinite().all() for values in silent.values())


def test_times_do_not_depend_on_the_size_of_the_signal() -> None:
    traces = torch.rand(6, 50, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(quantile_times(traces, (0.2, 0.8)), quantile_times(7 * traces, (0.2, 0.8)))
