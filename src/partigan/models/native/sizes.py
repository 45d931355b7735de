"""Numbers that depend on how many particles a cloud has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from partigan.errors import PartiganError


@dataclass(frozen=True)
class Size:
    """``constant + linear * n + square * n * n`` for clouds of n particles.

    Example:
        >>> Size.through((3, 5, 7), (9, 25, 49)).text()
        'n * n'
    """

    constant: int = 0
    linear: int = 0
    square: int = 0

    @classmethod
    def through(cls, particles: Sequence[int], values: Sequence[int]) -> Size:
        """What a number is, from its values at up to three numbers of particles.

        Raises:
            PartiganError: it is no polynomial of second degree with whole coefficients.
        """
        if all(value == values[0] for value in values):
            return cls(values[0])
        (a, b, c), (x, y, z) = particles, (Fraction(value) for value in values)
        square = ((z - x) / (c - a) - (y - x) / (b - a)) / (c - b)
        linear = (y - x) / (b - a) - square * (a + b)
        found = (x - linear * a - square * a * a, linear, square)
        if any(part.denominator != 1 for part in found):
            raise PartiganError("has sizes that are no polynomial of the number of particles")
        return cls(*(int(part) for part in found))

    def at(self, particles: int) -> int:
        """The number for so many particles."""
        return self.constant + self.linear * particles + self.square * particles**2

    def times(self, other: Size) -> Size | None:
        """The product; None where it has a higher degree."""
        if self.linear * other.square or self.square * other.linear or self.square * other.square:
            return None
        return Size(
            self.constant * other.constant,
            self.constant * other.linear + self.linear * other.constant,
            self.constant * other.square + self.linear * other.linear + self.square * other.constant,
        )

    def text(self) -> str:
        """As an expression in C."""
        parts = []
        for number, name in ((self.square, "n * n"), (self.linear, "n"), (self.constant, "")):
            if number:
                parts.append(str(number) if not name else name if number == 1 else f"{number} * {name}")
        return " + ".join(parts) or "0"


NONE, ONE = Size(), Size(1)
