"""Learning-rate schedules: the factor of the learning rate as a function of how much of the run is done."""

from __future__ import annotations

import bisect
import itertools
import math
from abc import ABC, abstractmethod

from partigan.errors import PartiganError


class Schedule(ABC):
    """Called with the done fraction of the run (0 to 1), gives the factor of the learning rate."""

    @abstractmethod
    def __call__(self, done: float) -> float:
        """Factor of the learning rate."""


class Constant(Schedule):
    """The learning rate as it is."""

    def __call__(self, done: float) -> float:
        """1."""
        return 1.0


class WarmupCosine(Schedule):
    """Linear warm-up from 0, then half a cosine down.

    Args:
        warmup: fraction of the run that the warm-up takes.
        final: factor at the end of the run.

    References:
        I. Loshchilov, F. Hutter, SGDR, arXiv:1608.03983, equation 5; A. Vaswani et al., arXiv:1706.03762 (warm-up).
    """

    def __init__(self, warmup: float = 0.1, final: float = 0.0) -> None:
        self.warmup, self.final = warmup, final

    def __call__(self, done: float) -> float:
        """``done / warmup`` at first, then from 1 to ``final``."""
        if done < self.warmup:
            return done / self.warmup
        turn = (done - self.warmup) / max(1 - self.warmup, 1e-12)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(turn, 1.0)))


class Linear(Schedule):
    """A straight line, perhaps after a constant part.

    Args:
        first: factor at the start of the run.
        final: factor at its end.
        start: fraction of the run after which the factor changes; 0.5 = in the second half, as in CycleGAN
            (arXiv:1703.10593, appendix 7.1).

    Raises:
        PartiganError: the line starts before the run or at its end.

    Example:
        >>> [Linear(start=0.5)(done) for done in (0.0, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.0]
    """

    def __init__(self, first: float = 1.0, final: float = 0.0, start: float = 0.0) -> None:
        if not 0 <= start < 1:
            raise PartiganError(f"start = {start} of a linear schedule; it must be at least 0 and below 1")
        self.first, self.final, self.start = first, final, start

    def __call__(self, done: float) -> float:
        """``first``, then from ``first`` to ``final``."""
        return self.first + (self.final - self.first) * max(done - self.start, 0.0) / (1 - self.start)


class Stairs(Schedule):
    """Steps of constant factors; a factor of 0 freezes what a phase updates.

    Args:
        begins: fractions of the run at which the factors begin, rising from 0.
        factors: one for each.

    Raises:
        PartiganError: there are not as many of both, or the fractions do not rise from 0.

    Example:
        >>> [Stairs([0.0, 0.5], [1.0, 0.0])(done) for done in (0.0, 0.49, 0.5)]
        [1.0, 1.0, 0.0]
    """

    def __init__(self, begins: list[float], factors: list[float]) -> None:
        rising = all(a < b for a, b in itertools.pairwise(begins))
        if len(begins) != len(factors) or not begins or begins[0] != 0 or not rising:
            raise PartiganError(f"stairs that begin at {begins} with factors {factors}; begin at 0 and rise")
        self.begins, self.factors = begins, factors

    def __call__(self, done: float) -> float:
        """The factor of the last step that has begun."""
        return self.factors[bisect.bisect_right(self.begins, done) - 1]


class Exponential(Schedule):
    """From 1 by the same factor in equal parts of the run.

    Args:
        final: factor at the end of the run, above 0.

    Raises:
        PartiganError: a factor that is not above 0.

    Example:
        >>> [round(Exponential(0.01)(done), 2) for done in (0.0, 0.5, 1.0)]
        [1.0, 0.1, 0.01]
    """

    def __init__(self, final: float = 0.01) -> None:
        if final <= 0:
            raise PartiganError(f"final = {final} of an exponential schedule; it must be above 0")
        self.final = final

    def __call__(self, done: float) -> float:
        """``final`` to the power of the part done."""
        return float(self.final**done)


class Arctan(Schedule):
    """From 0 towards 1: (2 / pi) arctan(done / scale), as RICH-GAN raises its penalty (arXiv:1905.11825, code).

    Args:
        scale: part of the run after which the factor is 1/2.

    Raises:
        PartiganError: a scale that is not above 0.

    Example:
        >>> Arctan(0.1)(0.1)
        0.5
    """

    def __init__(self, scale: float = 0.1) -> None:
        if scale <= 0:
            raise PartiganError(f"scale = {scale} of an arctan schedule; it must be above 0")
        self.scale = scale

    def __call__(self, done: float) -> float:
        """0 at first, about 0.94 at the end for the scale 0.1."""
        return 2 / math.pi * math.atan(done / self.scale)
