"""Observables of the time traces of particle detectors, in differentiable torch."""

from __future__ import annotations

import torch
from torch import Tensor

QUIET = 20  # lowest bins of a trace, of which the baseline is taken


def quantile_times(traces: Tensor, shares: tuple[float, ...]) -> Tensor:
    """Times at which shares of the whole signal have arrived, in bins, ``(traces, shares)``.

    Args:
        traces: ``(traces, bins)``, not below 0.
        shares: between 0 and 1.

    Example:
        >>> quantile_times(torch.tensor([[0.0, 2.0, 2.0, 0.0]]), (0.25, 0.5, 0.75)).tolist()
        [[1.5, 2.0, 2.5]]
    """
    total = traces.sum(1, keepdim=True).clamp_min(1e-9)
    reached = traces.cumsum(1) / total
    wanted = torch.tensor(shares, dtype=traces.dtype, device=traces.device).expand(len(traces), -1).contiguous()
    last = torch.searchsorted(reached.detach().contiguous(), wanted).clamp_max(traces.shape[1] - 1)
    step = (traces / total).gather(1, last)
    before = reached.gather(1, last) - step
    return last + ((wanted - before) / step.clamp_min(1e-12)).clamp(0, 1)


def trace_observables(traces: Tensor, bin_ns: float) -> dict[str, Tensor]:
    """What a physicist reads off a trace, one number each.

    Args:
        traces: ``(traces, channels, bins)`` in VEM, not below 0; channels are summed.
        bin_ns: width of a bin, ns.

    Returns:
        ``signal`` and ``peak`` (lg VEM), ``start``, ``rise`` (from 10 to 50 % of the signal) and ``fall`` (50 to 90 %)
        in ns, ``area_over_peak`` in ns, ``baseline`` (mean of the lowest 20 bins) and ``noise`` (their standard
        deviation) in VEM.
    """
    x = traces.sum(1)
    signal, peak = x.sum(1).clamp_min(1e-3), x.amax(1).clamp_min(1e-3)
    start, half, end = quantile_times(x, (0.1, 0.5, 0.9)).T * bin_ns
    quiet = x.topk(min(QUIET, x.shape[1]), dim=1, largest=False).values
    return {
        "signal": signal.log10(),
        "peak": peak.log10(),
        "start": start,
        "rise": half - start,
        "fall": end - half,
        "area_over_peak": signal / peak * bin_ns,
        "baseline": quiet.mean(1),
        "noise": quiet.std(1),
    }
