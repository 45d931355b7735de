"""Kernel inception distance (KID) and inception score (IS) of a network's features and class probabilities.

The network is one of the domain; its output enters as arrays. The Fréchet inception distance (FID) is
`partigan.metrics.frechet.fpd` with ``normalise=False`` of the same features, extrapolated to infinite samples
(arXiv:1911.07023) and with an error. Its time grows as d^3; for d = 2048 features, use
`partigan.metrics.frechet.frechet_distance` of means and covariances, without extrapolation and error.

References:
    M. Binkowski et al., Demystifying MMD GANs, arXiv:1801.01401 (KID).
    T. Salimans et al., Improved techniques for training GANs, arXiv:1606.03498 (inception score).
    A. Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from partigan.errors import PartiganError
from partigan.metrics.measurement import Floats, Measurement
from partigan.metrics.samples import chunks, combined_error, weighted_tables
from partigan.metrics.weighted import Sample, Weighted


def _kernel_means(x: Sample, y: Sample) -> tuple[Floats, Floats, float]:
    """Means of k(x, y) = (x.y / d + 1)^3 over rows and over columns, and the mean square of the centred kernel.

    If x is y, the diagonal is left out.
    """
    of_x, of_y, square = np.empty(len(x)), np.zeros(len(y)), 0.0
    for rows in chunks(len(x), len(y)):
        part = x[rows]
        kernel = (part.x @ y.x.T / x.x.shape[1] + 1) ** 3
        if x is y:
            kernel[np.arange(len(kernel)), np.arange(*rows.indices(len(x)))] = 0
        by_x, by_y = part.times(kernel), y.times(kernel.T).T
        of_x[rows] = by_y.sum(1)
        of_y += by_x.sum(0)
        square += float(np.vdot(by_x, by_y))
    total_x, total_y = float(x.weights.sum()), float(y.weights.sum())
    pairs = total_x * total_y - (float(np.square(x.weights).sum()) if x is y else 0)
    of_x, of_y = of_x / (pairs / total_x), of_y / (pairs / total_y)
    mean = x.mean(of_x)
    return of_x, of_y, max(float(square / pairs - x.mean(of_x**2) - y.mean(of_y**2) + mean**2), 0.0)


def kid(
    real: ArrayLike | Weighted, fake: ArrayLike | Weighted, *, rng: np.random.Generator, max_samples: int = 10_000
) -> Measurement:
    """Kernel inception distance: unbiased MMD^2 of the kernel (x.y / d + 1)^3 (arXiv:1801.01401, section 4).

    For samples of one distribution it scatters about 0 and may be negative. All rows are compared at once instead of in
    blocks, which has the same expectation and the least spread. The error includes the first and second order of the
    U-statistic. It is small if the value is low, so only values above 0 speak against the generator.

    Args:
        real: features of a network, ``(rows, d)``; `Weighted` for event weights, which may be negative.
        fake: the same of the other sample, ``(others, d)``.
        rng: chooses the rows.
        max_samples: rows of each sample that are used.

    Returns:
        The distance and its error.

    Raises:
        PartiganError: values are not finite, features differ, or there are fewer than 20 rows.
    """
    a, b = (sample[rng.permutation(len(sample))[:max_samples]] for sample in weighted_tables(20, real=real, fake=fake))
    n, m = a.size, b.size
    (a_a, _, square_a), (b_b, _, square_b), (a_b, b_a, square) = (
        _kernel_means(*pair) for pair in ((a, a), (b, b), (a, b))
    )
    value = a.mean(a_a) + b.mean(b_b) - 2 * a.mean(a_b)
    first = 4 * (a.spread(a_a - a_b) / len(a) + b.spread(b_b - b_a) / len(b))
    second = 2 * square_a / n**2 + 2 * square_b / m**2 + 4 * square / (n * m)
    return Measurement(float(value), combined_error(float(first), second))


def inception_score(probabilities: ArrayLike | Weighted) -> Measurement:
    """Inception score exp(E KL(p(y|x) || p(y))) (arXiv:1606.03498, section 4).

    Between 1 and the number of classes. It is large if the class of every sample is certain and all classes are equally
    frequent. It does not look at real samples. The bias of the entropy of p(y), (1/2n) sum var(p_y) / p_y, is
    corrected.

    Args:
        probabilities: of the classes, given by a classifier for each generated sample, ``(rows, classes)``; `Weighted`
            for event weights.

    Returns:
        The score and its error.

    Raises:
        PartiganError: a row is not probabilities with the sum 1 within 0.1 %, or there are fewer than 20 rows.
    """
    (sample,) = weighted_tables(20, class_probability=probabilities)
    p = sample.x
    wrong = (p < 0).any(1) | (np.abs(p.sum(1) - 1) > 1e-3)
    if wrong.any():
        raise PartiganError(
            f"row {np.argmax(wrong)} of the class probability sample is not probabilities with the sum 1; "
            "give the output of a softmax"
        )
    p = p[:, p.any(0)]
    mean = sample.mean(p)
    divergence = (np.where(p > 0, p, 1) * np.log(np.where(p > 0, p, 1))).sum(1) - p @ np.log(mean)
    bias = -0.5 * (sample.spread(p) / mean).sum() / len(p)
    score = np.exp(sample.mean(divergence) - bias)
    return Measurement(float(score), float(score * np.sqrt(sample.spread(divergence)) / np.sqrt(len(p))))
