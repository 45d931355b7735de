"""Memorisation: are generated rows copies of training rows, and how many different rows are there?

References:
    S. Arora, Y. Zhang, Do GANs actually learn the distribution? arXiv:1706.08224 (the birthday paradox).
    C. Meehan, K. Chaudhuri, S. Dasgupta, A non-parametric test to detect data-copying, arXiv:2004.05675.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement, Rows
from partigan.metrics.samples import chunks, some, squared_distances, standardised, tables

_PAIRS = 10  # real pairs within the distance that defines duplicates
_KEPT = 100  # pairs, for a figure
_NEARLY_EQUAL = 0.1  # of that distance; pairs this close do not depend on it
_ROUNDING = 1e-12  # of squared distances


class Memorisation(NamedTuple):
    """Nearest neighbours of generated rows among training rows and among held-out rows.

    Attributes:
        ratio: distance to the nearest training row over that to the nearest held-out row, ``(rows,)``: near 0 for
            copies of training rows; without memorisation as often above 1 as below; 1 if both distances are 0.
        training_rows: the nearest training row of each generated row, ``(rows,)``.
        held_out_rows: the nearest held-out row of each generated row, ``(rows,)``.
        share: share of rows that are nearer to a training row; 1/2 without memorisation.
        p_value: probability of a share at least as large without memorisation.
        copies: generated rows far nearer to a training row than to any other row, ``(number,)``, nearest first.
        copies_p_value: probability of at least as many copies without memorisation.
    """

    ratio: Floats
    training_rows: Rows
    held_out_rows: Rows
    share: Measurement
    p_value: float
    copies: Rows
    copies_p_value: float


def _tail(weights: Rows, observed: int) -> float:
    """Probability that coins of different whole-numbered weights show at least ``observed``."""
    distribution = np.ones(1)
    for weight, coins in zip(*np.unique(weights, return_counts=True), strict=True):
        spread = np.zeros(weight * coins + 1)
        spread[::weight] = stats.binom.pmf(np.arange(coins + 1), coins, 0.5)
        distribution = np.convolve(distribution, spread)
    return float(min(distribution[observed:].sum(), 1.0))


def memorisation(
    training: ArrayLike,
    held_out: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    closeness: float = 0.1,
    normalise: bool = True,
) -> Memorisation:
    """Are generated rows nearer to training rows than to real rows that the generator never saw?

    Without memorisation, training and held-out rows are interchangeable. The share of generated rows whose nearest
    neighbour is a training row then has the mean 1/2 and, over permutations of the labels, a known variance, which
    allows for neighbours that several generated rows share. This finds memorisation of the whole sample. A second test
    finds a few copies: it takes rows whose distance to the nearest real row is below ``closeness`` times that to the
    second; without memorisation the nearest is a training row in half of the cases.

    Args:
        training: the sample that the generator was trained on, ``(rows, features)``.
        held_out: other real rows; the larger of the two samples is cut to the size of the smaller.
        fake: generated rows.
        rng: chooses the rows.
        closeness: ratio of distances below which a row counts as a copy.
        normalise: divide features by their standard deviation in the training sample.

    Returns:
        The ratios of distances, the nearest rows, and both tests. Row numbers are those of the samples as given.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    train, other, rows = tables(20, training=training, held_out=held_out, fake=fake)
    if not 0 < closeness < 1:
        raise PartiganError(f"closeness = {closeness}; it must lie between 0 and 1")
    if normalise:
        train, other, rows = standardised(train, train, other, rows)
    size = min(len(train), len(other))
    chosen = [rng.permutation(len(sample))[:size] for sample in (train, other)]
    found = [
        NearestNeighbors(n_neighbors=2).fit(sample[some_rows]).kneighbors(rows)
        for sample, some_rows in zip((train, other), chosen, strict=True)
    ]
    (d_train, i_train), (d_other, i_other) = found
    nearest_train, nearest_other = d_train[:, 0], d_other[:, 0]

    tied = nearest_train == nearest_other
    in_train = nearest_train < nearest_other
    neighbour = np.where(in_train, i_train[:, 0], size + i_other[:, 0])
    times = np.bincount(neighbour[~tied], minlength=2 * size)
    share = (in_train.sum() + 0.5 * tied.sum()) / len(rows)
    error = np.sqrt(np.square(times - times.mean()).sum() / 4 * 2 * size / (2 * size - 1)) / len(rows)

    first, second = np.sort(np.concatenate([d_train, d_other], 1), 1)[:, :2].T
    close = ~tied & (first <= closeness * second)
    copies = np.flatnonzero(close & in_train)
    times_close = np.bincount(neighbour[close])
    ratio = np.divide(nearest_train, nearest_other, out=np.where(tied, 1.0, np.inf), where=nearest_other > 0)
    return Memorisation(
        ratio,
        chosen[0][i_train[:, 0]],
        chosen[1][i_other[:, 0]],
        Measurement(float(share), float(error)),
        float(stats.norm.sf((share - 0.5) / error)) if error > 0 else 1.0,
        copies[np.argsort((first / np.where(second > 0, second, 1))[copies], kind="stable")],
        _tail(times_close[times_close > 0], len(copies)),
    )


