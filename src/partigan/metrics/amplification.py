"""How many real events a generated sample is worth.

A generator adds no statistics to its training sample (Matchev & Shyamsundar), except by what its smoothness knows about
the density (Butter et al.). This metric measures the gain in real events.

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
    """Numbers of real events that describe held-out events as well as a generated sample.

    Attributes:
        events: of the sample as it is; infinite if the divergence is not above 0.
        low: lower end of the interval of one standard deviation.
        high: upper end of it; infinite if the divergence is 0 within its error.
        unlimited: worth of a sample of infinite size from the same generator; infinite if fluctuations of the generated
            sample explain the divergence.
        divergence: Kullback-Leibler divergence of the generated histogram from the true one, in nats.
    """

    events: float
    low: float
    high: float
    unlimited: float
    divergence: Measurement


def equivalent_events(held_out: ArrayLike, fake: ArrayLike, *, bins: int = 50) -> list[EquivalentEvents]:
    """How many real events describe the held-out events equally well, for each observable.

    A histogram q gives held-out events the mean log-likelihood sum_k p_k log q_k, which is below its maximum by the
    divergence KL(p || q). The histogram of N real events in K bins is below it by (K - 1) / 2N on average, to leading
    order in 1/N. So a generated sample of divergence KL is worth N = (K - 1) / 2 KL events:

    - n events of the true density are worth n;
    - any number of events resampled from N training events is worth N or less, however large;
    - a wrong density is worth a finite number, however large the sample.

    p comes from the held-out events, for whose fluctuations (K - 1) / 2 n_held-out is subtracted. Bins hold equal parts
    of the pooled samples (quantiles, as in arXiv:2008.06545); half an event is added to each bin of q. Numbers up to a
    few K are orders of magnitude only, as the expansion fails. Numbers far above that of the held-out events cannot be
    measured; the interval is then open. The error is that for a given generator and training sample.

    Args:
        held_out: real events that neither the generator nor its choice depended on, ``(rows,)`` or
            ``(rows, observables)``; class or cluster numbers for several observables together.
        fake: generated events, with the same observables.
        bins: K; fewer if an observable has fewer values.

    Returns:
        The numbers of events for each observable.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 10 rows a bin.
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
