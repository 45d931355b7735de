"""sWeights: event weights that leave one of several populations, by a variable whose densities are known.

The variable must not depend on what is looked at with the weights, within each population.

References:
    M. Pivk, F. Le Diberder, sPlot: a statistical tool to unfold data distributions, Nucl. Instrum. Meth. A 555 (2005)
    356, arXiv:physics/0402083.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats

_STEPS, _EXACT = 10_000, 1e-10


def fitted_yields(densities: ArrayLike) -> Floats:
    """Numbers of events of each population by an extended maximum-likelihood fit of the yields alone.

    Args:
        densities: of each population at each event, ``(events, populations)``.

    Returns:
        Yields, ``(populations,)``, which add up to the number of events.

    Raises:
        PartiganError: densities that are negative, not finite, or all 0 for an event.
    """
    found = np.asarray(densities, float)
    fine = np.isfinite(found).all(1) & (found >= 0).all(1) & (found > 0).any(1)
    if not fine.all():
        raise PartiganError(f"the densities of event {int(fine.argmin())} are not above 0 and finite; cut it away")
    yields = np.full(found.shape[1], len(found) / found.shape[1])
    for _ in range(_STEPS):  # expectation and maximisation: every step raises the likelihood
        shares = found * yields
        before, yields = yields, (shares / shares.sum(1, keepdims=True)).sum(0)
        if np.abs(yields - before).max() < _EXACT * len(found):
            break
    return np.asarray(yields)


def sweights(densities: ArrayLike, yields: ArrayLike | None = None) -> Floats:
    """Compute the sWeights of every population, equations 11 and 15 of the paper.

    Those of one event add up to 1, and those of one population to its yield.

    Args:
        densities: of each population at each event, ``(events, populations)``.
        yields: of the populations; None = fitted.

    Returns:
        ``(events, populations)``; some are negative.

    Raises:
        PartiganError: densities that cannot be, or populations that the variable does not separate.
    """
    found = np.asarray(densities, float)
    numbers = fitted_yields(found) if yields is None else np.asarray(yields, float)
    total = (found * numbers).sum(1, keepdims=True)
    inverse = (found / total).T @ (found / total)
    if np.linalg.cond(inverse) > 1e12:
        raise PartiganError("the densities are too much alike to separate the populations; take another variable")
    return np.asarray(found @ np.linalg.inv(inverse) / total)
