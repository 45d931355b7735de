"""The stages in which an image is built from a small map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from partigan.errors import PartiganError

Factor = tuple[int, int]

PRIMES = (2, 3)
LARGEST = 7  # pixels, of the shorter side of a base and of a side that is not enlarged
ELONGATED = 4  # largest ratio of the sides of a base
REACH = 32  # pixels within which other sizes are suggested


def divisors(height: int, width: int, least: int = 1) -> Factor:
    """The smallest of 2 and 3 by which each side divides with at least ``least`` pixels left, 1 where neither does."""
    down, right = (next((p for p in PRIMES if side % p == 0 and side // p >= least), 1) for side in (height, width))
    return down, right


def all_the_way(height: int, width: int, stages: int | None = None) -> list[Factor]:
    """Factors of height and width from an image to the smallest map that dividing by 2 and 3 leads to.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        stages: of the factors at most so many are taken; None = all.

    Raises:
        PartiganError: neither side divides, or no stage is asked for.

    Example:
        >>> all_the_way(4, 6)
        [(2, 2), (2, 3)]
    """
    found, size = list[Factor](), (height, width)
    while max(factor := divisors(*size)) > 1:
        found.append(factor)
        size = (size[0] // factor[0], size[1] // factor[1])
    if not found:
        raise PartiganError(f"images of {height} x {width} pixels divide by neither 2 nor 3; pad or crop them")
    if stages is not None and stages < 1:
        raise PartiganError(f"stages = {stages}; images of {height} x {width} pixels allow 1 to {len(found)}")
    return found[:stages]


@dataclass(frozen=True)
class Sizes:
    """The smallest map and the factors of every stage.

    Attributes:
        base: height and width of the smallest map.
        factors: factors of height and width in each stage, from the base to the image.
    """

    base: tuple[int, int]
    factors: tuple[Factor, ...]

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the image."""
        down, across = zip(self.base, *self.factors, strict=True)
        return math.prod(down), math.prod(across)

    @classmethod
    def of(cls, height: int, width: int, factors: Sequence[Factor] | None = None) -> Sizes:
        """Find the stages for an image.

        Without ``factors`` both sides are halved, or divided by 3 where odd, as long as 4 pixels are left, until the
        shorter side is done and the longer is at most 4 times as long: 128 x 128 from 4 x 4 in 5 stages, 256 x 768
        from 4 x 12 in 6, 3 x 96 from 3 x 12 in 3, 9 x 9 from 3 x 3 in 1.

        Args:
            height: of the image, pixels.
            width: of the image, pixels.
            factors: factors of height and width in each stage, from the base to the image.

        Raises:
            PartiganError: the size does not factor; the message names the nearest ones that do.
        """
        if factors is not None:
            whole = [prod(sides) for sides in zip(*factors, strict=True)] if len(factors) else []
            if len(whole) != 2 or min(whole) < 1 or height % whole[0] or width % whole[1]:
                raise PartiganError(f"images of {height} x {width} pixels are not a multiple of the factors {factors}")
            return cls((height // whole[0], width // whole[1]), tuple((up, right) for up, right in factors))
        if found := cls._found(height, width):
            return found
        around = [
            (abs(h - height) + abs(w - width), h, w)
            for h, w in product(*(range(max(side - REACH, 2), side + REACH + 1) for side in (height, width)))
            if cls._found(h, w)
        ]
        near = [f"{h} x {w}" for _, h, w in sorted(around)[:3]]
        remedy = f"pad or crop to {' or '.join(near)}, or give factors" if near else "give factors"
        raise PartiganError(f"images of {height} x {width} pixels do not factor into stages of 2 and 3; {remedy}")

    @classmethod
    def _found(cls, height: int, width: int) -> Sizes | None:
        for least in (4, 3):
            base, factors = [height, width], list[Factor]()
            while True:
                steps = [next((p for p in PRIMES if side % p == 0 and side // p >= least), 1) for side in base]
                done = steps[base.index(min(base))] == 1 and max(base) <= ELONGATED * min(base)
                if done or max(steps) == 1:
                    break
                factors.insert(0, (steps[0], steps[1]))
                base = [side // step for side, step in zip(base, steps, strict=True)]
            still = [side for side, whole in zip(base, (height, width), strict=True) if side == whole]
            if factors and max([min(base), *still]) <= LARGEST and max(base) <= ELONGATED * min(base):
                return cls((base[0], base[1]), tuple(factors))
        return None

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.factors)

    def at(self, stage: int) -> tuple[int, int]:
        """Height and width of the map after a stage; 0 = base."""
        height, width = self.base
        for up, right in self.factors[:stage]:
            height, width = height * up, width * right
        return height, width

    def widths(self, filters: int, multipliers: Sequence[int] | None, cap: int, maps: int) -> list[int]:
        """Feature maps at the base and after each stage.

        Args:
            filters: feature maps for a multiplier of 1.
            multipliers: one a map, from the base on; None = 1 at the last map, doubled towards the base up to ``cap``.
            cap: the largest default multiplier.
            maps: number of maps.

        Raises:
            PartiganError: too many or too few multipliers.
        """
        multipliers = [min(2 ** (maps - 1 - k), cap) for k in range(maps)] if multipliers is None else multipliers
        if len(multipliers) != maps:
            height, width = self.at(self.stages)
            raise PartiganError(
                f"images of {height} x {width} pixels, built in {self.stages} stages from {self.base[0]} x "
                f"{self.base[1]}, need {maps} multipliers, not {len(multipliers)}: {list(multipliers)}"
            )
        return [filters * multiplier for multiplier in multipliers]