class Duplicates(NamedTuple):
    """Pairs of generated rows that are nearer to each other than real rows are.

    Attributes:
        pairs: the nearest pairs, at most 100, as rows of the generated sample, ``(pairs, 2)``.
        number: number of pairs within the distance, and its error.
        distance: below which rows count as duplicates, in standard deviations if normalised.
        support: number of different rows that the generator can make at this resolution, n(n - 1) / 2 over the number
            of pairs, if all are equally likely, and its error; infinite if there are no pairs.
        support_limit: lower limit of the support at 95 % confidence.
        p_value: probability of at least as many pairs if generated rows were distributed like real ones.
    """

    pairs: Rows
    number: Measurement
    distance: float
    support: Measurement
    support_limit: float
    p_value: float


def _nearest_pairs(sample: Floats, number: int) -> tuple[Floats, Rows]:
    """Squared distances of the nearest pairs of rows, ``(number,)``, and the pairs, ``(number, 2)``."""
    squares, pairs = np.empty(0), np.empty((0, 2), dtype=np.int64)
    for rows in chunks(len(sample), len(sample)):
        start = rows.start
        distances = squared_distances(sample[rows], sample[start:])
        distances[np.tri(len(distances), len(sample) - start, dtype=np.bool_)] = np.inf  # each pair once
        flat = np.argpartition(distances, min(number, distances.size) - 1, axis=None)[:number]
        here = start + np.stack(np.unravel_index(flat, distances.shape), 1)
        squares, pairs = np.concatenate([squares, distances.ravel()[flat]]), np.concatenate([pairs, here])
        order = squares.argsort(kind="stable")[:number]
        squares, pairs = squares[order], pairs[order]
    return squares, pairs


def birthday(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: np.random.Generator,
    max_samples: int = 10_000,
    normalise: bool = True,
) -> Duplicates:
    """Size of a generator's support by the birthday paradox (arXiv:1706.08224, section 2).

    Of n rows drawn from s equally likely rows, n^2 / 2s pairs are equal. Here rows count as equal within the distance
    of the ten closest pairs among n real rows, so the support of real rows is n^2 / 20. The error of the number of
    pairs allows for pairs that share a row and for the fluctuation of the distance.

    Args:
        real: ``(rows, features)``; the larger sample is cut to the size of the smaller.
        fake: ``(others, features)``.
        rng: chooses the rows.
        max_samples: most rows of each sample to use.
        normalise: divide features by their standard deviation in the real sample.

    Returns:
        The pairs, and the size of the support.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 100 rows.
    """
    pair = tables(100, real=real, fake=fake)
    if normalise:
        pair = standardised(pair[0], *pair)
    size = min(max_samples, *map(len, pair))
    chosen = rng.permutation(len(pair[1]))[:size]
    a, b = some(pair[0], size, rng), pair[1][chosen]
    threshold = _nearest_pairs(a, _PAIRS)[0][-1] + _ROUNDING
    squares, nearest = _nearest_pairs(b, _KEPT)
    partners, nearly_equal = np.empty(size, dtype=np.int64), 0
    for rows in chunks(size, size):
        distances = squared_distances(b[rows], b)
        partners[rows] = (distances <= threshold).sum(1) - 1
        nearly_equal += int((distances <= _NEARLY_EQUAL**2 * threshold).sum()) - len(distances)
    number = int(partners.sum()) // 2
    variance = max(number + (partners * (partners - 1)).sum() - 4 * number**2 / size, number)
    error = float(np.sqrt(variance + (number - nearly_equal / 2) ** 2 / _PAIRS))
    possible = size * (size - 1) / 2
    support = Measurement(possible / number, possible / number**2 * error) if number else Measurement(np.inf, np.inf)
    return Duplicates(
        chosen[nearest[squares <= threshold]],
        Measurement(number, error),
        float(np.sqrt(threshold)),
        support,
        possible / float(stats.chi2.ppf(0.95, 2 * (number + 1)) / 2),
        float(stats.nbinom.sf(number - 1, _PAIRS, 0.5)),
    )
