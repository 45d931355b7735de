"""How many real events a generated sample is worth.

A generator adds no statistics to what it was trained on (Matchev & Shyamsundar), except by what its smoothness knows
about the density (Butter et al.). Whether it does is measured here, in real events.

References:
    K. T. Matchev, A. Roman, P. Shyamsundar, Uncertainties associated with GAN-generated datasets in high energy
    physics, SciPost Phys. 12 (2022) 104, arXiv:2002.06307.
    A. Butter et al., GANplifying event samples, SciPost Phys. 10 (2021) 139, arXiv:2008.06545.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import Measurement
from partigan.metrics.samples import combined_error, quantile_cells, tables

_PER_BIN = 10  # rows of either sample in the mean


class EquivalentEvents(NamedTuple):
    """Numbers of real events that describe held-out events as well as a generated sample does.

    Attributes:
        events: of the sample as it is; infinite where the divergence is not above 0.
        low: lower end of the interval of one standard deviation.
        high: upper end of it; infinite where the divergence is 0 within its error.
        unlimited: what a sample of infinite size from the same generator would be worth; infinite where the generated
            sample's own fluctuations explain the divergence.
        divergence: Kullback-Leibler divergence of the generated histogram from the true one, in nats.
    """

    events: float
    low: float
    high: float
    unlimited: float
    divergence: Measurement


def equivalent_events(held_out: ArrayLike, fake: ArrayLike, *, bins: int = 50) -> list[EquivalentEvents]:
    """How many real events would describe the held-out ones equally well, observable by observable.

    A histogram q describes held-out events by their mean log-likelihood sum_k p_k log q_k, which falls short of its
    maximum by the divergence KL(p || q). The histogram of N real events in K bins falls short by (K - 1) / 2N in the
    mean, to leading order in 1/N. So a generated sample of divergence KL is worth N = (K - 1) / 2 KL events:

    - n events of the true density are worth n;
    - any number of events resampled from N training events is worth N or less, however large;
    - a wrong density is worth a finite number, however large the sample.

    p is taken from the held-out events, for which (K - 1) / 2 n_held-out is subtracted; the bins hold equal parts of
    both samples together (quantiles, as in arXiv:2008.06545); half an event is added to each bin of q. Numbers of a
    few K and less are orders of magnitude only, as the expansion then fails. Numbers far above that of the held-out
    events cannot be measured: then the interval is open. The error is that for a given generator; what it was trained
    on is held.

    Args:
        held_out: real events that neither the generator nor its choice depended on, ``(rows,)`` or
            ``(rows, observables)``; class or cluster numbers for several observables together.
        fake: generated events, the same of the other sample.
        bins: K, fewer where an observable has fewer values.

    Returns:
        The numbers of events for each observable.

    Raises:
        PartiganError: for values that are not finite, differing features and less than 10 rows a bin.
    """
    if bins < 2:
        raise PartiganError(f"bins = {bins}; at least 2 are needed")
    pair = tables(_PER_BIN * bins, held_out=held_out, fake=fake)
    n, m = map(len, pair)
    found = []
    for feature in np.concatenate(pair).T:
        cell = quantile_cells(feature, bins)
        number = int(cell.max()) + 1
        p = np.bincount(cell[:n], minlength=number) / n
        q = (np.bincount(cell[n:], minlength=number) + 0.5) / (m + 0.5 * number)
        free = (number - 1) / 2
        ratio = np.log(np.where(p > 0, p, 1) / q)
        value = float(p @ ratio) - free / n
        first = float(p @ ratio**2 - (p @ ratio) ** 2) / n + float((p**2 / q).sum() - 1) / m
        divergence = Measurement(value, combined_error(first, free * (1 / n + 1 / m) ** 2))

        def worth(divergence: float, free: float = free) -> float:
            return free / divergence if divergence > 0 else (np.inf if free else np.nan)

        found.append(
            EquivalentEvents(
                worth(value),
                worth(value + divergence.error),
                worth(value - divergence.error),
                worth(value - free / m),
                divergence,
            )
        )
    return found
