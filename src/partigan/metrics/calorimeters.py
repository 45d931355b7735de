"""How the energy in a calorimeter follows that of the particle: response, resolution and their chi2.

References:
    M. Faucci Giannelli, R. Zhang, CaloShowerGAN, arXiv:2309.06515 (checkpoints by the chi2 of total energies);
    C. Krause et al., CaloChallenge 2022, arXiv:2410.21611, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.weighted import Sample

MOST = 20  # different energies that are looked at one by one
GROUPS = 10  # otherwise
BINS = 30
LEAST = 20  # showers in a group
OUTER = 0.005  # quantile where the bins begin, and from above where they end


class Response(NamedTuple):
    """Energy in the calorimeter over that of the particle.

    Attributes:
        energy: of the particles, ``(groups,)``, MeV.
        mean: ``(groups,)``.
        mean_error: ``(groups,)``.
        width: standard deviation, ``(groups,)``.
        width_error: ``(groups,)``.
    """

    energy: Floats
    mean: Floats
    mean_error: Floats
    width: Floats
    width_error: Floats


def energy_edges(energy: Floats) -> Floats:
    """Edges of groups of energies, rising: one for each energy where there are at most 20, else ten of as many showers.

    Example:
        >>> energy_edges(np.array([256.0, 1024.0, 256.0])).round().tolist()
        [128.0, 512.0, 2048.0]
    """
    values = np.unique(energy)
    if len(values) > MOST:
        inner = np.quantile(energy, np.arange(1, GROUPS) / GROUPS)
        return np.asarray([0.999 * values[0], *np.unique(inner), 1.001 * values[-1]])
    if len(values) == 1:
        return np.asarray([0.5 * values[0], 2 * values[0]])
    inner = np.sqrt(values[1:] * values[:-1])
    ends = values[0] ** 1.5 / values[1] ** 0.5, values[-1] ** 1.5 / values[-2] ** 0.5
    return np.asarray([ends[0], *inner, ends[1]])


def grouped(energy: Floats, edges: Floats) -> Rows:
    """Group of each energy; -1 outside."""
    found = np.searchsorted(edges, energy, side="right") - 1
    return np.where((found < 0) | (found >= len(edges) - 1), -1, found)


def response(sample: Sample, energy: Floats, edges: Floats) -> Response:
    """Mean and width of the response in groups of energies; NaN where a group has fewer than 20 showers.

    Args:
        sample: responses ``(showers,)``.
        energy: of the particles.
        edges: of `energy_edges`.
    """
    group, rows = grouped(energy, edges), []
    for number in range(len(edges) - 1):
        inside = group == number
        some = sample[inside]
        middle = np.exp(np.log(energy[inside & (sample.weights > 0)]).mean()) if inside.any() else np.nan
        if some.size < LEAST:
            rows.append((middle, *[np.nan] * 4))
            continue
        mean, width = float(some.mean()), float(some.std())
        fourth = float(some.mean((some.x - mean) ** 4))
        spread = np.sqrt(max(fourth - width**4, 0.0) / some.size) / (2 * max(width, 1e-12))
        rows.append((middle, mean, width / np.sqrt(some.size), width, spread))
    return Response(*np.array(rows).T)


def largest_deviation(real: Response, fake: Response, of: str, least: float = 1000.0) -> Measurement | None:
    """Largest relative difference of means or widths, with its own error, in per cent.

    Args:
        real: of the real sample.
        fake: of the generated one, in the same groups.
        of: ``mean`` or ``width``.
        least: energy below which groups are not looked at, MeV.

    Returns:
        None where there is no group of at least 20 showers in both.
    """
    a, b = (getattr(each, of) for each in (real, fake))
    errors = [getattr(each, f"{of}_error") for each in (real, fake)]
    fine = np.isfinite(a) & np.isfinite(b) & (a > 0) & (real.energy >= least)
    if not fine.any():
        return None
    ratio = b[fine] / a[fine]
    error = np.hypot(errors[1][fine] / a[fine], ratio * errors[0][fine] / a[fine])
    worst = int(np.abs(ratio - 1).argmax())
    return Measurement(100 * float(abs(ratio[worst] - 1)), 100 * float(error[worst]))


def response_chi2(real: tuple[Sample, Floats], fake: tuple[Sample, Floats]) -> float:
    """chi2 over degrees of freedom of the response's histograms, 30 bins in each group of energies.

    Groups with few showers are left out; where all have few, energies are not told apart.

    Args:
        real: responses, and the energies of the particles.
        fake: the same of the generated sample.
    """
    edges, total, bins = energy_edges(real[1]), 0.0, 0
    groups = [grouped(energy, edges) for _, energy in (real, fake)]
    pairs = [(real[0][groups[0] == number], fake[0][groups[1] == number]) for number in range(len(edges) - 1)]
    pairs = [(a, b) for a, b in pairs if len(a) and len(b) and min(a.size, b.size) >= LEAST]
    for a, b in pairs or [(real[0], fake[0])]:
        seen = a.x[a.weights > 0]
        low, high = np.quantile(seen, [OUTER, 1 - OUTER])
        inner = np.linspace(low, max(high, low + 1e-6), BINS - 1)
        shares = []
        for sample in (a, b):
            cell = np.searchsorted(inner, sample.x)
            sums, squares = (np.bincount(cell, sample.weights**power, BINS) for power in (1, 2))
            shares.append((sums / sums.sum(), squares / sums.sum() ** 2))
        variance = shares[0][1] + shares[1][1]
        filled = variance > 0
        total += float((np.square(shares[0][0] - shares[1][0])[filled] / variance[filled]).sum())
        bins += int(filled.sum()) - 1
    return total / max(bins, 1)
